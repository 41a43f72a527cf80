"""Figures of accuracy: by rank, and as bars on the validation queries."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hypertax.evaluation.protocol import PAIRINGS
from hypertax.figures.looks import Look, looks_of
from hypertax.figures.style import (
    COLUMN,
    SMALL,
    TEXT,
    finish,
    legend_columns,
    method_handle,
    new_figure,
    panel_grid,
    percent_axis,
    say_why_empty,
    style,
)
from hypertax.taxonomy import RANKS


def _rows(scores: pd.DataFrame, **wanted) -> pd.DataFrame:
    """The rows of a scores table with the given values; columns it lacks do not narrow it."""
    for column, value in wanted.items():
        if column in scores:
            scores = scores[scores[column] == value]
    if scores.empty:
        raise ValueError(
            f"No accuracies match {', '.join(f'{k} = {v}' for k, v in wanted.items())}: choose"
            " values that the table has."
        )
    return scores if "method" in scores else scores.assign(method="run")


def accuracy_by_rank(
    scores: pd.DataFrame,
    *,
    stage: str = "test",
    protocol: str = "standard",
    ranking: str = "distance",
    k: int = 1,
    average: str = "macro",
    looks: Mapping[str, Look] | None = None,
) -> Figure:
    """Accuracy (%) at each rank, a row of panels per pairing, seen and unseen species beside one
    another (one split alone: pairings).

    A mark per method, in the same order at every rank, is the mean over the seeds, with the
    standard deviation as a line and single seeds as faint dots. The "novel" protocol has unseen
    queries alone.

    Args:
        scores: the long table of `hypertax.evaluation.evaluate`, with a column `method` where there
            are several.
        stage, protocol, ranking, k, average: which rows of it.
        looks: method -> colour and marker (default: `looks_of`).

    Raises:
        ValueError: no row is of the wanted kind.
    """
    table = _rows(scores, stage=stage, protocol=protocol, ranking=ranking, k=k, average=average)
    splits = [split for split in ("seen", "unseen") if (table["split"] == split).any()]
    pairings = [p for p in PAIRINGS if (table["pairing"] == p).any()]
    ranks = [rank for rank in RANKS if (table["rank"] == rank).any()]
    methods = list(dict.fromkeys(table["method"]))
    looks = looks_of(methods, looks)
    # Methods fill four fifths of a rank's share of the axis; what is left keeps the ranks apart.
    slot = 0.8 / max(len(methods), 4)
    offsets = {method: slot * (i - (len(methods) - 1) / 2) for i, method in enumerate(methods)}
    with style():
        # Seen and unseen stand side by side; where there is one split alone, the pairings do.
        panels = [(p, split) for p in pairings for split in splits]
        columns = len(splits) if len(splits) > 1 else len(pairings)
        width = TEXT if columns > 1 else COLUMN + 0.3
        legend_rows = -(-len(methods) // (4 if columns > 1 else 2))
        fig = new_figure(width, 1.75 * (len(panels) // columns) + 0.45 + 0.16 * legend_rows)
        axes = fig.subplots(
            len(panels) // columns, columns, squeeze=False, sharex=True, sharey=True
        )
        for ax, (pairing, split) in zip(axes.flat, panels, strict=True):
            panel = table[(table["pairing"] == pairing) & (table["split"] == split)]
            _rank_marks(ax, panel, ranks, offsets, looks)
            if panel["value"].isna().all():
                say_why_empty(ax, "no such queries")
            ax.set_title(f"{pairing}, {split if protocol == 'standard' else 'novel'} species")
            ax.set_xticks(range(len(ranks)), ranks)
            ax.set_xlim(-0.5, len(ranks) - 0.5)
            ax.tick_params(axis="x", length=0)
            percent_axis(ax)
        for ax in axes[:, 0]:
            ax.set_ylabel(f"{average} top-{k} (%)")
        for ax in axes[-1]:
            ax.set_xlabel("rank")
        handles = [method_handle(method, looks[method]) for method in methods]
        fig.legend(
            handles=handles,
            loc="outside lower center",
            ncols=legend_columns(handles, fig.get_figwidth()),
        )
        return finish(fig)


def _rank_marks(
    ax, panel: pd.DataFrame, ranks: list[str], offsets: dict[str, float], looks: dict[str, Look]
) -> None:
    """One panel: means, standard deviations and single seeds, methods side by side at a rank."""
    for i in range(0, len(ranks), 2):
        ax.axvspan(i - 0.5, i + 0.5, color="#f4f4f4", linewidth=0, zorder=0)
    for method, offset in offsets.items():
        values = 100 * panel[panel["method"] == method].groupby("rank")["value"].agg(
            ["mean", "std"]
        ).reindex(ranks)
        x = np.arange(len(ranks)) + offset
        look = {"color": looks[method].colour, "marker": looks[method].marker}
        ax.errorbar(
            x,
            values["mean"],
            values["std"].fillna(0),
            **look,
            linestyle="",
            markersize=4.4,
            elinewidth=1.1,
            capsize=0,
            markeredgecolor="white",
            markeredgewidth=0.4,
            zorder=3,
        )
        single = panel[(panel["method"] == method) & panel["value"].notna()]
        if single["seed"].nunique() > 1 if "seed" in single else len(single) > len(ranks):
            at = single["rank"].map({rank: place for rank, place in zip(ranks, x, strict=True)})
            ax.plot(
                at,
                100 * single["value"],
                ".",
                color=looks[method].colour,
                markersize=3.2,
                markeredgewidth=0,
                alpha=0.4,
                zorder=2,
            )


def validation_bars(
    scores: pd.DataFrame,
    *,
    stage: str = "val",
    rank: str = "species",
    average: str = "macro",
    ranking: str = "distance",
    looks: Mapping[str, Look] | None = None,
) -> Figure:
    """Top-1 accuracy (%) at one rank for each pairing, seen (full) and unseen (light) species,
    values above; for one or a few methods."""
    table = _rows(
        scores, stage=stage, protocol="standard", ranking=ranking, k=1, average=average, rank=rank
    )
    table = table[table["split"].isin(["seen", "unseen"])]
    pairings, methods = (
        [p for p in PAIRINGS if (table["pairing"] == p).any()],
        list(dict.fromkeys(table["method"])),
    )
    looks = looks_of(methods, looks)
    bars = [(method, split) for method in methods for split in ("seen", "unseen")]
    width = 0.8 / len(bars)
    with style():
        wide = len(methods) > 2
        fig = new_figure(TEXT if wide else COLUMN, 2.0 + 0.17 * -(-len(bars) // (4 if wide else 2)))
        (ax,) = panel_grid(fig, 1, 1)
        for i, (method, split) in enumerate(bars):
            own = table[(table["method"] == method) & (table["split"] == split)]
            means = 100 * own.groupby("pairing")["value"].mean().reindex(pairings)
            x = np.arange(len(pairings)) + (i - (len(bars) - 1) / 2) * width
            look = {"facecolor": looks[method].colour, "hatch": "" if split == "seen" else "//////"}
            ax.bar(x, means.fillna(0), 0.92 * width, edgecolor="white", linewidth=0, **look)
            for place, value in zip(x, means, strict=True):
                if not np.isnan(value):
                    ax.text(
                        place, value + 1.5, f"{value:.0f}", ha="center", va="bottom", fontsize=SMALL
                    )
        ax.set_xticks(range(len(pairings)), pairings)
        ax.set_ylim(0, 109)
        ax.set_yticks(range(0, 101, 25))
        ax.set_ylabel(f"{rank} {average} top-1 (%)")
        ax.set_xlabel("query to key")
        colour = {(m, s): looks[m].colour for m, s in bars}
        handles = [
            ax.bar(
                [0],
                [0],
                facecolor=colour[b],
                hatch="" if b[1] == "seen" else "//////",
                edgecolor="white",
                linewidth=0,
            )[0]
            for b in bars
        ]
        names = [
            f"{split} species" if len(methods) == 1 else f"{method}, {split}"
            for method, split in bars
        ]
        fig.legend(handles, names, loc="outside lower center", ncols=4 if wide else 2)
        return finish(fig)
