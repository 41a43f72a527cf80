"""Lineages of a library: each name under one parent, and taxa as contiguous groups of sorted references."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hypertax.taxonomy import RANKS


def completed(lineages: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Lineages in which every name stands under one parent.

    A missing name above a known one is taken from other rows with that name. Where rows contradict
    each other, the more frequent parent stands, of equally frequent ones the first by alphabet.

    Args:
        lineages: N rows with the four ranks' names, NA where unknown.

    Returns:
        N rows with the four ranks' names, and which rows were contradicted, (N,) bool.
    """
    table = lineages[list(RANKS)].reset_index(drop=True).astype("object")
    table = table.where(table.notna(), None)
    changed = np.zeros(len(table), dtype=bool)
    # From the root down: a genus decides for its species, after the family has for the genus.
    for depth in range(1, len(RANKS)):
        child = table[RANKS[depth]]
        above = list(RANKS[:depth])
        known = table[child.notna()]
        if known.empty:
            continue
        counts = known.groupby([RANKS[depth], *above], dropna=False).size().reset_index(name="n")
        counts["named"] = counts[above].notna().sum(axis=1)
        best = counts.sort_values(
            [RANKS[depth], "named", "n", *above], ascending=[True, False, False] + [True] * depth
        ).drop_duplicates(RANKS[depth])
        best = best.set_index(RANKS[depth])
        rows = child.notna().to_numpy()
        for rank in above:
            old = table.loc[rows, rank]
            new = child[rows].map(best[rank]).astype("object")
            new = new.where(new.notna(), None)
            changed[rows] |= (old.notna() & (old != new)).to_numpy()
            table.loc[rows, rank] = new
    return table, changed


@dataclass(frozen=True)
class Groups:
    """The taxa of one rank as slices of sorted rows.

    Args:
        names: (T,) objects, None for rows without a name at the rank.
        starts: (T,) the first row of each.
        stops: (T,) one past its last row.
    """

    names: np.ndarray
    starts: np.ndarray
    stops: np.ndarray

    def of_rows(self) -> np.ndarray:
        """The group of each row, (N,)."""
        return np.repeat(np.arange(len(self.starts)), self.stops - self.starts)


def sorted_order(lineages: pd.DataFrame) -> np.ndarray:
    """The order, (N,), that brings the rows of every taxon together; rows of one species stay in
    their order."""
    keys = [lineages[rank].fillna("\0").to_numpy(dtype=str) for rank in reversed(RANKS)]
    return np.lexsort(keys) if len(lineages) else np.zeros(0, dtype=np.int64)


def grouped(lineages: pd.DataFrame) -> dict[str, Groups]:
    """The taxa of each rank in sorted rows; see `sorted_order`.

    Rows without a name at the rank form a group of their own under each parent.
    """
    filled = lineages[list(RANKS)].fillna("\0").to_numpy(dtype=str)
    groups = {}
    for depth, rank in enumerate(RANKS):
        path = filled[:, : depth + 1]
        new = np.ones(len(path), dtype=bool)
        new[1:] = (path[1:] != path[:-1]).any(axis=1)
        starts = np.flatnonzero(new)
        stops = np.append(starts[1:], len(path)) if len(starts) else starts
        names = filled[starts, depth].astype(object)
        names[names == "\0"] = None
        groups[rank] = Groups(names, starts, stops)
    return groups
