"""Rows of a study asked with harder reads: their models embed the changed queries, keys stay as they were
embedded; baselines answer anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from hypertax.data.progress import progress_bar
from hypertax.data.split import KEY_SPLITS, TRAINING_SPLITS
from hypertax.embeddings import Embeddings
from hypertax.evaluation.answers import SEEDLESS, Answering
from hypertax.evaluation.baselines import BASELINES, vsearch
from hypertax.evaluation.harder_reads import HARDER, harder, read_scores
from hypertax.evaluation.protocol import query_splits
from hypertax.model.embedding import embed
from hypertax.model.model import HypertaxModel
from hypertax.study.rows import Row
from hypertax.study.runs import StudyRun


def asked_again(model: HypertaxModel, kept: Embeddings, queries: pd.DataFrame) -> Embeddings:
    """Queries embedded by a model, beside the keys that it embedded before.

    Args:
        model: of a run. kept: embeddings of the run. queries: specimens with the barcodes to embed;
            their photographs are left out.
    """
    found = embed(model, queries.assign(image=pd.Series(pd.NA, queries.index, dtype="str")))
    found = found.select("dna")
    keys = kept.select("dna", list(KEY_SPLITS))
    return Embeddings(
        pd.concat([keys.table, found.table], ignore_index=True),
        np.concatenate([keys.tangent, found.tangent]),
        kept.space,
        kept.curvature,
    )


def harder_scores(
    runs: Sequence[StudyRun],
    baselines: Iterable[Row],
    specimens: pd.DataFrame,
    *,
    kinds: Sequence[str] = tuple(HARDER),
    stage: str = "test",
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """The scores of every run and baseline with every kind of read.

    Args:
        runs: finished runs. baselines: rows without training, of barcodes.
        specimens: the table that the runs were trained on.
        kinds: of `HARDER`. stage: "val" or "test". seed: of what is drawn in the reads.
        progress: show a bar.

    Returns:
        columns `method`, `run`, `seed`, `reads` and those of
        `hypertax.evaluation.harder_reads.read_scores`.

    Raises:
        ValueError: a baseline's program is not installed.
    """
    baselines = list(baselines)
    if any(BASELINES[row.name].program for row in baselines) and not vsearch.installed():
        raise ValueError("VSEARCH is not installed: install it, or leave its row out.")
    used = [*TRAINING_SPLITS, *KEY_SPLITS, *query_splits(stage).values()]
    specimens = specimens[specimens["split"].isin(used) & specimens["barcode"].notna()]
    queries = specimens["split"].isin(query_splits(stage).values())
    frames = []
    total = len(kinds) * (len(runs) + len(baselines))
    with progress_bar(total=total, desc="harder reads", disable=not progress) as bar:
        tables = {kind: harder(specimens, kind, stage=stage, seed=seed) for kind in kinds}
        for row in baselines:
            about = {"method": row.label, "run": row.name, "seed": SEEDLESS}
            for kind in kinds:
                source: Embeddings | Answering = BASELINES[row.name].make(tables[kind])
                frames.append(read_scores(source, stage).assign(**about, reads=kind))
                bar.update()
        for member in runs:
            about = {"method": member.method, "run": member.name, "seed": member.seed}
            model, kept = HypertaxModel.from_pretrained(member.run.folder), member.embeddings
            for kind in kinds:
                source = asked_again(model, kept, tables[kind][queries])
                frames.append(read_scores(source, stage).assign(**about, reads=kind))
                bar.update()
    columns = ["method", "run", "seed", "reads", "measure", "value", "queries", "species"]
    return pd.concat(frames, ignore_index=True)[columns]
