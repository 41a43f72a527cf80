"""Figure of the open-world evaluation: how precise answers are when only the most confident ones
are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hypertax.evaluation.answers import seed_pairs
from hypertax.evaluation.open_world.comparison import choose_scores, open_world_scores
from hypertax.evaluation.open_world.curves import (
    PRECISION,
    at_thresholds,
    precision_coverage,
    thresholds,
)
from hypertax.figures.looks import Look, looks_of
from hypertax.figures.style import (
    INK,
    MUTED,
    SMALL,
    TEXT,
    finish,
    legend_columns,
    method_handle,
    new_figure,
    say_why_empty,
    shade,
    style,
)
from hypertax.taxonomy import RANKS

RANKS_SHOWN = ("family", "genus", "species")
STEPS = 200
"""Steps of coverage that a line has."""
DASHES = (0, (3, 2))
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
    reference: str | None = None,
    looks: Mapping[str, Look] | None = None,
) -> Figure:
    """Precision (%) of the test queries against coverage (%), and below it the difference to a
    reference in points; a column per rank, two rows of panels per group of queries.

    Lines are the mean over the seeds, bands their range. Each method is drawn with the score of
    confidence that its validation queries choose for the area of the panel's group, named in the
    panel. Markers are the point at that score's threshold for the wanted precision (dashed), the
    mean of the seeds that have one. Each panel has its own range. A panel without queries, or of
    novel species at species, where all is wrong, says so.

    Args:
        val, test: of `hypertax.evaluation.open_world.comparison.study_answers`.
        pairing: whose answers.
        groups: of `hypertax.evaluation.open_world.curves.GROUPS`.
        ranks: a column each.
        precision: the wanted one (0..1).
        reference: the method whose precision is subtracted; default: the first one.
        looks: method -> colour and marker (default: `looks_of`).

    Raises:
        ValueError: no answers of the pairing, or none of the reference.
    """
    val, test = (frame[frame["pairing"] == pairing] for frame in (val, test))
    if test.empty or val.empty:
        raise ValueError(
            f"There are no answers of {pairing} for {'test' if test.empty else 'validation'}"
            " queries to draw."
        )
    methods = list(dict.fromkeys(test["method"]))
    reference = reference or methods[0]
    if reference not in methods:
        raise ValueError(
            f"There are no answers of {reference!r}; the methods are"
            f" {', '.join(map(repr, methods))}."
        )
    looks = looks_of(methods, looks)
    chosen = _chosen(val, test, precision)
    val, test = (frame[frame["rank"].isin(ranks)] for frame in (val, test))
    lines, points = (
        precision_coverage(test, tuple(groups)),
        at_thresholds(test, thresholds(val, precision), tuple(groups)),
    )
    with style():
        fig = new_figure(TEXT, 3.35 * len(groups) + 0.5 + 0.16 * -(-len(methods) // 4))
        axes = fig.subplots(
            2 * len(groups),
            len(ranks),
            squeeze=False,
            sharex=True,
            height_ratios=[1.9, 1.25] * len(groups),
        )
        for i, group in enumerate(groups):
            for (upper, lower), rank in zip(axes[2 * i : 2 * i + 2].T, ranks, strict=True):
                scores = {m: chosen[m, rank, group] for m in methods if (m, rank, group) in chosen}
                scores = {} if (rank, group) == (RANKS[-1], "novel") else scores
                cells = {
                    m: [_cell(frame, m, rank, group, score) for frame in (lines, points)]
                    for m, score in scores.items()
                }
                _panel(upper, cells, scores, looks, group, precision)
                upper.set_title(f"{rank}, {_GROUPS[group]}")
                _differences(lower, cells, reference, looks, group)
            axes[2 * i, 0].set_ylabel("precision (%)")
            axes[2 * i + 1, 0].set_ylabel(fill(f"minus {reference} (points)", 18))
        axes[0, 0].set_xlim(-2, 102)
        for ax in axes[-1]:
            ax.set_xlabel("coverage (%)")
        handles = [method_handle(m, looks[m], linestyle="-") for m in methods]
        wanted = f"precision {100 * precision:.0f} %"
        handles.append(Line2D([], [], color=MUTED, lw=0.7, ls=DASHES, label=wanted))
        fig.legend(handles=handles, loc="outside lower center", ncols=legend_columns(handles, TEXT))
        return finish(fig)


def _why_empty(ax, group: str) -> None:
    say_why_empty(ax, "no right answer" if group.startswith("novel") else "no such queries")
    ax.set_yticks([])


def _panel(
    ax, cells: dict, scores: dict[str, str], looks: dict[str, Look], group: str, precision: float
) -> None:
    """Precision against coverage of all methods, on a range of its own."""
    if not any(len(lines) for lines, _ in cells.values()):
        _why_empty(ax, group)
        return
    ax.axhline(100 * precision, color=MUTED, linewidth=0.7, linestyle=DASHES, zorder=1)
    for method, (lines, points) in cells.items():
        _draw(ax, _by_seed(lines), points, looks[method])
    _name_scores(ax, {method: (score, looks[method].colour) for method, score in scores.items()})
    lowest = min(ax.dataLim.y0, 100 * precision)
    ax.set_ylim(100 - 1.12 * max(2.0, 100 - lowest), 100 + 0.04 * max(2.0, 100 - lowest))


def _differences(ax, cells: dict, reference: str, looks: dict[str, Look], group: str) -> None:
    """Precision minus the reference's at the same coverage, seed by seed."""
    base = _by_seed(cells[reference][0]) if reference in cells else {}
    if not base:
        _why_empty(ax, group)
        return
    ax.axhline(0, color=looks[reference].colour, linewidth=1.0, zorder=1.5)
    for method, (lines, _) in cells.items():
        own = _by_seed(lines)
        seeds = [own[a] - base[b] for a, b in seed_pairs(own, base)]
        if method != reference and seeds:
            _band(ax, np.stack(seeds), looks[method].colour)
    reach = max(1.0, 1.08 * np.abs(ax.dataLim.intervaly).max())
    ax.set_ylim(-reach, reach)


def _by_seed(lines: pd.DataFrame) -> dict[int, np.ndarray]:
    """seed -> precision (STEPS,) in % at equal steps of coverage.

    A point answers every query of at least its confidence: up to its coverage, precision is the
    point's.
    """
    grid = np.arange(1, STEPS + 1) / STEPS
    return {
        seed: 100
        * own["precision"].to_numpy()[
            np.searchsorted(own["coverage"].to_numpy(), grid - 1e-9).clip(max=len(own) - 1)
        ]
        for seed, own in lines.groupby("seed", sort=False)
    }


def _band(ax, seeds: np.ndarray, colour: str) -> None:
    """The mean of the seeds (S, STEPS) as a line, their range as a band."""
    grid = 100 * np.arange(1, STEPS + 1) / STEPS
    low, high = seeds.min(axis=0), seeds.max(axis=0)
    ax.fill_between(grid, low, high, color=colour, alpha=0.18, linewidth=0, zorder=2)
    ax.plot(grid, seeds.mean(axis=0), color=colour, zorder=3)


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


def _draw(ax, seeds: dict[int, np.ndarray], points: pd.DataFrame, look: Look) -> None:
    """One method's line, and its marker at the threshold."""
    if not seeds:
        return
    _band(ax, np.stack(list(seeds.values())), look.colour)
    given = points[points["coverage"] > 0]
    if len(given):
        ax.plot(
            100 * given["coverage"].mean(),
            100 * given["precision"].mean(),
            look.marker,
            color=look.colour,
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
