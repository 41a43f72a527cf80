"""Whether a child taxon's whole cone lies in its parent's, and whether the cones of siblings keep
apart; in fp64."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from hypertax.embeddings import Embeddings
from hypertax.evaluation.cones import require_lorentz
from hypertax.geometry import lorentz as L
from hypertax.taxonomy import RANKS, parent_rows

DISTANCES = (0.1, 0.5, 1.0, 2.0, 8.0)
"""sqrt(c) times the distances from a cone's apex at which its points are sampled; at the last one
its rays have reached their limit."""
TOLERANCE = 1e-9
"""Radians by which a sampled point may miss a cone: rays of one boundary run along another
one's."""
_BLOCK = 2**21
_COLUMNS = (
    "rank",
    "edges",
    "unsaturated",
    "nested",
    "nested_strictly",
    "sampled",
    "sampled_whole",
    "siblings",
    "siblings_unsaturated",
    "siblings_apart",
    "siblings_separated",
)


@torch.no_grad()
def cone_nesting(
    embeddings: Embeddings,
    *,
    aperture: float = 0.1,
    directions: int = 8,
    most_siblings: int = 5000,
    seed: int = 0,
) -> pd.DataFrame:
    """Nesting of the taxa's cones, one row per rank below order that has taxa.

    A cone of half-aperture asin(2K / (sqrt(c)|x|)) is unsaturated where 2K < sqrt(c)|x|. Along a
    ray that leaves an unsaturated apex within its cone, sinh(r) sin(angle) is constant (Clairaut),
    so the ray stays within the cones of its own points: cones are transitive, and phi(parent,
    child) <= omega(parent) puts the child's whole cone inside. Sampling checks that, it does not
    assume it.

    Args:
        embeddings: of a Lorentz space. aperture: K. directions: random directions per cone and
        distance, in the full dimension, beside the two in the plane of both axes, where the cone's
        boundary comes closest to the other cone and goes farthest from it. most_siblings: pairs per
        rank; of more, a random choice. seed: of directions and choice.

    Returns:
        `rank`, of the child; `edges`, taxa whose parent (the next known rank above) is there;
        `unsaturated`, of them with both cones unsaturated, to which alone the next four refer:
        `nested`, the share with phi <= omega(parent); `nested_strictly`, with phi + omega(child) <=
        omega(parent); `sampled`, the share of sampled points of the children's cones that lie in
        the parent's; `sampled_whole`, the share of edges all of whose points do. `siblings`, pairs
        of taxa with one parent; `siblings_unsaturated`, of them with both cones unsaturated, to
        which the rest refers: `siblings_apart`, the share with neither apex in the other's cone;
        `siblings_separated`, the share that moreover have no sampled point in common. Shares are
        NaN where nothing counts.

    Raises:
        ValueError: the embeddings are Euclidean.
    """
    require_lorentz(embeddings)
    c = float(embeddings.curvature)
    taxa = embeddings.where(
        (embeddings.table["modality"] == "text") & embeddings.table["rank"].isin(RANKS)
    )
    points = taxa.points()
    half = L.half_aperture(points, c, aperture)
    narrow = (2 * aperture < c**0.5 * points.norm(dim=1)).numpy()
    parent = parent_rows(taxa.table, taxa.table)
    rows = []
    for rank in RANKS[1:]:
        own = np.flatnonzero((taxa.table["rank"] == rank).to_numpy())
        if not len(own):
            continue
        rng = np.random.default_rng([seed, RANKS.index(rank)])
        child = own[parent[own] >= 0]
        used = child[narrow[child] & narrow[parent[child]]]
        above = parent[used]
        angle = L.exterior_angle(points[above], points[used], c)
        row = {"rank": rank, "edges": len(child), "unsaturated": len(used)}
        row |= {
            "nested": _share(angle <= half[above]),
            "nested_strictly": _share(angle + half[used] <= half[above]),
        }
        inside = _sampled(points, half, used, above, c, directions, rng)
        row |= {"sampled": _share(inside), "sampled_whole": _share(inside.all(dim=1))}
        one, other = _sibling_pairs(child, parent, most_siblings, rng)
        row["siblings"] = len(one)
        kept = narrow[one] & narrow[other]
        one, other = one[kept], other[kept]
        apart = torch.ones(len(one), dtype=torch.bool)
        common = torch.zeros(len(one), dtype=torch.bool)
        for x, y in ((one, other), (other, one)):
            apart &= L.exterior_angle(points[x], points[y], c) > half[x]
            common |= _sampled(points, half, y, x, c, directions, rng).any(dim=1)
        row |= {
            "siblings_unsaturated": len(one),
            "siblings_apart": _share(apart),
            "siblings_separated": _share(apart & ~common),
        }
        rows.append(row)
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _share(values: Tensor) -> float:
    return float(values.double().mean()) if values.numel() else np.nan


