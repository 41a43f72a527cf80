"""One panel of a space: its tree, its specimens and its cones, with the clades' names outside."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch, Rectangle

from hypertax.embeddings import Embeddings
from hypertax.figures.disk import (
    Plane,
    clip_inside,
    draw_cone,
    draw_edges,
    draw_frame,
    heaped,
    nested_taxa,
    parents,
    share_in_cone,
    spread_heights,
    taxa_reach,
)
from hypertax.figures.radius import saturation_radius
from hypertax.figures.style import (
    FAINT,
    INK,
    MODALITY_NAMES,
    MUTED,
    SMALL,
    blank,
    levels_present,
    shade,
)
from hypertax.geometry.poincare import disk_radius
from hypertax.taxonomy import RANKS

TAXON_SIZES = {"order": 46.0, "family": 22.0, "genus": 11.0, "species": 5.0}
SPECIMEN_MARKERS = {"dna": "^", "image": "s"}


class Picture(NamedTuple):
    """One panel: what is drawn, where, and in which colours."""

    emb: Embeddings
    plane: Plane
    points: np.ndarray
    """(N, 2), about the middle of the picture."""
    rank: str
    """The rank whose taxa have the colours."""
    colours: dict[str, str]
    cones: list[tuple[str, str]]
    aperture: float
    inner: float | None
    """The picture reaches only so far from its middle: an enlargement. None: all of it."""

    @property
    def lorentz(self) -> bool:
        return self.emb.space == "lorentz"

    @property
    def texts(self) -> np.ndarray:
        return (self.emb.table["modality"] == "text").to_numpy()

    @property
    def row_colours(self) -> list[str]:
        return [self.colours.get(name, MUTED) for name in self.emb.table[self.rank]]

    @property
    def view(self) -> float:
        """How far from its middle the picture reaches."""
        if self.inner:
            return self.inner
        across, up = np.abs(self.points).max(axis=0)
        reach = np.linalg.norm(self.points, axis=1).max() if self.lorentz else max(up, across / 1.1)
        return 1.0 if self.lorentz and reach > 0.6 else 1.08 * reach

    def row_of(self, rank: str, name: str) -> np.ndarray:
        """The row of a taxon, at most one."""
        table = self.emb.table
        return np.flatnonzero(self.texts & (table["rank"] == rank) & (table["id"] == name))[:1]


def draw_space(ax, picture: Picture, specimens: int, seed: int) -> None:
    """Tree, specimens and (Lorentz) cones of one set of embeddings, with names outside."""
    ax.grid(False)
    view = picture.view
    edge = draw_frame(ax, picture.emb.curvature, view=view) if picture.lorentz else None
    _draw_cones(ax, picture)
    _draw_tree(ax, picture)
    _draw_specimens(ax, picture, specimens, seed)
    _draw_taxa(ax, picture)
    if picture.lorentz:
        _draw_circles(ax, picture)
        clip_inside(ax, edge)
    else:
        square = Rectangle((-view, -view), 2 * view, 2 * view, fill=False, edgecolor=FAINT, lw=0.6)
        ax.add_patch(square)
        clip_inside(ax, square)
    _name_clades(ax, picture)
    blank(ax)
    ax.set_xlabel(_caption(picture), fontsize=SMALL, color=MUTED, labelpad=3)


def _draw_cones(ax, picture: Picture) -> None:
    for depth, (rank, name) in enumerate(picture.cones if picture.lorentz else ()):
        for apex in picture.row_of(rank, name):
            draw_cone(
                ax,
                picture.points[apex],
                picture.emb.curvature,
                picture.row_colours[apex],
                aperture=picture.aperture,
                alpha=0.13,
                zorder=1 + 0.1 * depth,
            )


def _draw_tree(ax, picture: Picture) -> None:
    """Edges from a taxon to its parent: of families to their orders, and below the clade whose
    cones are drawn (else the largest one) all of them. All edges of a tree are a tangle."""
    above = parents(picture.emb)
    rank = picture.emb.table["rank"].to_numpy()
    path = picture.cones or nested_taxa(picture.emb)
    followed = np.zeros(len(above), dtype=bool)
    for level, name in path[1:2]:
        followed = (picture.emb.table[level] == name).to_numpy()
    for chosen, width, alpha in (
        ((rank == "family") & ~followed, 0.5, 0.3),
        (followed & (rank == "species"), 0.4, 0.6),
        (followed & ((rank == "family") | (rank == "genus")), 0.9, 0.9),
    ):
        draw_edges(
            ax,
            picture.points,
            np.where(chosen, above, -1),
            picture.row_colours,
            hyperbolic=picture.lorentz,
            width=width,
            alpha=alpha,
        )


def _draw_specimens(ax, picture: Picture, specimens: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    colours = picture.row_colours
    for modality, marker in SPECIMEN_MARKERS.items():
        rows = np.flatnonzero(picture.emb.table["modality"] == modality)
        if len(rows) > specimens:
            rows = np.sort(generator.choice(rows, specimens, replace=False))
        ax.scatter(
            *picture.points[rows].T,
            s=6,
            marker=marker,
            c=[colours[i] for i in rows],
            alpha=0.55,
            linewidths=0,
            zorder=3,
            rasterized=True,
        )


def _draw_taxa(ax, picture: Picture) -> None:
    colours, table = picture.row_colours, picture.emb.table
    for rank in reversed(RANKS):
        rows = np.flatnonzero(picture.texts & (table["rank"] == rank))
        # There are hundreds of species: they are the background of the other taxa.
        ax.scatter(
            *picture.points[rows].T,
            s=TAXON_SIZES[rank],
            c=[colours[i] for i in rows],
            edgecolors="white" if rank != "species" else "none",
            linewidths=0.5,
            alpha=1.0 if rank != "species" else 0.45,
            zorder=4 + 0.1 * (3 - RANKS.index(rank)),
            rasterized=len(rows) > 2000,
        )


def _half_space(picture: Picture) -> float:
    """Where in the disk the cones of taxa become half-spaces."""
    c = picture.emb.curvature
    return float(disk_radius(saturation_radius(c, picture.aperture), c))


def _draw_circles(ax, picture: Picture) -> None:
    """Dashed: what another panel enlarges. Dotted: within it a taxon's cone is a half-space."""
    look = {"facecolor": "none", "zorder": 5}
    if not picture.inner and heaped(picture.emb, picture.plane):
        reach = taxa_reach(picture.emb, picture.plane)[0]
        dashes = (0, (4, 2))
        ax.add_patch(Circle((0, 0), reach, edgecolor=MUTED, ls=dashes, lw=0.8, **look))
    if picture.inner and _half_space(picture) < picture.view:
        ax.add_patch(Circle((0, 0), _half_space(picture), edgecolor=INK, ls=":", lw=0.9, **look))


