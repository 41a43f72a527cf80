"""Figures of results: accuracy by rank, validation bars, and retrieved specimens."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hypertax.figures.style import (
    COLUMN,
    FAINT,
    INK,
    MARKERS,
    MUTED,
    SMALL,
    TEXT,
    barcode_pixels,
    binomial,
    blank,
    draw_pixels,
    finish,
    legend_columns,
    method_colours,
    new_figure,
    panel_grid,
    percent_axis,
    photograph,
    shade,
    style,
)
from hypertax.taxonomy import RANKS

PAIRINGS = ("DNA to DNA", "image to image", "image to DNA")
RIGHT, WRONG = "#0072B2", "#D55E00"
_NEIGHBOUR_NAMES = {
    "rank_of_neighbour": "place",
    "true_species": "query_species",
    "predicted_species": "key_species",
}


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
    colours: dict[str, str] | None = None,
) -> Figure:
    """Accuracy (%) at each rank, a row of panels per pairing, seen and unseen species beside one
    another (one split alone: pairings).

    A mark per method, in the same order at every rank, is the mean over the seeds, with the
    standard deviation as a line and single seeds as faint dots. The "novel" protocol has unseen
    queries alone.

    scores: the long table of `metrics.evaluate`, with a column `method` where there are several.
    colours: method -> colour.
    """
    table = _rows(scores, stage=stage, protocol=protocol, ranking=ranking, k=k, average=average)
    splits = [split for split in ("seen", "unseen") if (table["split"] == split).any()]
    pairings = [p for p in PAIRINGS if (table["pairing"] == p).any()]
    ranks = [rank for rank in RANKS if (table["rank"] == rank).any()]
    methods = list(dict.fromkeys(table["method"]))
    colours = colours or method_colours(methods)
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
            for i in range(0, len(ranks), 2):
                ax.axvspan(i - 0.5, i + 0.5, color="#f4f4f4", linewidth=0, zorder=0)
            for i, method in enumerate(methods):
                values = 100 * panel[panel["method"] == method].groupby("rank")["value"].agg(
                    ["mean", "std"]
                ).reindex(ranks)
                x = np.arange(len(ranks)) + offsets[method]
                look = {"color": colours[method], "marker": MARKERS[i % len(MARKERS)]}
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
                    at = single["rank"].map(
                        {rank: place for rank, place in zip(ranks, x, strict=True)}
                    )
                    ax.plot(
                        at,
                        100 * single["value"],
                        ".",
                        color=colours[method],
                        markersize=3.2,
                        markeredgewidth=0,
                        alpha=0.4,
                        zorder=2,
                    )
            ax.set_title(f"{pairing}, {split if protocol == 'standard' else 'novel'} species")
            ax.set_xticks(range(len(ranks)), ranks)
            ax.set_xlim(-0.5, len(ranks) - 0.5)
            ax.tick_params(axis="x", length=0)
            percent_axis(ax)
        for ax in axes[:, 0]:
            ax.set_ylabel(f"{average} top-{k} (%)")
        for ax in axes[-1]:
            ax.set_xlabel("rank")
        handles = [
            Line2D(
                [],
                [],
                color=colours[m],
                linestyle="",
                marker=MARKERS[i % len(MARKERS)],
                markersize=4.6,
                label=m,
            )
            for i, m in enumerate(methods)
        ]
        fig.legend(
            handles=handles,
            loc="outside lower center",
            ncols=legend_columns(handles, fig.get_figwidth()),
        )
        return finish(fig)


def validation_bars(
    scores: pd.DataFrame,
    *,
    stage: str = "val",
    rank: str = "species",
    average: str = "macro",
    ranking: str = "distance",
    colours: dict[str, str] | None = None,
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
    colours = colours or method_colours(methods)
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
            look = {"facecolor": colours[method], "hatch": "" if split == "seen" else "//////"}
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
        colour = {(m, s): colours[m] for m, s in bars}
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


def _cell(
    ax, specimen: pd.Series | None, modality: str, edge: str, width: float, left: float, dashes="-"
) -> None:
    """One specimen in the unit square at `left`: photograph where there is one, below it the
    barcode where DNA is compared."""
    image = specimen is not None and pd.notna(specimen.get("image"))
    barcode = (
        specimen is not None
        and pd.notna(specimen.get("barcode"))
        and (modality == "DNA" or not image)
    )
    strip = 0.24 if image and barcode else 0.0
    if image:
        draw_pixels(
            ax,
            photograph(specimen["image"]),
            (left + strip / 2, strip, 1 - strip, 1 - strip),
            edge=edge,
            width=width,
        ).set_linestyle(dashes)
    if barcode:
        rows, high = (4, strip - 0.03) if image else (16, 1.0)
        frame = draw_pixels(
            ax,
            barcode_pixels(specimen["barcode"], rows),
            (left, 0, 1, high),
            edge=edge,
            width=width if not image else 0.4,
        )
        frame.set_linestyle("-" if image else dashes)
    if not image and not barcode:
        ax.text(
            left + 0.5, 0.5, "not\nfound", ha="center", va="center", fontsize=SMALL, color=MUTED
        )


def retrieval_examples(
    examples: pd.DataFrame, specimens: pd.DataFrame, *, neighbours: int = 5
) -> Figure:
    """Queries and their nearest keys, a row per query, by pairing; right keys ticked in a solid
    frame, wrong ones crossed in a dashed one.

    examples: `metrics.retrieval_examples` with a column `pairing` added: pairing, query, place (1 =
    nearest), key, query_species, key_species, correct, and if present `split`, and `shared_rank`,
    which says how near a wrong key is. specimens: the specimen table. Where DNA is compared the
    barcode is under the photograph, base by base (A green, C blue, G yellow, T orange), or takes
    its place where there is none.
    """
    table = examples.rename(columns=_NEIGHBOUR_NAMES)
    table = table if "pairing" in table else table.assign(pairing="")
    table = table[table["place"] <= neighbours].sort_values("place", kind="stable")
    by_id = specimens.drop_duplicates("sampleid").set_index("sampleid")
    order = {pairing: i for i, pairing in enumerate(PAIRINGS)}
    groups = sorted(
        table.groupby(["pairing", "query"], sort=False),
        key=lambda item: order.get(item[0][0], len(order)),
    )
    if not groups:
        raise ValueError("There are no retrieved specimens to show: give at least one query.")
    step, columns = 1.16, int(table["place"].max()) + 1
    shared = "shared_rank" in table
    with style():
        margin, across, below = 0.46, columns * step + 0.24, 0.46 if shared else 0.36
        unit = (TEXT - 0.15) / (across + margin)
        fig = new_figure(TEXT, unit * (1.12 + below) * len(groups) + 0.06 * len(groups) + 0.3)
        axes = panel_grid(fig, len(groups), 1)
        for i, (ax, ((pairing, query), found)) in enumerate(zip(axes, groups, strict=True)):
            query_kind, _, key_kind = pairing.partition(" to ")
            kinds = (query_kind or "image", key_kind or "image")
            first = found.iloc[0]
            _cell(ax, by_id.loc[query] if query in by_id.index else None, kinds[0], INK, 1.0, 0)
            binomial(ax, 0.5, -0.02, first["query_species"])
            for _, row in found.iterrows():
                left = 0.36 + step * row["place"]
                colour, dashes = (RIGHT, "-") if row["correct"] else (WRONG, (0, (2.2, 1.3)))
                _cell(
                    ax,
                    by_id.loc[row["key"]] if row["key"] in by_id.index else None,
                    kinds[1],
                    colour,
                    1.7,
                    left,
                    dashes,
                )
                binomial(ax, left + 0.5, -0.02, row["key_species"], shade(colour))
                if shared and not row["correct"]:
                    nearness = (
                        f"same {row['shared_rank']}"
                        if pd.notna(row["shared_rank"])
                        else "other order"
                    )
                    ax.annotate(
                        f"({nearness})",
                        (left + 0.5, -0.02),
                        xytext=(0, -22.5),
                        textcoords="offset points",
                        ha="center",
                        va="baseline",
                        fontsize=SMALL,
                        color=MUTED,
                    )
                ax.text(
                    left + 0.96,
                    0.93,
                    "\u2713" if row["correct"] else "\u2717",
                    ha="center",
                    va="center",
                    fontsize=9,
                    fontweight="bold",
                    color="white",
                    zorder=6,
                    bbox={
                        "boxstyle": f"{'circle' if row['correct'] else 'square'},pad=0.12",
                        "facecolor": colour,
                        "edgecolor": "white",
                        "linewidth": 0.5,
                    },
                )
            ax.axvline(0.26 + step - 0.04, color=FAINT, linewidth=0.8)
            blank(ax)
            ax.set_aspect("equal")
            ax.set(xlim=(-margin, across), ylim=(-below, 1.08))
            # A text, not the axis's label: with a fixed aspect the layout would leave the label no
            # room.
            ax.text(
                -0.12,
                0.5,
                f"{pairing}\n{first['split']} species" if "split" in found else pairing,
                fontsize=7,
                rotation=90,
                ha="right",
                va="center",
                multialignment="center",
            )
            if i == 0:
                ax.text(0.5, 1.14, "query", fontsize=8, fontweight="bold", ha="center", va="bottom")
                ax.text(
                    0.36 + step,
                    1.14,
                    "nearest keys, nearest first",
                    fontsize=8,
                    fontweight="bold",
                    va="bottom",
                )
        return finish(fig)
