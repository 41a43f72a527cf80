"""The differences between methods and a reference, with their intervals: a forest plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hypertax.evaluation.bootstrap import BETTER, FEW, FEWEST, NEITHER, WORSE
from hypertax.evaluation.protocol import PAIRINGS
from hypertax.figures.looks import Look, looks_of
from hypertax.figures.style import (
    FAINT,
    INK,
    MUTED,
    SMALL,
    TEXT,
    finish,
    new_figure,
    panel_grid,
    shade,
    style,
)
from hypertax.taxonomy import RANKS

COLUMNS = 6
"""Panels beside one another at most."""
ROW = 0.118
"""Inches of height of a cell."""
KINDS = {
    ("standard", "seen"): "seen species",
    ("standard", "unseen"): "unseen species",
    ("novel", "unseen"): "novel species",
}
"""Protocol and split of `hypertax.evaluation.comparison.compare`, and their name in figures."""


def cells_to_show(differences: pd.DataFrame, average: str = "macro") -> pd.DataFrame:
    """The cells of a forest plot: one average, without the harmonic means of seen and unseen.

    Args:
        differences: as `hypertax.evaluation.comparison.compare` makes it.
        average: "macro" or "micro".
    """
    kinds = pd.Series(
        list(zip(differences["protocol"], differences["split"], strict=True)),
        index=differences.index,
    )
    return differences[(differences["average"] == average) & kinds.isin(list(KINDS))]


def verdict_sentence(cells: pd.DataFrame) -> str:
    """How many cells say better, worse and no difference shown; the most frequent comes first.

    Args:
        cells: with a column `verdict`.
    """
    counts = {
        verdict: int((cells["verdict"] == verdict).sum())
        for verdict in (NEITHER, WORSE, BETTER, FEW)
    }
    first, *others = sorted(counts, key=lambda verdict: -counts[verdict])
    what = f"{len(cells)} cells" if len(cells) != 1 else "1 cell"
    rest = ", ".join(f"{verdict} in {counts[verdict]}" for verdict in others if counts[verdict])
    return f"{first.capitalize()} in {counts[first]} of {what}" + (f", {rest}" if rest else "")


def difference_intervals(
    differences: pd.DataFrame,
    *,
    average: str = "macro",
    methods: Sequence[str] | None = None,
    looks: Mapping[str, Look] | None = None,
) -> Figure:
    """A forest plot: top-1 accuracy minus the reference's with its 95 % interval, a panel a method.

    A row is a cell: a pairing, a kind of species and a rank. A filled mark is an interval that
    excludes zero, a hollow one an interval that does not. The title counts the verdicts of all
    cells shown. All panels have the same axis; an arrow marks an interval that leaves it.

    Args:
        differences: as `hypertax.evaluation.comparison.compare` makes it, against one reference.
        average: "macro" or "micro".
        methods: which are shown, by default all. The title counts these.
        looks: method -> colour and marker (default: `looks_of`).

    Raises:
        ValueError: no cell is left to show, or there are several references.
    """
    cells = cells_to_show(differences, average)
    methods = list(dict.fromkeys(cells["method"])) if methods is None else list(methods)
    cells = cells[cells["method"].isin(methods)]
    if cells.empty:
        raise ValueError(
            f"There are no differences of {average} accuracy to show: give the frame that"
            " hypertax.evaluation.comparison.compare makes."
        )
    references = list(cells["reference"].unique())
    if len(references) > 1:
        raise ValueError(
            f"The differences are against {' and '.join(references)}: give those against one"
            " reference."
        )
    looks = looks_of(methods, looks)
    places, heads = _places(cells)
    limit = _limit(cells)
    with style():
        columns = min(COLUMNS, len(methods))
        rows = -(-len(methods) // columns)
        height = ROW * (max([*places.values(), *heads.values()]) + 3.6)
        fig = new_figure(TEXT, rows * (height + 0.8) + 0.6)
        fig.get_layout_engine().set(w_pad=0.02, wspace=0.01)
        axes = panel_grid(fig, len(methods), columns)
        for i, (ax, method) in enumerate(zip(axes, methods, strict=True)):
            own = cells[cells["method"] == method]
            _panel(ax, own, places, looks[method], limit)
            _frame(ax, places, heads, limit, named=i % columns == 0)
            _counts(ax, own, limit)
            ax.set_title(fill(_whole(method), int(5.2 / columns / 0.061)), fontsize=7)
            ax.set_xlabel("points")
        fig.suptitle(
            _title(cells, methods, references[0], average),
            fontsize=8,
            fontweight="bold",
            x=0.01,
            ha="left",
        )
        fig.legend(
            handles=_handles(cells, limit), loc="outside lower center", ncols=2, handlelength=2.4
        )
        return finish(fig)


def _whole(label: str) -> str:
    """The label with "c = 1" kept on one line."""
    return label.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")


def _title(cells: pd.DataFrame, methods: list[str], reference: str, average: str) -> str:
    """The finding, computed from the verdicts, above what the axes show."""
    who = methods[0] if len(methods) == 1 else f"{len(methods)} methods"
    shown = f"{average} top-1 accuracy minus that of {reference}"
    return f"{who}: {verdict_sentence(cells).lower()}\n{shown}"


def _places(cells: pd.DataFrame) -> tuple[dict[tuple, float], dict[tuple[str, str], float]]:
    """Heights from the top: of every cell (pairing, kind, rank), and of the groups' headings."""
    present = {_cell(row) for row in cells.to_dict("records")}
    places, heads, y = {}, {}, 0.0
    for pairing in PAIRINGS:
        for kind in KINDS.values():
            ranks = [rank for rank in RANKS if (pairing, kind, rank) in present]
            if ranks:
                heads[pairing, kind] = y
                y += 1.0
            for rank in ranks:
                places[pairing, kind, rank] = y
                y += 1.0
            y += 0.35 if ranks else 0.0
        y += 0.4
    return places, heads


