"""Specimens as they come: photograph, barcode base by base, and labels that may stop anywhere from
order to species."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch

from hypertax.figures.style import (
    BASE_COLOURS,
    FAINT,
    INK,
    MUTED,
    RANK_COLOURS,
    SMALL,
    TEXT,
    barcode_pixels,
    blank,
    clade_colours,
    colour_rank,
    draw_pixels,
    finish,
    has,
    new_figure,
    photograph,
    shade,
    style,
    tint,
)
from hypertax.taxonomy import RANKS, known_ranks

BARCODE_LINES = 6
"""Lines into which a barcode is broken."""


def label_depth(specimens: pd.DataFrame) -> pd.Series:
    """The deepest rank at which each specimen has a name, with the table's index; NA without
    any."""
    deepest = pd.Series(pd.NA, index=specimens.index, dtype="object")
    for rank in RANKS:
        deepest = deepest.mask(specimens[rank].notna(), rank)
    return deepest


def _choose(
    specimens: pd.DataFrame, depth: pd.Series, each: int, seed: int
) -> list[tuple[str, pd.DataFrame]]:
    """For every depth of labels, deepest first, `each` random specimens, of orders not shown yet
    where there are any."""
    generator = np.random.default_rng(seed)
    shown: set[str] = set()
    chosen = []
    for rank in reversed(RANKS):
        own = specimens[(depth == rank).to_numpy()]
        own = own.iloc[generator.permutation(len(own))]
        picked = []
        for _ in range(min(each, len(own))):
            left = own.drop(index=picked)
            fresh = left[~left["order"].isin(shown)]
            picked.append((left if fresh.empty else fresh).index[0])
            shown.add(own.at[picked[-1], "order"])
        if picked:
            chosen.append((rank, own.loc[picked]))
    return chosen


def _name_box(ax, left: float, width: float, rank: str, name: object, colour) -> None:
    """One rank's name in the colour of the rank, or a dashed empty box where it is missing; the row
    is 1 high."""
    known = pd.notna(name)
    box = {"boxstyle": "round,pad=0,rounding_size=0.05", "linewidth": 0.8}
    look = {"facecolor": tint(RANK_COLOURS[rank], 0.18), "edgecolor": RANK_COLOURS[rank]}
    look = look if known else {"facecolor": "none", "edgecolor": MUTED, "linestyle": "--"}
    ax.add_patch(FancyBboxPatch((left, 0.3), width, 0.4, **box, **look))
    words = str(name).replace(" ", "\n", 1) if known else "missing"
    ax.text(
        left + width / 2,
        0.5,
        words,
        ha="center",
        va="center",
        fontsize=SMALL,
        color=colour if known else MUTED,
        linespacing=1.05,
        fontstyle="italic" if known and rank in ("genus", "species") else "normal",
    )


def specimen_lineages(
    specimens: pd.DataFrame, *, each: int = 1, seed: int = 0, colours: dict[str, str] | None = None
) -> Figure:
    """A row per specimen: photograph, barcode as coloured bases (read line by line), and its names
    from order to species.

    Specimens are drawn at random, `each` of those whose labels reach species, of those that stop at
    genus, at family and at order (as far as there are any), with the share of all specimens whose
    labels stop there. Missing ranks are dashed boxes. Without photographs the barcode and the names
    remain, without barcodes the photograph and the names.

    specimens: the specimen table. colours: order (or family) -> colour of the photograph's
    frame and of its name (default: `clade_colours`).

    Raises:
        ValueError: no specimen has a label at any rank.
    """
    depth = label_depth(specimens)
    parts = [name for name in ("image", "barcode") if has(specimens, name)]
    complete = (
        specimens[parts].notna().all(axis=1) if parts else pd.Series(True, index=specimens.index)
    )
    chosen = _choose(specimens[complete], depth[complete], each, seed)
    if not chosen:
        raise ValueError(
            "No specimen has a label at any rank: the figure shows where labels stop, and needs"
            " some."
        )
    coloured = colour_rank(specimens, colours)
    colours = colours or clade_colours(specimens)
    rows = [(rank, specimen) for rank, own in chosen for specimen in own.to_dict("records")]
    # In units of a row's height (inches): the label of the row, the photograph, the barcode, and
    # what is left for the names.
    high, caption = 0.86, 0.85
    picture = 1.05 if "image" in parts else 0.0
    wide = (TEXT - 0.16) / high
    barcode = (0.25 if picture else 0.36) * wide if "barcode" in parts else 0.0
    first = caption + picture + barcode + (0.12 if barcode else 0.0)
    step = (wide - first) / len(RANKS)
    with style():
        fig = new_figure(TEXT, high * len(rows) + 0.62)
        axes = fig.subplots(len(rows), 1, squeeze=False)[:, 0]
        for ax, (stop, specimen) in zip(axes, rows, strict=True):
            ax.text(0.02, 0.6, f"to {stop}", fontsize=7.5, fontweight="bold", va="center")
            ax.text(
                0.02,
                0.38,
                f"{100 * (depth == stop).mean():.0f} % of all",
                fontsize=SMALL,
                color=MUTED,
                va="center",
            )
            if picture:
                draw_pixels(
                    ax,
                    photograph(specimen["image"]),
                    (caption, 0.04, 0.92, 0.92),
                    edge=colours.get(specimen[coloured], INK),
                    width=1.2,
                )
            if barcode:
                box = (caption + picture, 0.1, barcode, 0.8)
                draw_pixels(
                    ax,
                    barcode_pixels(specimen["barcode"], BARCODE_LINES),
                    box,
                    edge=MUTED,
                    width=0.5,
                )
                for line in range(1, BARCODE_LINES):
                    ax.hlines(
                        0.1 + 0.8 * line / BARCODE_LINES,
                        box[0],
                        box[0] + box[2],
                        color="white",
                        linewidth=1.2,
                        zorder=3,
                    )
            _draw_names(ax, specimen, first, step, coloured, colours)
            blank(ax)
            ax.set(xlim=(0, wide), ylim=(0, 1))
        look = {"fontsize": 7.5, "fontweight": "bold", "va": "bottom", "ha": "center"}
        axes[0].text(0.02, 1.02, "labels", **{**look, "ha": "left"})
        if picture:
            axes[0].text(caption + 0.46, 1.02, "photograph", **look)
        if barcode:
            length = max(len(str(specimen["barcode"])) for _, specimen in rows)
            axes[0].text(
                caption + picture + barcode / 2, 1.02, f"COI barcode, {length} bases", **look
            )
        for i, rank in enumerate(RANKS):
            axes[0].text(first + i * step + step / 2 - 0.04, 1.02, rank, **look)
        _legend(fig, [specimen for _, specimen in rows], bool(barcode))
        return finish(fig)


def _draw_names(
    ax, specimen: dict, first: float, step: float, coloured: str, colours: dict[str, str]
) -> None:
    """The names of a specimen in boxes joined by lines, from order to species."""
    known = known_ranks(specimen)
    for i, rank in enumerate(RANKS):
        colour = shade(RANK_COLOURS[rank], 0.7)
        if rank == coloured:
            colour = shade(colours.get(specimen[coloured], INK))
        name = specimen[rank] if rank in known else None
        left = first + i * step + 0.02
        _name_box(ax, left, step - 0.1, rank, name, colour)
        if i:
            line = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
            ax.annotate("", (left, 0.5), (left - 0.1, 0.5), zorder=4, arrowprops=line)


def _legend(fig: Figure, specimens: list[dict], barcode: bool) -> None:
    """The bases' colours, and what is missing, as far as it occurs."""
    handles = []
    if barcode:
        handles = [Patch(color=colour, label=base) for base, colour in BASE_COLOURS.items()]
        if any(set(str(specimen["barcode"])) - set(BASE_COLOURS) for specimen in specimens):
            handles.append(Patch(color=FAINT, label="not read (N) or ambiguous"))
    if any(pd.isna(specimen[rank]) for specimen in specimens for rank in RANKS):
        look = {"facecolor": "none", "edgecolor": MUTED, "linestyle": "--"}
        handles.append(Patch(label="rank without a label", **look))
    if handles:
        fig.legend(handles=handles, loc="outside lower center", ncols=len(handles))
