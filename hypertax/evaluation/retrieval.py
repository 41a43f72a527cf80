"""Nearest keys of every query: exact, in bounded memory, and the same whatever the block size."""

from __future__ import annotations

import math

import numpy as np
import torch

from hypertax.geometry.lorentz import MAX_RADIUS

RANKINGS = ("distance", "angle")
SPARE = 8
"""Candidates kept beyond k by the matrix product, so that its rounding errors cannot drop one of
the k nearest."""


@torch.no_grad()
def nearest_keys(
    queries: np.ndarray | torch.Tensor,
    keys: np.ndarray | torch.Tensor,
    *,
    space: str,
    curvature: float | None = None,
    k: int = 5,
    by: str = "distance",
    chunk: int = 1024,
    device: str | torch.device | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k nearest keys of every query, nearest first.

    Args:
        queries, keys: (Q, D) and (K, D) tangent vectors at the origin (`Embeddings.tangent`).
        space: "euclidean" (nearest = largest cosine) or "lorentz". curvature: c of the hyperboloid
        of curvature -c. by: "distance" (in Lorentz space the largest Lorentz inner product, which
        is monotone in distance; in Euclidean space the
            cosine) or "angle" (the cosine between space components, blind to the radius; in
            Euclidean space the same as "distance").
        chunk: queries and keys per block; memory is O(chunk^2 + chunk (k + D)).
        device: where to compute; that of `queries` by default.

    Returns:
        indices (Q, min(k, K)) int64 into `keys`, and similarity (Q, min(k, K)) float64: the Lorentz
        inner product or the cosine. Keys equally near (distances times sqrt(c) that agree to 1e-9,
        cosines to 1e-12) come in the order of their index; that holds for any number of equal
        vectors, and for different ones up to k + SPARE of them. A zero vector has cosine 0 with
        everything.

    The arithmetic is fp64: the two terms of the inner product nearly cancel at large radius, and in
    fp32 the ranking would be noise from radius 5 on. A matrix product proposes candidates and the
    cancellation-free form of the distance ranks them. A device without fp64 (MPS) hands over to the
    CPU.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or an option that does not
        exist.
    """
    _check(queries, keys, space, curvature, k, by)
    home = queries.device if isinstance(queries, torch.Tensor) else torch.device("cpu")
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
    key_features = _features(*key_polar, hyperbolic)
    query_features = _features(*query_polar, hyperbolic)
    if hyperbolic:
        query_features[:, -1].neg_()
    for name, values in (("queries", query_features), ("keys", key_features)):
        if not torch.isfinite(values).all():
            raise ValueError(
                f"Some vectors of the {name} are not finite; look in the run's history for the"
                " epoch at which training diverged."
            )

    indices, similarity = [], []
    for start in range(0, len(queries), chunk):
        rows = slice(start, start + chunk)
        candidates = _candidates(
            query_features[rows], key_features, min(len(keys), k + SPARE), chunk
        )
        block = _rank(
            tuple(part[rows] for part in query_polar),
            key_polar,
            candidates,
            members,
            total,
            k,
            curvature if hyperbolic else None,
        )
        indices.append(block[0])
        similarity.append(block[1])
    if not indices:
        width = min(k, total)
        return torch.empty((0, width), dtype=torch.int64, device=home), torch.empty(
            (0, width), dtype=torch.float64, device=home
        )
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


def _distinct(keys: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
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


def _polar(vectors: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The scaled norm (N,), held where `exp0` holds it, and the unit vector (N, D) (zero for the
    zero vector)."""
    norm = vectors.norm(dim=1)
    return (norm * scale).clamp(max=MAX_RADIUS), vectors / torch.where(norm > 0, norm, 1.0)[:, None]


def _features(radius: torch.Tensor, unit: torch.Tensor, hyperbolic: bool) -> torch.Tensor:
    """Rows whose products are cosines, or (space and time components on the unit hyperboloid) c
    times the Lorentz inner product."""
    return (
        torch.cat([torch.sinh(radius)[:, None] * unit, torch.cosh(radius)[:, None]], dim=1)
        if hyperbolic
        else unit
    )


def _candidates(queries: torch.Tensor, keys: torch.Tensor, count: int, chunk: int) -> torch.Tensor:
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


def _rank(
    queries, keys, candidates, members, total, k, curvature
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k nearest of each row's candidates: indices into the original keys and similarity."""
    (query_radius, query_unit), (key_radius, key_unit) = queries, keys
    unit = key_unit[candidates]
    if curvature is None:
        similarity = (query_unit[:, None] * unit).sum(dim=-1)
        nearness = similarity.round(decimals=12)
    else:
        # cosh d - 1 = 2 s without the difference of large terms: s = sinh^2((rx-ry)/2) + sinh rx
        # sinh ry |x^-y^|^2 / 4.
        radius = key_radius[candidates]
        chord = (query_unit[:, None] - unit).square().sum(dim=-1)
        s = torch.sinh((query_radius[:, None] - radius) / 2).square()
        s = s + torch.sinh(query_radius)[:, None] * torch.sinh(radius) * chord / 4
        similarity = -(1 + 2 * s) / curvature
        nearness = -(2 * torch.asinh(s.sqrt())).round(decimals=9)
    originals = members[candidates].flatten(1)
    copies = members.shape[1]
    nearness = nearness.repeat_interleave(copies, dim=1).masked_fill(originals == total, -math.inf)
    originals, order = originals.sort(dim=1, stable=True)
    nearest = (
        nearness.gather(1, order)
        .sort(dim=1, descending=True, stable=True)
        .indices[:, : min(k, total)]
    )
    return originals.gather(1, nearest), similarity.repeat_interleave(copies, dim=1).gather(
        1, order.gather(1, nearest)
    )
