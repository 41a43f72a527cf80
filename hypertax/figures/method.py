"""The method in one drawing: three encoders, the lift onto the hyperboloid, and the two objectives
in the Poincare disk."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from hypertax.figures.method_input import draw_encoders, draw_inputs, input_specimen
from hypertax.figures.method_parts import draw_arrow
from hypertax.figures.method_space import ATTRACT, REPEL, draw_disk, draw_hyperboloid
from hypertax.figures.style import (
    RANK_COLOURS,
    finish,
    new_figure,
    style,
    tint,
)
from hypertax.taxonomy import RANKS

WIDTH, HEIGHT = 7.2, 3.7


def method_figure(examples: pd.DataFrame | None = None) -> Figure:
    """The method in one figure, 7.2 inches wide; the cones are regions computed by the library's
    half_aperture and exterior_angle.

    examples: specimens (the specimen table's columns); the first one that has the most of
    photograph, barcode and names is shown as input. Without it, a drawn insect and a made-up
    barcode.
    """
    specimen = input_specimen(examples)
    with style():
        fig = new_figure(WIDTH, HEIGHT)
        fig.set_layout_engine("none")
        ax = fig.add_axes((0, 0, 1, 1))
        ax.axis("off")
        ax.grid(False)
        draw_inputs(ax, specimen)
        draw_encoders(ax)
        draw_hyperboloid(ax, centre=(3.33, 1.86), unit=0.31)
        draw_disk(ax, centre=(5.2, 1.99), radius=1.17, names=specimen)
        draw_arrow(ax, (3.94, 2.4), (4.17, 2.58), bend=-0.25)
        draw_key(ax)
        ax.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
        ax.set_aspect("equal")
        return finish(fig)


def draw_key(ax: Axes) -> None:
    """The two objectives in words, under the drawing."""
    left, top = 2.72, 0.44
    look = {"fontsize": 7, "va": "center"}
    ax.text(left, top, "contrastive (CL):", fontweight="bold", **look)
    draw_arrow(ax, (left + 1.12, top), (left + 1.38, top), colour=ATTRACT, head="<|-|>", width=1.2)
    ax.text(left + 1.45, top, "one specimen's modalities together", **look)
    draw_arrow(
        ax, (left + 3.32, top), (left + 3.62, top), colour=REPEL, head="<|-|>", dashes=(0, (3, 1.5))
    )
    ax.text(left + 3.69, top, "others apart", **look)
    ax.text(left, top - 0.26, "stacked entailment (SEL):", fontweight="bold", **look)
    apex = np.array([left + 1.56, top - 0.26])
    for i, rank in enumerate(("order", "genus")):
        start = apex + (0.1 * i, 0)
        ax.add_patch(
            Polygon(
                [
                    start,
                    (apex[0] + 0.26, apex[1] + 0.09 - 0.045 * i),
                    (apex[0] + 0.26, apex[1] - 0.09 + 0.045 * i),
                ],
                closed=True,
                facecolor=tint(RANK_COLOURS[rank], 0.3),
                edgecolor=RANK_COLOURS[rank],
                linewidth=0.7,
            )
        )
    chain = " \u2283 ".join((*RANKS, "DNA", "image"))
    ax.text(left + 1.9, top - 0.26, chain, **look)
