"""Nearest keys of every query: exact, in bounded memory, and the same whatever the block size."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hypertax.embeddings import Embeddings
from hypertax.geometry.lorentz import MAX_RADIUS

RANKINGS = ("distance", "angle")
SPARE = 8
"""Candidates kept beyond k by the matrix product, so that its rounding errors cannot drop one of
the k nearest."""


def nearest_keys(
    queries: Embeddings,
    keys: Embeddings,
    k: int = 1,
    *,
    by: str = "distance",
    device: str | torch.device | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest keys of every query, nearest first; see `nearest_vectors`.

    Args:
        queries, keys: Q and K rows of one space.
        k: how many; all keys where there are fewer.
        by: "distance" or "angle".
        device: where to compute, the CPU by default.

    Returns:
        indices (Q, min(k, K)) int64 into the rows of `keys`, and similarities of the same shape.
    """
    indices, similarity = nearest_vectors(
        queries.tangent,
        keys.tangent,
        space=keys.space,
        curvature=keys.curvature,
        k=k,
        by=by,
        device=device,
    )
    return indices.numpy(), similarity.numpy()


@torch.no_grad()
def nearest_vectors(
    queries: np.ndarray | Tensor,
    keys: np.ndarray | Tensor,
    *,
    space: str,
    curvature: float | None = None,
    k: int = 5,
    by: str = "distance",
    chunk: int = 1024,
    device: str | torch.device | None = None,
) -> tuple[Tensor, Tensor]:
    """The k nearest keys of every query, nearest first.

    The arithmetic is fp64: the two terms of the inner product nearly cancel at large radius, and in
    fp32 the ranking would be noise from radius 5 on. A matrix product proposes candidates, and a
    form of the distance without cancellation ranks them. A device without fp64 (MPS) hands over to
    the CPU.

    Args:
        queries, keys: (Q, D) and (K, D) tangent vectors at the origin (`Embeddings.tangent`).
        space: "euclidean" (nearest = largest cosine) or "lorentz".
        curvature: c of the hyperboloid of curvature -c.
        k: how many; all keys where there are fewer.
        by: "distance" or "angle". "distance" is in Lorentz space the largest Lorentz inner product,
            which is monotone in distance, and in Euclidean space the cosine. "angle" is the cosine
            between space components, blind to the radius.
        chunk: queries and keys per block; memory is O(chunk^2 + chunk (k + D)).
        device: where to compute; that of `queries` by default.

    Returns:
        indices (Q, min(k, K)) int64 into `keys`, and similarity (Q, min(k, K)) float64: the Lorentz
        inner product or the cosine. Keys equally near (distances times sqrt(c) that agree to 1e-9,
        cosines to 1e-12) come in the order of their index. That holds for any number of equal
        vectors, and for different ones up to k + SPARE of them. A zero vector has cosine 0 with
        everything.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or an option that does not
        exist.
    """
    _check(queries, keys, space, curvature, k, by)
    home = queries.device if isinstance(queries, Tensor) else torch.device("cpu")
    work = torch.device(device) if device is not None else home
    if work.type == "mps":
        work = torch.device("cpu")
    hyperbolic = space == "lorentz" and by == "distance"
    queries, keys = (torch.as_tensor(v).detach().to(work).double() for v in (queries, keys))
    firsts, members = _distinct(keys, k)
    total, keys = len(keys), keys[firsts.to(work)]
    members = members.to(work)
    scale = math.sqrt(curvature) if hyperbolic else 1.0
    query_polar, key_polar = _polar(queries, scale), _polar(keys, scale)
    key_features = _features(key_polar, hyperbolic)
    query_features = _features(query_polar, hyperbolic)
    if hyperbolic:
        query_features[:, -1].neg_()
    _require_finite("queries", query_features)
    _require_finite("keys", key_features)
    width = min(k, total)
    indices = [torch.empty((0, width), dtype=torch.int64, device=work)]
    similarity = [torch.empty((0, width), dtype=torch.float64, device=work)]
    for start in range(0, len(queries), chunk):
        rows = slice(start, start + chunk)
        candidates = _candidates(
            query_features[rows], key_features, min(len(keys), k + SPARE), chunk
        )
        values, nearness = _exact(
            _Polar(query_polar.radius[rows], query_polar.unit[rows]),
            key_polar,
            candidates,
            curvature if hyperbolic else None,
        )
        found, values = _ranked(values, nearness, members[candidates], total, width)
        indices.append(found)
        similarity.append(values)
    # Indices first: MPS has no fp64, so there the similarities stay on the CPU.
    return torch.cat(indices).to(home), torch.cat(similarity).to(
        "cpu" if home.type == "mps" else home
    )


def _check(queries, keys, space, curvature, k, by) -> None:
    if space not in ("euclidean", "lorentz"):
        raise ValueError(f"space must be 'euclidean' or 'lorentz', not {space!r}.")
    if by not in RANKINGS:
        raise ValueError(f"by must be 'distance' or 'angle', not {by!r}.")
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}.")
    if queries.ndim != 2 or keys.ndim != 2 or queries.shape[1] != keys.shape[1]:
        shapes = f"{tuple(queries.shape)} and {tuple(keys.shape)}"
        raise ValueError(
            f"queries and keys must be two matrices of the same width, not of the shapes {shapes}."
        )
    if (
        space == "lorentz"
        and by == "distance"
        and not (curvature is not None and 0 < curvature < math.inf)
    ):
        raise ValueError(
            f"curvature must be a positive number in the Lorentz space, not {curvature!r}."
        )


