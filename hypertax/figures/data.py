"""Figures of a data set: photographs, barcode distances, and where its labels stop."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hypertax.data.barcodes.distances import PUBLISHED
from hypertax.data.split import SPLITS
from hypertax.figures.style import (
    COLUMN,
    FAINT,
    MUTED,
    RANK_COLOURS,
    SMALL,
    TEXT,
    barcode_pixels,
    binomial,
    blank,
    clade_colours,
    colour_rank,
    draw_pixels,
    finish,
    has,
    legend_columns,
    new_figure,
    panel_grid,
    photograph,
    shade,
    style,
    tint,
)
from hypertax.taxonomy import RANKS


def _choose(
    specimens: pd.DataFrame, rank: str, orders: int, species: int, each: int, seed: int
) -> list[tuple[str, list[tuple[str, pd.DataFrame]]]]:
    """Orders (or families, by `rank`) with most species, and in each some species of as many
    families and genera as possible with `each` specimens."""
    counts = specimens.groupby("species")["sampleid"].transform("size")
    usable = specimens[(counts >= each) & specimens[rank].notna()]
    usable = specimens[specimens[rank].notna()] if usable.empty else usable
    ranking = usable.groupby(rank)["species"].nunique().sort_values(ascending=False, kind="stable")
    generator = np.random.default_rng(seed)
    chosen = []
    for order in sorted(ranking.index[:orders]):
        names = usable[usable[rank] == order].drop_duplicates("species").sort_values("species")
        names = names.iloc[generator.permutation(len(names))]
        # Each family's first species before any family's second one.
        turn = names.groupby("family", dropna=False).cumcount()
        picked = names.loc[turn.sort_values(kind="stable").index[:species], "species"]
        own = usable[usable[rank] == order]
        chosen.append((order, [(name, own[own["species"] == name].iloc[:each]) for name in picked]))
    return chosen


def specimen_gallery(
    specimens: pd.DataFrame,
    *,
    orders: int = 5,
    species: int = 3,
    each: int = 2,
    seed: int = 0,
    colours: dict[str, str] | None = None,
) -> Figure:
    """Specimens of several species, a row per order (per family within one order), `each` specimens
    of a species side by side, its name below.

    Photographs; in a data set without any, the barcodes (one above the other, base by base) take
    their place.
    """
    images = has(specimens, "image")
    if not images and not has(specimens, "barcode"):
        raise ValueError(
            "The specimens have neither photographs nor barcodes: the gallery needs one of them."
        )
    known = specimens[
        specimens["species"].notna() & specimens["image" if images else "barcode"].notna()
    ]
    rank = colour_rank(specimens, colours)
    chosen = _choose(known, rank, orders, species, each, seed)
    if not chosen:
        raise ValueError(
            "No specimen has a species name together with a photograph or barcode: the gallery"
            " needs some."
        )
    colours = colours or clade_colours(specimens)
    high = 1.0 if images else 0.42
    step = each + 0.22 if images else 2.22
    with style():
        across = species * step - 0.22
        unit = (TEXT - 0.55) / across
        fig = new_figure(TEXT, (unit * high + 0.34) * len(chosen) + 0.1)
        for ax, (order, row) in zip(panel_grid(fig, len(chosen), 1), chosen, strict=True):
            for i, (name, own) in enumerate(row):
                width = each if images else 2.0
                for j, specimen in enumerate(own.to_dict("records")):
                    if images:
                        draw_pixels(
                            ax,
                            photograph(specimen["image"]),
                            (i * step + j, 0, 0.97, 1),
                            edge=colours[order],
                            width=0.8,
                        )
                    else:
                        line = high / each
                        box = (i * step, high - (j + 1) * line, 2, 0.86 * line)
                        draw_pixels(
                            ax,
                            barcode_pixels(specimen["barcode"], 3),
                            box,
                            edge=colours[order],
                            width=0.6,
                        )
                binomial(ax, i * step + width / 2, 0, name, lines=1)
            blank(ax)
            ax.set_aspect("equal")
            ax.set(xlim=(-0.03, across + 0.03), ylim=(-0.2 / unit, high + 0.03))
            ax.set_ylabel(order, color=shade(colours[order]), fontweight="bold", fontsize=7.5)
        if not images:
            panel = fig.axes[0]
            panel.set_title("COI barcodes, base by base (A green, C blue, G yellow, T orange)")
        return finish(fig)


def barcode_distances(
    distances: pd.DataFrame, published: dict[str, tuple[float, float]] = PUBLISHED
) -> Figure:
    """Pairwise p-distances (%) of barcodes by how closely the specimens are related, with published
    ranges as bands.

    distances: a row per pair (`data.distances.distances_by_relation`) with `level`, the lowest rank
    both share or another word for the relation, shown in the order of appearance, and `p_distance`
    (0..1). published: level -> lower and upper end (0..1); columns `published_low` and
    `published_high` of the table take precedence.
    """
    levels = list(dict.fromkeys(distances["level"]))
    ranges = {level: tuple(published[level]) for level in levels if level in published}
    if {"published_low", "published_high"} <= set(distances.columns):
        stated = distances.dropna(subset=["published_low", "published_high"]).drop_duplicates(
            "level"
        )
        ranges |= {
            row.level: (row.published_low, row.published_high) for row in stated.itertuples()
        }
    colours = {
        level: next((RANK_COLOURS[rank] for rank in RANKS if str(level).endswith(rank)), MUTED)
        for level in levels
    }
    names = [f"same {level}" if level in RANKS else str(level) for level in levels]
    generator = np.random.default_rng(0)
    with style():
        fig = new_figure(TEXT * 0.72, 0.42 * len(levels) + 0.75)
        (ax,) = panel_grid(fig, 1, 1)
        for i, level in enumerate(levels):
            values = (
                100 * distances.loc[distances["level"] == level, "p_distance"].dropna().to_numpy()
            )
            if level in ranges:
                low, high = (100 * end for end in ranges[level])
                ax.barh(i, high - low, left=low, height=0.86, color=FAINT, linewidth=0, zorder=1)
            shown = generator.choice(values, 400, replace=False) if len(values) > 400 else values
            ax.scatter(
                shown,
                i + generator.uniform(-0.2, 0.2, len(shown)),
                s=3,
                color=colours[level],
                alpha=0.25,
                linewidths=0,
                rasterized=True,
                zorder=2,
            )
            if len(values):
                ax.boxplot(
                    values,
                    positions=[i],
                    orientation="horizontal",
                    widths=0.5,
                    showfliers=False,
                    zorder=3,
                    medianprops={"color": "black"},
                    boxprops={"color": shade(colours[level])},
                    whiskerprops={"color": shade(colours[level])},
                    capprops={"color": shade(colours[level])},
                    manage_ticks=False,
                )
        ax.set_yticks(range(len(levels)), names)
        ax.set_ylim(len(levels) - 0.45, -0.55)
        ax.set_xlim(left=-0.5)
        ax.grid(False)
        ax.grid(True, axis="x")
        ax.set_xlabel("p-distance between two barcodes (% of compared bases that differ)")
        if ranges:
            fig.legend(
                handles=[Patch(color=FAINT, label="published range for COI")],
                loc="outside upper right",
            )
        return finish(fig)


def labels_per_rank(specimens: pd.DataFrame) -> Figure:
    """How many specimens each split has, and the share whose labels stop at order, family, genus or
    species. Where all labels stop at the same rank, the title says so instead."""
    deepest = pd.Series("none", index=specimens.index)
    for rank in RANKS:
        deepest = deepest.mask(specimens[rank].notna(), rank)
    present = [split for split in SPLITS if (specimens["split"] == split).any()]
    counts = pd.crosstab(specimens["split"], deepest).reindex(
        index=present, columns=[*RANKS, "none"], fill_value=0
    )
    shown = counts.columns[counts.sum() > 0]
    with style():
        fig = new_figure(TEXT, 0.23 * len(present) + 0.85)
        if len(shown) == 1:
            # Bars that are all alike would say what one sentence says.
            sizes = fig.subplots()
            rank = shown[0]
            words = f"every label stops at {rank}" if rank != "none" else "no specimen has a label"
            sizes.set_title(f"specimens of each split; {words}")
        else:
            sizes, shares = fig.subplots(1, 2, sharey=True, width_ratios=[1, 1.6])
            _draw_shares(fig, shares, counts[shown])
        totals = counts.sum(axis=1)
        sizes.barh(range(len(present)), totals, color=tint("#000000", 0.45), height=0.72)
        for i, total in enumerate(totals):
            sizes.annotate(
                f"{total:,}",
                (total, i),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=SMALL,
            )
        sizes.set_yticks(range(len(present)), [split.replace("_", " ") for split in present])
        sizes.set_ylim(len(present) - 0.4, -0.6)
        sizes.set(xlabel="specimens", xlim=(0, 1.22 * totals.max()))
        for ax in fig.axes:
            ax.grid(False)
            ax.tick_params(axis="y", length=0)
        return finish(fig)


def _draw_shares(fig: Figure, ax, counts: pd.DataFrame) -> None:
    """A bar per split, divided by the rank at which labels stop, and its legend."""
    colours = {**RANK_COLOURS, "none": FAINT}
    left = np.zeros(len(counts))
    totals = counts.sum(axis=1)
    for rank in counts:
        share = 100 * (counts[rank] / totals).to_numpy()
        ax.barh(
            range(len(counts)),
            share,
            left=left,
            color=colours[rank],
            height=0.72,
            label=rank,
            edgecolor="white",
            linewidth=0.4,
        )
        left += share
    ax.set(xlabel="share of the split's specimens (%)", xlim=(0, 100))
    handles, _ = ax.get_legend_handles_labels()
    fig.legend(
        handles=handles,
        loc="outside upper right",
        ncols=legend_columns(handles, COLUMN),
        title="label stops at",
        title_fontsize=7,
    )
