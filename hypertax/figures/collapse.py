"""Training dynamics of a collapsed run beside those of a healthy one."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hypertax.figures.style import (
    INK,
    LEVEL_COLOURS,
    MODALITY_NAMES,
    MUTED,
    TEXT,
    finish,
    has,
    legend_columns,
    new_figure,
    percent_axis,
    style,
)
from hypertax.figures.training import (
    SPLIT_DASHES,
    VALIDATION,
    draw_epochs,
    draw_line,
    plain_log_labels,
)
from hypertax.taxonomy import RANKS

LEVELS = (*RANKS, "dna", "image")
PANELS = (
    ("radius", "distance from\nthe origin", 1.0),
    ("half_aperture", "half-aperture of\nthe cones (degrees)", 180 / np.pi),
    ("saturated", "saturated cones\n(% of taxa)", 100.0),
    ("inside", "inside the parent's\ncone (%)", 100.0),
)
"""History column, axis label and factor of each row of panels above the accuracy."""
PAIRING_COLOURS = {
    "val_dna": LEVEL_COLOURS["dna"],
    "val_image": LEVEL_COLOURS["image"],
    "val_cross": INK,
}


def saturation(history: pd.DataFrame) -> float:
    """The share (0..1) of cones that are half-spaces at a history's last epoch, the mean over ranks
    and seeds; NaN without any."""
    columns = [f"saturated_{rank}" for rank in RANKS if has(history, f"saturated_{rank}")]
    if not columns:
        return float("nan")
    known = history[history[columns].notna().any(axis=1)]
    last = known[known["epoch"] == known["epoch"].max()]
    return float(last[columns].mean(axis=1).mean())


def _accuracy(history: pd.DataFrame) -> float:
    """Mean validation accuracy at the last epoch, 0 without any."""
    columns = [
        f"{name}_{split}"
        for name in VALIDATION
        for split in SPLIT_DASHES
        if has(history, f"{name}_{split}")
    ]
    last = history[history["epoch"] == history["epoch"].max()]
    return float(np.nan_to_num(last[columns].mean(axis=1).mean())) if columns else 0.0


def most_collapsed(histories: dict[str, pd.DataFrame]) -> tuple[str, str]:
    """The labels of the run with most and of the run with fewest saturated cones at the end
    (`saturation`).

    Among runs that agree to the percent, the one of higher validation accuracy at the end is the
    healthier. Histories without cones (Euclidean runs) are passed over.

    Raises:
        ValueError: fewer than two histories have cones.
    """
    shares = {label: saturation(history) for label, history in histories.items()}
    ranked = sorted(
        (label for label in shares if not np.isnan(shares[label])),
        key=lambda x: (round(100 * shares[x]), -_accuracy(histories[x])),
    )
    if len(ranked) < 2:
        raise ValueError(
            "A collapsed run is told from a healthy one by its cones: give the histories of at"
            " least two hyperbolic runs."
        )
    return ranked[-1], ranked[0]


def collapse_dynamics(
    histories: dict[str, pd.DataFrame], *, runs: tuple[str, str] | None = None
) -> Figure:
    """Two columns of panels, the collapsed run at the left, over the epochs: radii, cones, who lies
    in the parent's cone, accuracy.

    Axes are the same at left and right. The radius is on a log axis, so that taxa at the origin and
    specimens far out are both seen. A dotted line is the epoch of the best validation score, whose
    embeddings the run keeps.

    Args:
        histories: label -> history.csv (with a column `seed` the mean is drawn above thin single
        lines). runs: labels of the two runs, left and right; default `most_collapsed(histories)`.

    Raises:
        ValueError: a label is not among the histories, or (without `runs`) fewer than two of them
        are hyperbolic runs'.
    """
    runs = most_collapsed(histories) if runs is None else runs
    if absent := [label for label in runs if label not in histories]:
        raise ValueError(
            f"There is no history of {', '.join(map(repr, absent))}: choose from"
            f" {', '.join(map(repr, histories))}."
        )
    with style():
        fig = new_figure(TEXT, 6.6)
        axes = fig.subplots(len(PANELS) + 1, 2, sharex="col", sharey="row")
        for column, label in zip(axes.T, runs, strict=True):
            _column(column, histories[label])
            column[0].set_title(
                f"{label}\n{100 * saturation(histories[label]):.0f} % of the cones saturated at"
                " the end"
            )
        for ax, (name, words, _) in zip(axes[:-1, 0], PANELS, strict=True):
            ax.set_ylabel(words)
            if name == "half_aperture":
                ax.set_ylim(0, 95)
                ax.set_yticks(range(0, 91, 30))
        axes[-1, 0].set_ylabel("validation species\ntop-1 (%)")
        axes[0, 0].set_yscale("log")
        plain_log_labels(axes[0, 0])
        draw_epochs(axes[-1])
        fig.align_ylabels(axes[:, 0])
        shown = [histories[label] for label in runs]
        handles = [
            Line2D(
                [],
                [],
                color=LEVEL_COLOURS[level],
                label=MODALITY_NAMES.get(level, f"{level} (text)"),
            )
            for level in LEVELS
            if any(has(history, f"radius_{level}") for history in shown)
        ]
        handles += [
            Line2D([], [], color=PAIRING_COLOURS[name], label=words)
            for name, words in VALIDATION.items()
            if any(has(history, f"{name}_{split}") for history in shown for split in SPLIT_DASHES)
        ]
        handles += [
            Line2D([], [], color=MUTED, linestyle=dashes, label=f"{split} species")
            for split, dashes in SPLIT_DASHES.items()
        ]
        if any(has(history, "selection") for history in shown):
            handles.append(
                Line2D([], [], color=MUTED, linestyle=":", linewidth=1, label="best epoch")
            )
        fig.legend(
            handles=handles,
            loc="outside lower center",
            ncols=legend_columns(handles),
            handlelength=2.2,
        )
        return finish(fig)


def _column(axes, history: pd.DataFrame) -> None:
    """One run's panels, from top to bottom."""
    for ax, (name, _, scale) in zip(axes[:-1], PANELS, strict=True):
        for level in LEVELS:
            draw_line(ax, history, f"{name}_{level}", scale, color=LEVEL_COLOURS[level])
        if scale == 100:
            percent_axis(ax)
    for name in VALIDATION:
        for split, dashes in SPLIT_DASHES.items():
            draw_line(
                axes[-1],
                history,
                f"{name}_{split}",
                100,
                color=PAIRING_COLOURS[name],
                linestyle=dashes,
            )
    percent_axis(axes[-1])
    if has(history, "selection") and ("seed" not in history or history["seed"].nunique() == 1):
        best = history.loc[history["selection"].idxmax(), "epoch"]
        for ax in axes:
            ax.axvline(best, color=MUTED, linestyle=":", linewidth=1, zorder=1)
