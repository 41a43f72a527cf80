"""Queries whose barcodes are shorter, in error or reversed, and how well they are still named: it needs no
new data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from hypertax.data.barcodes.codes import BASES
from hypertax.data.barcodes.strand import reverse_complement
from hypertax.data.split import KEY_SPLITS
from hypertax.embeddings import Embeddings
from hypertax.evaluation.accuracy import accuracy
from hypertax.evaluation.answers import Answering, answer
from hypertax.evaluation.comparison import RESAMPLES, compare
from hypertax.evaluation.label_transfer import PREDICTED, TRUE, predictions
from hypertax.evaluation.open_world.curves import auroc
from hypertax.evaluation.protocol import query_splits
from hypertax.taxonomy import RANKS

Change = Callable[[str, np.random.Generator], str]
"""What makes a read harder: it takes the read and a generator."""
MINI_BARCODE = 313
"""Bases of the mini-barcode at the 3' end of the COI barcode (Leray et al., Front. Zool. 2013)."""
INDELS = 3


def last_bases(count: int) -> Change:
    """Keeps the last `count` bases; a shorter read stays as it is."""
    return lambda read, rng: read[-count:]


def window(count: int) -> Change:
    """Keeps `count` bases in a row, each place as likely; a shorter read stays as it is."""

    def cut(read: str, rng: np.random.Generator) -> str:
        start = int(rng.integers(max(0, len(read) - count) + 1))
        return read[start : start + count]

    return cut


def substitutions(share: float) -> Change:
    """Replaces each of A, C, G and T with a probability by one of the other three."""

    def change(read: str, rng: np.random.Generator) -> str:
        bases = list(read)
        for place in np.flatnonzero(rng.random(len(bases)) < share):
            if bases[place] in BASES:
                bases[place] = rng.choice([base for base in BASES if base != bases[place]])
        return "".join(bases)

    return change


def indels(count: int) -> Change:
    """Inserts or deletes one base at each of `count` random places, both as likely."""

    def change(read: str, rng: np.random.Generator) -> str:
        bases = list(read)
        for place in rng.choice(len(bases), min(count, len(bases)), replace=False):
            # Places stay as they were: a base is emptied, or another is written beside it.
            bases[place] = "" if rng.random() < 0.5 else rng.choice(list(BASES)) + bases[place]
        return "".join(bases)

    return change


HARDER: dict[str, Change] = {
    "whole": lambda read, rng: read,
    f"{MINI_BARCODE} bases, 3' end": last_bases(MINI_BARCODE),
    "200 bases": window(200),
    "130 bases": window(130),
    "1 % wrong": substitutions(0.01),
    "3 % wrong": substitutions(0.03),
    "5 % wrong": substitutions(0.05),
    f"{INDELS} indels": indels(INDELS),
    "reversed": lambda read, rng: reverse_complement(read),
}
"""Kinds of reads by name; the first is the read as it is."""
SERIES = tuple(
    tuple(HARDER)[part] for part in (slice(4), slice(4, 7), slice(7, 8), slice(8, 9))
)
"""The kinds that get harder step by step, and those that stand alone; all of `HARDER` in its
order."""
GROUPS = {
    "seen species": ("standard", "seen", "species"),
    "unseen species": ("standard", "unseen", "species"),
    "novel genus": ("novel", "unseen", "genus"),
    "novel family": ("novel", "unseen", "family"),
}
"""Accuracies by name: protocol, split and rank in `hypertax.evaluation.predictions`."""
NOVELTY = "novelty (AUROC)"
MEASURES = (*GROUPS, NOVELTY)


def harder(
    specimens: pd.DataFrame, name: str, *, stage: str = "test", seed: int = 0
) -> pd.DataFrame:
    """A table whose queries have harder barcodes; keys and all other specimens stay as they are.

    A read depends on the seed, the name and the specimen's id, not on the other rows.

    Args:
        specimens: as `hypertax.data` gives them. name: of `HARDER`. stage: whose queries change,
            "val" or "test". seed: of what is drawn.

    Raises:
        ValueError: a kind of read or a stage that does not exist.
    """
    if name not in HARDER:
        raise ValueError(f"name must be one of {', '.join(map(repr, HARDER))}, not {name!r}.")
    asked = specimens["split"].isin(query_splits(stage).values()) & specimens["barcode"].notna()
    changed = specimens.copy()
    changed.loc[asked, "barcode"] = [
        HARDER[name](read, _generator(seed, name, sampleid))
        for sampleid, read in specimens.loc[asked, ["sampleid", "barcode"]].itertuples(index=False)
    ]
    return changed


