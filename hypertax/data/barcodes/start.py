"""A projection of aligned barcodes in closed form: what a DNA encoder begins with, and by itself a
search that needs no training.

Bases are centred, weighed by how little they vary within genera, and projected on their principal
components [O]. On real barcodes the weights make the gain at genera and families of novel species.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from hypertax.data.barcodes.codes import BASES, UNKNOWN

LEAST_VARIANCE = 1e-3
"""Added to a variance before its root is taken, so that a base that never varies within a genus does
not count for everything."""
MOST_READS = 20_000
"""Barcodes that the projection is fitted to at most, evenly spread over those given."""
PART = 2_000


@dataclass(frozen=True)
class DnaStart:
    """A projection of aligned base codes, fp32.

    Attributes:
        frequencies: (L, 4) of the bases at each column.
        weights: (L, 4) of the column's bases.
        mean: (4 L,) of the weighted bases.
        projection: (4 L, W) principal components, the first the largest; columns of zeros where
            there are fewer.
        scale: such that the mean squared norm of the training barcodes is 1.
    """

    frequencies: np.ndarray
    weights: np.ndarray
    mean: np.ndarray
    projection: np.ndarray
    scale: float

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """Vectors (N, W) fp32 of aligned codes (N, L). Unknown bases and gaps say nothing."""
        parts = [
            (self.weighted(codes[start : start + PART]) - self.mean) @ self.projection
            for start in range(0, len(codes), PART)
        ]
        found = np.concatenate(parts) if parts else np.zeros((0, self.projection.shape[1]))
        return (found * self.scale).astype(np.float32)

    def weighted(self, codes: np.ndarray) -> np.ndarray:
        """Centred and weighted bases (N, 4 L) fp32 of aligned codes (N, L)."""
        return (_centred(codes, self.frequencies) * self.weights).reshape(len(codes), -1)


def fit_start(
    codes: np.ndarray, genera: Sequence[str | None], width: int = 256
) -> DnaStart:
    """The projection of training barcodes.

    With x the one-hot bases less the column's base frequencies, zero where the base is unknown:
    weights are (v + 1e-3)^(-1/4), v the variance of x within genera; the mean of the weighted x is
    subtracted; the principal components of the rest are the projection. Barcodes without a genus
    have no part in v; where no genus has two barcodes the weights are 1.

    Args:
        codes: (N, L) aligned base codes of the training barcodes, N at least 1.
        genera: (N,) the genus of each, None where it is unknown.
        width: W, components to keep.
    """
    if len(codes) > MOST_READS:
        kept = np.linspace(0, len(codes) - 1, MOST_READS).round().astype(int)
        codes, genera = codes[kept], [genera[i] for i in kept]
    known = (codes < UNKNOWN).sum(axis=0)
    counts = np.stack([(codes == base).sum(axis=0) for base in range(len(BASES))], axis=1)
    frequencies = (counts / np.maximum(known, 1)[:, None]).astype(np.float32)
    x = _centred(codes, frequencies).reshape(len(codes), -1)
    weights = _weights(x, genera)
    x *= weights
    mean = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    x -= mean
    projection = np.zeros((x.shape[1], width), np.float32)
    components = _principal(x, min(width, x.shape[1]))
    projection[:, : components.shape[1]] = components
    squared = ((x @ projection).astype(np.float64) ** 2).sum(axis=1).mean()
    scale = 1 / np.sqrt(squared) if squared > 0 else 1.0
    return DnaStart(frequencies, weights.reshape(-1, len(BASES)), mean, projection, float(scale))


def _centred(codes: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """One-hot bases (N, L, 4) fp32 less the column's frequencies, zero where unknown."""
    onehot = (codes[..., None] == np.arange(len(BASES), dtype=np.uint8)).astype(np.float32)
    return (onehot - frequencies) * (codes < UNKNOWN)[..., None]


def _weights(x: np.ndarray, genera: Sequence[str | None]) -> np.ndarray:
    """(N, C) centred bases to the weights of the C bases, fp32."""
    members: dict[str, list[int]] = {}
    for row, genus in enumerate(genera):
        if genus is not None:
            members.setdefault(genus, []).append(row)
    if not any(len(rows) > 1 for rows in members.values()):
        return np.ones(x.shape[1], np.float32)
    squares = np.zeros(x.shape[1])
    for genus in sorted(members):
        own = x[members[genus]].astype(np.float64)
        squares += ((own - own.mean(axis=0)) ** 2).sum(axis=0)
    variance = squares / sum(map(len, members.values()))
    return ((variance + LEAST_VARIANCE) ** -0.25).astype(np.float32)


def _principal(x: np.ndarray, width: int) -> np.ndarray:
    """The first principal directions of centred rows (N, C), (C, at most width) fp32, each with its
    largest entry positive."""
    covariance = (x.T @ x).astype(np.float64) / len(x)
    size = len(covariance)
    values, vectors = scipy.linalg.eigh(covariance, subset_by_index=[size - width, size - 1])
    values, vectors = values[::-1], vectors[:, ::-1]
    # Directions in which nothing varies are any that rounding leaves.
    vectors = vectors[:, values > 1e-7 * max(values[0], 0)]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return (vectors * signs).astype(np.float32)
