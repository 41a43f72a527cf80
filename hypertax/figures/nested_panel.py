"""One panel of nested cones: radii on paper, cones, specimens and the taxa's names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Polygon
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath

from hypertax.evaluation.unfolding import Branch, Unfolded
from hypertax.figures.style import FAINT, INK, MUTED, SMALL, tint
from hypertax.geometry.cone_angles import half_angle
from hypertax.taxonomy import RANKS

NAMES = 6.5
"""Points of the taxa's names."""
FILLS = {
    rank: tint("#08519c", strength)
    for rank, strength in zip(RANKS, (0.1, 0.24, 0.42, 0.66), strict=True)
}
EDGES = {
    rank: tint("#08306b", strength)
    for rank, strength in zip(RANKS, (0.55, 0.7, 0.85, 1.0), strict=True)
}
INSIDE, OUTSIDE = INK, "#D55E00"
MARKERS = {"dna": "^", "image": "s"}
HALO = [withStroke(linewidth=1.8, foreground="white", alpha=0.9)]
CENTRE, LAST, POWER = 0.2, 0.94, 0.4
"""Where the innermost taxon and the outermost dot are drawn, the picture's edge being 1; the power
of `Stretch`."""


class Stretch:
    """Radii to places between the centre (0) and the picture's edge (1): beyond the innermost taxon
    as a power of the logarithm.

    Taxa may lie within a factor of two near the origin and specimens a hundred times as far: the
    logarithm brings them together, the power below 1 gives the inner ones room. Up to the innermost
    taxon it is linear.
    """

    def __init__(self, clade: Unfolded, ranks: np.ndarray) -> None:
        outer = clade.specimens["radius"].to_numpy(dtype=float)
        rings = [(clade.radius[ranks == r].mean(), r) for r in RANKS if (ranks == r).any()]
        rings = sorted([*rings, *([(outer.mean(), "specimens")] if len(outer) else [])])
        self.rings = np.array([radius for radius, _ in rings])
        self.names = [name for _, name in rings]
        self.first = max(clade.radius.min(), 1e-6)
        self._span = np.log(
            max(1.1 * self.first, clade.radius.max(), outer.max(initial=0)) / self.first
        )

    def __call__(self, radius) -> np.ndarray:
        ratio = np.asarray(radius, dtype=float) / self.first
        share = np.log(np.maximum(ratio, 1)) / self._span
        return np.where(ratio < 1, CENTRE * ratio, CENTRE + (LAST - CENTRE) * share**POWER)

    def inverse(self, places: np.ndarray) -> np.ndarray:
        """The radii drawn at these places."""
        share = np.maximum((places - CENTRE) / (LAST - CENTRE), 0) ** (1 / POWER)
        return np.where(
            places < CENTRE, self.first * places / CENTRE, self.first * np.exp(self._span * share)
        )


def on_paper(place, direction) -> np.ndarray:
    """Places and directions to x and y (..., 2): straight up is direction 0."""
    return np.stack(
        np.broadcast_arrays(place * np.sin(direction), place * np.cos(direction)), axis=-1
    )


def cone_polygon(
    apex: float, direction: float, stretch: Stretch, aperture: float, points: int = 300
) -> np.ndarray:
    """The outline (P, 2) of a cone in the picture: its left side outwards from the apex, the
    picture's edge, its right side back."""
    start = float(stretch(apex))
    # Denser at the apex, where the sides open like a square root.
    radius = stretch.inverse(start + (1 - start) * np.linspace(0, 1, points) ** 2)
    half = half_angle(apex, np.maximum(radius, apex), aperture)
    half[0] = 0 if apex > 0 else half[0]
    place = stretch(radius)
    rim = np.linspace(-half[-1], half[-1], points)
    return np.concatenate(
        [
            on_paper(place, direction - half),
            on_paper(1.0, direction + rim),
            on_paper(place, direction + half)[::-1],
        ]
    )


