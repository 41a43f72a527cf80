"""Retrieved specimens: queries and their nearest keys, as pictures."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from hypertax.evaluation.protocol import PAIRINGS
from hypertax.figures.style import (
    FAINT,
    INK,
    MUTED,
    SMALL,
    TEXT,
    barcode_pixels,
    binomial,
    blank,
    draw_pixels,
    finish,
    new_figure,
    panel_grid,
    photograph,
    shade,
    style,
)

RIGHT, WRONG = "#0072B2", "#D55E00"
_NEIGHBOUR_NAMES = {
    "rank_of_neighbour": "place",
    "true_species": "query_species",
    "predicted_species": "key_species",
}


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

    Where DNA is compared the barcode is under the photograph, base by base (A green, C blue, G
    yellow, T orange), or takes its place where there is none.

    Args:
        examples: of `hypertax.evaluation.example_queries`, with a column `pairing` added: pairing,
            query, place (1 = nearest), key, query_species, key_species, correct, and if present
            `split`, and `shared_rank`, which says how near a wrong key is.
        specimens: the specimen table.
        neighbours: keys shown at most.

    Raises:
        ValueError: there is no query.
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
            _query_row(ax, pairing, query, found, by_id, step)
            blank(ax)
            ax.set_aspect("equal")
            ax.set(xlim=(-margin, across), ylim=(-below, 1.08))
            # A text, not the axis's label: with a fixed aspect the layout would leave the label no
            # room.
            ax.text(
                -0.12,
                0.5,
                f"{pairing}\n{found['split'].iloc[0]} species" if "split" in found else pairing,
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


def _query_row(
    ax, pairing: str, query: str, found: pd.DataFrame, by_id: pd.DataFrame, step: float
) -> None:
    """A query and its keys beside it, `step` apart."""
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
        if "shared_rank" in found and not row["correct"]:
            _name_nearness(ax, left, row["shared_rank"])
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


def _name_nearness(ax, left: float, shared_rank) -> None:
    """How near a wrong key is, under its name."""
    nearness = f"same {shared_rank}" if pd.notna(shared_rank) else "other order"
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
