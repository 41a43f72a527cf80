"""The four ranks, and lineages in which any of them may be missing."""

from __future__ import annotations

import numpy as np
import pandas as pd

RANKS = ("order", "family", "genus", "species")
"""From the root towards the leaves."""


def known_ranks(lineage: pd.Series | dict) -> list[str]:
    """The ranks at which a lineage has a name, from order to species."""
    return [rank for rank in RANKS if pd.notna(lineage[rank])]


def full_text(lineage: pd.Series | dict) -> str | None:
    """The known names joined by spaces, "Diptera Chironomidae Ablabesmyia Ablabesmyia aspera"; None
    without any."""
    return " ".join(str(lineage[rank]) for rank in known_ranks(lineage)) or None


def rank_text(lineage: pd.Series | dict, rank: str, *, cumulative: bool = False) -> str | None:
    """The text of one rank: its bare name, or (cumulative) the known names from order down to it;
    None where it is missing."""
    if pd.isna(lineage[rank]):
        return None
    if not cumulative:
        return str(lineage[rank])
    upto = RANKS[: RANKS.index(rank) + 1]
    return " ".join(str(lineage[r]) for r in upto if pd.notna(lineage[r]))


def taxa(specimens: pd.DataFrame) -> pd.DataFrame:
    """Every named taxon of a specimen table, once.

    Returns columns `rank`, `name`, `specimens` (how many carry the name), and the lineage down to
    the taxon in the four rank columns (missing ranks, and those below, are NA); sorted by rank from
    order to species, then by name.
    """
    rows = []
    for depth, rank in enumerate(RANKS):
        known = specimens[specimens[rank].notna()]
        # The most complete lineage of each name speaks for it: a specimen may skip a rank that
        # another one names.
        upto = list(RANKS[: depth + 1])
        completeness = known[upto].notna().sum(axis=1)
        first = (
            known.assign(_complete=completeness)
            .sort_values("_complete", ascending=False, kind="stable")
            .drop_duplicates(rank)
        )
        counts = known[rank].value_counts()
        for _, row in first.sort_values(rank).iterrows():
            lineage = {r: (row[r] if r in upto else None) for r in RANKS}
            rows.append(
                {"rank": rank, "name": row[rank], "specimens": int(counts[row[rank]]), **lineage}
            )
    return pd.DataFrame(rows, columns=["rank", "name", "specimens", *RANKS])


def parent_rows(rows: pd.DataFrame, taxa: pd.DataFrame, *, skip_absent: bool = False) -> np.ndarray:
    """The place in `taxa` of each row's parent, (N,) int64; -1 without one.

    A taxon's parent is sought above its own rank, a specimen's among all its names; in both cases
    from the deepest name upwards.

    Args:
        rows: taxa and specimens, with `rank` (NA for specimens) and the four ranks' names (NA where
            unknown).
        taxa: with `rank` and `id`, the taxon's name; rows without a rank are no parents. It may be
            the same table as `rows`.
        skip_absent: what happens where the next name above is not in `taxa`. False: there is no
            parent. True: the next name above that one is tried, and so on to the order.
    """
    own_depth = rows["rank"].map(RANKS.index, na_action="ignore").astype(float)
    own_depth = own_depth.fillna(len(RANKS)).to_numpy()
    found = np.full(len(rows), -1)
    searching = np.ones(len(rows), dtype=bool)
    for depth in reversed(range(len(RANKS))):
        at_rank = np.flatnonzero((taxa["rank"] == RANKS[depth]).to_numpy())
        place = dict(zip(taxa["id"].to_numpy(dtype=object)[at_rank], at_rank, strict=True))
        names = rows[RANKS[depth]].to_numpy(dtype=object)
        named = searching & pd.notna(names) & (own_depth > depth)
        places = np.array([place.get(name, -1) for name in names[named]], dtype=int)
        found[named] = places
        searching[np.flatnonzero(named)[places >= 0] if skip_absent else named] = False
    return found
