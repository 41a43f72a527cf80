"""Whether cones nest: a clade's cones from order to species, and the specimens in them, drawn in
one plane."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch, Polygon
from matplotlib.patheffects import withStroke

from hypertax.embeddings import Embeddings
from hypertax.evaluation.unfolding import Branch, Clades, Members, Unfolded, unfold
from hypertax.figures.style import (
    FAINT,
    INK,
    MODALITY_NAMES,
    MUTED,
    SMALL,
    TEXT,
    finish,
    new_figure,
    panel_grid,
    style,
    tint,
)
from hypertax.geometry.cone_angles import half_angle
from hypertax.taxonomy import RANKS

WIDTH = 5.9
"""Inches: 15 cm, at which the words keep their size."""
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
        levels = [clade.radius[ranks == rank].mean() for rank in RANKS if (ranks == rank).any()]
        self.rings = np.array(sorted([*levels, *([outer.mean()] if len(outer) else [])]))
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


def nested_cones(
    panels: dict[str, tuple[Embeddings, float]],
    clade: tuple[str, str] | None = None,
    *,
    splits: Sequence[str] = ("test_seen",),
    children: int = 2,
) -> Figure:
    """The cones of one clade from its top to species and the specimens in them, a panel per run, so
    that one sees whether they nest.

    From the top, whose axis points straight up, one lineage is followed: at each rank the
    `children` with most specimens are drawn, to alternating sides, and below them those of the
    first one. It is unfolded into the plane: each taxon lies at its true radius and at its true
    angle, as seen from the origin, from its parent's axis; each specimen of the drawn species from
    its species'. Angles between siblings, and across ranks, are the drawing's. A cone is the exact
    region of the plane; a saturated one is drawn as the half-space that it is. Radii are stretched
    (`Stretch`), in each panel in its own way; the axis gives the true ones. Dots are filled where a
    specimen lies in the cones of all its taxa, from the top down, in the full space.

    Args:
        panels: label -> (embeddings with taxa, the cones' constant K). Euclidean ones, which have
        no cones, are left out. clade: (rank, name) of the top; default: the order, or else the
        family, with most specimens of those that have `children` with specimens at every rank in
        all runs. splits: whose specimens count. children: how many are drawn at each rank, 1 or 2.

    Raises:
        ValueError: no panel is of a Lorentz space, a run lacks the clade, by default no clade
        branches enough, or there are more children.
    """
    panels = {label: panel for label, panel in panels.items() if panel[0].space == "lorentz"}
    if children not in (1, 2):
        raise ValueError(
            f"children={children}: a plane has room for 1 or 2, one to each side of their"
            " parent's axis."
        )
    if not panels:
        raise ValueError(
            "Cones belong to a Lorentz space: give the embeddings of at least one hyperbolic run."
        )
    clades = Clades([run for run, _ in panels.values()], splits)
    clade = tuple(clade) if clade else clades.default(children)
    if clade not in clades.taxa:
        without = [
            label for label, (run, _) in panels.items() if clade not in Clades([run], splits).taxa
        ]
        raise ValueError(
            f"No taxon (text) {clade[1]!r} of rank {clade[0]!r} in the embeddings of"
            f" {', '.join(without)}."
        )
    branches, drawn, stretches = _best_sides(panels, clades, clade, children, splits)
    with style():
        columns = min(3, len(panels))
        rows = -(-len(panels) // columns)
        width = {1: 4.8, 2: WIDTH}.get(columns, TEXT)
        lowest = max(
            -1.03,
            min(
                -0.03,
                *(_lowest(*panel) for panel in zip(drawn, stretches, panels.values(), strict=True)),
            ),
        )
        words = [
            _words(own, branches, *panel, short=columns > 1)
            for own, panel in zip(drawn, panels.values(), strict=True)
        ]
        high = (
            (width / columns - 0.16) * (1.04 - lowest) / 2.08
            + 0.6
            + 0.135 * max(len(lines) for lines in words)
        )
        fig = new_figure(width, rows * high + (0.95 if columns == 1 else 0.75))
        for ax, label, own, stretch, lines in zip(
            panel_grid(fig, len(panels), columns), panels, drawn, stretches, words, strict=True
        ):
            _draw(ax, own, branches, stretch, panels[label][1])
            ax.set(xlim=(-1.04, 1.04), ylim=(lowest, 1.04), title=fill(label, 75 // columns))
            _ticks(ax, stretch, gap=0.036 * columns)
            ax.set_xlabel("\n".join(lines), fontsize=SMALL, labelpad=3)
        _legend(
            fig,
            branches,
            [m for m in MARKERS if any((own.specimens["modality"] == m).any() for own in drawn)],
        )
        caption = (
            f"{clade[1]} unfolded: radii and angles between parent and child are true,"
            " angles between siblings are not"
        )
        fig.suptitle(fill(caption, 90 if columns == 1 else 120), fontsize=7, color=MUTED)
        return finish(fig)


def _best_sides(
    panels, clades: Clades, clade, children: int, splits
) -> tuple[list[Branch], list[Unfolded], list[Stretch]]:
    """Of all choices of sides, the same in every panel, the one that keeps the apexes apart on
    paper and turns least."""
    members = [Members.find(run, aperture, clade, splits) for run, aperture in panels.values()]
    best, most = None, -np.inf
    for sides in product((1, -1), repeat=len(RANKS) - 1 - RANKS.index(clade[0])):
        branches = clades.unfold(clade, children, sides)
        drawn = [
            unfold(run, own, branches)
            for (run, _), own in zip(panels.values(), members, strict=True)
        ]
        stretches = [Stretch(own, np.array([branch.rank for branch in branches])) for own in drawn]
        apart = [
            _nearest(on_paper(stretch(own.radius), own.direction))
            for own, stretch in zip(drawn, stretches, strict=True)
        ]
        # Beyond enough room for a letter, what matters is that nothing turns far round.
        score = min(0.12, *apart) - 0.04 * max(np.abs(own.direction).max() for own in drawn)
        if score > most + 1e-9:
            best, most = (branches, drawn, stretches), score
    return best


def _nearest(points: np.ndarray) -> float:
    """The distance of the two points nearest each other."""
    gaps = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.diag(
        np.full(len(points), np.inf)
    )
    return float(gaps.min()) if len(points) > 1 else np.inf


def _lowest(own: Unfolded, stretch: Stretch, panel) -> float:
    """How far down a panel's cones and dots reach."""
    outlines = [
        cone_polygon(radius, turn, stretch, panel[1])[:, 1].min()
        for radius, turn in zip(own.radius, own.direction, strict=True)
    ]
    dots = on_paper(
        stretch(own.specimens["radius"]), own.specimens["direction"].to_numpy(dtype=float)
    )[:, 1]
    return min(*outlines, dots.min(initial=0), 0) - 0.04


def _draw(
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
                **_dot(inside),
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
    for i, at in enumerate(_letter_places(apexes)):
        ax.text(
            *at,
            chr(ord("a") + i),
            fontsize=7.5,
            fontweight="bold",
            ha="center",
            va="center",
            path_effects=HALO,
            zorder=8,
        )
    ax.plot(0, 0, "+", color=INK, markersize=5, markeredgewidth=0.8, zorder=7)


def _ticks(ax: Axes, stretch: Stretch, gap: float) -> None:
    """The true radii of the rings on an axis from the centre to the right; of those nearer than
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
        ["0", *(f"{stretch.rings[i]:.2g}" for i in kept)],
        fontsize=SMALL,
        rotation=90,
    )


def _dot(inside: bool) -> dict:
    return {
        "facecolor": INSIDE if inside else "white",
        "edgecolor": "white" if inside else OUTSIDE,
        "linewidth": 0.3 if inside else 0.8,
    }


def _letter_places(apexes: np.ndarray, away: float = 0.085) -> np.ndarray:
    """Beside each apex (T, 2), on the side where other apexes, letters and links are farthest."""
    turns = np.arange(16) * np.pi / 8
    tries = away * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    taken = [np.zeros(2), *apexes]
    result = []
    for apex in apexes:
        gaps = [min(np.linalg.norm(apex + step - other) for other in taken) for step in tries]
        # The halo of the marker itself is always `away`: among equally free sides the upper one.
        best = max(range(len(tries)), key=lambda i: (round(gaps[i], 3), tries[i, 1]))
        result.append(apex + tries[best])
        taken.append(result[-1])
    return np.array(result)


def _letter(i: int) -> str:
    return chr(ord("a") + i)


def _words(
    own: Unfolded, branches: Sequence[Branch], run: Embeddings, aperture: float, *, short: bool
) -> list[str]:
    """What is written under a panel; `short`: on more lines."""
    cones = f"in all {len(RANKS) - RANKS.index(branches[0].rank)} of their own cones:"
    lines = [
        r"distance from the origin $\times \sqrt{c}$, stretched",
        f"c = {run.curvature:.3g}, K = {aperture:g}",
    ]
    saturated = [
        _letter(i) for i, radius in enumerate(own.radius) if radius <= np.arcsinh(2 * aperture)
    ]
    if saturated:
        lines[-1] += f"; half-spaces: {', '.join(saturated)}"
    lines += [f"specimens {cones}"] if short and own.shares else []
    for modality, (inside, total) in own.shares.items():
        dots = own.specimens[own.specimens["modality"] == modality]
        drawn = f"{MODALITY_NAMES[modality]} {dots['inside'].sum():.0f} of {len(dots)} drawn"
        line = f"{drawn}, {100 * inside / total:.0f} % of the clade's {total}"
        lines.append(line if short else f"specimens {cones} {line}")
    return lines


def _legend(fig: Figure, branches: Sequence[Branch], modalities: Sequence[str]) -> None:
    """The taxa's letters and names, the cones' colours and the dots' kinds, in columns under the
    panels."""
    entries = [
        (
            Line2D([], [], ls="", marker="o", ms=4, color=EDGES[branch.rank]),
            f"$\\bf{{{_letter(i)}}}$  {_short(branch)}",
        )
        for i, branch in enumerate(branches)
    ]
    parts = [entries]
    shown = [rank for rank in RANKS if any(branch.rank == rank for branch in branches)]
    parts.append(
        [(Patch(facecolor=FILLS[rank], edgecolor=EDGES[rank]), f"cone of {rank}") for rank in shown]
    )
    parts.append(
        [
            (
                Line2D([], [], color=EDGES["family"], ls=(0, (3, 1.6)), lw=0.9),
                "cone of a sibling, not followed",
            ),
            (Line2D([], [], color=INK, ls=":", lw=0.9), "apexes within: half-spaces"),
        ]
    )
    for inside, words in ((True, "in all its cones"), (False, "not in all its cones")):
        dots = tuple(
            Line2D(
                [],
                [],
                ls="",
                marker=MARKERS[m],
                ms=3.6,
                mfc=_dot(inside)["facecolor"],
                mec=INSIDE if inside else OUTSIDE,
                mew=0.8,
            )
            for m in modalities
        )
        if dots:
            parts[-1].append((dots, f"{' / '.join(MODALITY_NAMES[m] for m in modalities)} {words}"))
    rows = 4
    columns = [part[i : i + rows] for part in parts for i in range(0, len(part), rows)]
    gap = (Line2D([], [], ls=""), " ")
    handles, labels = zip(
        *(entry for column in columns for entry in (*column, *[gap] * (rows - len(column)))),
        strict=True,
    )
    legend = fig.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=len(columns),
        fontsize=SMALL,
        handletextpad=0.5,
        borderpad=0,
        columnspacing=1.0,
        handlelength=1.5,
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0.4)},
    )
    for text, branch in zip(legend.get_texts(), branches, strict=False):
        text.set_fontstyle("italic" if branch.rank in ("genus", "species") else "normal")


def _short(branch: Branch) -> str:
    """A taxon's name; a species' genus as an initial."""
    genus, _, rest = branch.name.partition(" ")
    return f"{genus[0]}. {rest}" if branch.rank == "species" and rest else branch.name
