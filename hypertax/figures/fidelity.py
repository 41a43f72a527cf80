"""How well distances keep divergences, against the width of the space."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hypertax.figures.looks import Look, looks_of
from hypertax.figures.style import (
    TEXT,
    finish,
    legend_columns,
    log_axis,
    mean_line,
    method_handle,
    new_figure,
    say_why_empty,
    style,
)

SPLITS = {
    "seen": "seen species",
    "unseen": "unseen species",
    "novel": "unseen with seen species",
}


def fidelity_curves(
    cells: pd.DataFrame,
    *,
    label: str = "dimensions",
    looks: Mapping[str, Look] | None = None,
) -> Figure:
    """Relative error and rank correlation against the width on a log axis: a row of panels per
    measure, a column per kind of pairs, a line per method with the range of its seeds as a band.

    Args:
        cells: columns `line`, `width`, `seed`, `split`, `measure` and `value`, as
            `hypertax.study.fidelity_lines` makes them.
        label: of the axis. looks: line -> colour and marker (default: `looks_of`).

    Raises:
        ValueError: no value is a number.
    """
    table = cells[cells["value"].notna()]
    if table.empty:
        raise ValueError("There is no fidelity to draw: give at least one row with a number.")
    measures = list(dict.fromkeys(table["measure"]))
    lines = list(dict.fromkeys(table["line"]))
    looks = looks_of(lines, looks)
    widths = sorted(table["width"].unique())
    with style():
        fig = new_figure(TEXT, 1.6 * len(measures) + 0.8)
        axes = fig.subplots(len(measures), len(SPLITS), squeeze=False, sharex=True, sharey="row")
        for (row, column), ax in np.ndenumerate(axes):
            split = list(SPLITS)[column]
            panel = table[(table["measure"] == measures[row]) & (table["split"] == split)]
            for line in lines:
                _line(ax, panel[panel["line"] == line], *looks[line])
            if panel.empty:
                say_why_empty(ax, "no such pairs")
            ax.set_title(SPLITS[split] if row == 0 else "")
            ax.set_ylabel(measures[row] if column == 0 else "")
        log_axis(axes[0, 0], widths)
        for ax in axes[-1]:
            ax.set_xlabel(label)
        handles = [method_handle(line, looks[line], linestyle="-") for line in lines]
        columns = legend_columns(handles, fig.get_figwidth())
        fig.legend(handles=handles, loc="outside lower center", ncols=columns)
        return finish(fig)


def _line(ax, rows: pd.DataFrame, colour: str, marker: str) -> None:
    """One method in one panel: the mean over its seeds, and their range."""
    if rows.empty:
        return
    of_width = rows.groupby("width")["value"].agg(["mean", "min", "max", "count"])
    mean_line(ax, of_width["mean"], colour, marker)
    if of_width["count"].max() > 1:
        low, high = of_width["min"], of_width["max"]
        ax.fill_between(of_width.index, low, high, color=colour, alpha=0.2, linewidth=0, zorder=2)
