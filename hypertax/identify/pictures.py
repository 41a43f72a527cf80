"""Figures of answers: whether their probabilities are true, and how deep specimens were named."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hypertax.figures.style import (
    INK,
    MUTED,
    RANK_COLOURS,
    TEXT,
    finish,
    new_figure,
    panel_grid,
    percent_axis,
    say_why_empty,
    style,
)
from hypertax.identify.calibration import EVENTS, Calibration, reliability
from hypertax.taxonomy import RANKS

NEW_COLOUR = "#8a5a00"


def reliability_diagram(calibration: Calibration) -> Figure:
    """A panel for each rank and for new species: held-out references by the probability of the answer
    (across) and how often it was right (up), known and new species weighing the same."""
    with style():
        fig = new_figure(TEXT, 1.7)
        axes = panel_grid(fig, len(EVENTS), len(EVENTS))
        held = calibration.held_out
        for ax, event in zip(axes, EVENTS, strict=True):
            if not calibration.usable:
                say_why_empty(ax, "too few species")
                continue
            found = reliability(
                held[f"p_{event}"].to_numpy(),
                held[f"right_{event}"].to_numpy(dtype=float),
                held["weight"].to_numpy(),
            )
            ax.plot([0, 1], [0, 1], color=MUTED, linewidth=0.6, linestyle="--")
            size = 4 + 60 * np.array(found.weight)
            colour = RANK_COLOURS.get(event, NEW_COLOUR)
            ax.scatter(found.mean, found.right, s=size, color=colour, alpha=0.8, zorder=3)
            ax.set_title(f"{event}, error {found.error:.3f}")
            ax.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.05), xticks=[0, 1], yticks=[0, 1])
        axes[0].set_ylabel("share that is right")
        axes[0].set_xlabel("probability")
        return finish(fig)


def depth_of_answers(answers: pd.DataFrame, groups: pd.Series) -> Figure:
    """A bar for each group of specimens: the share that was named at each rank and no deeper.

    Args:
        answers: N rows of `Identifier.identify`. groups: (N,) the name of each specimen's group.
    """
    names = list(dict.fromkeys(groups))
    with style():
        fig = new_figure(TEXT, 0.7 + 0.35 * len(names))
        ax = fig.subplots()
        for place, name in enumerate(names):
            part = answers["taxonRank"][(groups == name).to_numpy()]
            left = 0.0
            for rank in (*reversed(RANKS), None):
                share = 100 * ((part == rank) if rank else part.isna()).mean()
                colour = RANK_COLOURS[rank] if rank else "#d9d9d9"
                ax.barh(place, share, left=left, color=colour, height=0.6)
                if share > 8:
                    text = f"{rank or 'none'} {share:.0f}"
                    white = "white" if rank in ("order", "family", "species") else INK
                    ax.text(left + share / 2, place, text, ha="center", va="center", color=white)
                left += share
        ax.set_yticks(range(len(names)), names)
        ax.invert_yaxis()
        percent_axis(ax, "x")
        ax.set_xlabel("specimens, %, by the deepest rank they were named at")
        return finish(fig)
