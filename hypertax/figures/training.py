"""Figures of a run's history: losses, validation accuracy, and the geometry over the epochs."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hypertax.figures.looks import Look, looks_of
from hypertax.figures.style import (
    INK,
    LEVEL_COLOURS,
    MODALITY_NAMES,
    SMALL,
    TEXT,
    finish,
    has,
    legend_columns,
    method_handle,
    new_figure,
    panel_grid,
    percent_axis,
    say_why_empty,
    style,
)
from hypertax.losses import TERM_LABELS
from hypertax.taxonomy import RANKS

VALIDATION = {"val_dna": "DNA to DNA", "val_image": "image to image", "val_cross": "image to DNA"}
SPLIT_DASHES = {"seen": "-", "unseen": (0, (3, 1.5))}
GEOMETRY = (
    ("curvature", "curvature", "c", 1.0),
    ("radius", "distance from the origin", "mean distance", 1.0),
    ("half_aperture", "cones' half-aperture", "mean angle (degrees)", 180 / np.pi),
    ("saturated", "saturated cones (half-spaces)", "share of taxa (%)", 100.0),
    ("inside", "inside the parent's cone", "share (%)", 100.0),
    ("cones", "cones around a specimen", "mean number of cones", 1.0),
)
"""Column of a history, title, unit and factor of each panel of `geometry_curves`."""
LEVELS = (*RANKS, "dna", "image")


def draw_line(ax, history: pd.DataFrame, column: str, scale: float = 1.0, **look) -> None:
    """One column over the epochs; with a `seed` column the mean, and each seed as a thin line
    behind it."""
    if not has(history, column):
        return
    rows = history[history[column].notna()]
    if "seed" in rows and rows["seed"].nunique() > 1:
        for _, one in rows.groupby("seed"):
            thin = {**look, "linewidth": 0.5, "alpha": 0.4, "marker": None}
            ax.plot(one["epoch"], scale * one[column], **thin)
    mean = scale * rows.groupby("epoch")[column].mean()
    ax.plot(mean.index, mean, **{"marker": "o" if len(mean) == 1 else None, **look})


def draw_epochs(axes) -> None:
    for ax in axes:
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True, nbins=6)


def plain_log_labels(ax) -> None:
    """On a logarithmic y axis, numbers as they are spoken, at 1, 2 and 5 of every decade."""
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else "")


def _spans_orders(ax) -> bool:
    """Whether the lines of the axes are all above zero and the least is under a fifth of the
    largest."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in ax.lines])
    return bool(values.min() > 0 and values.min() < 0.2 * values.max())