def _sibling_pairs(
    children: np.ndarray, parent: np.ndarray, most: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (P,) and (P,) of rows with the same parent, each once."""
    pairs = [np.zeros((0, 2), dtype=int)]
    for above in np.unique(parent[children]):
        own = children[parent[children] == above]
        pairs.append(own[np.stack(np.triu_indices(len(own), k=1), axis=1)])
    pairs = np.concatenate(pairs)
    if len(pairs) > most:
        pairs = pairs[np.sort(rng.choice(len(pairs), most, replace=False))]
    return pairs[:, 0], pairs[:, 1]


def _sampled(
    points: Tensor,
    half: Tensor,
    apexes,
    others,
    c: float,
    directions: int,
    rng: np.random.Generator,
) -> Tensor:
    """Whether sampled points of each apex's cone (E, S) lie in the cone of the other apex,
    paired."""
    count = len(DISTANCES) * (directions + 2)
    step = max(1, _BLOCK // (count * points.shape[1]))
    parts = [torch.zeros((0, count), dtype=torch.bool)]
    for start in range(0, len(apexes), step):
        x, y = points[apexes[start : start + step]], points[others[start : start + step]]
        omega, limit = half[apexes[start : start + step]], half[others[start : start + step]]
        drawn = cone_points(x, omega, c, towards=y, directions=directions, rng=rng)
        angle = L.exterior_angle(y[:, None].expand_as(drawn), drawn, c)
        parts.append(angle <= limit[:, None] + TOLERANCE)
    return torch.cat(parts)


def cone_points(
    apexes: Tensor,
    half: Tensor,
    c: float,
    *,
    towards: Tensor,
    directions: int,
    rng: np.random.Generator,
) -> Tensor:
    """Points (E, S, D) of the cones at the apexes (E, D), space components in fp64, S =
    len(DISTANCES) * (directions + 2).

    The geodesic from x along cos(a) R + sin(a) N, R pointing straight outwards and N across it, has
    exterior angle a; at distance s its space components are (cosh s sinh r + sinh s cos a cosh r)
    x^ + sinh s sin(a) N over sqrt(c), r and s in units of 1/sqrt(c).

    Args:
        half: (E,) half-apertures, radians; random directions take a uniformly from 0 to it, those
        in the plane take it whole. towards: (E, D), another point each; N is random across the
        axis, and once towards this point and once away from it.
    """
    norm = apexes.norm(dim=1, keepdim=True)
    axis = apexes / norm
    shape = (len(apexes), len(DISTANCES), directions)
    across = torch.from_numpy(rng.normal(size=(*shape, apexes.shape[1])))
    angle = torch.from_numpy(rng.random(shape)) * half[:, None, None]
    # A point on the axis has no side: any direction serves.
    sidewards = _across(towards, axis)
    sidewards = torch.where(
        sidewards.norm(dim=1, keepdim=True) > 1e-9 * towards.norm(dim=1, keepdim=True),
        sidewards,
        across[:, 0, 0],
    )
    plane = torch.stack([sidewards, -sidewards], dim=1)[:, None].expand(-1, len(DISTANCES), -1, -1)
    across = torch.cat([across, plane], dim=2)
    across = _across(across, axis[:, None, None])
    across = across / across.norm(dim=-1, keepdim=True)
    angle = torch.cat([angle, half[:, None, None].expand(-1, len(DISTANCES), 2)], dim=2)[..., None]
    s = torch.tensor(DISTANCES, dtype=torch.float64)[:, None, None]
    sinh_r = (c**0.5 * norm)[:, None, None]
    outwards = torch.cosh(s) * sinh_r + torch.sinh(s) * torch.cos(angle) * torch.sqrt(
        1 + sinh_r.square()
    )
    drawn = (outwards * axis[:, None, None] + torch.sinh(s) * torch.sin(angle) * across) / c**0.5
    return drawn.flatten(1, 2)


def _across(vectors: Tensor, axis: Tensor) -> Tensor:
    """What of the vectors is orthogonal to the unit axis."""
    return vectors - (vectors * axis).sum(dim=-1, keepdim=True) * axis
