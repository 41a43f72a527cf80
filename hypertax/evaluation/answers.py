"""What a method answers to queries, wherever its answers come from: the names of the nearest keys, or names without any
key, and how confident it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from hypertax.embeddings import Embeddings
from hypertax.evaluation.retrieval import nearest_keys
from hypertax.taxonomy import RANKS

SEEDLESS = -1
"""The seed of a method that has none: its one run stands beside every seed of another method."""


@dataclass(frozen=True)
class Answers:
    """Answers to Q queries, W each, the best first.

    Args:
        keys: (Q, W) int64 rows of the keys; -1 where there is none, as with methods that name taxa
            alone.
        names: rank -> (Q, W) names as objects, None where there is none.
        confidence: rank -> (Q,) confidence in the first name; larger is surer, -inf without an
            answer.
    """

    keys: np.ndarray
    names: dict[str, np.ndarray]
    confidence: dict[str, np.ndarray]

    @property
    def width(self) -> int:
        """W."""
        return self.keys.shape[1]


class Answering(Protocol):
    """Specimens and a method that names them by keys, without vectors;
    `hypertax.evaluation.baselines.StoredAnswers` is one."""

    @property
    def table(self) -> pd.DataFrame:
        """One row per specimen and modality, with the columns of an `Embeddings` table."""

    @property
    def modalities(self) -> list[str]:
        """The specimens' modalities present."""

    def __len__(self) -> int:
        """Rows of the table."""

    def where(self, mask) -> Answering:
        """The rows of a boolean mask, in order."""

    def select(self, modality: str, splits: list[str] | None = None) -> Answering:
        """The rows of one modality, of the given splits."""

    def answers(self, keys: Answering, k: int) -> Answers:
        """The answers to these rows as queries, at most k each."""


def answer(
    queries: Embeddings | Answering,
    keys: Embeddings | Answering,
    k: int = 1,
    *,
    by: str = "distance",
    device: str | None = None,
) -> Answers:
    """The k best answers to every query: the names of its nearest keys where there are embeddings,
    else what the method says.

    Args:
        queries, keys: Q and K rows of one source.
        k: how many; all keys where there are fewer. A method without embeddings may give fewer.
        by, device: as in `hypertax.evaluation.nearest_keys`, for embeddings.
    """
    if not isinstance(queries, Embeddings):
        return queries.answers(keys, k)
    found, similarity = nearest_keys(queries, keys, k, by=by, device=device)
    names = {rank: names_of(keys.table[rank])[found] for rank in RANKS}
    first = similarity[:, 0] if found.shape[1] else np.full(len(queries), -np.inf)
    return Answers(found, names, dict.fromkeys(RANKS, first))


def names_of(column: pd.Series) -> np.ndarray:
    """Names as objects, None where there is none."""
    names = column.to_numpy(dtype=object)
    return np.where(pd.notna(names), names, None)


def seed_pairs(own: Sequence[int], other: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The seeds at which two methods are compared: those that both have; a method without a seed
    stands beside every seed of the other."""
    if SEEDLESS in own or SEEDLESS in other:
        return ((a, b) for a in sorted(own) for b in sorted(other))
    return ((seed, seed) for seed in sorted(set(own) & set(other)))