def _caption(picture: Picture) -> str:
    """What the picture is, under it."""
    emb = picture.emb
    if picture.inner and not picture.lorentz:
        return "enlarged: where the taxa lie"
    if picture.inner:
        distance = 2 * np.arctanh(picture.inner) / np.sqrt(emb.curvature)
        words = (
            "dotted: within it a taxon's cone is a half-space"
            if _half_space(picture) < picture.view
            else "all cones of the taxa shown are half-spaces"
        )
        return f"the dashed circle enlarged: within {distance:.2g} of the origin\n{words}"
    kept = f"directions: 2 principal components, {100 * picture.plane.share:.0f} % of the variance"
    if not picture.lorentz:
        return f"{kept}\nof the normalised features"
    below = f"{kept};\nthe circles give the true distance from the origin"
    shares = [(name, share_in_cone(emb, r, name, picture.aperture)) for r, name in picture.cones]
    inside = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares if share is not None)
    if not inside:
        return below
    return f"{below}\nown specimens inside the cone in the full space:\n{inside}"


def _name_clades(ax, picture: Picture) -> None:
    """The coloured clades' names in two columns beside the picture, each with a line to its place.

    The place is the clade's own taxon; where taxa are heaped, the middle of its specimens.
    """
    table, view = picture.emb.table, picture.view
    names, places = [], []
    hidden = not picture.inner and heaped(picture.emb, picture.plane)
    for name in picture.colours:
        own = (table[picture.rank] == name).to_numpy()
        taxon = picture.row_of(picture.rank, name)
        if not own.any():
            continue
        specimens = own & ~picture.texts
        where = picture.points[specimens if specimens.any() else own]
        place = np.median(where, axis=0)
        if len(taxon) and not hidden:
            place = picture.points[taxon[0]]
        reach = np.linalg.norm(place) if picture.lorentz else np.abs(place).max()
        names.append(name)
        places.append(place * min(1.0, 0.98 * view / max(reach, 1e-12)))
    places = np.array(places).reshape(-1, 2)
    by_side = np.argsort(places[:, 0], kind="stable")
    half = len(names) // 2
    for sign, rows in ((-1, by_side[:half]), (1, by_side[half:])):
        gap = min(0.17, 2.1 / max(1, len(rows))) * view
        heights = spread_heights(places[rows] * (0, 1), gap, view)[:, 1] if len(rows) else []
        for i, y in zip(rows, heights, strict=True):
            colour = picture.colours[names[i]]
            x = 1.1 * sign * view
            line = ax.plot(
                [x, places[i, 0]],
                [y, places[i, 1]],
                color=shade(colour),
                lw=0.5,
                alpha=0.8,
                zorder=7,
            )[0]
            line.set_gid("leader")
            ax.text(
                x + 0.02 * sign * view,
                y,
                names[i],
                color=shade(colour),
                fontsize=7,
                fontweight="bold",
                ha="left" if sign > 0 else "right",
                va="center",
                zorder=8,
            )
    ax.set_aspect("equal")
    ax.set(xlim=(-1.12 * view, 1.12 * view), ylim=(-1.07 * view, 1.07 * view))


def legend_of_spaces(
    fig: Figure, embeddings: list[Embeddings], cones: list[tuple[str, str]]
) -> None:
    """Marks for ranks, modalities and cones, under the panels."""
    levels = {level for emb in embeddings for level in levels_present(emb.table)}
    look = {"ls": "", "color": MUTED}
    marks = [
        Line2D([], [], marker="o", ms=TAXON_SIZES[r] ** 0.5, mec="white", mew=0.4, label=r, **look)
        for r in RANKS
        if r in levels
    ]
    marks += [
        Line2D([], [], marker=SPECIMEN_MARKERS[m], ms=3.5, label=MODALITY_NAMES[m], **look)
        for m in ("dna", "image")
        if m in levels
    ]
    if cones and any(emb.space == "lorentz" for emb in embeddings):
        marks.append(Patch(facecolor=MUTED, alpha=0.3, edgecolor=MUTED, label="entailment cone"))
    fig.legend(handles=marks, loc="outside lower center", ncols=len(marks), handletextpad=0.4)
