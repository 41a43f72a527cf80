"""The four ranks, and lineages in which any of them may be missing."""

from __future__ import annotations

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
