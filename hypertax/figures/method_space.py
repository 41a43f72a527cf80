"""The right of the drawing of the method: the lift onto the hyperboloid, and the disk."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Circle, Polygon
from scipy.spatial import ConvexHull

from hypertax.figures.method_parts import draw_arrow, draw_title, short_name
from hypertax.figures.style import (
    INK,
    MODALITY_COLOURS,
    MUTED,
    RANK_COLOURS,
    SMALL,
    shade,
    tint,
)
from hypertax.geometry.poincare import cone_outline, disk_radius, geodesic
from hypertax.taxonomy import RANKS, known_ranks

CURVATURE = 1.0
# Distance from the origin and direction (degrees) of the drawn lineage; each lies in the cone of
# the one before.
LINEAGE = {
    "order": (0.27, 40.0),
    "family": (0.52, 50.0),
    "genus": (0.88, 45.5),
    "species": (1.35, 47.2),
    "dna": (1.8, 46.5),
    "image": (2.35, 46.9),
}
ATTRACT, REPEL = "#882255", "#6b6b6b"
OTHER_ORDERS = (("#E69F00", 172.0), ("#44AA99", 285.0))


def place(distance: float, degrees: float) -> np.ndarray:
    """A point of the unit disk at a hyperbolic distance from the origin (drawn with c = 1) in a
    direction."""
    turn = np.deg2rad(degrees)
    return float(disk_radius(distance, CURVATURE)) * np.array([np.cos(turn), np.sin(turn)])


def draw_hyperboloid(ax: Axes, centre: tuple[float, float], unit: float) -> None:
    """The upper sheet with the tangent plane at its lowest point, and vectors lifted by the
    exponential map."""

    def view(x, y, z):
        """Oblique view of space: centre is the origin of the hyperboloid (z = 1)."""
        return np.stack(
            [centre[0] + unit * (x + 0.25 * y), centre[1] + unit * (0.36 * y + 0.92 * (z - 1))],
            axis=-1,
        )

    furthest = 1.42
    turn, distance = np.linspace(0, 2 * np.pi, 121), np.linspace(0, furthest, 40)

    def sheet(r, angle):
        return view(np.sinh(r) * np.cos(angle), np.sinh(r) * np.sin(angle), np.cosh(r) + 0 * angle)

    plane = view(np.array([-1.85, 1.85, 1.85, -1.85]), np.array([-1.3, -1.3, 1.3, 1.3]), np.ones(4))
    ax.add_patch(
        Polygon(plane, closed=True, facecolor="#eef2f6", edgecolor=MUTED, linewidth=0.6, zorder=1)
    )
    rim = sheet(furthest, turn)
    outline = np.vstack([rim, sheet(distance, 0.0), sheet(distance, np.pi)])
    hull = outline[ConvexHull(outline).vertices]
    ax.add_patch(
        Polygon(hull, closed=True, facecolor="#d8e4f0", edgecolor="none", alpha=0.55, zorder=2)
    )
    meridians = [sheet(distance, angle) for angle in np.arange(0, 2 * np.pi, np.pi / 8)]
    parallels = [sheet(r, turn) for r in (0.45, 0.8, 1.13)]
    ax.add_collection(
        LineCollection(
            meridians + parallels, colors="#8fa6bd", linewidths=0.4, alpha=0.8, zorder=2.2
        )
    )
    ax.plot(*rim.T, color="#4d6a88", linewidth=0.9, zorder=2.3)
    origin = view(0.0, 0.0, 1.0)
    for modality, r, angle in (("text", 0.72, -2.2), ("dna", 1.05, -0.55), ("image", 1.28, -1.25)):
        colour = MODALITY_COLOURS[modality]
        tip = view(r * np.cos(angle), r * np.sin(angle), 1.0)
        lifted = sheet(r, np.array(angle))
        draw_arrow(ax, origin, tip, colour=colour, width=1.1, zorder=4, size=6)
        ax.plot(
            *np.stack([tip, lifted]).T,
            color=colour,
            linewidth=0.7,
            linestyle=(0, (2, 1.4)),
            zorder=3.9,
        )
        ax.plot(
            *lifted,
            "o",
            color=colour,
            markersize=4,
            markeredgecolor="white",
            markeredgewidth=0.5,
            zorder=4.2,
        )
    ax.plot(*origin, "o", color=INK, markersize=2.4, zorder=4.3)
    top = rim[:, 1].max()
    draw_title(ax, centre[0] - 0.03, top + 0.36, "exponential lift")
    ax.text(
        centre[0] - 0.03,
        top + 0.18,
        r"$x = \mathrm{exp}_0(v)$, curvature $-c$",
        parse_math=True,
        ha="center",
        va="center",
        fontsize=7,
    )
    ax.text(
        centre[0] - 0.08,
        plane[:, 1].min() - 0.1,
        "tangent space at the origin",
        ha="center",
        va="center",
        fontsize=SMALL,
        color=MUTED,
    )


def draw_disk(ax: Axes, centre, radius: float, names: dict) -> None:
    """The Poincare disk with nested cones of one lineage, two other orders, and the contrastive
    objective."""
    centre = np.array(centre)

    def at(points) -> np.ndarray:
        return centre + radius * np.asarray(points)

    ax.add_patch(
        Circle(centre, radius, facecolor="#fcfcfc", edgecolor=MUTED, linewidth=0.9, zorder=1)
    )
    ends, colours = [], []
    for colour, direction, spread in (
        *((*other, 0.95) for other in OTHER_ORDERS),
        (RANK_COLOURS["family"], 47, 0.62),
    ):
        for start, end in _branches(direction, spread):
            ends.append((start, end))
            colours.append(colour)
    arcs = geodesic(*(np.array(side) for side in zip(*ends, strict=True)))
    ax.add_collection(
        LineCollection(
            [at(arc) for arc in arcs], colors=colours, linewidths=0.6, alpha=0.55, zorder=3
        )
    )
    tips = np.array([end for _, end in ends])
    ax.scatter(*at(tips).T, s=5, c=colours, alpha=0.7, linewidths=0, zorder=3)
    for colour, direction in OTHER_ORDERS:
        apex = place(0.27, direction)
        ax.add_patch(
            Polygon(
                at(cone_outline(apex, CURVATURE)),
                closed=True,
                facecolor=tint(colour, 0.14),
                edgecolor=tint(colour, 0.5),
                linewidth=0.6,
                zorder=1.5,
            )
        )
        ax.plot(
            *at(apex),
            "o",
            color=colour,
            markersize=6,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=5,
        )
    _draw_cones(ax, at)
    _name_lineage(ax, at, names, left=6.46)
    _draw_contrast(ax, at)
    ax.plot(*at((0, 0)), "+", color=INK, markersize=5, markeredgewidth=0.8, zorder=6)
    draw_title(ax, centre[0], centre[1] + radius + 0.32, "one shared hyperbolic space")
    ax.text(
        centre[0],
        centre[1] + radius + 0.14,
        "the hyperboloid as a Poincaré disk",
        fontsize=SMALL,
        color=MUTED,
        ha="center",
        va="center",
    )


def _draw_contrast(ax: Axes, at) -> None:
    """What the contrastive objective draws together and what it drives apart."""
    other = place(2.2, 158)
    image = place(*LINEAGE["image"])
    ax.plot(
        *at(other),
        marker="^",
        color=OTHER_ORDERS[0][0],
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.5,
        zorder=6,
    )
    draw_arrow(
        ax,
        at(image) + (-0.04, 0.03),
        at(other) + (0.06, 0.03),
        colour=REPEL,
        head="<|-|>",
        dashes=(0, (3, 1.5)),
        bend=0.22,
        zorder=5.5,
    )
    draw_arrow(
        ax,
        at(place(*LINEAGE["species"])) + (0.05, -0.03),
        at(image) + (0.05, -0.02),
        colour=ATTRACT,
        head="<|-|>",
        bend=0.45,
        width=1.2,
        zorder=6,
        size=6,
    )


def _branches(direction: float, spread: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Edges of a small tree: an order at `direction` (degrees), two families, genera, species and
    specimens fanning out."""
    edges = []
    root = place(0.27, direction)
    for f in (-1, 1):
        family = place(0.6, direction + 24 * spread * f)
        edges.append((root, family))
        for g in (-1, 0.1, 1):
            genus = place(1.05, direction + spread * (24 * f + 9.5 * g))
            edges.append((family, genus))
            for s in (-1, 1):
                species = place(1.6, direction + spread * (24 * f + 9.5 * g + 2.6 * s))
                edges.append((genus, species))
                edges += [
                    (
                        species,
                        place(2.3 + 0.1 * s, direction + spread * (24 * f + 9.5 * g + 2.6 * s + d)),
                    )
                    for d in (-0.9, 0.9)
                ]
    return edges


