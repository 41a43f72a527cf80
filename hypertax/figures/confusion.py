"""Confusion as a distance in the tree: where the lineage of a query's nearest key leaves the
query's own."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hypertax.evaluation.hierarchy import SHARED
from hypertax.evaluation.protocol import PAIRINGS
from hypertax.figures.style import (
    INK,
    RANK_COLOURS,
    SMALL,
    TEXT,
    finish,
    legend_columns,
    new_figure,
    say_why_empty,
    style,
    tint,
)

WORDS = {
    "species": "right species",
    "genus": "right genus, wrong species",
    "family": "right family, wrong genus",
    "order": "right order, wrong family",
    "none": "wrong order",
}
_FACES = {
    **{
        rank: tint(RANK_COLOURS["order"], strength)
        for rank, strength in zip(SHARED, (0.92, 0.68, 0.45, 0.24), strict=False)
    },
    "none": "#f2b48c",
}
_DARK = {"species", "genus"}
"""Faces on which white text is read best."""


def confusion_in_the_tree(predictions: pd.DataFrame) -> Figure:
    """Where predictions leave the true lineage: a stacked bar (% of queries) per method and
    pairing, seen and unseen species side by side.

    Args:
        predictions: as `hypertax.evaluation.shared_ranks` makes them: columns `method`, `pairing`,
            `split` ("seen", "unseen"), `shared_rank` (species, genus, family, order, none) and
            `share` (0..1) of all queries, which is a micro average. Of several rows of one bar and
            rank (seeds) the mean is drawn.

    Raises:
        ValueError: the table is empty, or a bar's shares do not add to 1.
    """
    if predictions.empty:
        raise ValueError(
            "There are no predictions to show: give the shares of at least one method and pairing."
        )
    shares = (
        predictions.groupby(["pairing", "method", "split", "shared_rank"], sort=False)["share"]
        .mean()
        .unstack()
        .reindex(columns=SHARED)
        .fillna(0.0)
    )
    wrong = shares.index[(shares.sum(axis=1) - 1).abs() > 1e-6]
    if len(wrong):
        raise ValueError(
            f"The shares of {', '.join(wrong[0])} add to {shares.loc[wrong[0]].sum():.3f}, not"
            " to 1: give all five ranks of each bar."
        )
    methods = list(dict.fromkeys(predictions["method"]))
    given = list(dict.fromkeys(predictions["pairing"]))
    pairings = [p for p in PAIRINGS if p in given] + [p for p in given if p not in PAIRINGS]
    splits = [s for s in ("seen", "unseen") if s in set(predictions["split"])]
    with style():
        fig = new_figure(TEXT, (0.19 * len(methods) + 0.36) * len(pairings) + 0.75)
        axes = fig.subplots(len(pairings), len(splits), squeeze=False, sharex=True, sharey=True)
        for (row, column), ax in np.ndenumerate(axes):
            for i, method in enumerate(methods):
                key = (pairings[row], method, splits[column])
                if key in shares.index:
                    _bar(ax, i, shares.loc[key])
            if not ax.patches:
                say_why_empty(ax, "no such queries")
            ax.set_title(f"{pairings[row]}, {splits[column]} species (micro)")
            ax.set_xlabel("share of the queries (%)" if row == len(pairings) - 1 else "")
            ax.grid(False)
            ax.spines["left"].set_visible(False)
            ax.tick_params(axis="y", length=0)
        axes[0, 0].set_yticks(range(len(methods)), methods)
        axes[0, 0].set(xlim=(0, 100), ylim=(len(methods) - 0.45, -0.55))
        handles = [
            Patch(
                facecolor=_FACES[rank],
                edgecolor=INK,
                linewidth=0.4,
                hatch="////" if rank == "none" else "",
                label=WORDS[rank],
            )
            for rank in SHARED
        ]
        fig.legend(handles=handles, loc="outside lower center", ncols=legend_columns(handles))
        return finish(fig)


def _bar(ax, place: int, shares: pd.Series) -> None:
    """One stacked bar, with the share written where there is room."""
    left = 0.0
    for rank in SHARED:
        width = 100 * float(shares[rank])
        if width == 0:
            continue
        look = (
            {"hatch": "////", "edgecolor": "#b5622c"} if rank == "none" else {"edgecolor": "white"}
        )
        ax.barh(place, width, left=left, height=0.78, facecolor=_FACES[rank], linewidth=0.4, **look)
        if width >= 8:
            halo = (
                {"boxstyle": "square,pad=0.1", "facecolor": _FACES["none"], "edgecolor": "none"}
                if rank == "none"
                else None
            )
            ax.text(
                left + width / 2,
                place,
                f"{width:.0f}",
                ha="center",
                va="center_baseline",
                fontsize=SMALL,
                color="white" if rank in _DARK else INK,
                bbox=halo,
            )
        left += width
