"""What speaks for an answer: the nearest references, how near the next other taxon is at each rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hypertax.identify.lineages import Groups, grouped
from hypertax.taxonomy import RANKS

BLOCK = 2**24
"""Similarities of queries and references at a time: 64 MB."""
UNKNOWN = 4
"""From this code on a column holds no base."""
MIN_SHARED = 60
"""Columns that two reads must share for a share of different bases to be told."""


@dataclass(frozen=True)
class Channel:
    """One comparison of queries with references, such as their barcodes.

    Args:
        queries, references: vectors whose inner products are similarities, (Q, D) and (R, D). Rows
            of NaN have none.
        weight: what one unit of similarity is worth beside other channels.
    """

    queries: np.ndarray
    references: np.ndarray
    weight: float = 1.0


@dataclass
class Evidence:
    """What was found of Q queries, arrays of length Q or (Q, 4) over the ranks.

    taxon: (Q, 4) the group of the rank that is the answer, -1 without one. score: (Q, 4) similarity
    to it. margin: (Q, 4) that minus the similarity to the best other named taxon. nearest: (Q,) the
    most similar reference. other: (Q,) the nearest reference of the next best species, -1 without
    one. top: (Q,) similarity to the nearest.
    """

    taxon: np.ndarray
    score: np.ndarray
    margin: np.ndarray
    nearest: np.ndarray
    other: np.ndarray
    top: np.ndarray

    def place(self, rows: np.ndarray, part: Evidence) -> None:
        """Put the evidence of some queries into their rows."""
        for name, value in vars(part).items():
            getattr(self, name)[rows] = value

    @classmethod
    def empty(cls, count: int) -> Evidence:
        """What is known of `count` queries before a search: nothing."""
        ranks = (count, len(RANKS))
        return cls(
            np.full(ranks, -1),
            np.full(ranks, -np.inf),
            np.zeros(ranks),
            np.full(count, -1),
            np.full(count, -1),
            np.full(count, -np.inf),
        )


class Searcher:
    """Finds evidence among references that are sorted by their lineages.

    Args:
        lineages: R references in the order of `lineages.sorted_order`, their four names.
    """

    def __init__(self, lineages: pd.DataFrame) -> None:
        self.groups: dict[str, Groups] = grouped(lineages)
        self.count = len(lineages)
        leaves = self.groups[RANKS[-1]]
        # The group of each rank in which a leaf (a species, or what has no species' name) lies.
        self.leaf_groups = np.stack(
            [self.groups[rank].of_rows()[leaves.starts] for rank in RANKS], axis=1
        ) if self.count else np.zeros((0, len(RANKS)), dtype=int)
        self.named = {
            rank: np.array([name is not None for name in self.groups[rank].names], dtype=bool)
            for rank in RANKS
        }
        self.leaf_of_row = leaves.of_rows()

    def names(self, evidence: Evidence) -> np.ndarray:
        """The names that answer, (Q, 4) objects, None without one."""
        return np.stack(
            [
                np.append(self.groups[rank].names, None)[evidence.taxon[:, depth]]
                for depth, rank in enumerate(RANKS)
            ],
            axis=1,
        )

    def leaf_named(self) -> np.ndarray:
        """Which ranks each leaf has a name at, (leaves, 4) bool."""
        return np.stack(
            [self.named[rank][self.leaf_groups[:, d]] for d, rank in enumerate(RANKS)], axis=1
        )

    def find(self, channels: list[Channel], hidden: list[list[slice]] | None = None) -> Evidence:
        """The evidence of every query.

        Args:
            channels: at least one, of the same queries and references.
            hidden: per query the slices of references that it may not see; all are seen by default.
        """
        count = len(channels[0].queries)
        found = Evidence.empty(count)
        if not self.count:
            return found
        step = max(1, min(1024, BLOCK // self.count))
        for start in range(0, count, step):
            rows = slice(start, min(start + step, count))
            self._block(found, rows, channels, hidden)
        return found

    def _block(self, found, rows, channels, hidden) -> None:
        scores = self._scores(channels, rows)
        if hidden is not None:
            for i, slices in enumerate(hidden[rows]):
                for one in slices:
                    scores[i, one] = -np.inf
        nearest = scores.argmax(axis=1)
        here = np.arange(len(nearest))
        top = scores[here, nearest]
        seen = np.isfinite(top)
        leaves = self.groups[RANKS[-1]]
        best = np.maximum.reduceat(scores, leaves.starts, axis=1)
        answered = self._answers(best, self.leaf_of_row[nearest], seen)
        at = np.arange(rows.start, rows.stop)
        found.nearest[at[seen]], found.top[at] = nearest[seen], top
        found.taxon[at] = answered
        for depth, rank in enumerate(RANKS):
            groups = self.leaf_groups[:, depth]
            starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
            by_taxon = best if rank == RANKS[-1] else np.maximum.reduceat(best, starts, axis=1)
            by_taxon = np.where(self.named[rank], by_taxon, -np.inf)
            own = answered[:, depth]
            has = own >= 0
            found.score[at[has], depth] = by_taxon[here[has], own[has]]
            by_taxon[here[has], own[has]] = -np.inf
            second = by_taxon.argmax(axis=1)
            value = by_taxon[here, second]
            there = has & np.isfinite(value)
            found.margin[at, depth] = np.where(
                there, found.score[at, depth] - np.where(there, value, 0), np.where(has, np.inf, 0)
            )
            if rank == RANKS[-1]:
                for i in np.flatnonzero(np.isfinite(value)):
                    begin, end = leaves.starts[second[i]], leaves.stops[second[i]]
                    found.other[at[i]] = begin + scores[i, begin:end].argmax()

    def _scores(self, channels: list[Channel], rows: slice) -> np.ndarray:
        """Mean similarities (B, R) of the channels that both sides have, by their weights; -inf without
        any."""
        if len(channels) == 1:
            total = channels[0].queries[rows] @ channels[0].references.T
            total[np.isnan(total)] = -np.inf
            return total
        total = np.zeros((rows.stop - rows.start, self.count), dtype=np.float32)
        weight = np.zeros_like(total)
        for channel in channels:
            part = channel.queries[rows] @ channel.references.T
            has = ~np.isnan(part)
            total += np.where(has, np.float32(channel.weight) * part, 0)
            weight += np.where(has, np.float32(channel.weight), 0)
        total[weight == 0] = -np.inf
        return total / np.where(weight > 0, weight, 1)

    def _answers(self, best: np.ndarray, leaf: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """The group of each rank that answers, (B, 4): the lineage of the nearest reference, and
        where that has no name, the nearest named taxon that agrees with the ranks above."""
        named = self.leaf_named()
        answered = np.where(named[leaf], self.leaf_groups[leaf], -1)
        answered[~seen] = -1
        for i in np.flatnonzero(seen & ~named[leaf].all(axis=1)):
            allowed = np.ones(len(named), dtype=bool)
            for depth in range(len(RANKS)):
                if answered[i, depth] < 0:
                    candidates = np.where(allowed & named[:, depth], best[i], -np.inf)
                    chosen = candidates.argmax()
                    if np.isfinite(candidates[chosen]):
                        answered[i, depth] = self.leaf_groups[chosen, depth]
                if answered[i, depth] >= 0:
                    allowed &= self.leaf_groups[:, depth] == answered[i, depth]
        return answered


def different_bases(queries: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The share of different bases of paired aligned reads, and how many columns they share.

    Args:
        queries, references: (P, L) codes, 0 to 3 for a base.

    Returns:
        (P,) shares, NaN below `MIN_SHARED` shared columns, and (P,) counts.
    """
    share, counts = np.full(len(queries), np.nan), np.zeros(len(queries), dtype=int)
    for start in range(0, len(queries), 4096):
        rows = slice(start, start + 4096)
        both = (queries[rows] < UNKNOWN) & (references[rows] < UNKNOWN)
        counts[rows] = both.sum(axis=1)
        different = (both & (queries[rows] != references[rows])).sum(axis=1)
        enough = counts[rows] >= MIN_SHARED
        share[rows][enough] = different[enough] / counts[rows][enough]
    return share, counts
