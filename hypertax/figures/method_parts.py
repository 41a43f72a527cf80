"""Small pieces of the drawing of the method: arrows, boxes, words, an insect."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import Circle, Ellipse, FancyArrowPatch, FancyBboxPatch
from matplotlib.transforms import Affine2D

from hypertax.figures.style import (
    INK,
    MUTED,
)


def draw_arrow(
    ax: Axes,
    start,
    end,
    *,
    colour=MUTED,
    head: str = "-|>",
    width: float = 0.9,
    bend: float = 0.0,
    dashes="-",
    zorder: float = 3,
    size: float = 7,
):
    ax.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle=head,
            mutation_scale=size,
            color=colour,
            linewidth=width,
            linestyle=dashes,
            shrinkA=0,
            shrinkB=0,
            connectionstyle=f"arc3,rad={bend}",
            zorder=zorder,
            joinstyle="miter",
        )
    )


def draw_box(
    ax: Axes,
    left: float,
    bottom: float,
    width: float,
    height: float,
    colour,
    *,
    edge=None,
    rounding: float = 0.05,
    zorder: float = 2,
):
    ax.add_patch(
        FancyBboxPatch(
            (left + rounding, bottom + rounding),
            width - 2 * rounding,
            height - 2 * rounding,
            zorder=zorder,
            boxstyle=f"round,pad={rounding},rounding_size={rounding}",
            facecolor=colour,
            edgecolor=edge or "none",
            linewidth=0.8,
        )
    )


def draw_title(ax: Axes, x: float, y: float, text: str, **look) -> None:
    ax.text(
        x,
        y,
        text,
        **{
            "fontsize": 7.5,
            "fontweight": "bold",
            "ha": "center",
            "va": "center",
            "color": INK,
            **look,
        },
    )


def short_name(name: str) -> str:
    """A binomial with its genus as an initial."""
    genus, _, rest = name.partition(" ")
    return f"{genus[0]}. {rest}" if rest else name


def draw_insect(ax: Axes, x: float, y: float) -> None:
    """A small fly from above."""
    turn = Affine2D().rotate_deg_around(x, y, -28) + ax.transData
    body = {"facecolor": "#57493a", "edgecolor": "none", "transform": turn, "zorder": 3}
    for side in (-1, 1):
        wing = {
            "facecolor": "#b9c7d2",
            "edgecolor": "#7c8b97",
            "linewidth": 0.5,
            "alpha": 0.85,
            "transform": turn,
            "zorder": 3.2,
        }
        ax.add_patch(Ellipse((x + 0.15 * side, y - 0.03), 0.11, 0.33, angle=38 * side, **wing))
        for start, end in ((0.06, 0.16), (0.02, 0.02), (-0.03, -0.14)):
            ax.plot(
                [x, x + 0.11 * side, x + 0.17 * side],
                [y + start, y + (start + end) / 2 + 0.02, y + end],
                color="#57493a",
                linewidth=0.7,
                transform=turn,
                zorder=2.9,
            )
    for centre, size in (((0, -0.13), (0.1, 0.26)), ((0, 0.06), (0.13, 0.16))):
        ax.add_patch(Ellipse((x + centre[0], y + centre[1]), *size, **body))
    ax.add_patch(Circle((x, y + 0.175), 0.055, **{**body, "facecolor": "#8c2f2a"}))
