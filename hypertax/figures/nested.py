"""Whether cones nest: a clade's cones from order to species, and the specimens in them, drawn in
one plane."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hypertax.embeddings import Embeddings
from hypertax.evaluation.unfolding import Branch, Clades, Members, Unfolded, unfold
from hypertax.figures.nested_panel import (
    EDGES,
    FILLS,
    INSIDE,
    MARKERS,
    OUTSIDE,
    Stretch,
    cone_polygon,
    dot_look,
    draw_clade,
    on_paper,
    radius_axis,
)
from hypertax.figures.style import (
    INK,
    MODALITY_NAMES,
    MUTED,
    SMALL,
    TEXT,
    finish,
    new_figure,
    panel_grid,
    style,
)
from hypertax.geometry.cone_angles import half_angle
from hypertax.taxonomy import RANKS

WIDTH = 6.6
"""Inches of two panels."""


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
    clades, clade = _clade(panels, clade, splits, children)
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
            + 1.32
            + 0.135 * max(len(lines) for lines in words)
        )
        fig = new_figure(width, rows * high + (0.95 if columns == 1 else 0.75))
        for ax, label, own, stretch, lines in zip(
            panel_grid(fig, len(panels), columns), panels, drawn, stretches, words, strict=True
        ):
            ax.set(xlim=(-1.04, 1.04), ylim=(lowest, 1.04))
            draw_clade(ax, own, branches, stretch, panels[label][1])
            ax.set_title(_finding(label, own, branches, panels[label][1], 75 // columns))
            radius_axis(ax, stretch, gap=0.036 * columns)
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


def _clade(panels, clade, splits, children: int) -> tuple[Clades, tuple[str, str]]:
    """The clades of the runs, and the one to draw, which all of them must have."""
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
    return clades, clade


def _best_sides(
    panels, clades: Clades, clade, children: int, splits
) -> tuple[list[Branch], list[Unfolded], list[Stretch]]:
    """The choice of sides that keeps the apexes apart on paper and turns least.

    It is the same in every panel.
    """
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


def nested_edges(own: Unfolded, branches: Sequence[Branch], aperture: float) -> tuple[int, int]:
    """How many of the drawn taxa's cones lie whole in their parent's, and how many have a parent.

    Where neither cone is a half-space, an apex inside its parent's cone brings its whole cone.
    """
    narrow = own.radius > np.arcsinh(2 * aperture)
    inside = [
        bool(
            narrow[i]
            and narrow[b.above]
            and own.radius[i] >= own.radius[b.above]
            and abs((own.direction[i] - own.direction[b.above] + np.pi) % (2 * np.pi) - np.pi)
            <= half_angle(own.radius[b.above], own.radius[i : i + 1], aperture)[0]
        )
        for i, b in enumerate(branches)
        if b.above >= 0
    ]
    return sum(inside), len(inside)


def _finding(
    label: str, own: Unfolded, branches: Sequence[Branch], aperture: float, width: int
) -> str:
    """A panel's title: the run's name and whether the drawn cones are nested."""
    inside, edges = nested_edges(own, branches, aperture)
    word = "nested" if inside == edges else "not nested"
    return f"{fill(label, width)}\n{word}: {inside} of {edges} cones lie in their parent's"


def _words(
    own: Unfolded, branches: Sequence[Branch], run: Embeddings, aperture: float, *, short: bool
) -> list[str]:
    """What is written under a panel; `short`: on more lines."""
    cones = f"in all {len(RANKS) - RANKS.index(branches[0].rank)} of their own cones:"
    lines = [
        "distance from the origin times the root of c,",
        "not to scale: the inner part is enlarged",
        f"c = {run.curvature:.3g}, K = {aperture:g}",
    ]
    saturated = int((own.radius <= np.arcsinh(2 * aperture)).sum())
    if saturated:
        lines[-1] += f"; half-spaces: {saturated} of {len(own.radius)} cones"
    lines += [f"specimens {cones}"] if short and own.shares else []
    for modality, (inside, total) in own.shares.items():
        dots = own.specimens[own.specimens["modality"] == modality]
        drawn = f"{MODALITY_NAMES[modality]} {dots['inside'].sum():.0f} of {len(dots)} drawn"
        line = f"{drawn}, {100 * inside / total:.0f} % of the clade's {total}"
        lines.append(line if short else f"specimens {cones} {line}")
    return lines


def _legend(fig: Figure, branches: Sequence[Branch], modalities: Sequence[str]) -> None:
    """The cones' colours and the dots' kinds, in columns under the panels."""
    parts = []
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
                mfc=dot_look(inside)["facecolor"],
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
    fig.legend(
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
