"""Cones that nest because of their radii: how wide each taxon's must be to hold its descendants',
and the radius that makes it so [O].

Seen from the origin by points at one radius, a cone is a cap around its apex's direction. Let R be
that radius, r the apex's (both times sqrt(c)). A geodesic that leaves the apex at the half-aperture
omega passes the origin at p with sinh p = sinh r sin omega = 2K, whatever r is (Clairaut). From its
foot there, it turns by acos(tanh p / tanh r) up to the apex and by acos(tanh p / tanh R) up to
radius R (right-angled triangles): the difference of the two is the cap's half-angle. So angles of
caps add up along a lineage, and a child's cone lies in its parent's where the child's angle and the
turn from the parent's direction to the child's are at most the parent's angle.

Whatever the directions are, some radii therefore nest, unless an order's cap would have to be wider
than a half-space's. Then all directions are drawn together around a common one, the root: u becomes
(sqrt(1 - s^2), s u). All chords shrink by s, so that no point gets other neighbours, and with a
small enough s every lineage fits.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hypertax.geometry.cone_angles import widest_cone

SLACK = 0.5
"""Degrees by which a child's cone at least stays inside its parent's."""
WIDEST = 0.92
"""Share of `widest_cone` that the widest cone of a taxonomy takes: nearer to it, radii and
half-apertures are lost in rounding."""
STEPS = 128
"""Candidates for s, between 0 and 1."""


def radius_of_cone(angle: Tensor, specimen_radius: float, aperture: float) -> Tensor:
    """The radius of the apex whose cone has a given half-angle, times sqrt(c); the inverse of
    `half_angle`.

    Towards the angle of `widest_cone` the radius falls to p and the cone opens to a half-space.

    Args:
        angle: half-angle as specimens see it, radians, any shape, below that of `widest_cone`.
        specimen_radius: sqrt(c) times the radius of the specimens.
        aperture: K of the half-aperture.
    """
    nearest = math.tanh(math.asinh(2 * aperture))
    return torch.atanh(nearest / torch.cos(math.acos(nearest / math.tanh(specimen_radius)) - angle))


def drawn_together(angle: Tensor, s: Tensor) -> Tensor:
    """The angle between directions that were `angle` apart, once they are drawn together by s.

    Args:
        angle: radians. s: factor on all chords, above 0 and at most 1; shapes that broadcast.
    """
    return 2 * torch.asin((s * torch.sin(angle / 2)).clamp(max=1))


def fit_cones(
    directions: Tensor, ranks: Tensor, parents: Tensor, own: float, widest: float
) -> tuple[Tensor, Tensor]:
    """How far to draw the directions together, s (0-d), and the half-angles of the cones then, (T,)
    radians.

    A cone is as wide as its widest child needs, at least as `own`. s is the largest of `STEPS`
    equal steps to 1 that keeps all within `widest`; the smallest where none does, which takes more
    than a hundred ranks' worth of angles.

    Args:
        directions: (T, D) unit vectors.
        ranks: (T,) int, 0 (order) to 3 (species).
        parents: (T,) rows of the parents, -1 without one.
        own: half-angle around a taxon without children before directions are drawn together,
            radians.
        widest: largest half-angle that a cone may have, radians.
    """
    child = torch.nonzero(parents >= 0)[:, 0]
    above = parents[child]
    chord = (directions[child] - directions[above]).norm(dim=1).clamp(max=2)
    s = torch.arange(1, STEPS + 1, device=directions.device, dtype=directions.dtype) / STEPS
    turns = drawn_together(2 * torch.asin(chord / 2)[:, None], s)
    angles = drawn_together(torch.tensor(own, device=s.device, dtype=s.dtype), s).repeat(
        len(directions), 1
    )
    for rank in reversed(range(1, int(ranks.max()) + 1 if len(ranks) else 1)):
        edge = torch.nonzero(ranks[child] == rank)[:, 0]
        needed = turns[edge] + angles[child[edge]] + math.radians(SLACK)
        angles.scatter_reduce_(0, above[edge, None].expand(-1, STEPS), needed, "amax")
    fits = int((angles.amax(dim=0) <= widest).sum()) if len(angles) else STEPS
    step = max(fits, 1) - 1
    return s[step], angles[:, step]


def nested_radii(
    directions: Tensor,
    ranks: Tensor,
    parents: Tensor,
    *,
    cone_angle: float,
    specimen_radius: float,
    aperture: float,
    curvature: float,
) -> tuple[Tensor, Tensor]:
    """How far to draw the directions together, s (0-d), and the radii (T,) that make the cones of
    all taxa nest.

    At its radius, a taxon's cone is as wide as `fit_cones` says.

    Args:
        directions: (T, D) unit vectors.
        ranks: (T,) int, 0 (order) to 3 (species).
        parents: (T,) rows of the parents, -1 without one.
        cone_angle: half-angle around a taxon without children before directions are drawn together,
            degrees.
        specimen_radius: sqrt(c) times the radius of the specimens.
        aperture: K of the half-aperture.
        curvature: c; the radii have its unit of length.
    """
    widest = WIDEST * widest_cone(specimen_radius, aperture)
    s, angles = fit_cones(directions, ranks, parents, math.radians(cone_angle), widest)
    return s, radius_of_cone(angles, specimen_radius, aperture) / curvature**0.5
