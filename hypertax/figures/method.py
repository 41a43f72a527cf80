"""The method in one drawing: three encoders, the lift onto the hyperboloid, and the two objectives
in the Poincare disk."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from matplotlib.transforms import Affine2D
from scipy.spatial import ConvexHull

from hypertax.figures.style import (
    BASE_COLOURS,
    INK,
    MODALITY_COLOURS,
    MUTED,
    RANK_COLOURS,
    SMALL,
    barcode_pixels,
    draw_pixels,
    finish,
    new_figure,
    photograph,
    shade,
    style,
    tint,
)
from hypertax.geometry.poincare import cone_outline, disk_radius, geodesic
from hypertax.taxonomy import RANKS, known_ranks

WIDTH, HEIGHT = 7.2, 3.7
CURVATURE = 1.0
# Distance from the origin and direction (degrees) of the drawn lineage; each lies in the cone of
# the one before.
LINEAGE = {
    "order": (0.27, 40.0),
    "family": (0.52, 50.0),
    "genus": (0.88, 45.5),
    "species": (1.35, 47.2),
    "dna": (1.8, 46.5),
    "image": (2.35, 46.9),
}
ROWS = {"image": 3.08, "dna": 2.02, "text": 0.82}
EXAMPLE = {
    "order": "Diptera",
    "family": "Chironomidae",
    "genus": "Ablabesmyia",
    "species": "Ablabesmyia aspera",
}
ATTRACT, REPEL = "#882255", "#6b6b6b"
OTHER_ORDERS = (("#E69F00", 172.0), ("#44AA99", 285.0))


def place(distance: float, degrees: float) -> np.ndarray:
    """A point of the unit disk at a hyperbolic distance from the origin (drawn with c = 1) in a
    direction."""
    turn = np.deg2rad(degrees)
    return float(disk_radius(distance, CURVATURE)) * np.array([np.cos(turn), np.sin(turn)])


def method_figure(examples: pd.DataFrame | None = None) -> Figure:
    """The method in one figure, 7.2 inches wide; the cones are regions computed by the library's
    half_aperture and exterior_angle.

    examples: specimens (the specimen table's columns); the first one that has the most of
    photograph, barcode and names is shown as input. Without it, a drawn insect and a made-up
    barcode.
    """
    specimen = _specimen(examples)
    with style():
        fig = new_figure(WIDTH, HEIGHT)
        fig.set_layout_engine("none")
        ax = fig.add_axes((0, 0, 1, 1))
        ax.axis("off")
        ax.grid(False)
        _inputs(ax, specimen)
        _encoders(ax)
        _hyperboloid(ax, centre=(3.33, 1.86), unit=0.31)
        _disk(ax, centre=(5.2, 1.99), radius=1.17, names=specimen)
        _arrow(ax, (3.94, 2.4), (4.17, 2.58), bend=-0.25)
        _key(ax)
        ax.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
        ax.set_aspect("equal")
        return finish(fig)


def _specimen(examples: pd.DataFrame | None) -> dict:
    """The input to draw: image path or None, barcode, and the lineage."""
    made_up = "".join(np.random.default_rng(3).choice(list("ACGT"), 658, p=[0.3, 0.16, 0.14, 0.4]))
    if examples is None or not len(examples):
        return {"image": None, "barcode": made_up, **EXAMPLE}
    columns = [name for name in ("image", "barcode", *RANKS) if name in examples]
    best = examples[columns].notna().sum(axis=1).to_numpy().argmax()
    row = examples.iloc[best].reindex(["image", "barcode", *RANKS])
    found = {name: (None if pd.isna(value) else str(value)) for name, value in row.items()}
    return {**found, "barcode": found["barcode"] or made_up}


def _arrow(
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


def _box(
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


def _title(ax: Axes, x: float, y: float, text: str, **look) -> None:
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


def _inputs(ax: Axes, specimen: dict) -> None:
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
        _box(
            ax,
            left + 0.06,
            y - 0.4,
            0.8,
            0.8,
            "#dfe5ea",
            edge=MODALITY_COLOURS["image"],
            rounding=0.02,
        )
        _insect(ax, left + 0.46, y)
    _title(ax, left + wide / 2, y + 0.51, "photograph")
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
    _title(ax, left + wide / 2, y + 0.26, "DNA barcode")
    y = ROWS["text"]
    known = known_ranks({rank: specimen[rank] for rank in RANKS})
    for i, rank in enumerate(known):
        top = y + 0.33 - 0.2 * i
        _box(ax, left, top - 0.175, wide, 0.175, tint(RANK_COLOURS[rank], 0.2), rounding=0.03)
        words = specimen[rank] if rank != "species" else _short(specimen[rank])
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
    _title(ax, left + wide / 2, y + 0.43, "names")


def _short(name: str) -> str:
    """A binomial with its genus as an initial."""
    genus, _, rest = name.partition(" ")
    return f"{genus[0]}. {rest}" if rest else name


def _insect(ax: Axes, x: float, y: float) -> None:
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


def _encoders(ax: Axes) -> None:
    """Encoder, projection and learnable scale of each modality, then one lift for all."""
    words = {
        "image": ("image\nencoder", "ViT"),
        "dna": ("DNA\nencoder", "BarcodeBERT"),
        "text": ("text\nencoder", "BERT"),
    }
    for modality, y in ROWS.items():
        colour = MODALITY_COLOURS[modality]
        _arrow(ax, (1.07, y), (1.2, y))
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
        _arrow(ax, (1.84, y), (1.96, y))
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
        _arrow(ax, (2.09, y), (2.2, y))
        ax.add_patch(
            Circle((2.34, y), 0.13, facecolor="white", edgecolor=colour, linewidth=0.9, zorder=2)
        )
        ax.text(2.34, y, r"$e^{\alpha}$", ha="center", va="center", fontsize=7.5, zorder=3)
        joined = ROWS["dna"] + {"image": 0.07, "dna": 0.0, "text": -0.07}[modality]
        ax.plot(
            [2.47, 2.56, 2.56, 2.62],
            [y, y, joined, joined],
            color=colour,
            linewidth=1.1,
            solid_joinstyle="round",
            zorder=2,
        )
        _arrow(ax, (2.6, joined), (2.72, joined), colour=colour, width=1.1, size=5)
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


def _hyperboloid(ax: Axes, centre: tuple[float, float], unit: float) -> None:
    """The upper sheet with the tangent plane at its lowest point, and vectors lifted by the
    exponential map."""

    def view(x, y, z):
        """Oblique view of space: centre is the origin of the hyperboloid (z = 1)."""
        return np.stack(
            [centre[0] + unit * (x + 0.25 * y), centre[1] + unit * (0.36 * y + 0.92 * (z - 1))],
            axis=-1,
        )

    furthest = 1.42
    turn, distance = np.linspace(0, 2 * np.pi, 121), np.linspace(0, furthest, 40)

    def sheet(r, angle):
        return view(np.sinh(r) * np.cos(angle), np.sinh(r) * np.sin(angle), np.cosh(r) + 0 * angle)

    plane = view(np.array([-1.85, 1.85, 1.85, -1.85]), np.array([-1.3, -1.3, 1.3, 1.3]), np.ones(4))
    ax.add_patch(
        Polygon(plane, closed=True, facecolor="#eef2f6", edgecolor=MUTED, linewidth=0.6, zorder=1)
    )
    rim = sheet(furthest, turn)
    outline = np.vstack([rim, sheet(distance, 0.0), sheet(distance, np.pi)])
    hull = outline[ConvexHull(outline).vertices]
    ax.add_patch(
        Polygon(hull, closed=True, facecolor="#d8e4f0", edgecolor="none", alpha=0.55, zorder=2)
    )
    meridians = [sheet(distance, angle) for angle in np.arange(0, 2 * np.pi, np.pi / 8)]
    parallels = [sheet(r, turn) for r in (0.45, 0.8, 1.13)]
    ax.add_collection(
        LineCollection(
            meridians + parallels, colors="#8fa6bd", linewidths=0.4, alpha=0.8, zorder=2.2
        )
    )
    ax.plot(*rim.T, color="#4d6a88", linewidth=0.9, zorder=2.3)
    origin = view(0.0, 0.0, 1.0)
    for modality, r, angle in (("text", 0.72, -2.2), ("dna", 1.05, -0.55), ("image", 1.28, -1.25)):
        colour = MODALITY_COLOURS[modality]
        tip = view(r * np.cos(angle), r * np.sin(angle), 1.0)
        lifted = sheet(r, np.array(angle))
        _arrow(ax, origin, tip, colour=colour, width=1.1, zorder=4, size=6)
        ax.plot(
            *np.stack([tip, lifted]).T,
            color=colour,
            linewidth=0.7,
            linestyle=(0, (2, 1.4)),
            zorder=3.9,
        )
        ax.plot(
            *lifted,
            "o",
            color=colour,
            markersize=4,
            markeredgecolor="white",
            markeredgewidth=0.5,
            zorder=4.2,
        )
    ax.plot(*origin, "o", color=INK, markersize=2.4, zorder=4.3)
    top = rim[:, 1].max()
    _title(ax, centre[0] - 0.03, top + 0.36, "exponential lift")
    ax.text(
        centre[0] - 0.03,
        top + 0.18,
        r"$x = \mathrm{exp}_0(v)$, curvature $-c$",
        ha="center",
        va="center",
        fontsize=7,
    )
    ax.text(
        centre[0] - 0.08,
        plane[:, 1].min() - 0.1,
        "tangent space at the origin",
        ha="center",
        va="center",
        fontsize=SMALL,
        color=MUTED,
    )


def _disk(ax: Axes, centre, radius: float, names: dict) -> None:
    """The Poincare disk with nested cones of one lineage, two other orders, and the contrastive
    objective."""
    centre = np.array(centre)

    def at(points) -> np.ndarray:
        return centre + radius * np.asarray(points)

    ax.add_patch(
        Circle(centre, radius, facecolor="#fcfcfc", edgecolor=MUTED, linewidth=0.9, zorder=1)
    )
    ends, colours = [], []
    for colour, direction, spread in (
        *((*other, 0.95) for other in OTHER_ORDERS),
        (RANK_COLOURS["family"], 47, 0.62),
    ):
        for start, end in _branches(direction, spread):
            ends.append((start, end))
            colours.append(colour)
    arcs = geodesic(*(np.array(side) for side in zip(*ends, strict=True)))
    ax.add_collection(
        LineCollection(
            [at(arc) for arc in arcs], colors=colours, linewidths=0.6, alpha=0.55, zorder=3
        )
    )
    tips = np.array([end for _, end in ends])
    ax.scatter(*at(tips).T, s=5, c=colours, alpha=0.7, linewidths=0, zorder=3)
    for colour, direction in OTHER_ORDERS:
        apex = place(0.27, direction)
        ax.add_patch(
            Polygon(
                at(cone_outline(apex, CURVATURE)),
                closed=True,
                facecolor=tint(colour, 0.14),
                edgecolor=tint(colour, 0.5),
                linewidth=0.6,
                zorder=1.5,
            )
        )
        ax.plot(
            *at(apex),
            "o",
            color=colour,
            markersize=6,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=5,
        )
    _cones(ax, at)
    _labels(ax, at, names, left=6.46)
    other = place(2.2, 158)
    image = place(*LINEAGE["image"])
    ax.plot(
        *at(other),
        marker="^",
        color=OTHER_ORDERS[0][0],
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.5,
        zorder=6,
    )
    _arrow(
        ax,
        at(image) + (-0.04, 0.03),
        at(other) + (0.06, 0.03),
        colour=REPEL,
        head="<|-|>",
        dashes=(0, (3, 1.5)),
        bend=0.22,
        zorder=5.5,
    )
    _arrow(
        ax,
        at(place(*LINEAGE["species"])) + (0.05, -0.03),
        at(image) + (0.05, -0.02),
        colour=ATTRACT,
        head="<|-|>",
        bend=0.45,
        width=1.2,
        zorder=6,
        size=6,
    )
    ax.plot(*at((0, 0)), "+", color=INK, markersize=5, markeredgewidth=0.8, zorder=6)
    _title(ax, centre[0], centre[1] + radius + 0.32, "one shared hyperbolic space")
    ax.text(
        centre[0],
        centre[1] + radius + 0.14,
        "the hyperboloid as a Poincaré disk",
        fontsize=SMALL,
        color=MUTED,
        ha="center",
        va="center",
    )


def _branches(direction: float, spread: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Edges of a small tree: an order at `direction` (degrees), two families, genera, species and
    specimens fanning out."""
    edges = []
    root = place(0.27, direction)
    for f in (-1, 1):
        family = place(0.6, direction + 24 * spread * f)
        edges.append((root, family))
        for g in (-1, 0.1, 1):
            genus = place(1.05, direction + spread * (24 * f + 9.5 * g))
            edges.append((family, genus))
            for s in (-1, 1):
                species = place(1.6, direction + spread * (24 * f + 9.5 * g + 2.6 * s))
                edges.append((genus, species))
                edges += [
                    (
                        species,
                        place(2.3 + 0.1 * s, direction + spread * (24 * f + 9.5 * g + 2.6 * s + d)),
                    )
                    for d in (-0.9, 0.9)
                ]
    return edges


def _cones(ax: Axes, at) -> None:
    """The lineage's stacked cones, outermost first, and its points joined by geodesics."""
    points = {level: place(*where) for level, where in LINEAGE.items()}
    colours = {**RANK_COLOURS, "dna": MODALITY_COLOURS["dna"], "image": MODALITY_COLOURS["image"]}
    for i, level in enumerate((*RANKS, "dna")):
        outline = at(cone_outline(points[level], CURVATURE))
        ax.add_patch(
            Polygon(
                outline,
                closed=True,
                facecolor=tint(colours[level], 0.2 + 0.05 * i),
                edgecolor=colours[level],
                linewidth=0.7,
                alpha=0.8,
                zorder=2 + 0.1 * i,
            )
        )
    chain = np.array(list(points.values()))
    for arc in geodesic(chain[:-1], chain[1:]):
        ax.plot(*at(arc).T, color=INK, linewidth=0.9, zorder=5)
    markers = dict.fromkeys(RANKS, "o") | {"dna": "^", "image": "s"}
    for i, (level, point) in enumerate(points.items()):
        ax.plot(
            *at(point),
            marker=markers[level],
            color=colours[level],
            markersize=6.5 - 0.35 * i,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=6.5,
        )


def _labels(ax: Axes, at, names: dict, left: float) -> None:
    """The lineage's names in a column right of the disk, each with a line to its point."""
    words = {rank: names[rank] for rank in known_ranks({rank: names[rank] for rank in RANKS})}
    if "species" in words:
        words["species"] = _short(words["species"])
    words |= {"dna": "DNA", "image": "image"}
    points = {level: at(place(*LINEAGE[level])) for level in words}
    colours = {**RANK_COLOURS, "dna": MODALITY_COLOURS["dna"], "image": MODALITY_COLOURS["image"]}
    for i, level in enumerate(words):
        y = 2.2 + 0.2 * i
        ax.plot(
            [left - 0.03, points[level][0]],
            [y, points[level][1]],
            color=MUTED,
            linewidth=0.4,
            zorder=4,
        )
        ax.text(
            left,
            y,
            words[level],
            fontsize=7,
            va="center",
            color=shade(colours[level], 0.85),
            fontstyle="italic" if level in ("genus", "species") else "normal",
        )


def _key(ax: Axes) -> None:
    """The two objectives in words, under the drawing."""
    left, top = 2.72, 0.44
    look = {"fontsize": 7, "va": "center"}
    ax.text(left, top, "contrastive (CL):", fontweight="bold", **look)
    _arrow(ax, (left + 1.12, top), (left + 1.38, top), colour=ATTRACT, head="<|-|>", width=1.2)
    ax.text(left + 1.45, top, "one specimen's modalities together", **look)
    _arrow(
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
