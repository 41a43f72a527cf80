"""From evidence to the numbers that probabilities are learned from."""

from __future__ import annotations

import numpy as np

from hypertax.identify.evidence import Evidence, different_bases
from hypertax.taxonomy import RANKS

FAR = 0.3
"""Stands for the share of different bases where there is none."""
WIDEST = 2.0


def features(
    evidence: Evidence, codes: np.ndarray, references: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Features by rank, and the shares of different bases.

    Args:
        evidence: of Q queries. codes: their aligned reads, (Q, L). references: aligned reads of the
            library, (R, L).

    Returns:
        By rank a matrix (Q, 14): how near the answer is and how far the best other taxon, in angles
        and in bases; how many species the answer has, how near the next of them is, and how many of
        the nearest species agree. The share of bases in which each query differs from its nearest
        reference, and from the nearest one of the next best species, (Q,), NaN where unknown.
    """
    near, shared = different_bases(codes, references[np.maximum(evidence.nearest, 0)])
    near = np.where(evidence.nearest >= 0, near, np.nan)
    filled = np.nan_to_num(near, nan=FAR)
    reach = shared / max(1, codes.shape[1])
    found, other = {}, near
    for depth, rank in enumerate(RANKS):
        rival = evidence.rival[:, depth]
        other, _ = different_bases(codes, references[np.maximum(rival, 0)])
        other = np.where(rival >= 0, other, np.nan)
        score = np.where(np.isfinite(evidence.score[:, depth]), evidence.score[:, depth], -1.0)
        margin = np.minimum(evidence.margin[:, depth], WIDEST)
        here = np.arccos(np.clip(score, -1, 1))
        there = np.arccos(np.clip(score - margin, -1, 1))
        kin = evidence.kin[:, depth]
        alone = ~np.isfinite(kin)
        next_kin = np.arccos(np.clip(np.where(alone, -1, kin), -1, 1))
        columns = [
            here,
            there - here,
            np.log((here + 0.02) / (there + 0.02)),
            filled,
            np.nan_to_num(other - near, nan=0.0),
            reach,
            np.log(filled + 0.003),
            np.log((filled + 0.003) / (np.nan_to_num(other, nan=FAR) + 0.003)),
            np.log1p(evidence.species[:, depth]),
            np.where(alone, there, np.minimum(next_kin, there)) - here,
            np.where(alone, WIDEST, next_kin - here),
            ~alone,
            evidence.agreeing[:, depth],
            evidence.vote[:, depth],
        ]
        # What is computed in another order on another machine shall not change a digit that is kept.
        found[rank] = np.round(np.stack(columns, axis=1), 5)
    return found, near, other
