"""The tables of accuracies and of splits: scores laid out by method, pairing, split and rank."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from hypertax.data.split import SPLITS
from hypertax.tables.seeds import accuracies_over_seeds, only
from hypertax.tables.table import Table, frame_table
from hypertax.taxonomy import RANKS


def main_table(scores: pd.DataFrame, average: str = "macro", *, stage: str | None = None) -> Table:
    """Top-1 by method and rank: seen, unseen and their harmonic mean for every pairing.

    Args:
        scores: of `hypertax.evaluation.study_scores`, optionally with a column `dataset`; so in all
            tables below.
        average: the metric, a key of `hypertax.evaluation.METRICS`.
        stage: "val" or "test"; by default "test" where the scores have it.
    """
    chosen = only(scores, stage, protocol="standard", ranking="distance", k=1, average=average)
    return accuracies_over_seeds(
        chosen,
        ("method", "rank"),
        ("pairing", "split"),
        ("rank", "pairing", "split"),
        f"{average} top-1",
    )


def novel_table(scores: pd.DataFrame, *, stage: str | None = None) -> Table:
    """Top-1 of species that have no key, by method and rank: macro and micro for every pairing."""
    chosen = only(scores, stage, protocol="novel", ranking="distance", k=1)
    return accuracies_over_seeds(
        chosen,
        ("method", "rank"),
        ("pairing", "average"),
        ("rank", "pairing", "average"),
        "novel species",
    )


def topk_table(
    scores: pd.DataFrame,
    average: str = "macro",
    *,
    rank: str | None = None,
    stage: str | None = None,
) -> Table:
    """Accuracy of the first k keys at one rank (by default the deepest there is), by method and
    split, for every k."""
    chosen = only(scores, stage, protocol="standard", ranking="distance", average=average)
    present = set(chosen.loc[chosen["value"].notna(), "rank"])
    rank = rank or next((r for r in reversed(RANKS) if r in present), RANKS[-1])
    chosen = chosen[chosen["rank"] == rank]
    return accuracies_over_seeds(
        chosen,
        ("method", "rank", "split"),
        ("pairing", "k"),
        ("split", "pairing", "k"),
        f"{average} top-k at {rank}",
    )


def ranking_table(
    scores: pd.DataFrame,
    average: str = "macro",
    *,
    split: str = "harmonic",
    stage: str | None = None,
) -> Table:
    """Top-1 with keys ranked by distance against by angle, for the methods that have both; the
    better of the two is marked."""
    chosen = only(scores, stage, protocol="standard", k=1, average=average, split=split)
    chosen = chosen[chosen["method"].isin(chosen.loc[chosen["ranking"] == "angle", "method"])]
    return accuracies_over_seeds(
        chosen,
        ("method", "rank"),
        ("pairing", "ranking"),
        ("method", "rank", "pairing"),
        f"{average} top-1 by angle",
    )


def split_table(specimens: pd.DataFrame, *, dataset: str = "") -> Table:
    """Specimens, images, barcodes and taxa of each split, and of all."""
    counts = {"specimens": "sampleid", "images": "image", "barcodes": "barcode"}
    taxa = {"orders": "order", "families": "family", "genera": "genus", "species": "species"}
    present = [split for split in SPLITS if (specimens["split"] == split).any()]
    rows = []
    for split in (*present, "all"):
        part = specimens if split == "all" else specimens[specimens["split"] == split]
        row = {name: part[column].notna().sum() for name, column in counts.items()}
        rows.append(
            {
                "split": split,
                **row,
                **{name: part[column].nunique() for name, column in taxa.items()},
            }
        )
    return replace(frame_table(pd.DataFrame(rows)), dataset=dataset)
