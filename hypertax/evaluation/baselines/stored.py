"""Answers of methods without embeddings, computed once and kept as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.data.split import KEY_SPLITS, QUERY_SPLITS
from hypertax.evaluation.answers import Answers
from hypertax.files import atomic_path
from hypertax.taxonomy import RANKS

DEPTH = 5
"""Answers that are kept of each query: as many as top-k accuracies ask for."""
KEY_SETS = {
    "all": KEY_SPLITS,
    "seen": ("seen_keys",),
    "unseen": ("val_unseen_keys", "test_unseen_keys"),
}
"""The keys that the protocols ask, and the splits that each set is of."""
ASKED = tuple(split for stage in QUERY_SPLITS.values() for split in stage.values())
"""The splits of all queries, of validation and test."""
_CONFIDENCE = tuple(f"confidence_{rank}" for rank in RANKS)

Ask = Callable[[np.ndarray, np.ndarray, int], Answers]
"""What a method answers: rows of the table (Q,) as queries, rows (K,) as keys, and how many answers
at most; `Answers.keys` are places among the K."""


@dataclass(frozen=True)
class StoredAnswers:
    """Specimens of one modality, and what a method answered to those that are queries.

    Args:
        table: one row per specimen, with the columns of an `Embeddings` table.
        found: one row per query, set of keys and place: `query` and `key` (ids; NA without a key),
            `keys` (of `KEY_SETS`), `place` (0 = first), the four ranks' names, and
            `confidence_RANK` (the same at all places); None where the method is not available.
    """

    table: pd.DataFrame
    found: pd.DataFrame | None

    def __len__(self) -> int:
        return len(self.table)

    @property
    def available(self) -> bool:
        """Whether there are answers: a program that is not installed gives none."""
        return self.found is not None

    @property
    def modalities(self) -> list[str]:
        """The specimens' modalities present, of image and dna in this order."""
        present = set(self.table["modality"])
        return [name for name in ("image", "dna") if name in present]

    def where(self, mask) -> StoredAnswers:
        """The rows of a boolean mask, in order."""
        return StoredAnswers(self.table[np.asarray(mask)].reset_index(drop=True), self.found)

    def select(self, modality: str, splits: list[str] | None = None) -> StoredAnswers:
        """The rows of one modality, of the given splits."""
        mask = (self.table["modality"] == modality).to_numpy()
        if splits is not None:
            mask = mask & self.table["split"].isin(splits).to_numpy()
        return self.where(mask)

    def answers(self, keys: StoredAnswers, k: int) -> Answers:
        """The first k answers to these rows from one of the `KEY_SETS`, which the keys' splits
        name."""
        count = len(self)
        if self.found is None:
            return _none(count, min(k, DEPTH, len(keys)))
        own = self.found[self.found["keys"] == _key_set(keys.table["split"])]
        own = own[(own["place"] < k) & own["query"].isin(self.table["id"])]
        width = int(own["place"].max()) + 1 if len(own) else min(k, 1)
        answers = _none(count, width)
        row_of = pd.Series(np.arange(count), index=self.table["id"].to_numpy())
        key_of = pd.Series(np.arange(len(keys)), index=keys.table["id"].to_numpy())
        at = row_of.reindex(own["query"]).to_numpy(), own["place"].to_numpy()
        rows = key_of.reindex(own["key"]).fillna(-1).to_numpy(dtype=np.int64)
        answers.keys[at] = rows
        first = own["place"].to_numpy() == 0
        for rank, column in zip(RANKS, _CONFIDENCE, strict=True):
            names = own[rank].to_numpy(dtype=object)
            answers.names[rank][at] = np.where(pd.notna(names), names, None)
            answers.confidence[rank][at[0][first]] = own[column].to_numpy()[first]
        return answers

    def save(self, path: Path) -> None:
        """Write the answers as a Parquet file, atomically. The table is that of the specimens."""
        with atomic_path(path) as temporary:
            self.found.to_parquet(temporary, index=False)


def _none(count: int, width: int) -> Answers:
    return Answers(
        np.full((count, width), -1, dtype=np.int64),
        {rank: np.full((count, width), None, dtype=object) for rank in RANKS},
        {rank: np.full(count, -np.inf) for rank in RANKS},
    )


def _key_set(splits: pd.Series) -> str:
    present = set(splits)
    for name in ("seen", "unseen"):
        if present <= set(KEY_SETS[name]):
            return name
    return "all"


def specimen_table(specimens: pd.DataFrame, modality: str) -> pd.DataFrame:
    """The specimens that are keys or queries and have an image or a barcode, as an `Embeddings`
    table.

    modality: "image" or "dna".
    """
    column = {"image": "image", "dna": "barcode"}[modality]
    used = specimens["split"].isin([*KEY_SPLITS, *ASKED]) & specimens[column].notna()
    own = specimens[used].reset_index(drop=True)
    about = {"id": own["sampleid"], "modality": modality, "rank": None, "split": own["split"]}
    return pd.DataFrame({**about, **{rank: own[rank] for rank in RANKS}})


def ask_all(table: pd.DataFrame, ask: Ask) -> StoredAnswers:
    """What a method answers to all queries of a table, from each of the `KEY_SETS`."""
    queries = np.flatnonzero(table["split"].isin(ASKED))
    parts = []
    for name, splits in KEY_SETS.items():
        keys = np.flatnonzero(table["split"].isin(splits))
        if not len(queries) or not len(keys):
            continue
        answers = ask(queries, keys, DEPTH)
        row, place = np.nonzero(answers.keys >= 0) if (answers.keys >= 0).any() else _named(answers)
        key = answers.keys[row, place]
        ids = table["id"].to_numpy(dtype=object)
        parts.append(
            pd.DataFrame(
                {
                    "query": ids[queries[row]],
                    "keys": name,
                    "place": place,
                    "key": np.where(key >= 0, ids[keys[key]], None),
                    **{rank: answers.names[rank][row, place] for rank in RANKS},
                    **{
                        column: answers.confidence[rank][row]
                        for rank, column in zip(RANKS, _CONFIDENCE, strict=True)
                    },
                }
            )
        )
    columns = ["query", "keys", "place", "key", *RANKS, *_CONFIDENCE]
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    return StoredAnswers(table, found)


def _named(answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    """Where an answer names a taxon."""
    known = [pd.notna(answers.names[rank]) for rank in RANKS]
    return np.nonzero(np.logical_or.reduce(known))


def from_keys(
    table: pd.DataFrame, keys: np.ndarray, nearest: np.ndarray, confidence: np.ndarray
) -> Answers:
    """Answers that are keys, with the names that these carry.

    Args:
        table: of specimens. keys: (K,) rows of it.
        nearest: (Q, W) places among the keys, -1 where there is none.
        confidence: (Q,) in the first one.
    """
    names = {}
    for rank in RANKS:
        of_keys = table[rank].to_numpy(dtype=object)[keys]
        of_keys = np.append(np.where(pd.notna(of_keys), of_keys, None), None)
        names[rank] = of_keys[nearest]
    return Answers(nearest, names, dict.fromkeys(RANKS, confidence))
