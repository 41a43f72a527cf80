"""Half-angles of cones as seen from the origin, in plain numbers: no torch is loaded.

`nested_cones` explains the formulas.
"""

from __future__ import annotations

import math

import numpy as np


def half_angle(apex: float | np.ndarray, radius: float | np.ndarray, aperture: float) -> np.ndarray:
    """The half-angle of a cone as points at one radius see it from the origin, radians.

    A saturated cone, whose apex is within p, is the half-space beyond the plane across its axis:
    the same with p = apex.

    Args:
        apex: sqrt(c) times the radius of the apex, any shape.
        radius: sqrt(c) times the radius of the points, at least that of the apex.
        aperture: K of the half-aperture.
    """
    apex, radius = np.asarray(apex, dtype=float), np.asarray(radius, dtype=float)
    nearest = np.tanh(np.minimum(np.arcsinh(2 * aperture), apex))
    turns = [
        np.arccos(np.clip(nearest / np.tanh(np.maximum(r, 1e-12)), 0, 1)) for r in (radius, apex)
    ]
    return turns[0] - np.where(apex > 0, turns[1], 0)


def widest_cone(specimen_radius: float, aperture: float) -> float:
    """The half-angle, radians, below which every cone stays; 0 where specimens are nearer than p.

    Args:
        specimen_radius: sqrt(c) times the radius of the specimens, which see the cone.
        aperture: K of the half-aperture.
    """
    return math.acos(min(1.0, math.tanh(math.asinh(2 * aperture)) / math.tanh(specimen_radius)))
