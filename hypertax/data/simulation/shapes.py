"""What a simulated insect is made of: ellipsoids for the body, lines for limbs, flat outlines for
wings.

The body's own axes: x towards the head, y to the left, z to the back; the thorax is about one unit
long.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, field
from math import cos, sin

import numpy as np

Colour = tuple[float, float, float]


@dataclass
class Ellipsoid:
    """A part of the body. `marks` are colour rules, (kind, colour, strength), painted over `colour`
    in the part's own coordinates."""

    centre: np.ndarray
    axes: np.ndarray
    radii: np.ndarray
    colour: Colour
    gloss: float
    marks: list[tuple[str, Colour, float]] = field(default_factory=list)


@dataclass
class Stroke:
    """A line of given widths at its points (body units): a leg's segment, an antenna, a hair."""

    points: np.ndarray
    widths: np.ndarray
    colour: Colour
    opacity: float = 1.0


@dataclass
class Sheet:
    """A flat polygon: a wing's membrane, or a mark on it."""

    points: np.ndarray
    colour: Colour
    opacity: float


@dataclass
class Wing:
    """One wing, painted in this order."""

    sheets: list[Sheet]
    veins: list[Stroke]


@dataclass
class Insect:
    body: list[Ellipsoid]
    limbs: list[Stroke]
    wings: list[Wing]


def hsl(hue: float, saturation: float, lightness: float) -> Colour:
    """An RGB colour, each 0-1."""
    return colorsys.hls_to_rgb(
        hue % 1.0, float(np.clip(lightness, 0, 1)), float(np.clip(saturation, 0, 1))
    )


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with a share (0-1) of `second`."""
    return tuple(a + (b - a) * share for a, b in zip(first, second))


def turn(axis: int, angle: float) -> np.ndarray:
    """(3, 3) rotation about an axis (0, 1, 2), `angle` in radians."""
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.eye(3)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def toward(azimuth: float, elevation: float, side: int) -> np.ndarray:
    """(3,) unit vector: `azimuth` from straight ahead to one side (1 left, -1 right), `elevation`
    above the body's plane, radians."""
    return np.array(
        [cos(azimuth) * cos(elevation), side * sin(azimuth) * cos(elevation), sin(elevation)]
    )


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cross product of two (3,) vectors; numpy's takes ten times as long for one."""
    (p, q, r), (u, v, w) = a.tolist(), b.tolist()
    return np.array([q * w - r * v, r * u - p * w, p * v - q * u])


def unit(vector: np.ndarray) -> np.ndarray:
    """The vector at length 1."""
    return vector / max(float(vector @ vector) ** 0.5, 1e-9)
