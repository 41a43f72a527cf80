"""Distances from the origin: of taxa by rank, of DNA and of images."""

from __future__ import annotations

from textwrap import fill

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from hypertax.embeddings import Embeddings
from hypertax.figures.style import (
    COLUMN,
    INK,
    LEVEL_COLOURS,
    MODALITY_NAMES,
    MUTED,
    SMALL,
    TEXT,
    finish,
    levels_present,
    new_figure,
    panel_grid,
    style,
)
from hypertax.taxonomy import RANKS


def saturation_radius(c: float, aperture: float = 0.1) -> float:
    """The distance from the origin up to which an entailment cone is a half-space: sqrt(c)|x| = 2K,
    that is asinh(2K) / sqrt(c)."""
    return float(np.arcsinh(2 * aperture) / np.sqrt(c))


def radius_by_rank(embeddings: dict[str, Embeddings], *, aperture: float = 0.1) -> Figure:
    """Distances from the origin of taxa (per rank), DNA and images, a panel per labelled set of
    embeddings.

    Lorentz: hyperbolic distance; Euclidean: the features' norm. The two have different scales,
    hence an axis each. Where the taxa fill less than two fifths of the axis they are enlarged in an
    inset. Dotted line (Lorentz): below it a taxon's cone is a half-space, for the cones' constant K
    = `aperture`. Boxes: median and quartiles, whiskers to 1.5 interquartile ranges, single points
    beyond.
    """
    with style():
        columns = min(3, len(embeddings))
        rows = -(-len(embeddings) // columns)
        fig = new_figure(COLUMN if columns == 1 else TEXT, 2.3 * rows + 0.2)
        lorentz = False
        for ax, (label, emb) in zip(
            panel_grid(fig, len(embeddings), columns), embeddings.items(), strict=True
        ):
            levels = levels_present(emb.table)
            norms = np.linalg.norm(emb.tangent, axis=1)
            kind = emb.table["modality"].where(emb.table["modality"] != "text", emb.table["rank"])
            values = {level: norms[(kind == level).to_numpy()] for level in levels}
            _boxes(ax, values)
            ax.set_xticks(
                range(1, len(levels) + 1),
                [MODALITY_NAMES.get(level, level) for level in levels],
                rotation=35,
                ha="right",
                rotation_mode="anchor",
            )
            ax.set_xlabel("taxa by rank (text), specimens")
            name = str(label)
            if emb.space == "lorentz":
                lorentz = True
                limit = saturation_radius(emb.curvature, aperture)
                ax.axhline(limit, color=INK, linestyle=":", linewidth=0.9, zorder=1)
                name += f" (c\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{emb.curvature:.2f})"
            ax.set(
                title=fill(name, 28 if columns == 3 else 36),
                ylabel="distance from the origin"
                if emb.space == "lorentz"
                else "norm of the features",
            )
            taxa = {level: own for level, own in values.items() if level in RANKS}
            top = ax.get_ylim()[1]
            ax.set_ylim(0, top)
            if (
                taxa
                and max(own.max() for own in taxa.values()) < 0.4 * top
                and len(taxa) < len(values)
            ):
                _enlarge(ax, taxa, len(levels), limit if emb.space == "lorentz" else None)
        if lorentz:
            line = Line2D(
                [],
                [],
                color=INK,
                linestyle=":",
                linewidth=0.9,
                label="below: the taxon's cone is a half-space",
            )
            fig.legend(handles=[line], loc="outside lower center")
        return finish(fig)


def _boxes(ax, values: dict[str, np.ndarray]) -> None:
    """A box per level at 1, 2, ..."""
    parts = ax.boxplot(
        list(values.values()),
        widths=0.62,
        patch_artist=True,
        medianprops={"color": INK, "linewidth": 1.1},
        whiskerprops={"color": MUTED, "linewidth": 0.7},
        capprops={"color": MUTED, "linewidth": 0.7},
        flierprops={
            "marker": ".",
            "markersize": 1.5,
            "markerfacecolor": MUTED,
            "markeredgecolor": "none",
            "rasterized": True,
        },
    )
    for box, level in zip(parts["boxes"], values, strict=True):
        box.set(facecolor=LEVEL_COLOURS[level], edgecolor=INK, linewidth=0.5, alpha=0.85)


def _enlarge(ax, taxa: dict[str, np.ndarray], levels: int, limit: float | None) -> None:
    """The taxa's boxes again over the empty space above them, on an axis of their own, joined to
    the part it shows."""
    highest, top = max(own.max() for own in taxa.values()), ax.get_ylim()[1]
    right = (len(taxa) + 0.45) / (levels + 0.55)
    inset = ax.inset_axes([0.13, 0.5, right - 0.16, 0.47])
    _boxes(inset, taxa)
    inset.set(
        xticks=[],
        xlim=(0.5, len(taxa) + 0.5),
        ylim=(0, 1.08 * max(highest, 1.2 * limit if limit and limit < 2 * highest else 0)),
    )
    inset.yaxis.get_major_locator().set_params(nbins=4)
    inset.tick_params(labelsize=SMALL, length=2, pad=1.5)
    if limit and limit < inset.get_ylim()[1]:
        inset.axhline(limit, color=INK, linestyle=":", linewidth=0.9, zorder=1)
    for spine in inset.spines.values():
        spine.set(visible=True, color=MUTED)
    shown = min(inset.get_ylim()[1], 0.46 * top)
    ax.add_patch(
        Rectangle(
            (0.55, 0),
            len(taxa) - 0.1,
            shown,
            facecolor="none",
            edgecolor=MUTED,
            linewidth=0.6,
            zorder=1.5,
        )
    )
    ax.annotate(
        "",
        (0.13 + 0.5 * (right - 0.16), 0.49),
        (0.13 + 0.5 * (right - 0.16), shown / top),
        xycoords="axes fraction",
        textcoords="axes fraction",
        arrowprops={
            "arrowstyle": "-|>",
            "color": MUTED,
            "linewidth": 0.6,
            "shrinkA": 1,
            "shrinkB": 1,
        },
    )
