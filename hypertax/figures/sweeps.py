"""Sweeps: accuracy against a swept number, such as the curvature or the width of the embedding."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hypertax.evaluation.protocol import PAIRINGS
from hypertax.figures.looks import Look, looks_of
from hypertax.figures.style import (
    COLUMN,
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

MEASURES = {
    "species H.M.": {"protocol": "standard", "rank": "species", "split": "harmonic"},
    "genus of novel species": {"protocol": "novel", "rank": "genus", "split": "unseen"},
    "family of novel species": {"protocol": "novel", "rank": "family", "split": "unseen"},
}
"""What a sweep compares: species with keys, and the placing of species without.

The values choose rows of `hypertax.evaluation.evaluate`.
"""
_COLUMNS = ["method", "value", "seed", "pairing", "measure", "score"]


def sweep_scores(
    scores: pd.DataFrame,
    settings: Mapping[str, tuple[str, float | None]],
    *,
    stage: str = "test",
    ranking: str = "distance",
    average: str = "macro",
) -> pd.DataFrame:
    """The tidy frame that `sweep_curves` draws, from the scores of a study.

    Args:
        scores: of `hypertax.evaluation.study_scores`, with columns `method` (the row's label) and
            `seed`.
        settings: label -> (line, swept number); None for a method without one (the Euclidean space
            has no curvature). Labels of `scores` that are not in it are left out.
        stage, ranking, average: which rows of the scores.

    Returns:
        columns `method`, `value`, `seed`, `pairing`, `measure` (of `MEASURES`) and `score` (top-1,
        0..1).

    Raises:
        ValueError: a label has no scores.
    """
    absent = [label for label in settings if label not in set(scores["method"])]
    if absent:
        raise ValueError(
            f"There are no scores of {', '.join(map(repr, absent))}: name rows whose runs were"
            " scored."
        )
    common = (
        scores["method"].isin(list(settings))
        & (scores["stage"] == stage)
        & (scores["ranking"] == ranking)
    )
    table = scores[common & (scores["average"] == average) & (scores["k"] == 1)]
    frames = []
    for measure, wanted in MEASURES.items():
        rows = table[
            np.logical_and.reduce([table[column] == value for column, value in wanted.items()])
        ]
        frames.append(rows.rename(columns={"value": "score"}).assign(measure=measure))
    found = pd.concat(frames, ignore_index=True)
    methods = {label: method for label, (method, _) in settings.items()}
    values = {
        label: np.nan if value is None else float(value) for label, (_, value) in settings.items()
    }
    return found.assign(value=found["method"].map(values), method=found["method"].map(methods))[
        _COLUMNS
    ]


def sweep_curves(
    scores_by_value: pd.DataFrame,
    *,
    label: str = "curvature c",
    looks: Mapping[str, Look] | None = None,
) -> Figure:
    """Top-1 accuracy (%) against a swept number on a log axis: a column of panels per pairing, a
    row per measure, a line per method.

    Points are single seeds, lines and large marks their mean; every panel has its own range (at
    least 20 points). A method without a swept number (`value` missing) is a dashed horizontal line
    in a band, the range of its seeds.

    Args:
        scores_by_value: columns `method`, `value` (positive), `seed`, `pairing`, `measure` and
            `score` (0..1), as `sweep_scores` makes it.
        label: name of the swept number, with its unit if it has one.
        looks: method -> colour and marker (default: `looks_of`).

    Raises:
        ValueError: no score is a number, or a swept number is not positive.
    """
    table = scores_by_value[scores_by_value["score"].notna()]
    if table.empty:
        raise ValueError("The sweep holds no scores: give at least one row with a number.")
    if (table["value"] <= 0).any():
        raise ValueError(
            "A swept number is zero or negative, which a log axis cannot show: leave out those"
            " rows."
        )
    given = list(dict.fromkeys(table["pairing"]))
    pairings = [p for p in PAIRINGS if p in given] + [p for p in given if p not in PAIRINGS]
    measures = list(dict.fromkeys(table["measure"]))
    methods = list(dict.fromkeys(table["method"]))
    looks = looks_of(methods, looks)
    values = sorted(table["value"].dropna().unique())
    with style():
        fig = new_figure(TEXT if len(pairings) > 1 else COLUMN, 1.45 * len(measures) + 0.75)
        axes = fig.subplots(len(measures), len(pairings), squeeze=False, sharex=True)
        for (row, column), ax in np.ndenumerate(axes):
            panel = table[
                (table["measure"] == measures[row]) & (table["pairing"] == pairings[column])
            ]
            for method in methods:
                _method_line(ax, panel[panel["method"] == method], *looks[method])
            if panel.empty:
                say_why_empty(ax, "no such queries")
            ax.set_title(pairings[column] if row == 0 else "")
            ax.set_ylabel(f"{measures[row]}\n(macro top-1, %)" if column == 0 else "")
            _limits(ax, 100 * panel["score"])
        if values:
            log_axis(axes[0, 0], values)
        for ax in axes[-1]:
            ax.set_xlabel(label)
        handles = _handles(table, looks)
        fig.legend(
            handles=handles,
            loc="outside lower center",
            ncols=legend_columns(handles, fig.get_figwidth()),
        )
        return finish(fig)


def _handles(table: pd.DataFrame, looks: dict[str, Look]) -> list[Line2D]:
    """The methods, dashed those without a swept number, and what a faint point is."""
    handles = []
    for method, look in looks.items():
        swept = table.loc[table["method"] == method, "value"].notna().any()
        line = {"linestyle": "-"} if swept else {"linestyle": "--", "marker": ""}
        handles.append(method_handle(method, look, **line))
    cells = table.groupby(["method", "value", "pairing", "measure"], dropna=False)
    if cells["seed"].nunique().max() > 1:
        look = {"color": "black", "marker": ".", "markersize": 5, "alpha": 0.45}
        handles.append(Line2D([], [], linestyle="", markeredgewidth=0, label="one seed", **look))
    return handles


def _limits(ax, percent: pd.Series) -> None:
    """Limits around the scores of a panel, at least 20 points apart so that noise does not fill the
    axis."""
    if percent.empty:
        return
    middle, half = (
        (percent.min() + percent.max()) / 2,
        max(10.0, 0.6 * (percent.max() - percent.min())),
    )
    middle = min(max(middle, half), 100 - half) if half < 50 else 50
    ax.set_ylim(middle - 1.06 * half, middle + 1.06 * half)


def _method_line(ax, rows: pd.DataFrame, colour: str, marker: str) -> None:
    """One method in one panel: the mean over its seeds, and each seed where there are several."""
    if rows.empty:
        return
    swept = rows[rows["value"].notna()]
    means = 100 * swept.groupby("value")["score"].mean()
    mean_line(ax, means, colour, marker)
    if swept["seed"].nunique() > 1:
        ax.plot(
            swept["value"],
            100 * swept["score"],
            ".",
            color=colour,
            markersize=5,
            alpha=0.45,
            markeredgewidth=0,
            zorder=2,
        )
    fixed = rows[rows["value"].isna()]
    if len(fixed):
        ax.axhline(
            100 * fixed["score"].mean(), color=colour, linestyle="--", linewidth=1, zorder=1.5
        )
        if fixed["seed"].nunique() > 1:
            low, high = 100 * fixed["score"].min(), 100 * fixed["score"].max()
            ax.axhspan(low, high, color=colour, alpha=0.1, linewidth=0, zorder=1)
