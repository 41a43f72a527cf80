"""How well distances of barcodes keep the divergence of the reads: relative errors of pairs [O]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hypertax.data.barcodes.divergence import pairwise_divergence
from hypertax.embeddings import Embeddings
from hypertax.geometry import lorentz as L

LEAST_DIVERGENCE = 0.01
"""Substitutions a site below which a pair does not count: there a few bases, read wrongly or not, are
most of the divergence."""
METRICS = ("distance", "cosine")
"""`distance` is the geodesic one in hyperbolic space, in the Euclidean space that of vectors as they are,
before they are normalised. `cosine` is 1 - cos of the angle at the origin."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of specimens that count: P of them.

    first, second: (P,) rows. distance: (P,) in the space. divergence: (P,) substitutions a site.
    """

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray
    divergence: np.ndarray

    def best_scale(self) -> float:
        """The factor s on distances at which the mean of |s d - J| / J is least; NaN without a pair
        that is apart.

        It is a median of the ratios J / d, each with the weight d / J.
        """
        apart = self.distance > 0
        if not apart.any():
            return float("nan")
        ratio = self.distance[apart] / self.divergence[apart]
        order = np.argsort(-ratio, kind="stable")
        weight = np.cumsum(ratio[order])
        return float(1 / ratio[order][np.searchsorted(weight, weight[-1] / 2)])

    def errors(self, scale: float) -> np.ndarray:
        """|s d - J| / J of each pair, (P,)."""
        return np.abs(scale * self.distance - self.divergence) / self.divergence


def pairs_within(embeddings: Embeddings, reads: Tensor, metric: str = "distance") -> Pairs:
    """All pairs i < j of specimens whose divergence is known and not too small.

    Args:
        embeddings: N rows. reads: (N, L) aligned base codes of the same rows. metric: of `METRICS`.
    """
    divergence, usable = pairwise_divergence(reads, reads)
    counted = (usable & (divergence >= LEAST_DIVERGENCE)).triu(1)
    return _pairs(embeddings, embeddings, divergence, counted, metric)


def pairs_between(
    queries: Embeddings,
    query_reads: Tensor,
    keys: Embeddings,
    key_reads: Tensor,
    metric: str = "distance",
) -> Pairs:
    """The same of all pairs of a query and a key."""
    divergence, usable = pairwise_divergence(query_reads, key_reads)
    counted = usable & (divergence >= LEAST_DIVERGENCE)
    return _pairs(queries, keys, divergence, counted, metric)


def _pairs(
    a: Embeddings, b: Embeddings, divergence: Tensor, counted: Tensor, metric: str
) -> Pairs:
    distance = distances(a, b, metric)[counted]
    first, second = counted.nonzero(as_tuple=True)
    return Pairs(
        first.numpy(), second.numpy(), distance.numpy(), divergence[counted].double().numpy()
    )


def distances(a: Embeddings, b: Embeddings, metric: str = "distance") -> Tensor:
    """Distances of all pairs of rows, (N, M) fp64; see `METRICS`.

    Raises:
        ValueError: a metric that does not exist.
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be 'distance' or 'cosine', not {metric!r}.")
    if metric == "cosine":
        units = [torch.nn.functional.normalize(_tangent(e), dim=1) for e in (a, b)]
        return (1 - units[0] @ units[1].T).clamp(min=0)
    if a.space == "euclidean":
        return torch.cdist(_tangent(a), _tangent(b))
    return L.pairwise_distance(a.points(), b.points(), float(a.curvature))


def _tangent(embeddings: Embeddings) -> Tensor:
    return torch.from_numpy(embeddings.tangent.astype(np.float64))
