"""Cones that nest because of where they are: the angles of a taxonomy's cones, and the radii that give them [O].

Seen from the origin by points at one radius, a cone is a cap around its apex's direction. Let R be that radius, r the apex's (both times
sqrt(c)). A geodesic that leaves the apex at the half-aperture omega passes the origin at p with sinh p = sinh r sin omega = 2K, whatever
r is (Clairaut). From its foot there, it turns by acos(tanh p / tanh r) up to the apex and by acos(tanh p / tanh R) up to radius R
(right-angled triangles): the difference of the two is the cap's half-angle. So angles of caps add up along a lineage, and a child's
cone lies in its parent's where the child's angle and the turn from the parent's direction to the child's are at most the parent's angle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

SLACK = 0.5
"""Degrees by which a child's cone at least stays inside its parent's."""
ONLY_CHILD = 0.1
"""Share of its rank's turn that a taxon without siblings makes from its parent: it has nobody to keep apart from."""


def turns_and_angles(ranks: np.ndarray, parents: np.ndarray, widest: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """How far each taxon turns from its parent, and the half-angle of its cone; degrees, (T,) each.

    A child turns by the difference of the two ranks' angles less `SLACK`, an only child by `ONLY_CHILD` of that. A parent is as wide as its
    widest child needs; without children, as wide as its rank may be.

    Args:
        ranks: (T,) 0 (order) to 3. parents: (T,) rows, -1 without one. widest: the widest half-angle of each rank, falling.
    """
    children = np.bincount(parents[parents >= 0], minlength=len(parents))
    turn = np.zeros(len(parents))
    needed = np.zeros(len(parents))
    angle = np.asarray(widest, dtype=float)[ranks]
    for row in np.argsort(-ranks, kind="stable"):
        above = parents[row]
        if children[row]:
            angle[row] = needed[row]
        if above >= 0:
            most = widest[ranks[above]] - widest[ranks[row]] - SLACK
            turn[row] = most if children[above] > 1 else ONLY_CHILD * most
            needed[above] = max(needed[above], angle[row] + turn[row] + SLACK)
    return turn, angle


def radius_of_cone(angle: np.ndarray, specimen_radius: float, aperture: float) -> np.ndarray:
    """The radius of the apex whose cone has a half-angle as seen by points at the specimens' radius; both times sqrt(c).

    angle: radians, any shape, below that of `widest_cone`, towards which the radius falls to p and the cone opens to a half-space.
    """
    nearest = math.tanh(math.asinh(2 * aperture))
    return np.arctanh(nearest / np.cos(math.acos(nearest / math.tanh(specimen_radius)) - angle))


def widest_cone(specimen_radius: float, aperture: float) -> float:
    """The half-angle, degrees, below which a cone stays as seen by points at the specimens' radius; 0 where they are nearer than p."""
    return math.degrees(math.acos(min(1.0, math.tanh(math.asinh(2 * aperture)) / math.tanh(specimen_radius))))
