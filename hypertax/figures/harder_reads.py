"""How well reads are named that are short, in error or reversed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hypertax.evaluation.harder_reads import NOVELTY, SERIES
from hypertax.figures.looks import Look, looks_of
from hypertax.figures.style import TEXT, finish, method_handle, new_figure, style

_COLUMNS = 3


def scores_of_harder_reads(
    scores: pd.DataFrame, *, looks: Mapping[str, Look] | None = None, title: str = ""
) -> Figure:
    """Scores (%) against the kind of read: a panel per measure, a marker per method, the methods
    side by side at each kind.

    A line joins the kinds that get harder step by step. A marker is the mean over the seeds.
    Panels have ranges of their own.

    Args:
        scores: of `hypertax.study.ask_harder`.
        looks: method -> colour and marker (default: `looks_of`).
        title: above the figure.

    Raises:
        ValueError: no score is a number.
    """
    scores = scores[scores["value"].notna()]
    if scores.empty:
        raise ValueError("There are no scores of harder reads: give at least one number.")
    given = set(scores["reads"])
    series = [[kind for kind in kinds if kind in given] for kinds in SERIES]
    kinds = [kind for part in series for kind in part]
    measures = list(dict.fromkeys(scores["measure"]))
    methods = list(dict.fromkeys(scores["method"]))
    looks = looks_of(methods, looks)
    means = 100 * scores.groupby(["measure", "method", "reads"])["value"].mean()
    slot = 0.72 / max(len(methods), 4)
    with style():
        rows = -(-(len(measures) + 1) // _COLUMNS)
        fig = new_figure(TEXT, 2.15 * rows + 0.85)
        axes = fig.subplots(rows, _COLUMNS, squeeze=False).ravel()
        for place, measure in enumerate(measures):
            ax = axes[place]
            for i, method in enumerate(methods):
                offset = slot * (i - (len(methods) - 1) / 2)
                own = means.get((measure, method), pd.Series(dtype=float))
                _method(ax, own, series, kinds, offset, looks[method])
            for i in range(0, len(kinds), 2):
                ax.axvspan(i - 0.5, i + 0.5, color="#f4f4f4", linewidth=0, zorder=0)
            ax.set_title(measure)
            ax.set_xlim(-0.5, len(kinds) - 0.5)
            ax.set_xticks(
                range(len(kinds)), kinds, rotation=45, ha="right", rotation_mode="anchor"
            )
            ax.tick_params(axis="x", length=0)
            ax.set_ylabel("AUROC (%)" if measure == NOVELTY else "macro top-1 (%)")
            _limits(ax, means[measure])
            # The lowest panel of a column says what the kinds are.
            ax.tick_params(axis="x", labelbottom=place + _COLUMNS >= len(measures))
        free = axes[len(measures) :]
        for ax in free:
            ax.axis("off")
        handles = [method_handle(method, looks[method], linestyle="-") for method in methods]
        free[0].legend(handles=handles, loc="center left", title="nearest key by")
        if title:
            fig.suptitle(title, x=0.01, ha="left", fontsize=9, fontweight="bold")
        return finish(fig)


def _method(
    ax, own: pd.Series, series: list[list[str]], kinds: list[str], offset: float, look: Look
) -> None:
    for part in series:
        x = np.array([kinds.index(kind) for kind in part], dtype=float) + offset
        ax.plot(
            x,
            own.reindex(part),
            color=look.colour,
            marker=look.marker,
            markersize=4.5,
            markeredgecolor="white",
            markeredgewidth=0.4,
            linewidth=0.8,
            zorder=3,
        )


def _limits(ax, values: pd.Series) -> None:
    """Limits around the values, at least 10 points apart, so that noise does not fill the axis."""
    low, high = values.min(), values.max()
    half = max(5.0, 0.53 * (high - low))
    middle = (low + high) / 2
    ax.set_ylim(middle - 1.04 * half, middle + 1.04 * half)