def draw_clade(
    ax: Axes, own: Unfolded, branches: Sequence[Branch], stretch: Stretch, aperture: float
) -> None:
    """Rings, cones from the top down, links, specimens and apexes of one panel."""
    ax.grid(False)
    ax.set_aspect("equal", anchor="N")
    ax.add_patch(Circle((0, 0), 1, facecolor="#fcfcfc", edgecolor=MUTED, linewidth=0.6, zorder=0))
    for place in stretch(stretch.rings):
        ax.add_patch(Circle((0, 0), place, fill=False, edgecolor=FAINT, linewidth=0.6, zorder=0.5))
    for i, branch in enumerate(branches):
        outline = cone_polygon(own.radius[i], own.direction[i], stretch, aperture)
        level = RANKS.index(branch.rank)
        look = (
            {"facecolor": (*FILLS[branch.rank], 0.85), "zorder": 1 + level}
            if branch.followed
            else {"facecolor": "none", "zorder": 4.5}
        )
        ax.add_patch(
            Polygon(
                outline,
                closed=True,
                edgecolor=EDGES[branch.rank],
                linewidth=0.9,
                linestyle="-" if branch.followed else (0, (3, 1.6)),
                label=branch.name,
                **look,
            )
        )
    half_space = float(stretch(np.arcsinh(2 * aperture)))
    ax.add_patch(
        Circle(
            (0, 0), half_space, fill=False, edgecolor=INK, linestyle=":", linewidth=0.9, zorder=5
        )
    )
    apexes = on_paper(stretch(own.radius), own.direction)
    for i, branch in enumerate(branches):
        start = apexes[branch.above] if branch.above >= 0 else np.zeros(2)
        ax.plot(*np.stack([start, apexes[i]]).T, color=MUTED, linewidth=0.6, zorder=5.2)
    for modality, marker in MARKERS.items():
        for inside in (True, False):
            dots = own.specimens[
                (own.specimens["modality"] == modality) & (own.specimens["inside"] == inside)
            ]
            places = on_paper(stretch(dots["radius"]), dots["direction"].to_numpy(dtype=float))
            ax.scatter(
                *places.T,
                marker=marker,
                label=f"{modality} {inside}",
                zorder=6,
                **dot_look(inside),
                s=9,
            )
    for i, branch in enumerate(branches):
        ax.plot(
            *apexes[i],
            "o",
            color=EDGES[branch.rank],
            markersize=4,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=7,
        )
    _name_taxa(ax, branches, apexes)
    ax.plot(0, 0, "+", color=INK, markersize=5, markeredgewidth=0.8, zorder=7)


def radius_axis(ax: Axes, stretch: Stretch, gap: float) -> None:
    """The rings' names and true radii on an axis from the centre to the right; of those nearer than
    `gap` on paper only the outer one."""
    for side in ("left", "top", "right"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_bounds(0, 1)
    places = stretch(stretch.rings)
    kept = [
        i for i in range(len(places)) if i == len(places) - 1 or places[i + 1] - places[i] > gap
    ]
    ax.set_yticks([])
    ax.set_xticks(
        [0, *places[kept]],
        ["0", *(f"{stretch.names[i]} {stretch.rings[i]:.2g}" for i in kept)],
        fontsize=SMALL,
        rotation=90,
    )


def dot_look(inside: bool) -> dict:
    return {
        "facecolor": INSIDE if inside else "white",
        "edgecolor": "white" if inside else OUTSIDE,
        "linewidth": 0.3 if inside else 0.8,
    }


def _name_taxa(ax: Axes, branches: Sequence[Branch], apexes: np.ndarray) -> None:
    """Every taxon's name beside its apex, with a line to it where it had to move away."""
    # Axes have their place only when the layout is done: data units per inch by the figure's width.
    inches = ax.get_window_extent().width / ax.figure.dpi
    unit = 2.08 / max(inches, 1.0)
    sizes = [
        TextPath((0, 0), short_name(branch), size=NAMES).get_extents().width / 72 * unit
        for branch in branches
    ]
    boxes = name_places(apexes, np.array(sizes) + 0.02, NAMES / 72 * 1.15 * unit)
    for branch, apex, (x, y), width in zip(branches, apexes, boxes, sizes, strict=True):
        edge = np.array([np.clip(apex[0], x - width / 2, x + width / 2), y])
        if np.linalg.norm(edge - apex) > 0.1:
            ax.plot(*np.stack([apex, edge]).T, color=INK, linewidth=0.4, zorder=7.5)
        ax.text(
            x,
            y,
            short_name(branch),
            fontsize=NAMES,
            fontstyle="italic" if branch.rank in ("genus", "species") else "normal",
            fontweight="bold",
            ha="center",
            va="center",
            path_effects=HALO,
            zorder=8,
        )


def name_places(apexes: np.ndarray, widths: np.ndarray, height: float) -> np.ndarray:
    """Where names stand (T, 2), centred: beside their apex, off other names, apexes and the rim.

    Args:
        apexes: (T, 2), in the picture's units.
        widths: (T,) of the names in the same units.
        height: of a name.
    """
    turns = np.arange(24) * np.pi / 12
    tries = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    placed: list[np.ndarray] = []
    for apex, width in zip(apexes, widths, strict=True):
        half = np.array([width, height]) / 2
        best, least = None, np.inf
        for away in (0.045, 0.1, 0.17, 0.25, 0.34, 0.45):
            for step in tries:
                at = apex + step * (away + half)
                cost = 0.5 * away - 0.01 * step[1]
                cost += 20 * max(0.0, np.linalg.norm(np.abs(at) + (half[0], 0)) - 1.02)
                for other, other_half in placed:
                    lack = np.maximum(half + other_half - np.abs(at - other), 0)
                    cost += 50 * lack.prod() / height + (1.0 if lack.all() else 0.0)
                free = np.abs(apexes - at) > half + 0.03
                cost += 0.6 * (~free.any(axis=1)).sum()
                if cost < least:
                    best, least = at, cost
        placed.append((best, half))
    return np.array([at for at, _ in placed])


def short_name(branch: Branch) -> str:
    """A taxon's name; a species' genus as an initial."""
    genus, _, rest = branch.name.partition(" ")
    return f"{genus[0]}. {rest}" if branch.rank == "species" and rest else branch.name