def _marks(history: pd.DataFrame, i: int) -> slice | list[int]:
    """Where a line has its method's marker: a few epochs, shifted so that markers do not meet."""
    epochs = history["epoch"].nunique()
    step = max(1, epochs // 5)
    return slice((2 * i) % step if step > 1 else 0, None, step)


def training_curves(
    histories: dict[str, pd.DataFrame], looks: Mapping[str, Look] | None = None
) -> Figure:
    """Loss terms and validation accuracy over the epochs, a colour and a marker per history.

    Panels of terms that no run has (other losses, no images) are left out. Accuracy: macro species
    top-1, seen and unseen species.

    Args:
        histories: label -> the run's history.csv; with a column `seed` the mean over seeds is drawn
            above thin single lines.
        looks: label -> colour and marker (default: `looks_of`).

    Raises:
        ValueError: the histories hold neither losses nor validation accuracies.
    """
    terms = [name for name in TERM_LABELS if any(has(h, name) for h in histories.values())]
    pairings = [
        name
        for name in VALIDATION
        if any(has(h, f"{name}_{split}") for h in histories.values() for split in SPLIT_DASHES)
    ]
    if not terms + pairings:
        raise ValueError(
            "The histories hold neither losses nor validation accuracies: give history.csv of"
            " runs with at least one epoch."
        )
    looks = looks_of(histories, looks)
    with style():
        panels = len(terms) + len(pairings)
        columns = min(4 if panels > 6 else 3, panels)
        handles = [method_handle(label, look, linestyle="-") for label, look in looks.items()]
        fig = new_figure(
            TEXT, 1.9 * -(-panels // columns) + 0.25 + 0.16 * -(-len(handles) // columns)
        )
        axes = panel_grid(fig, panels, columns)
        for ax, name in zip(axes, terms + pairings, strict=True):
            for i, (label, history) in enumerate(histories.items()):
                look = {
                    "color": looks[label].colour,
                    "marker": looks[label].marker,
                    "markevery": _marks(history, i),
                    "markersize": 3.6,
                    "markeredgecolor": "white",
                    "markeredgewidth": 0.4,
                }
                if name in TERM_LABELS:
                    draw_line(ax, history, name, **look)
                for split, dashes in SPLIT_DASHES.items() if name in VALIDATION else ():
                    draw_line(ax, history, f"{name}_{split}", 100, linestyle=dashes, **look)
            ax.set_title(fill(TERM_LABELS.get(name) or VALIDATION[name], 20))
            ax.set_ylabel("loss" if name in TERM_LABELS else "validation top-1 (%)")
            if name in VALIDATION:
                percent_axis(ax)
        draw_epochs(axes)
        if pairings:
            handles += [
                Line2D([], [], color=INK, linestyle=dashes, label=f"{split} species")
                for split, dashes in SPLIT_DASHES.items()
            ]
        fig.legend(handles=handles, loc="outside lower center", ncols=legend_columns(handles))
        return finish(fig)


def geometry_curves(histories: dict[str, pd.DataFrame]) -> Figure:
    """What the hyperbolic runs' geometry does over the epochs; Euclidean histories are passed over.

    Curvature, mean distance from the origin (on a log axis where a run collapses towards it),
    half-aperture (degrees), share of taxa whose cone is a half-space, share inside the parent's
    cone, and cones per validation specimen. Colours are ranks and modalities. One run has two rows
    of panels. Several runs have a row each, on the same axes.

    Args:
        histories: label -> history.csv; with a column `seed` the mean is drawn above thin single
            lines.

    Raises:
        ValueError: no history has a curvature.
    """
    runs = {label: history for label, history in histories.items() if has(history, "curvature")}
    if not runs:
        raise ValueError(
            "None of the histories has a curvature: geometry_curves shows hyperbolic runs."
        )
    alone = len(runs) == 1
    with style():
        fig = new_figure(TEXT, 4.3 if alone else 1.28 * len(runs) + 0.95)
        grid = fig.subplots(*((2, 3) if alone else (len(runs), 6)), squeeze=False, sharex=not alone)
        for i, (label, history) in enumerate(runs.items()):
            for ax, panel in zip(grid.flat if alone else grid[i], GEOMETRY, strict=True):
                _geometry_panel(ax, history, *panel, narrow=not alone)
            if not alone:
                first = grid[i, 0]
                whole = label.replace(" + ", "\N{NO-BREAK SPACE}+\N{NO-BREAK SPACE}")
                first.set_ylabel(fill(whole, 16), fontweight="bold", fontsize=7)
        for column, (name, title, unit, scale) in enumerate(GEOMETRY):
            axes = [grid.flat[column]] if alone else list(grid[:, column])
            _same_limits(axes, name, scale)
            if alone:
                axes[0].set_title(title)
                axes[0].set_ylabel(unit)
            else:
                axes[0].set_title(fill(f"{title}: {unit}", 13), fontsize=SMALL, loc="center")
        draw_epochs(grid.flat if alone else grid[-1])
        shown = [x for x in LEVELS if any(has(h, f"radius_{x}") for h in runs.values())]
        handles = [
            Line2D([], [], color=LEVEL_COLOURS[level], label=MODALITY_NAMES.get(level, level))
            for level in shown
        ]
        fig.legend(handles=handles, loc="outside lower center", ncols=legend_columns(handles))
        return finish(fig)


def _geometry_panel(
    ax, history: pd.DataFrame, name: str, title: str, unit: str, scale: float, *, narrow: bool
) -> None:
    """One quantity of one run, a line per level; a panel that is zero throughout says so."""
    if name == "curvature":
        draw_line(ax, history, name, color=INK)
    for level in LEVELS if name != "curvature" else ():
        draw_line(ax, history, f"{name}_{level}", scale, color=LEVEL_COLOURS[level])
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in ax.lines]
    if not drawn:
        say_why_empty(ax, "not measured")
    elif name != "curvature" and not np.nan_to_num(np.concatenate(drawn)).any():
        say_why_empty(ax, "none in\nany epoch" if narrow else "none in any epoch")


def _same_limits(axes: list, name: str, scale: float) -> None:
    """The same y axis in all panels of a quantity: shares from 0 to 100, others from 0."""
    if scale == 100:
        for ax in axes:
            percent_axis(ax)
        return
    log = name == "radius" and any(_spans_orders(ax) for ax in axes if ax.lines)
    for ax in axes:
        if log:
            ax.set_yscale("log")
            plain_log_labels(ax)
    limits = np.array([ax.get_ylim() for ax in axes])
    for ax in axes:
        if log:
            ax.set_ylim(limits[:, 0].min(), limits[:, 1].max())
        else:
            ax.set_ylim(0, 1.05 * max(limits[:, 1].max(), 0.1))
