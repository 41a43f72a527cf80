"""The Poincare disk: two-dimensional views of the hyperboloid, geodesics and outlines of cones,
without any drawing."""

from __future__ import annotations

import numpy as np
import torch

from hypertax.geometry import lorentz as L

NEAREST = 1e-9
"""Nearer to the centre of the unit disk, or to its rim, than this nothing can be told apart."""


def principal_plane(vectors: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, float]:
    """First two principal components of vectors (N, D), each group (modality) centred on its own
    mean: (N, 2) and the share of variance.

    Centring per group takes out the offset between modalities, which carries nothing of the
    taxonomy and would fill the plane.
    """
    centred = np.asarray(vectors, dtype=np.float64).copy()
    for group in np.unique(groups):
        centred[groups == group] -= centred[groups == group].mean(axis=0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2]
    # The sign of a principal component is arbitrary: fix it, so that the picture does not flip
    # between machines.
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    total = (singular**2).sum()
    return centred @ axes.T, float((singular[:2] ** 2).sum() / total) if total > 0 else 0.0


def disk_radius(distance: float | np.ndarray, c: float) -> float | np.ndarray:
    """Where a point at hyperbolic `distance` from the origin lies in the unit disk: tanh(sqrt(c) r
    / 2)."""
    return np.tanh(np.sqrt(c) * np.asarray(distance) / 2)


def disk_to_space(points: np.ndarray, c: float) -> torch.Tensor:
    """Points of the unit disk (..., 2) as space components on the hyperboloid of curvature -c,
    float64: 2 p / ((1 - |p|^2) sqrt(c))."""
    points = torch.as_tensor(np.asarray(points, dtype=np.float64))
    return 2 * points / ((1 - (points**2).sum(-1, keepdim=True)) * c**0.5)


def geodesic(start: np.ndarray, end: np.ndarray, points: int = 24) -> np.ndarray:
    """Geodesics of the unit disk between rows of `start` and `end` (M, 2): (M, points, 2), equal
    hyperbolic steps.

    The start is moved to the origin (a Moebius map), where geodesics are straight, and back; arcs
    are circles that meet the unit circle at right angles.
    """
    a, b = (np.atleast_2d(p)[:, 0] + 1j * np.atleast_2d(p)[:, 1] for p in (start, end))
    moved = (b - a) / (1 - np.conj(a) * b)
    length = np.abs(moved)
    direction = np.where(length > 0, moved / np.where(length > 0, length, 1), 0)
    steps = np.tanh(np.arctanh(np.minimum(length, 1 - 1e-12))[:, None] * np.linspace(0, 1, points))
    straight = direction[:, None] * steps
    back = (straight + a[:, None]) / (1 + np.conj(a)[:, None] * straight)
    return np.stack([back.real, back.imag], axis=-1)


def cone_margin(
    apex: np.ndarray, points: np.ndarray, c: float, aperture: float = 0.1
) -> np.ndarray:
    """half_aperture(apex) - exterior_angle(apex, point) in radians, by the library's functions: at
    least 0 inside the cone.

    apex: (2,), points: (..., 2), all in the unit disk. aperture: the constant K of the cones.
    """
    parent = disk_to_space(apex, c)
    child = disk_to_space(points, c)
    angle = L.exterior_angle(parent.expand_as(child), child, c)
    return (L.half_aperture(parent, c, aperture) - angle).numpy()


def cone_outline(
    apex, c: float, *, aperture: float = 0.1, reach: float = 0.9995, grid: int = 480
) -> np.ndarray:
    """The outline (P, 2) of the region of the disk in which `cone_margin` is at least 0, up to
    `reach` from the disk's centre.

    The cone of the centre holds the whole disk. An apex beyond `reach` is seen up to as near to the
    rim again; one that rounding put on the rim is held just within.
    """
    # Imported here: the rest of the geometry needs numpy and torch alone.
    from contourpy import contour_generator

    apex = np.asarray(apex, dtype=np.float64)
    distance = np.linalg.norm(apex)
    if distance < NEAREST:
        turn = np.linspace(-np.pi, np.pi, 2 * grid + 1)
        return reach * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    if distance > 1 - NEAREST:
        apex, distance = apex / distance * (1 - NEAREST), 1 - NEAREST
    reach = max(reach, (1 + distance) / 2)
    # Polar about the apex: the cone's two sides are then almost straight, and a coarse grid draws
    # them cleanly.
    angles = np.linspace(-np.pi, np.pi, 2 * grid + 1) + np.arctan2(apex[1], apex[0])
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    along = rays @ apex
    to_rim = -along + np.sqrt(along**2 + reach**2 - apex @ apex)
    points = apex + (np.linspace(1e-4, 1, grid // 4)[:, None] * to_rim)[..., None] * rays
    regions, _ = contour_generator(
        points[..., 0], points[..., 1], cone_margin(apex, points, c, aperture)
    ).filled(0, np.inf)
    return max(regions, key=len)


def ring_distances(view: float, c: float) -> list[float]:
    """Up to four round distances whose circles are well apart in a picture that shows the disk up
    to `view` from its centre."""
    furthest = 2 * np.arctanh(min(view, 0.985)) / np.sqrt(c)
    step = next((s for s in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if furthest / s <= 4.5), 20)
    rings = [step * i for i in range(1, 5) if step * i < furthest]
    kept: list[float] = []
    for ring in rings:
        if disk_radius(ring, c) - (disk_radius(kept[-1], c) if kept else 0) > 0.07 * view:
            kept.append(ring)
    return kept
