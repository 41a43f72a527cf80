"""The left of the drawing of the method: one specimen, its encoders, projections and scales."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Polygon, Rectangle

from hypertax.figures.method_parts import draw_arrow, draw_box, draw_insect, draw_title, short_name
from hypertax.figures.style import (
    BASE_COLOURS,
    MODALITY_COLOURS,
    MUTED,
    RANK_COLOURS,
    SMALL,
    barcode_pixels,
    draw_pixels,
    photograph,
    shade,
    tint,
)
from hypertax.taxonomy import RANKS, known_ranks

ROWS = {"image": 3.08, "dna": 2.02, "text": 0.82}
EXAMPLE = {
    "order": "Diptera",
    "family": "Chironomidae",
    "genus": "Ablabesmyia",
    "species": "Ablabesmyia aspera",
}


def input_specimen(examples: pd.DataFrame | None) -> dict:
    """The input to draw: image path or None, barcode, and the lineage."""
    made_up = "".join(np.random.default_rng(3).choice(list("ACGT"), 658, p=[0.3, 0.16, 0.14, 0.4]))
    if examples is None or not len(examples):
        return {"image": None, "barcode": made_up, **EXAMPLE}
    columns = [name for name in ("image", "barcode", *RANKS) if name in examples]
    best = examples[columns].notna().sum(axis=1).to_numpy().argmax()
    row = examples.iloc[best].reindex(["image", "barcode", *RANKS])
    found = {name: (None if pd.isna(value) else str(value)) for name, value in row.items()}
    return {**found, "barcode": found["barcode"] or made_up}


def draw_inputs(ax: Axes, specimen: dict) -> None:
    """Photograph, barcode and names of one specimen, at the left."""
    left, wide = 0.12, 0.92
    y = ROWS["image"]
    if specimen["image"]:
        draw_pixels(
            ax,
            photograph(specimen["image"], 300),
            (left + 0.06, y - 0.4, 0.8, 0.8),
            edge=MODALITY_COLOURS["image"],
            width=1.0,
        )
    else:
        draw_box(
            ax,
            left + 0.06,
            y - 0.4,
            0.8,
            0.8,
            "#dfe5ea",
            edge=MODALITY_COLOURS["image"],
            rounding=0.02,
        )
        draw_insect(ax, left + 0.46, y)
    draw_title(ax, left + wide / 2, y + 0.51, "photograph")
    y = ROWS["dna"]
    draw_pixels(
        ax,
        barcode_pixels(specimen["barcode"], 4),
        (left, y - 0.15, wide, 0.3),
        edge=MODALITY_COLOURS["dna"],
        width=1.0,
    )
    letters = specimen["barcode"][60:70]
    for i, base in enumerate(letters):
        ax.text(
            left + 0.05 + 0.084 * i,
            y - 0.235,
            base,
            color=shade(BASE_COLOURS.get(base, MUTED)),
            fontsize=SMALL,
            fontweight="bold",
            ha="center",
            va="center",
            family="monospace",
        )
    ax.text(left + wide - 0.005, y - 0.235, "…", fontsize=SMALL, ha="center", va="center")
    draw_title(ax, left + wide / 2, y + 0.26, "DNA barcode")
    y = ROWS["text"]
    known = known_ranks({rank: specimen[rank] for rank in RANKS})
    for i, rank in enumerate(known):
        top = y + 0.33 - 0.2 * i
        draw_box(ax, left, top - 0.175, wide, 0.175, tint(RANK_COLOURS[rank], 0.2), rounding=0.03)
        words = specimen[rank] if rank != "species" else short_name(specimen[rank])
        ax.text(
            left + wide / 2,
            top - 0.09,
            words,
            fontsize=SMALL,
            ha="center",
            va="center",
            color=shade(RANK_COLOURS[rank], 0.8),
            fontstyle="italic" if rank in ("genus", "species") else "normal",
        )
    draw_title(ax, left + wide / 2, y + 0.43, "names")


def draw_encoders(ax: Axes) -> None:
    """Encoder, projection and learnable scale of each modality, then one lift for all."""
    words = {
        "image": ("image\nencoder", "ViT"),
        "dna": ("DNA\nencoder", "BarcodeBERT"),
        "text": ("text\nencoder", "BERT"),
    }
    for modality, y in ROWS.items():
        colour = MODALITY_COLOURS[modality]
        draw_arrow(ax, (1.07, y), (1.2, y))
        high, low = 0.36, 0.23
        ax.add_patch(
            Polygon(
                [(1.22, y - high), (1.22, y + high), (1.83, y + low), (1.83, y - low)],
                closed=True,
                facecolor=tint(colour, 0.28),
                edgecolor=colour,
                linewidth=0.9,
                joinstyle="round",
                zorder=2,
            )
        )
        ax.text(1.515, y, words[modality][0], ha="center", va="center", fontsize=7, linespacing=1.1)
        ax.text(
            1.525,
            y - 0.43,
            words[modality][1],
            ha="center",
            va="center",
            fontsize=SMALL,
            color=MUTED,
        )
        draw_arrow(ax, (1.84, y), (1.96, y))
        ax.add_patch(
            Rectangle(
                (1.97, y - 0.22),
                0.11,
                0.44,
                facecolor=tint(colour, 0.55),
                edgecolor=colour,
                linewidth=0.9,
                zorder=2,
            )
        )
        draw_arrow(ax, (2.09, y), (2.2, y))
        ax.add_patch(
            Circle((2.34, y), 0.13, facecolor="white", edgecolor=colour, linewidth=0.9, zorder=2)
        )
        ax.text(
            2.34,
            y,
            r"$e^{\alpha}$",
            ha="center",
            va="center",
            fontsize=7.5,
            zorder=3,
            parse_math=True,
        )
        joined = ROWS["dna"] + {"image": 0.07, "dna": 0.0, "text": -0.07}[modality]
        ax.plot(
            [2.47, 2.56, 2.56, 2.62],
            [y, y, joined, joined],
            color=colour,
            linewidth=1.1,
            solid_joinstyle="round",
            zorder=2,
        )
        draw_arrow(ax, (2.6, joined), (2.72, joined), colour=colour, width=1.1, size=5)
    top = ROWS["image"]
    ax.text(
        2.025,
        top + 0.28,
        "linear\nprojection",
        ha="center",
        va="bottom",
        fontsize=SMALL,
        linespacing=1.05,
    )
    ax.text(
        2.3, top - 0.2, "learnable\nscale", ha="center", va="top", fontsize=SMALL, linespacing=1.05
    )
