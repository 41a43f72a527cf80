"""The Poincare disk: projecting embeddings to two dimensions, geodesics, entailment cones, and
drawing them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.patches import Circle, Polygon

from hypertax.embeddings import Embeddings
from hypertax.figures.style import FAINT, INK, MUTED, SMALL
from hypertax.geometry import lorentz as L
from hypertax.geometry.poincare import (
    cone_outline,
    disk_radius,
    geodesic,
    principal_plane,
    ring_distances,
)
from hypertax.taxonomy import RANKS, parent_rows


@dataclass(frozen=True)
class Plane:
    """A two-dimensional picture of embeddings.

    points: (N, 2), in the unit disk for a Lorentz space, in the plane of two principal components
    for a Euclidean one. share: the part (0..1) of the vectors' variance that the two directions
    keep.
    """

    points: np.ndarray
    share: float


def project(embeddings: Embeddings) -> Plane:
    """Embeddings in two dimensions.

    Lorentz: the direction is that of the tangent vector's two principal components, and the
    distance from the origin is the true one. A point at distance r lies at tanh(sqrt(c) r / 2) from
    the centre of the unit disk. Euclidean: principal components of the normalised features, which
    is what the cosine similarity compares.
    """
    groups = embeddings.table["modality"].to_numpy(dtype=object).astype(str)
    norms = np.linalg.norm(embeddings.tangent.astype(np.float64), axis=1)
    if embeddings.space != "lorentz":
        return Plane(
            *principal_plane(embeddings.tangent / np.maximum(norms, 1e-12)[:, None], groups)
        )
    flat, share = principal_plane(embeddings.tangent, groups)
    lengths = np.linalg.norm(flat, axis=1)
    directions = flat / np.maximum(lengths, 1e-12)[:, None]
    return Plane(directions * np.tanh(np.sqrt(embeddings.curvature) * norms / 2)[:, None], share)


def share_in_cone(
    embeddings: Embeddings, rank: str, name: str, aperture: float = 0.1
) -> float | None:
    """The share (0..1) of a taxon's own specimens that lie in its cone in the full space, not in
    the picture; None without any."""
    table = embeddings.table
    apex = np.flatnonzero(
        (table["modality"] == "text") & (table["rank"] == rank) & (table["id"] == name)
    )
    members = np.flatnonzero((table["modality"] != "text") & (table[rank] == name))
    if not len(apex) or not len(members):
        return None
    parent = embeddings.points(apex[:1])
    angle = L.exterior_angle(
        parent.expand(len(members), -1), embeddings.points(members), embeddings.curvature
    )
    return float((angle <= L.half_aperture(parent, embeddings.curvature, aperture)).double().mean())


def nested_taxa(embeddings: Embeddings, depth: int = 3) -> list[tuple[str, str]]:
    """The order with most specimens, its largest family, and so on: `depth` taxa as (rank, name),
    to show cones within cones."""
    table = embeddings.table
    left = table[table["modality"] != "text"] if embeddings.modalities else table
    names = set(table.loc[table["modality"] == "text", "id"])
    found = []
    for rank in RANKS[:depth]:
        counts = left[rank][left[rank].isin(names)].value_counts()
        if counts.empty:
            break
        name = min(counts.index[counts == counts.max()])
        found.append((rank, name))
        left = left[left[rank] == name]
    return found


def taxa_reach(embeddings: Embeddings, plane: Plane) -> tuple[float, float]:
    """How far from the middle of the picture (in its units) all but 2 % of the taxa lie, and how
    far the picture reaches."""
    lengths = np.linalg.norm(centred(embeddings, plane.points), axis=1)
    taxa = lengths[(embeddings.table["modality"] == "text").to_numpy()]
    view = (
        1.0
        if embeddings.space == "lorentz" and lengths.max() > 0.6
        else 1.08 * float(lengths.max())
    )
    return (1.1 * float(np.quantile(taxa, 0.98)) if len(taxa) else view), view


def heaped(embeddings: Embeddings, plane: Plane) -> bool:
    """Whether the taxa of a Lorentz space fill so small a part of the disk's picture that they
    cover one another."""
    reach, view = taxa_reach(embeddings, plane)
    return embeddings.space == "lorentz" and reach < 0.45 * view


def centred(embeddings: Embeddings, points: np.ndarray) -> np.ndarray:
    """The disk has its centre; a plane's is taken to be the middle of what it shows."""
    if embeddings.space == "lorentz":
        return points
    return points - (points.min(axis=0) + points.max(axis=0)) / 2


