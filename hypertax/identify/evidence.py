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
NEIGHBOURS = 5
"""Nearest species that are asked whether they agree."""
REACH = 0.15
"""Every species votes; one that is so much further than the nearest, in radians, counts 1/e of it."""


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
    to it. margin: (Q, 4) that minus the similarity to the best other named taxon. rival: (Q, 4) the
    nearest reference of that other taxon, -1 without one. kin: (Q, 4) similarity to the next species
    of the answered taxon, -inf without one. species: (Q, 4) how many it has. agreeing: (Q, 4) share
    of the `NEIGHBOURS` nearest species that belong to it. vote: (Q, 4) its share of the votes of all
    species, the near ones counting most (`REACH`). nearest: (Q,) the most similar reference. top:
    (Q,) similarity to it.
    """

    taxon: np.ndarray
    score: np.ndarray
    margin: np.ndarray
    rival: np.ndarray
    kin: np.ndarray
    species: np.ndarray
    agreeing: np.ndarray
    vote: np.ndarray
    nearest: np.ndarray
    top: np.ndarray

    @property
    def other(self) -> np.ndarray:
        """The nearest reference of the next best species, (Q,), -1 without one."""
        return self.rival[:, -1]

    def place(self, rows: np.ndarray, part: Evidence) -> None:
        """Put the evidence of some queries into their rows."""
        for name, value in vars(part).items():
            getattr(self, name)[rows] = value

    @classmethod
    def empty(cls, count: int) -> Evidence:
        """What is known of `count` queries before a search: nothing."""
        ranks = (count, len(RANKS))
        return cls(
            taxon=np.full(ranks, -1),
            score=np.full(ranks, -np.inf),
            margin=np.zeros(ranks),
            rival=np.full(ranks, -1),
            kin=np.full(ranks, -np.inf),
            species=np.zeros(ranks, dtype=int),
            agreeing=np.zeros(ranks),
            vote=np.zeros(ranks),
            nearest=np.full(count, -1),
            top=np.full(count, -np.inf),
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
        top = scores[np.arange(len(nearest)), nearest]
        seen = np.isfinite(top)
        leaves = self.groups[RANKS[-1]]
        best = np.maximum.reduceat(scores, leaves.starts, axis=1)
        answered = self._answers(best, self.leaf_of_row[nearest], seen)
        at = np.arange(rows.start, rows.stop)
        found.nearest[at[seen]], found.top[at] = nearest[seen], top
        found.taxon[at] = answered
        angle = np.arccos(np.clip(best, -1, 1))
        vote = np.where(np.isfinite(best), np.exp((angle.min(axis=1)[:, None] - angle) / REACH), 0)
        for depth in range(len(RANKS)):
            self._rank(found, at, depth, best, vote, scores, answered[:, depth])

    def _rank(self, found, at, depth, best, vote, scores, own) -> None:
        """The evidence of some queries at one rank; `own` is the group that answers, -1 without one."""
        groups = self.leaf_groups[:, depth]
        named = self.named[RANKS[depth]][groups]
        visible = np.where(named, best, -np.inf)
        same = groups == own[:, None]
        has = own >= 0
        inside = np.where(same, visible, -np.inf)
        here = np.arange(len(own))
        leaf = inside.argmax(axis=1)
        score = inside[here, leaf]
        found.species[at, depth] = np.where(has, np.isfinite(inside).sum(axis=1), 0)
        inside[here, leaf] = -np.inf
        found.kin[at, depth] = np.where(has, inside.max(axis=1), -np.inf)
        found.score[at, depth] = np.where(has, score, -np.inf)
        outside = np.where(same, -np.inf, visible)
        rival = outside.argmax(axis=1)
        value = outside[here, rival]
        there = has & np.isfinite(value)
        gap = np.where(there, score, 0) - np.where(there, value, 0)
        found.margin[at, depth] = np.where(there, gap, np.where(has, np.inf, 0))
        leaves = self.groups[RANKS[-1]]
        for i in np.flatnonzero(there):
            begin, end = leaves.starts[rival[i]], leaves.stops[rival[i]]
            found.rival[at[i], depth] = begin + scores[i, begin:end].argmax()
        count = min(NEIGHBOURS, best.shape[1])
        ring = np.argpartition(-visible, count - 1, axis=1)[:, :count]
        some = np.isfinite(np.take_along_axis(visible, ring, axis=1))
        agree = np.take_along_axis(same, ring, axis=1) & some
        found.agreeing[at, depth] = agree.sum(axis=1) / np.maximum(some.sum(axis=1), 1)
        vote = vote * named
        total = np.maximum(vote.sum(axis=1), 1e-9)
        found.vote[at, depth] = (vote * same).sum(axis=1) / total

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
