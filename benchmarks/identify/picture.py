"""The picture of the benchmark: whether probabilities are true, and what other methods reach."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.identify import judging
from benchmarks.identify.asking import NEAREST, OURS, SINTAX, Answered
from hypertax.figures.style import (
    INK,
    MUTED,
    RANK_COLOURS,
    TEXT,
    finish,
    new_figure,
    style,
)
from hypertax.identify.calibration import EVENTS
from hypertax.identify.pictures import NEW_COLOUR
from hypertax.taxonomy import RANKS

METHODS = {OURS: ("#2171b5", "o"), NEAREST: ("#d95f02", "s"), SINTAX: ("#7d7d7d", "^")}
SHOWN = RANKS[1:]


def picture(
    answered: dict[str, Answered], truth: pd.DataFrame, known: np.ndarray, stage: str
) -> Figure:
    """Two rows of panels: reliability by event; precision against coverage by rank, a line a method
    over all thresholds, a mark where it answers.

    Args:
        answered: by method. truth: labels. known: (Q,). stage: of the queries, in the title.
    """
    with style():
        fig = new_figure(TEXT, 4.1)
        above, below = fig.subfigures(2, 1, height_ratios=[1, 1.35])
        found = judging.reliabilities(answered[OURS], truth, known)
        axes = above.subplots(1, len(EVENTS))
        for ax, event in zip(axes, EVENTS, strict=True):
            one = found[event]
            ax.plot([0, 1], [0, 1], color=MUTED, linewidth=0.6, linestyle="--")
            colour = RANK_COLOURS.get(event, NEW_COLOUR)
            size = 4 + 80 * np.array(one.weight)
            ax.scatter(one.mean, one.right, s=size, color=colour, alpha=0.8, zorder=3)
            ax.set_title(f"{event}, error {one.error:.3f}")
            ax.set(xlim=(-0.06, 1.06), ylim=(-0.06, 1.06), xticks=[0, 1], yticks=[0, 1])
        axes[0].set(xlabel="probability", ylabel="share that is right")
        weight = judging.weights(known)
        axes = below.subplots(1, len(SHOWN))
        for ax, rank in zip(axes, SHOWN, strict=True):
            depth, floor = RANKS.index(rank), 100.0
            for method, one in answered.items():
                colour, mark = METHODS[method]
                right = judging.right_names(one, truth)[:, depth]
                x, y = judging.curve(one.score[:, depth], right, weight)
                ax.plot(100 * x, 100 * y, color=colour, linewidth=1, label=method)
                said = one.given[:, depth]
                total = (weight * said).sum()
                if total:
                    at = 100 * (weight * said * right).sum() / total
                    ax.plot(100 * total, at, mark, color=colour, markeredgecolor=INK, zorder=4)
                    floor = min(floor, at)
            ax.set_title(rank)
            ax.set(xlim=(0, 102), ylim=(min(floor, 95) - 1.5, 100.4), xlabel="coverage, %")
        axes[0].set_ylabel(f"precision, %\n{stage.lower()}, both alike")
        axes[0].legend(loc="lower left")
        return finish(fig)
