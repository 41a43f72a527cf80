"""Figure of the open-world evaluation: how precise answers are when only the most confident ones
are given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hypertax.evaluation.open_world.comparison import choose_scores, open_world_scores
from hypertax.evaluation.open_world.curves import (
    PRECISION,
    at_thresholds,
    precision_coverage,
    thresholds,
)
from hypertax.figures.style import (
    INK,
    MARKERS,
    MUTED,
    SMALL,
    TEXT,
    finish,
    legend_columns,
    method_colours,
    new_figure,
    percent_axis,
    shade,
    style,
)
from hypertax.taxonomy import RANKS

RANKS_SHOWN = ("family", "genus", "species")
STEPS = 200
_GROUPS = {
    "all": "seen and novel",
    "seen": "seen",
    "novel placeable": "novel, placeable",
    "novel": "novel",
}


def precision_against_coverage(
    val: pd.DataFrame,
    test: pd.DataFrame,
    *,
    pairing: str = "DNA to DNA",
    groups: Sequence[str] = ("all",),
    ranks: Sequence[str] = RANKS_SHOWN,
    precision: float = PRECISION,
    colours: dict[str, str] | None = None,
) -> Figure:
    """Precision (%) of the test queries against coverage (%), a panel per rank, a row per group of
    queries, a line per method.

    Lines are the mean over the seeds, bands their range. Each method is drawn with the score of
    confidence that its validation queries choose for the area of the panel's group, named in the
    panel; markers are the point at that score's threshold for the wanted precision (dashed), the
    mean of the seeds that have one. A panel without queries, or of novel species at species, where
    all is wrong, says so.

    Args:
        val, test: of `hypertax.evaluation.open_world.comparison.study_answers`. groups: of
        `hypertax.evaluation.open_world.curves.GROUPS`. colours: method to colour.

    Raises:
        ValueError: no answers of the pairing.
    """
    val, test = (frame[frame["pairing"] == pairing] for frame in (val, test))
    if test.empty or val.empty:
        raise ValueError(
            f"There are no answers of {pairing} for {'test' if test.empty else 'validation'}"
            " queries to draw."
        )
    methods = list(dict.fromkeys(test["method"]))
    colours = colours or method_colours(methods)
    chosen = _chosen(val, test, precision)
    val, test = (frame[frame["rank"].isin(ranks)] for frame in (val, test))
    lines, points = (
        precision_coverage(test, tuple(groups)),
        at_thresholds(test, thresholds(val, precision), tuple(groups)),
    )
    with style():
        fig = new_figure(TEXT, 2.1 * len(groups) + 0.5 + 0.16 * -(-len(methods) // 4))
        axes = fig.subplots(len(groups), len(ranks), squeeze=False, sharex=True, sharey=True)
        for row, group in zip(axes, groups, strict=True):
            for ax, rank in zip(row, ranks, strict=True):
                ax.set_title(f"{rank}, {_GROUPS[group]}")
                ax.axhline(
                    100 * precision, color=MUTED, linewidth=0.7, linestyle=(0, (3, 2)), zorder=1
                )
                scores = {
                    method: chosen[method, rank, group]
                    for method in methods
                    if (method, rank, group) in chosen
                }
                scores = {} if (rank, group) == (RANKS[-1], "novel") else scores
                if not scores:
                    reason = "no right answer" if group.startswith("novel") else "no such queries"
                    ax.text(
                        0.5,
                        0.5,
                        reason,
                        transform=ax.transAxes,
                        ha="center",
                        va="center",
                        color=MUTED,
                    )
                for method, score in scores.items():
                    mark = MARKERS[methods.index(method) % len(MARKERS)]
                    _draw(
                        ax,
                        _cell(lines, method, rank, group, score),
                        _cell(points, method, rank, group, score),
                        colours[method],
                        mark,
                    )
                _name_scores(
                    ax, {method: (score, colours[method]) for method, score in scores.items()}
                )
        axes[0, 0].set_xlim(-2, 102)
        percent_axis(axes[0, 0], lower=_lower_limit(axes))
        for ax in axes[:, 0]:
            ax.set_ylabel("precision (%)")
        for ax in axes[-1]:
            ax.set_xlabel("coverage (%)")
        look = {"markersize": 5, "markeredgecolor": "white", "markeredgewidth": 0.5}
        handles = [
            Line2D([], [], color=colours[m], marker=MARKERS[i % len(MARKERS)], label=m, **look)
            for i, m in enumerate(methods)
        ]
        handles.append(
            Line2D(
                [],
                [],
                color=MUTED,
                linewidth=0.7,
                linestyle=(0, (3, 2)),
                label=f"precision {100 * precision:.0f} %",
            )
        )
        fig.legend(handles=handles, loc="outside lower center", ncols=legend_columns(handles, TEXT))
        return finish(fig)


def _lower_limit(axes) -> float:
    """Where the axis of the precision begins, in %: a multiple of ten with room for the scores'
    names below the lines."""
    lowest = min((ax.dataLim.y0 for ax in axes.flat if np.isfinite(ax.dataLim.y0)), default=0)
    return max(0, 10 * np.floor(lowest / 10) - 10)


def _chosen(
    val: pd.DataFrame, test: pd.DataFrame, precision: float
) -> dict[tuple[str, str, str], str]:
    """The score for the area by method, rank and group."""
    scores = choose_scores(open_world_scores(val, test, precision))
    return (
        scores[scores["measure"] == "area"]
        .set_index(["method", "rank", "group"])["score"]
        .to_dict()
    )


def _cell(frame: pd.DataFrame, method: str, rank: str, group: str, score: str) -> pd.DataFrame:
    return frame[
        (frame["method"] == method)
        & (frame["rank"] == rank)
        & (frame["group"] == group)
        & (frame["score"] == score)
    ]


def _draw(ax, lines: pd.DataFrame, points: pd.DataFrame, colour: str, marker: str) -> None:
    grid = np.arange(1, STEPS + 1) / STEPS
    # A point answers every query of at least its confidence: up to its coverage, precision is the
    # point's.
    seeds = [
        own["precision"].to_numpy()[
            np.searchsorted(own["coverage"].to_numpy(), grid - 1e-9).clip(max=len(own) - 1)
        ]
        for _, own in lines.groupby("seed", sort=False)
    ]
    if not seeds:
        return
    seeds = 100 * np.stack(seeds)
    ax.fill_between(
        100 * grid,
        seeds.min(axis=0),
        seeds.max(axis=0),
        color=colour,
        alpha=0.18,
        linewidth=0,
        zorder=2,
    )
    ax.plot(100 * grid, seeds.mean(axis=0), color=colour, zorder=3)
    given = points[points["coverage"] > 0]
    if len(given):
        place = 100 * given["coverage"].mean(), 100 * given["precision"].mean()
        ax.plot(
            *place,
            marker,
            color=colour,
            markersize=5.5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=4,
        )


def _name_scores(ax, scores: dict[str, tuple[str, str]]) -> None:
    """The scores' names in the methods' colours, upwards from the lower left corner."""
    for i, (score, colour) in enumerate(reversed(scores.values())):
        offset = {"xytext": (4, 3 + 8.5 * i), "textcoords": "offset points"}
        box = {
            "boxstyle": "square,pad=0.1",
            "facecolor": "white",
            "edgecolor": "none",
            "alpha": 0.75,
        }
        ax.annotate(
            score,
            (0, 0),
            xycoords="axes fraction",
            fontsize=SMALL,
            color=shade(colour),
            bbox=box,
            zorder=5,
            **offset,
        )
    if scores:
        offset = {"xytext": (4, 3 + 8.5 * len(scores)), "textcoords": "offset points"}
        ax.annotate(
            "confidence by",
            (0, 0),
            xycoords="axes fraction",
            fontsize=SMALL,
            color=INK,
            zorder=5,
            **offset,
        )
