"""Distances between barcodes by how closely their specimens are related."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hypertax.data.barcodes.codes import BASES, BEYOND, base_codes
from hypertax.data.barcodes.strand import reverse_complement
from hypertax.taxonomy import RANKS

MIN_OVERLAP = 200
"""Bases that two reads must share for a distance to be counted."""
PUBLISHED = {
    "species": (0.0, 0.02),
    "genus": (0.03, 0.12),
    "family": (0.09, 0.18),
    "different orders": (0.18, 0.28),
}
"""Ranges of the p-distance of COI in insects, by the lowest rank that two specimens share."""


def p_distance(first: pd.Series, second: pd.Series, max_shift: int = 300) -> np.ndarray:
    """Share of differing bases between paired reads.

    Reads may begin at different positions: each pair is compared at the shift with the most
    matches. COI of insects has next to no insertions, so no gap is opened. Letters other than A, C,
    G, T do not count.

    Args:
        first, second: P reads each.
        max_shift: the largest shift that is tried, in bases.

    Returns:
        (P,), NaN where no shift has `MIN_OVERLAP` shared bases of which more than half agree.
    """
    left, right = (_onehot(barcodes) for barcodes in (first, second))
    size = 2 * left.shape[2]
    # Correlation over all shifts at once: matching bases, and positions where both reads have a
    # base.
    spectrum = [np.fft.rfft(x, size) for x in (left, right)]
    matches = np.fft.irfft((spectrum[0] * spectrum[1].conj()).sum(axis=1), size)
    covered = [np.fft.rfft(x.sum(axis=1), size) for x in (left, right)]
    overlap = np.fft.irfft(covered[0] * covered[1].conj(), size)
    shifts = np.r_[0 : max_shift + 1, size - max_shift : size]
    matches, overlap = np.rint(matches[:, shifts]), np.rint(overlap[:, shifts])
    usable = overlap >= MIN_OVERLAP
    # Unrelated positions agree in about a third of the bases: only what is above one half speaks
    # for a shift.
    evidence = np.where(usable, matches - 0.5 * overlap, -np.inf)
    best = evidence.argmax(axis=1)
    rows = np.arange(len(best))
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = 1 - matches[rows, best] / overlap[rows, best]
    return np.where(evidence[rows, best] > 0, distance, np.nan)


def _onehot(barcodes: pd.Series) -> np.ndarray:
    return np.moveaxis(
        np.eye(BEYOND + 1, dtype=np.float32)[base_codes(barcodes)][..., : len(BASES)], 2, 1
    )


def distances_by_relation(specimens: pd.DataFrame, pairs: int = 300, seed: int = 0) -> pd.DataFrame:
    """p-distances of random pairs of specimens that are labelled to species and have a barcode.

    Two reads may be of different strands: the smaller distance counts.

    Args:
        specimens: a specimen table.
        pairs: the number of pairs for each closest relation.
        seed: the seed of the draws.

    Returns:
        Columns `level` (the lowest rank that the two share: "species", "genus", "family", "order",
        or "different orders") and `p_distance`.
    """
    known = specimens[
        specimens["barcode"].notna() & specimens["species"].notna() & specimens["order"].notna()
    ].reset_index(drop=True)
    rng = np.random.default_rng(seed)
    frames = []
    for level, below in zip((*RANKS[::-1], "different orders"), (None, *RANKS[::-1]), strict=True):
        drawn = _draw(known, level, below, pairs, rng)
        if len(drawn):
            first, second = (known["barcode"].iloc[column] for column in drawn.T)
            turned = second.map(reverse_complement)
            values = np.fmin(p_distance(first, second), p_distance(first, turned))
            frames.append(pd.DataFrame({"level": level, "p_distance": values}).dropna())
    return (
        pd.concat(frames, ignore_index=True)
        if frames
        else pd.DataFrame({"level": [], "p_distance": []})
    )


def _draw(
    known: pd.DataFrame, level: str, below: str | None, pairs: int, rng: np.random.Generator
) -> np.ndarray:
    """Row pairs that agree at `level` and differ at the rank `below` it: (P, 2)."""
    found: set[tuple[int, int]] = set()
    groups = (
        {"all": np.arange(len(known))}
        if level == "different orders"
        else known.groupby(level).indices
    )
    groups = [rows for rows in groups.values() if len(rows) > 1]
    lower = None if below is None else known[below].to_numpy()
    for _ in range(30 * pairs):
        if len(found) == pairs or not groups:
            break
        first, second = rng.choice(groups[rng.integers(len(groups))], 2, replace=False)
        if lower is None or (
            pd.notna(lower[first]) and pd.notna(lower[second]) and lower[first] != lower[second]
        ):
            found.add((int(min(first, second)), int(max(first, second))))
    return np.array(sorted(found), dtype=np.int64).reshape(-1, 2)
