"""Which epoch of a training is the best: one number from the validation queries."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from hypertax.embeddings import Embeddings
from hypertax.evaluation.accuracy import evaluate
from hypertax.evaluation.protocol import PAIRINGS

LEAST_CLASSES = 10
"""A cell of fewer classes is too small to choose by: one of ten is ten points."""
CELLS = {
    "seen": ("standard", "seen", "species"),
    "unseen": ("standard", "unseen", "species"),
    "novel_family": ("novel", "unseen", "family"),
    "novel_genus": ("novel", "unseen", "genus"),
}
"""What is asked of each pairing: protocol, split and rank. The last two are species without a key,
placed in their family and genus."""
_PAIRING = {"DNA to DNA": "dna", "image to image": "image", "image to DNA": "cross"}


def selection_cells(embeddings: Embeddings, *, device: str | None = None) -> pd.DataFrame:
    """Macro top-1 of each pairing and cell on the validation queries.

    Returns:
        one row per cell that has queries: `name` (`dna_seen`, `cross_novel_genus`), `value`,
        `classes`, and `weight`, the root of the classes; 0 where they are fewer than
        `LEAST_CLASSES`, unless they are so everywhere.
    """
    scores = evaluate(embeddings, "val", ks=(1,), rankings=("distance",), device=device)
    scores = scores[(scores["average"] == "macro") & scores["value"].notna()]
    rows = []
    for pairing in PAIRINGS:
        for cell, (protocol, split, rank) in CELLS.items():
            wanted = {"pairing": pairing, "protocol": protocol, "split": split, "rank": rank}
            for row in scores[(scores[list(wanted)] == pd.Series(wanted)).all(axis=1)].itertuples():
                rows.append((f"{_PAIRING[pairing]}_{cell}", row.value, row.classes))
    cells = pd.DataFrame(rows, columns=["name", "value", "classes"])
    large = cells["classes"] >= LEAST_CLASSES
    counted = large if large.any() else cells["classes"] > 0
    # The error of a mean falls with the root of its number.
    return cells.assign(weight=np.sqrt(cells["classes"].astype(float)).where(counted, 0.0))


def selection_score(embeddings: Embeddings, *, device: str | None = None) -> dict[str, float]:
    """The columns of a run's history by which the best epoch is picked.

    Returns:
        `val_PAIRING_CELL` for every pairing (`dna`, `image`, `cross`, which is image to DNA) and
        cell of `CELLS`, NaN where the data have no such queries or keys, and `selection`, their
        weighted mean (`selection_cells`); NaN without any.
    """
    cells = selection_cells(embeddings, device=device).set_index("name")
    summary = {
        f"val_{name}_{cell}": float(cells["value"].get(f"{name}_{cell}", math.nan))
        for name in _PAIRING.values()
        for cell in CELLS
    }
    weight = cells["weight"].sum()
    mean = float((cells["value"] * cells["weight"]).sum() / weight) if weight else math.nan
    return {**summary, "selection": mean}


def selection_words(embeddings: Embeddings) -> str:
    """What the epoch is chosen by, and what is too small for it, in one or two sentences."""
    cells = selection_cells(embeddings)
    if cells.empty:
        return "There is nothing to validate on: the last epoch is taken."
    small = cells.loc[cells["weight"] == 0]
    if len(small):
        told = ", ".join(f"{row.name_} ({row.classes})" for row in _named(small))
        return (
            f"The epoch is chosen by {len(cells) - len(small)} validation accuracies; too small to"
            f" choose by, with fewer than {LEAST_CLASSES} classes: {told}."
        )
    if (cells["classes"] < LEAST_CLASSES).all():
        return (
            f"The epoch is chosen by {len(cells)} validation accuracies of fewer than"
            f" {LEAST_CLASSES} classes each, which says little."
        )
    return f"The epoch is chosen by {len(cells)} validation accuracies."


def _named(cells: pd.DataFrame):
    names = cells["name"].str.replace("_", " ").str.replace("cross", "image to DNA")
    return cells.assign(name_=names).itertuples()