def _draw_cones(ax: Axes, at) -> None:
    """The lineage's stacked cones, outermost first, and its points joined by geodesics."""
    points = {level: place(*where) for level, where in LINEAGE.items()}
    colours = {**RANK_COLOURS, "dna": MODALITY_COLOURS["dna"], "image": MODALITY_COLOURS["image"]}
    for i, level in enumerate((*RANKS, "dna")):
        outline = at(cone_outline(points[level], CURVATURE))
        ax.add_patch(
            Polygon(
                outline,
                closed=True,
                facecolor=tint(colours[level], 0.2 + 0.05 * i),
                edgecolor=colours[level],
                linewidth=0.7,
                alpha=0.8,
                zorder=2 + 0.1 * i,
            )
        )
    chain = np.array(list(points.values()))
    for arc in geodesic(chain[:-1], chain[1:]):
        ax.plot(*at(arc).T, color=INK, linewidth=0.9, zorder=5)
    markers = dict.fromkeys(RANKS, "o") | {"dna": "^", "image": "s"}
    for i, (level, point) in enumerate(points.items()):
        ax.plot(
            *at(point),
            marker=markers[level],
            color=colours[level],
            markersize=6.5 - 0.35 * i,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=6.5,
        )


def _name_lineage(ax: Axes, at, names: dict, left: float) -> None:
    """The lineage's names in a column right of the disk, each with a line to its point."""
    words = {rank: names[rank] for rank in known_ranks({rank: names[rank] for rank in RANKS})}
    if "species" in words:
        words["species"] = short_name(words["species"])
    words |= {"dna": "DNA", "image": "image"}
    points = {level: at(place(*LINEAGE[level])) for level in words}
    colours = {**RANK_COLOURS, "dna": MODALITY_COLOURS["dna"], "image": MODALITY_COLOURS["image"]}
    for i, level in enumerate(words):
        y = 2.2 + 0.2 * i
        ax.plot(
            [left - 0.03, points[level][0]],
            [y, points[level][1]],
            color=MUTED,
            linewidth=0.4,
            zorder=4,
        )
        ax.text(
            left,
            y,
            words[level],
            fontsize=7,
            va="center",
            color=shade(colours[level], 0.85),
            fontstyle="italic" if level in ("genus", "species") else "normal",
        )