def _generator(seed: int, name: str, sampleid: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}\0{name}\0{sampleid}".encode()).digest()
    return np.random.default_rng(list(digest))


def read_scores(source: Embeddings | Answering, stage: str = "test") -> pd.DataFrame:
    """How well barcodes name barcodes: macro top-1 of the `GROUPS`, and `NOVELTY`.

    Novelty is the probability that a query of a seen species is nearer to its nearest seen key than
    one of an unseen species is to its own; equal distances count one half.

    Args:
        source: embeddings or answers of keys and queries. stage: "val" or "test".

    Returns:
        columns `measure` (of `MEASURES`), `value` (0..1; NaN without such queries), `queries` and
        `species`, which the queries are of.

    Raises:
        ValueError: a stage that does not exist.
    """
    found = predictions(source.where(source.table["modality"] == "dna"), stage)
    rows = [*_accuracies(found), (NOVELTY, *_novelty(source, stage))]
    return pd.DataFrame(rows, columns=["measure", "value", "queries", "species"])


def _accuracies(answers: pd.DataFrame) -> Iterator[tuple[str, float, int, int]]:
    """Name, value, queries and species of each of the `GROUPS`, of `predictions`."""
    for measure, (protocol, split, rank) in GROUPS.items():
        own = answers[(answers["protocol"] == protocol) & (answers["split"] == split)]
        own = own[own[f"gt_{rank}"].notna()]
        value = accuracy(own[f"gt_{rank}"], own[f"pred_{rank}"])
        yield measure, value, len(own), own["species"].nunique()


def unanswered_as_wrong(answers: pd.DataFrame) -> pd.DataFrame:
    """Answers of several methods, with a row without a name for every query that another method
    answered: a short read may not align, which is no right answer.

    answers: of `hypertax.evaluation.predictions`, with columns `method`, `run`, `seed` and `reads`.
    """
    about, cell = ["method", "run", "seed"], ["reads", "protocol", "pairing"]
    asked = [*cell, "split", "query", "species", *TRUE]
    parts = []
    for _, own in answers.groupby(cell, sort=False):
        queries = own.drop_duplicates("query")[asked]
        for names, found in own.groupby(about, sort=False):
            found = found[["query", "key", *PREDICTED]]
            whole = queries.merge(found, "left", on="query", validate="one_to_one")
            parts.append(whole.assign(**dict(zip(about, names, strict=True))))
    return pd.concat(parts, ignore_index=True)[answers.columns]


def scores_of_answers(scores: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """Scores whose accuracies are those of the answers.

    Args:
        scores: of `read_scores`, with columns `method`, `run`, `seed` and `reads`.
        answers: of `unanswered_as_wrong`.
    """
    about = ["method", "run", "seed", "reads"]
    parts = [
        pd.DataFrame(_accuracies(own), columns=["measure", "value", "queries", "species"]).assign(
            **dict(zip(about, names, strict=True))
        )
        for names, own in answers.groupby(about, sort=False)
    ]
    parts.append(scores[~scores["measure"].isin(GROUPS)])
    return pd.concat(parts, ignore_index=True)[scores.columns]


def _novelty(source: Embeddings | Answering, stage: str) -> tuple[float, int, int]:
    """AUROC, queries and species."""
    splits = query_splits(stage)
    queries = source.select("dna", list(splits.values()))
    keys = source.select("dna", [KEY_SPLITS[0]])
    if not len(queries) or not len(keys):
        return np.nan, 0, 0
    confidence = answer(queries, keys).confidence[RANKS[-1]]
    seen = (queries.table["split"] == splits["seen"]).to_numpy()
    return float(auroc(confidence, seen)), len(queries), queries.table["species"].nunique()


def read_differences(
    answers: pd.DataFrame, reference: str, *, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Accuracy of every method minus that of a reference with each kind of read, with 95 % intervals
    that draw species (`hypertax.evaluation.compare`).

    Args:
        answers: of `hypertax.evaluation.predictions`, with columns `method`, `run`, `seed` and
            `reads`. reference: a method. resamples: number of draws.

    Returns:
        the macro rows of `compare` of the `GROUPS`, with columns `reads` and `measure`.

    Raises:
        ValueError: as `compare`.
    """
    frames = []
    for kind, own in answers.groupby("reads", sort=False):
        found = compare(own, reference, averages=["macro"], resamples=resamples)
        for measure, cell in GROUPS.items():
            here = (found[["protocol", "split", "rank"]] == list(cell)).all(axis=1)
            frames.append(found[here].assign(reads=kind, measure=measure))
    return pd.concat(frames, ignore_index=True)
