"""One look for every figure: sizes, fonts, colours, and saving so that the same input gives the
same bytes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator
from PIL import Image

from hypertax.figures.looks import PALETTE, Look
from hypertax.files import atomic_path
from hypertax.taxonomy import RANKS

COLUMN = 3.5
"""Width of a column in inches."""
TEXT = 7.0
"""Width of a page's text in inches."""
SMALL = 6.5
"""Points of the smallest text in any figure."""

INK = "#2b2b2b"
MUTED = "#7d7d7d"
FAINT = "#d9d9d9"
RANK_COLOURS = {"order": "#08306b", "family": "#2171b5", "genus": "#6baed6", "species": "#41ab7d"}
MODALITY_COLOURS = {"image": "#CC79A7", "dna": "#D55E00", "text": "#2171b5"}
MODALITY_NAMES = {"image": "image", "dna": "DNA", "text": "text"}
LEVEL_COLOURS = {**RANK_COLOURS, "dna": MODALITY_COLOURS["dna"], "image": MODALITY_COLOURS["image"]}
BASE_COLOURS = {"A": "#009E73", "C": "#0072B2", "G": "#E69F00", "T": "#D55E00"}


@contextmanager
def style():
    """Matplotlib's settings for the figures, for the duration of a `with` block."""
    settings = {
        "figure.dpi": 120,
        "savefig.dpi": 200,
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
        "figure.constrained_layout.use": False,
        "figure.autolayout": False,
        "font.family": ["DejaVu Sans"],
        "font.size": 8,
        "mathtext.fontset": "dejavusans",
        # A dollar sign in a name is a dollar sign; the few formulas ask for `parse_math`.
        "text.parse_math": False,
        "text.color": INK,
        "axes.titlesize": 8,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 5,
        "axes.labelsize": 8,
        "axes.labelcolor": INK,
        "axes.edgecolor": "#6b6b6b",
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": "#e7e7e7",
        "grid.linewidth": 0.5,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "legend.fontsize": 7,
        "legend.frameon": False,
        "legend.handlelength": 1.6,
        "legend.columnspacing": 1.2,
        "lines.linewidth": 1.3,
        "lines.markersize": 4,
        "patch.linewidth": 0.5,
        "hatch.linewidth": 0.5,
        "pdf.fonttype": 42,
        "pdf.compression": 6,
        "svg.hashsalt": "hypertax",
        "svg.fonttype": "none",
        "path.simplify": True,
    }
    with mpl.rc_context():
        mpl.rcParams.update(settings)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure with constrained layout, sizes in inches.

    It is closed in pyplot at once, so that a notebook shows it once (as the cell's value) and many
    figures do not pile up.
    """
    fig = plt.figure(figsize=(width, height), layout="constrained")
    plt.close(fig)
    fig.get_layout_engine().set(w_pad=0.06, h_pad=0.05)
    return fig


def finish(fig: Figure) -> Figure:
    """Fix the layout, so that drawing again (another format, another size of dots) moves
    nothing."""
    fig.draw_without_rendering()
    fig.set_layout_engine("none")
    return fig


def save_figure(
    fig: Figure, name: str, folder: str | os.PathLike, *, runs: Iterable[str] = ()
) -> list[Path]:
    """Write `name`.pdf and `name`.png (200 dots per inch) into `folder`, without dates or versions;
    returns both paths.

    runs: names of the runs whose numbers it shows; they go into both files' metadata and into the
    folder's `runs_of_figures.csv`.
    """
    names = " ".join(dict.fromkeys(runs))
    pdf = {"CreationDate": None, "Producer": None, "Creator": None} | (
        {"Keywords": names} if names else {}
    )
    png = {"Software": None} | ({"Runs": names} if names else {})
    written = []
    with style():
        for ending, metadata in (("pdf", pdf), ("png", png)):
            path = Path(folder) / f"{name}.{ending}"
            with atomic_path(path) as temporary:
                fig.savefig(temporary, dpi=200, metadata=metadata)
            written.append(path)
    if names:
        index = Path(folder) / "runs_of_figures.csv"
        listed = pd.read_csv(index, index_col="figure")["runs"].to_dict() if index.is_file() else {}
        with atomic_path(index) as temporary:
            pd.Series(listed | {name: names}, name="runs").rename_axis(
                "figure"
            ).sort_index().to_csv(temporary)
    return written


def order_colours(names: Iterable) -> dict[str, str]:
    """A colour per name, by its place in the alphabet. Give all orders of a data set, and each
    keeps its colour in every figure."""
    unique = sorted({str(name) for name in names if pd.notna(name)})
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(unique)}


def colour_rank(table: pd.DataFrame, colours: Mapping[str, str] | None = None) -> str:
    """The rank by which taxa and specimens are coloured: "order", or "family" within one order.

    Args:
        table: with columns `order` and `family`.
        colours: name -> colour, if they are given; families' names ask for "family".
    """
    orders, families = (set(table[rank].dropna()) for rank in ("order", "family"))
    if colours is not None:
        return "family" if not orders & set(colours) and families & set(colours) else "order"
    return "family" if len(orders) < 2 <= len(families) else "order"


def clade_colours(table: pd.DataFrame) -> dict[str, str]:
    """A colour per order of a table, or per family where it has one order only."""
    return order_colours(table[colour_rank(table)])


def tint(colour: str, strength: float) -> tuple[float, float, float]:
    """The colour mixed with white: 1 is the colour itself, 0 white."""
    return tuple(1 - strength * (1 - channel) for channel in to_rgb(colour))


def shade(colour: str, strength: float = 0.78) -> tuple[float, float, float]:
    """The colour darkened, for text in it: 1 is the colour itself, 0 black."""
    return tuple(strength * channel for channel in to_rgb(colour))


def panel_grid(fig: Figure, panels: int, columns: int, **kwargs) -> list:
    """`panels` axes in a grid of `columns`, in reading order; places left over stay empty."""
    rows = -(-panels // columns)
    axes = fig.subplots(rows, columns, squeeze=False, **kwargs).ravel()
    for ax in axes[panels:]:
        ax.remove()
    return list(axes[:panels])


def say_why_empty(ax, reason: str) -> None:
    """Write in the middle of a panel without content why it has none."""
    ax.text(
        0.5,
        0.5,
        reason,
        transform=ax.transAxes,
        ha="center",
        va="center",
        fontsize=SMALL,
        color=MUTED,
        zorder=6,
        bbox={"boxstyle": "square,pad=0.2", "facecolor": "white", "edgecolor": "none"},
    )


def log_axis(ax, values: list[float]) -> None:
    """A log x axis with a tick at each of the values, sorted."""
    ax.set_xscale("log")
    ax.set_xlim(values[0] / 1.35, values[-1] * 1.35)
    ax.xaxis.set_major_locator(FixedLocator(values))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def mean_line(ax, means: pd.Series, colour: str, marker: str) -> None:
    """One method's means against the index, with its marker at each."""
    ax.plot(
        means.index,
        means,
        color=colour,
        marker=marker,
        markersize=4.5,
        markeredgecolor="white",
        markeredgewidth=0.5,
        zorder=3,
    )


def method_handle(label: str, look: Look, **line) -> Line2D:
    """A legend's entry of a method: its marker in its colour, on a line if `linestyle` is given."""
    look = {"color": look.colour, "marker": look.marker, "linestyle": "", "markersize": 5.2}
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.4}
    return Line2D([], [], **{**look, **edge, "label": label, **line})