def draw_cone(
    ax,
    apex,
    c: float,
    colour,
    *,
    aperture: float = 0.1,
    alpha: float = 0.18,
    line: float = 0.8,
    zorder: float = 1.0,
) -> None:
    """Shade the entailment cone of a taxon at `apex` (2,) of the unit disk."""
    outline = cone_outline(apex, c, aperture=aperture)
    ax.add_patch(
        Polygon(
            outline, closed=True, facecolor=colour, edgecolor="none", alpha=alpha, zorder=zorder
        )
    )
    ax.add_patch(
        Polygon(
            outline,
            closed=True,
            facecolor="none",
            edgecolor=colour,
            linewidth=line,
            alpha=0.9,
            zorder=zorder + 0.05,
        )
    )


def parents(embeddings: Embeddings) -> np.ndarray:
    """For every taxon row the row of its deepest named ancestor in the table, -1 without one
    (orders, and all specimens)."""
    table = embeddings.table
    above = parent_rows(table, table, skip_absent=True)
    return np.where(table["modality"] == "text", above, -1)


def draw_edges(
    ax,
    points: np.ndarray,
    parent: np.ndarray,
    colours: list,
    *,
    hyperbolic: bool,
    width: float = 0.6,
    alpha: float = 0.55,
) -> None:
    """Join every point to its parent: geodesics in the disk, straight lines in the plane."""
    child = np.flatnonzero(parent >= 0)
    if not len(child):
        return
    start, end = points[parent[child]], points[child]
    lines = geodesic(start, end) if hyperbolic else np.stack([start, end], axis=1)
    ax.add_collection(
        LineCollection(
            lines, colors=[colours[i] for i in child], linewidths=width, alpha=alpha, zorder=2
        ),
        autolim=False,
    )


def draw_frame(
    ax, c: float, *, view: float = 1.0, rings: bool = True, label_angle: float = -90.0
) -> Circle:
    """The disk's rim and circles of equal distance from the origin with their values; returns the
    rim, to clip with.

    view: how far from the centre the picture reaches; below 1 it is an enlargement, and its edge is
    dashed.
    """
    edge = Circle(
        (0, 0),
        view,
        facecolor="#fcfcfc",
        edgecolor=MUTED,
        linewidth=0.8,
        linestyle="-" if view >= 1 else (0, (4, 2)),
        zorder=0,
    )
    ax.add_patch(edge)
    turn = np.deg2rad(label_angle)
    for distance in ring_distances(view, c) if rings else []:
        radius = float(disk_radius(distance, c))
        ax.add_patch(
            Circle((0, 0), radius, facecolor="none", edgecolor=FAINT, linewidth=0.6, zorder=0.5)
        )
        ax.text(
            radius * np.cos(turn),
            radius * np.sin(turn),
            f"{distance:g}",
            fontsize=SMALL,
            color=MUTED,
            ha="center",
            va="center",
            zorder=6,
            bbox={
                "boxstyle": "round,pad=0.12",
                "facecolor": "#fcfcfc",
                "edgecolor": "none",
                "alpha": 0.85,
            },
        )
    if rings:
        ax.plot(0, 0, "+", color=INK, markersize=5, markeredgewidth=0.8, zorder=6)
    ax.set_aspect("equal")
    margin = 1.03 * view
    ax.set(xlim=(-margin, margin), ylim=(-margin, margin))
    return edge


def spread_heights(places: np.ndarray, gap: float, width: float) -> np.ndarray:
    """Places (N, 2) moved up or down as little as needed so that those within `width` sideways are
    `gap` apart in height."""
    places = np.asarray(places, dtype=float).copy()
    for _ in range(100):
        moved = False
        for i in range(len(places)):
            for j in range(i):
                difference = places[i] - places[j]
                lack = gap - abs(difference[1])
                if abs(difference[0]) < width and lack > 1e-6:
                    places[[i, j], 1] += (
                        np.array([1, -1]) * (1 if difference[1] >= 0 else -1) * lack / 2
                    )
                    moved = True
        if not moved:
            break
    return places


def clip_inside(ax, edge: Circle) -> None:
    """Cut everything drawn on the axes at the disk's edge, texts excepted."""
    for artist in [*ax.collections, *ax.lines, *(p for p in ax.patches if p is not edge)]:
        artist.set_clip_path(edge)