def _cell(row: dict) -> tuple[str, str, str]:
    return row["pairing"], KINDS[row["protocol"], row["split"]], row["rank"]


def _limit(cells: pd.DataFrame) -> float:
    """Half the axis in points: nine tenths of the intervals end within it.

    One method far from the reference must not squeeze the others' intervals together.
    """
    ends = 100 * cells[["low", "difference", "high"]].abs().max(axis=1)
    return float(1.08 * max(2.0, ends.quantile(0.9)))


def _panel(ax: Axes, cells: pd.DataFrame, places: dict, look: Look, limit: float) -> None:
    """One method's intervals. Each is a line labelled with its cell, for whoever reads the axes."""
    for row in cells.to_dict("records"):
        y = places[_cell(row)]
        low, middle, high = (100 * row[name] for name in ("low", "difference", "high"))
        sure = row["verdict"] in (BETTER, WORSE)
        ax.plot(
            [low, high],
            [y, y],
            color=look.colour,
            linewidth=1.3 if sure else 0.9,
            solid_capstyle="butt",
            label="/".join(_cell(row)),
            zorder=3,
        )
        ax.plot(
            middle,
            y,
            look.marker,
            color=look.colour,
            markersize=4.0,
            markerfacecolor=look.colour if sure else "white",
            markeredgewidth=0.8,
            zorder=4,
        )
        for end, side in ((low, -1), (high, 1)):
            if abs(end) > limit and np.sign(end) == side:
                ax.plot(
                    0.985 * side * limit,
                    y,
                    "<" if side < 0 else ">",
                    color=shade(look.colour),
                    markersize=3.0,
                    zorder=5,
                )


def _frame(ax: Axes, places: dict, heads: dict, limit: float, *, named: bool) -> None:
    """Zero line, sides, and (at the left) the cells' names."""
    bottom = max(places.values()) + 0.8
    ax.set(xlim=(-limit, limit), ylim=(bottom, -3.0))
    ax.grid(False)
    ax.axvline(0, ymax=(bottom + 0.5) / (bottom + 3.0), color=INK, linewidth=0.8, zorder=1)
    for y in heads.values():
        ax.axhspan(y - 0.5, y + 0.5, color=FAINT, alpha=0.45, linewidth=0, zorder=0)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.xaxis.get_major_locator().set_params(nbins=4, symmetric=True)
    if named:
        labels = {y: "   ".join(("", rank)) for (_, _, rank), y in places.items()}
        labels |= {y: f"{pairing}, {kind}" for (pairing, kind), y in heads.items()}
        ax.set_yticks(sorted(labels), [labels[y] for y in sorted(labels)], fontsize=SMALL)
        ax.tick_params(axis="y", length=0, pad=2)


def _counts(ax: Axes, cells: pd.DataFrame, limit: float) -> None:
    """The sides' names over the axis, and under each how many cells have that verdict."""
    sides = (
        (-limit, "left", "worse", WORSE),
        (0, "center", "none", NEITHER),
        (limit, "right", "better", BETTER),
    )
    for x, side, word, verdict in sides:
        count = int((cells["verdict"] == verdict).sum())
        look = {"fontsize": SMALL, "ha": side, "va": "center"}
        ax.text(x, -2.3, word, color=MUTED, **look)
        ax.text(x, -1.25, f"{count}", fontweight="bold", **look)


def _handles(cells: pd.DataFrame, limit: float) -> list[Line2D]:
    """What filled and hollow marks and arrows mean."""
    seeds = int(cells["seeds"].max())
    many = "1 seed" if seeds == 1 else f"mean of {seeds} seeds"
    look = {"color": INK, "marker": "o", "markersize": 4}
    handles = [
        Line2D([], [], **look, label="95 % interval excludes zero"),
        Line2D([], [], **look, markerfacecolor="white", label="none: no difference shown"),
        Line2D([], [], linestyle="", label=f"paired bootstrap over the species, {many}"),
    ]
    if (cells["verdict"] == FEW).any():
        few = f"no line: fewer than {FEWEST} species"
        handles.append(Line2D([], [], **look, linestyle="", markerfacecolor="white", label=few))
    if (100 * cells[["low", "high"]].abs() > limit).any(axis=None):
        look = {"color": INK, "marker": "<", "markersize": 3, "linestyle": ""}
        handles.append(Line2D([], [], **look, label="the interval goes on beyond the axis"))
    return handles