def blank(ax) -> None:
    """Leave only what is drawn: no ticks, spines or grid."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def percent_axis(ax, axis: str = "y", *, lower: float = 0, upper: float = 100) -> None:
    """Limits of a share given in percent, with a little air above and below so that markers are not
    cut."""
    air = 0.03 * (upper - lower)
    ax.set(**{f"{axis}lim": (lower - air, upper + air)})


def photograph(path: str | os.PathLike, pixels: int = 220) -> np.ndarray:
    """The centre square of an image file, `pixels` wide: (pixels, pixels, 3) uint8."""
    with Image.open(path) as image:
        image = image.convert("RGB")
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        return np.asarray(
            image.crop((left, top, left + side, top + side)).resize(
                (pixels, pixels), Image.Resampling.LANCZOS
            )
        )


def barcode_pixels(barcode: str, rows: int = 1) -> np.ndarray:
    """A barcode as coloured bases, read line by line: (rows, ceil(length / rows), 3) floats;
    ambiguous letters grey, no base white."""
    width = max(1, -(-len(barcode) // rows))
    pixels = np.ones((rows * width, 3))
    for i, base in enumerate(barcode):
        pixels[i] = to_rgb(BASE_COLOURS.get(base, FAINT))
    return pixels.reshape(rows, width, 3)


def draw_pixels(
    ax,
    pixels: np.ndarray,
    box: tuple[float, float, float, float],
    *,
    edge: str = "none",
    width: float = 0.6,
    zorder: float = 2,
):
    """Place pixels in `box` (left, bottom, width, height in data units) with a frame around
    them."""
    left, bottom, wide, high = box
    smooth = "nearest" if pixels.dtype != np.uint8 else "antialiased"
    ax.imshow(
        pixels,
        extent=(left, left + wide, bottom, bottom + high),
        interpolation=smooth,
        aspect="auto",
        zorder=zorder,
    )
    frame = mpl.patches.Rectangle(
        (left, bottom), wide, high, fill=False, edgecolor=edge, linewidth=width, zorder=zorder + 0.1
    )
    return ax.add_patch(frame)


def binomial(ax, x: float, y: float, name: object, colour=INK, lines: int = 2) -> None:
    """A species' name in italics below the point (x, y), the genus on a line of its own unless
    `lines` is 1; "?" where it is missing."""
    parts = ["?"] if pd.isna(name) else str(name).split(" ", lines - 1)
    for i, part in enumerate(parts):
        ax.annotate(
            part,
            (x, y),
            xytext=(0, -7.5 * (i + 1)),
            textcoords="offset points",
            ha="center",
            va="baseline",
            fontsize=SMALL,
            fontstyle="italic",
            color=colour,
        )


def legend_columns(handles: list, width: float = TEXT) -> int:
    """How many columns of these entries fit under a figure of this width (inches), rows being
    filled evenly."""
    longest = max(len(str(handle.get_label())) for handle in handles) * 0.058 + 0.5
    total = sum(len(str(handle.get_label())) * 0.06 + 0.45 for handle in handles)
    if total <= width:
        return len(handles)
    fitting = max(1, int(width / longest))
    return -(-len(handles) // -(-len(handles) // fitting))


def has(table: pd.DataFrame, column: str) -> bool:
    """Whether a table has anything in a column."""
    return column in table and bool(table[column].notna().any())


def levels_present(table: pd.DataFrame) -> list[str]:
    """The levels of which an embeddings' table has rows: order to species, `dna`, `image`."""
    ranks, modalities = set(table["rank"].dropna()), set(table["modality"])
    return [rank for rank in RANKS if rank in ranks] + [
        m for m in ("dna", "image") if m in modalities
    ]