def _require_finite(name: str, features: Tensor) -> None:
    if not torch.isfinite(features).all():
        raise ValueError(
            f"Some vectors of the {name} are not finite; look in the run's history for the"
            " epoch at which training diverged."
        )


def _distinct(keys: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The index of the first key of each distinct vector (U,), and its first k keys (U, up to k),
    padded with K.

    Specimens with one barcode have one vector. Compared as vectors they tie exactly, where two
    columns of one matrix product may differ in the last bit and would leave their order to the BLAS
    library.
    """
    groups: dict[bytes, list[int]] = {}
    for index, row in enumerate((keys + 0.0).cpu().numpy()):  # + 0.0 makes -0.0 and 0.0 one
        groups.setdefault(row.tobytes(), []).append(index)
    width = max((min(len(group), k) for group in groups.values()), default=0)
    members = torch.full((len(groups), width), len(keys), dtype=torch.int64)
    for position, group in enumerate(groups.values()):
        members[position, : min(len(group), k)] = torch.tensor(group[:k])
    return torch.tensor([group[0] for group in groups.values()], dtype=torch.int64), members


class _Polar(NamedTuple):
    """Vectors as a scaled norm (N,), held where `exp0` holds it, and a unit vector (N, D), zero for
    the zero vector."""

    radius: Tensor
    unit: Tensor


def _polar(vectors: Tensor, scale: float) -> _Polar:
    norm = vectors.norm(dim=1)
    return _Polar(
        (norm * scale).clamp(max=MAX_RADIUS), vectors / torch.where(norm > 0, norm, 1.0)[:, None]
    )


def _features(polar: _Polar, hyperbolic: bool) -> Tensor:
    """Rows whose products are cosines, or (space and time components on the unit hyperboloid) c
    times the Lorentz inner product."""
    radius, unit = polar
    if not hyperbolic:
        return unit
    return torch.cat([torch.sinh(radius)[:, None] * unit, torch.cosh(radius)[:, None]], dim=1)


def _candidates(queries: Tensor, keys: Tensor, count: int, chunk: int) -> Tensor:
    """Positions (Q, count) of the keys with the largest products; among equal products the lowest
    positions."""
    best = queries.new_empty((len(queries), 0))
    found = torch.empty((len(queries), 0), dtype=torch.int64, device=queries.device)
    for start in range(0, len(keys), chunk):
        products = queries @ keys[start : start + chunk].T
        width = min(count, products.shape[1])
        values, positions = products.topk(width, dim=1)
        # topk may take any of the products equal to the last one taken: a stable sort settles those
        # rows.
        tied = (products >= values[:, -1:]).sum(dim=1) > width
        if tied.any():
            positions[tied] = (
                products[tied].sort(dim=1, descending=True, stable=True).indices[:, :width]
            )
        positions = positions.sort(dim=1).values
        best = torch.cat([best, products.gather(1, positions)], dim=1)
        found = torch.cat([found, positions + start], dim=1)
        best, order = best.sort(dim=1, descending=True, stable=True)
        best, found = best[:, :count], found.gather(1, order[:, :count])
    return found


def _exact(
    queries: _Polar, keys: _Polar, candidates: Tensor, curvature: float | None
) -> tuple[Tensor, Tensor]:
    """Similarity (Q, C) of each query to its candidates (Q, C), and the same rounded, to rank by.

    curvature: c, or None where vectors are compared by their cosine.
    """
    unit = keys.unit[candidates]
    if curvature is None:
        similarity = (queries.unit[:, None] * unit).sum(dim=-1)
        return similarity, similarity.round(decimals=12)
    # cosh d - 1 = 2 s without the difference of large terms:
    # s = sinh^2((rx - ry) / 2) + sinh rx sinh ry |x^ - y^|^2 / 4.
    radius = keys.radius[candidates]
    chord = (queries.unit[:, None] - unit).square().sum(dim=-1)
    s = torch.sinh((queries.radius[:, None] - radius) / 2).square()
    s = s + torch.sinh(queries.radius)[:, None] * torch.sinh(radius) * chord / 4
    return -(1 + 2 * s) / curvature, -(2 * torch.asinh(s.sqrt())).round(decimals=9)


def _ranked(
    similarity: Tensor, nearness: Tensor, copies: Tensor, total: int, k: int
) -> tuple[Tensor, Tensor]:
    """The k nearest (Q, k) of each row's candidates, as indices of the keys given, and their
    similarity.

    Args:
        similarity, nearness: (Q, C) of distinct vectors.
        copies: (Q, C, M), the keys that have each vector, padded with `total`, the number of keys.
    """
    count = copies.shape[-1]
    originals = copies.flatten(1)
    nearness = nearness.repeat_interleave(count, dim=1).masked_fill(originals == total, -math.inf)
    originals, order = originals.sort(dim=1, stable=True)
    nearest = nearness.gather(1, order).sort(dim=1, descending=True, stable=True).indices[:, :k]
    similarity = similarity.repeat_interleave(count, dim=1).gather(1, order.gather(1, nearest))
    return originals.gather(1, nearest), similarity
