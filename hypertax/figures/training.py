"""Figures of a run's history: losses, validation accuracy, and the geometry over the epochs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hypertax.figures.style import (
    INK,
    LEVEL_COLOURS,
    MODALITY_NAMES,
    TEXT,
    finish,
    has,
    legend_columns,
    method_colours,
    new_figure,
    panel_grid,
    percent_axis,
    style,
)
from hypertax.taxonomy import RANKS

LOSSES = {
    "loss": "total loss",
    "contrastive": "contrastive (CL)",
    "pair_entailment": "entailment (EL)",
    "intra": "stacked, intra",
    "inter": "stacked, inter",
}
VALIDATION = {"val_dna": "DNA to DNA", "val_image": "image to image", "val_cross": "image to DNA"}
SPLIT_DASHES = {"seen": "-", "unseen": (0, (3, 1.5))}
RUN_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))


def draw_line(ax, history: pd.DataFrame, column: str, scale: float = 1.0, **look) -> None:
    """One column over the epochs; with a `seed` column the mean, and each seed as a thin line
    behind it."""
    if not has(history, column):
        return
    rows = history[history[column].notna()]
    if "seed" in rows and rows["seed"].nunique() > 1:
        for _, one in rows.groupby("seed"):
            ax.plot(one["epoch"], scale * one[column], **{**look, "linewidth": 0.5, "alpha": 0.4})
    mean = scale * rows.groupby("epoch")[column].mean()
    ax.plot(mean.index, mean, marker="o" if len(mean) == 1 else None, **look)


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


def _run_handles(colours: dict[str, str]) -> list[Line2D]:
    return [Line2D([], [], color=colour, label=label) for label, colour in colours.items()]


def training_curves(histories: dict[str, pd.DataFrame]) -> Figure:
    """Loss terms and validation accuracy over the epochs, a colour per labelled history.

    histories: label -> the run's history.csv; with a column `seed` the mean over seeds is drawn
    above thin single lines. Panels of terms that no run has (other losses, no images) are left out.
    Accuracy: macro species top-1, seen and unseen species.
    """
    losses = [name for name in LOSSES if any(has(history, name) for history in histories.values())]
    pairings = [
        name
        for name in VALIDATION
        if any(has(h, f"{name}_{split}") for h in histories.values() for split in SPLIT_DASHES)
    ]
    if not losses + pairings:
        raise ValueError(
            "The histories hold neither losses nor validation accuracies: give history.csv of"
            " runs with at least one epoch."
        )
    colours = method_colours(histories)
    with style():
        panels = len(losses) + len(pairings)
        columns = min(4 if panels > 6 else 3, panels)
        fig = new_figure(TEXT, 1.9 * -(-panels // columns) + 0.35)
        axes = panel_grid(fig, panels, columns)
        for ax, name in zip(axes, losses + pairings, strict=True):
            for label, history in histories.items():
                if name in LOSSES:
                    draw_line(ax, history, name, color=colours[label])
                for split, dashes in SPLIT_DASHES.items() if name in VALIDATION else ():
                    draw_line(
                        ax, history, f"{name}_{split}", 100, color=colours[label], linestyle=dashes
                    )
            ax.set_title(LOSSES.get(name) or VALIDATION[name])
            ax.set_ylabel("loss" if name in LOSSES else "validation top-1 (%)")
            if name in VALIDATION:
                percent_axis(ax)
        draw_epochs(axes)
        handles = _run_handles(colours)
        if pairings:
            handles += [
                Line2D([], [], color=INK, linestyle=dashes, label=f"{split} species")
                for split, dashes in SPLIT_DASHES.items()
            ]
        fig.legend(handles=handles, loc="outside lower center", ncols=legend_columns(handles))
        return finish(fig)


def geometry_curves(histories: dict[str, pd.DataFrame]) -> Figure:
    """What the hyperbolic runs' geometry does over the epochs, in six panels; Euclidean histories
    are passed over.

    Curvature, mean distance from the origin (on a log axis where a run collapses towards it),
    half-aperture (degrees), share of taxa whose cone is a half-space, share inside the parent's
    cone, and cones per validation specimen. Colours are ranks and modalities, dashes are runs.
    """
    runs = {label: history for label, history in histories.items() if has(history, "curvature")}
    if not runs:
        raise ValueError(
            "None of the histories has a curvature: geometry_curves shows hyperbolic runs."
        )
    levels = (*RANKS, "dna", "image")
    panels = (
        ("curvature", "curvature", "c", 1.0),
        ("radius", "distance from the origin", "mean distance", 1.0),
        ("half_aperture", "cones' half-aperture", "mean angle (degrees)", 180 / np.pi),
        ("saturated", "saturated cones (half-spaces)", "share of taxa (%)", 100.0),
        ("inside", "inside the parent's cone", "share (%)", 100.0),
        ("cones", "cones around a specimen", "mean number of cones", 1.0),
    )
    dashes = {label: RUN_DASHES[i % len(RUN_DASHES)] for i, label in enumerate(runs)}
    with style():
        fig = new_figure(TEXT, 4.3)
        axes = panel_grid(fig, 6, 3)
        for ax, (name, title, unit, scale) in zip(axes, panels, strict=True):
            for label, history in runs.items():
                if name == "curvature":
                    draw_line(ax, history, name, color=INK, linestyle=dashes[label])
                for level in levels if name != "curvature" else ():
                    draw_line(
                        ax,
                        history,
                        f"{name}_{level}",
                        scale,
                        color=LEVEL_COLOURS[level],
                        linestyle=dashes[label],
                    )
            ax.set(title=title, ylabel=unit)
            if scale == 100:
                percent_axis(ax)
            elif name == "radius" and _spans_orders(ax):
                ax.set_yscale("log")
                plain_log_labels(ax)
            else:
                ax.set_ylim(bottom=0, top=1.05 * max(ax.get_ylim()[1], 0.1))
        draw_epochs(axes)
        shown = [
            level
            for level in levels
            if any(has(history, f"radius_{level}") for history in runs.values())
        ]
        handles = [
            Line2D([], [], color=LEVEL_COLOURS[level], label=MODALITY_NAMES.get(level, level))
            for level in shown
        ]
        if len(runs) > 1:
            handles += [
                Line2D([], [], color=INK, linestyle=dash, label=label)
                for label, dash in dashes.items()
            ]
        fig.legend(
            handles=handles,
            loc="outside lower center",
            ncols=legend_columns(handles),
            handlelength=2.2,
        )
        return finish(fig)
