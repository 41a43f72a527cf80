"""Rows of a study asked with harder reads: their models embed the changed queries, keys stay as they were
embedded; baselines answer anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hypertax.data.progress import progress_bar
from hypertax.data.split import KEY_SPLITS, TRAINING_SPLITS
from hypertax.embeddings import Embeddings
from hypertax.evaluation.answers import SEEDLESS, Answering
from hypertax.evaluation.baselines import BASELINES, vsearch
from hypertax.evaluation.harder_reads import (
    HARDER,
    harder,
    read_scores,
    scores_of_answers,
    unanswered_as_wrong,
)
from hypertax.evaluation.label_transfer import predictions
from hypertax.evaluation.protocol import query_splits
from hypertax.model.embedding import embed
from hypertax.model.model import HypertaxModel
from hypertax.study.rows import Row
from hypertax.study.runs import StudyRun


@dataclass(frozen=True)
class HarderReads:
    """What runs and baselines made of harder reads.

    Args:
        scores: `method`, `run`, `seed`, `reads` and the columns of
            `hypertax.evaluation.harder_reads.read_scores`.
        answers: the same four and the columns of `hypertax.evaluation.predictions`.
    """

    scores: pd.DataFrame
    answers: pd.DataFrame


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


def ask_harder(
    runs: Sequence[StudyRun],
    baselines: Iterable[Row],
    specimens: pd.DataFrame,
    *,
    kinds: Sequence[str] = tuple(HARDER),
    stage: str = "test",
    seed: int = 0,
    progress: bool = True,
) -> HarderReads:
    """Ask every run and baseline with every kind of read.

    Args:
        runs: finished runs. baselines: rows without training, of barcodes.
        specimens: the table that the runs were trained on.
        kinds: of `HARDER`. stage: "val" or "test". seed: of what is drawn in the reads.
        progress: show a bar.

    Raises:
        ValueError: a baseline's program is not installed.
    """
    baselines = list(baselines)
    if any(BASELINES[row.name].program for row in baselines) and not vsearch.installed():
        raise ValueError("VSEARCH is not installed: install it, or leave its row out.")
    used = [*TRAINING_SPLITS, *KEY_SPLITS, *query_splits(stage).values()]
    specimens = specimens[specimens["split"].isin(used) & specimens["barcode"].notna()]
    tables = {kind: harder(specimens, kind, stage=stage, seed=seed) for kind in kinds}
    asked = specimens["split"].isin(query_splits(stage).values())
    scores, answers = [], []
    sources = _sources(runs, baselines, tables, asked)
    bar = progress_bar(
        sources,
        total=len(kinds) * (len(runs) + len(baselines)),
        desc="harder reads",
        unit=" questions",
        disable=not progress,
    )
    for about, source in bar:
        barcodes = source.where(source.table["modality"] == "dna")
        scores.append(read_scores(barcodes, stage).assign(**about))
        answers.append(predictions(barcodes, stage).assign(**about))
    frames = [pd.concat(parts, ignore_index=True) for parts in (scores, answers)]
    first = ["method", "run", "seed", "reads"]
    scored, answered = (frame[[*first, *frame.columns.drop(first)]] for frame in frames)
    answered = unanswered_as_wrong(answered)
    return HarderReads(scores_of_answers(scored, answered), answered)


def _sources(
    runs: Sequence[StudyRun],
    baselines: Sequence[Row],
    tables: dict[str, pd.DataFrame],
    asked: pd.Series,
) -> Iterator[tuple[dict, Embeddings | Answering]]:
    """What a method is called, its seed and the kind of read, and what answers.

    tables: by kind. asked: which of their rows are queries.
    """
    for row in baselines:
        for kind, table in tables.items():
            about = {"method": row.label, "run": row.name, "seed": SEEDLESS, "reads": kind}
            yield about, BASELINES[row.name].make(table)
    for member in runs:
        model, kept = HypertaxModel.from_pretrained(member.run.folder), member.embeddings
        for kind, table in tables.items():
            about = {"method": member.method, "run": member.name, "seed": member.seed}
            yield {**about, "reads": kind}, asked_again(model, kept, table[asked])
