"""Figures of the embedding spaces: distances from the origin, the Poincare disk and its Euclidean
counterpart."""

from __future__ import annotations

from textwrap import fill

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch, Rectangle
from matplotlib.patheffects import withStroke

from hypertax.embeddings import Embeddings
from hypertax.figures.disk import (
    Plane,
    clip_inside,
    draw_cone,
    draw_edges,
    draw_frame,
    parents,
    project,
    spread_angles,
    spread_heights,
)
from hypertax.figures.style import (
    COLUMN,
    INK,
    LEVEL_COLOURS,
    MODALITY_NAMES,
    MUTED,
    SMALL,
    TEXT,
    blank,
    finish,
    levels_present,
    new_figure,
    order_colours,
    panel_grid,
    shade,
    style,
)
from hypertax.geometry import lorentz as L
from hypertax.geometry.poincare import disk_radius
from hypertax.taxonomy import RANKS

TAXON_SIZES = {"order": 46.0, "family": 22.0, "genus": 11.0, "species": 5.0}
SPECIMEN_MARKERS = {"dna": "^", "image": "s"}


def saturation_radius(c: float, aperture: float = 0.1) -> float:
    """The distance from the origin up to which an entailment cone is a half-space: sqrt(c)|x| = 2K,
    that is asinh(2K) / sqrt(c)."""
    return float(np.arcsinh(2 * aperture) / np.sqrt(c))


def radius_by_rank(embeddings: dict[str, Embeddings], *, aperture: float = 0.1) -> Figure:
    """Distances from the origin of taxa (per rank), DNA and images, a panel per labelled set of
    embeddings.

    Lorentz: hyperbolic distance; Euclidean: the features' norm. The two have different scales,
    hence an axis each. Where the taxa fill less than two fifths of the axis they are enlarged in an
    inset. Dotted line (Lorentz): below it a taxon's cone is a half-space, for the cones' constant K
    = `aperture`. Boxes: median and quartiles, whiskers to 1.5 interquartile ranges, single points
    beyond.
    """
    with style():
        columns = min(3, len(embeddings))
        rows = -(-len(embeddings) // columns)
        fig = new_figure(COLUMN if columns == 1 else TEXT, 2.3 * rows + 0.2)
        lorentz = False
        for ax, (label, emb) in zip(
            panel_grid(fig, len(embeddings), columns), embeddings.items(), strict=True
        ):
            levels = levels_present(emb.table)
            norms = np.linalg.norm(emb.tangent, axis=1)
            kind = emb.table["modality"].where(emb.table["modality"] != "text", emb.table["rank"])
            values = {level: norms[(kind == level).to_numpy()] for level in levels}
            _boxes(ax, values)
            ax.set_xticks(
                range(1, len(levels) + 1),
                [MODALITY_NAMES.get(level, level) for level in levels],
                rotation=35,
                ha="right",
                rotation_mode="anchor",
            )
            ax.set_xlabel("taxa by rank (text), specimens")
            name = str(label)
            if emb.space == "lorentz":
                lorentz = True
                limit = saturation_radius(emb.curvature, aperture)
                ax.axhline(limit, color=INK, linestyle=":", linewidth=0.9, zorder=1)
                name += f" (c\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{emb.curvature:.2f})"
            ax.set(
                title=fill(name, 28 if columns == 3 else 36),
                ylabel="distance from the origin"
                if emb.space == "lorentz"
                else "norm of the features",
            )
            taxa = {level: own for level, own in values.items() if level in RANKS}
            top = ax.get_ylim()[1]
            ax.set_ylim(0, top)
            if (
                taxa
                and max(own.max() for own in taxa.values()) < 0.4 * top
                and len(taxa) < len(values)
            ):
                _enlarge(ax, taxa, len(levels), limit if emb.space == "lorentz" else None)
        if lorentz:
            line = Line2D(
                [],
                [],
                color=INK,
                linestyle=":",
                linewidth=0.9,
                label="below: the taxon's cone is a half-space",
            )
            fig.legend(handles=[line], loc="outside lower center")
        return finish(fig)


def _boxes(ax, values: dict[str, np.ndarray]) -> None:
    """A box per level at 1, 2, ..."""
    parts = ax.boxplot(
        list(values.values()),
        widths=0.62,
        patch_artist=True,
        medianprops={"color": INK, "linewidth": 1.1},
        whiskerprops={"color": MUTED, "linewidth": 0.7},
        capprops={"color": MUTED, "linewidth": 0.7},
        flierprops={
            "marker": ".",
            "markersize": 1.5,
            "markerfacecolor": MUTED,
            "markeredgecolor": "none",
            "rasterized": True,
        },
    )
    for box, level in zip(parts["boxes"], values, strict=True):
        box.set(facecolor=LEVEL_COLOURS[level], edgecolor=INK, linewidth=0.5, alpha=0.85)


def _enlarge(ax, taxa: dict[str, np.ndarray], levels: int, limit: float | None) -> None:
    """The taxa's boxes again over the empty space above them, on an axis of their own, joined to
    the part it shows."""
    highest, top = max(own.max() for own in taxa.values()), ax.get_ylim()[1]
    right = (len(taxa) + 0.45) / (levels + 0.55)
    inset = ax.inset_axes([0.13, 0.5, right - 0.16, 0.47])
    _boxes(inset, taxa)
    inset.set(
        xticks=[],
        xlim=(0.5, len(taxa) + 0.5),
        ylim=(0, 1.08 * max(highest, 1.2 * limit if limit and limit < 2 * highest else 0)),
    )
    inset.yaxis.get_major_locator().set_params(nbins=4)
    inset.tick_params(labelsize=SMALL, length=2, pad=1.5)
    if limit and limit < inset.get_ylim()[1]:
        inset.axhline(limit, color=INK, linestyle=":", linewidth=0.9, zorder=1)
    for spine in inset.spines.values():
        spine.set(visible=True, color=MUTED)
    shown = min(inset.get_ylim()[1], 0.46 * top)
    ax.add_patch(
        Rectangle(
            (0.55, 0),
            len(taxa) - 0.1,
            shown,
            facecolor="none",
            edgecolor=MUTED,
            linewidth=0.6,
            zorder=1.5,
        )
    )
    ax.annotate(
        "",
        (0.13 + 0.5 * (right - 0.16), 0.49),
        (0.13 + 0.5 * (right - 0.16), shown / top),
        xycoords="axes fraction",
        textcoords="axes fraction",
        arrowprops={
            "arrowstyle": "-|>",
            "color": MUTED,
            "linewidth": 0.6,
            "shrinkA": 1,
            "shrinkB": 1,
        },
    )


def share_in_cone(
    embeddings: Embeddings, rank: str, name: str, aperture: float = 0.1
) -> float | None:
    """The share (0..1) of a taxon's own specimens that lie in its cone in the full space, not in
    the picture; None without any."""
    table = embeddings.table
    apex = np.flatnonzero(
        (table["modality"] == "text") & (table["rank"] == rank) & (table["id"] == name)
    )
    members = np.flatnonzero((table["modality"] != "text") & (table[rank] == name))
    if not len(apex) or not len(members):
        return None
    parent = embeddings.points(apex[:1])
    angle = L.exterior_angle(
        parent.expand(len(members), -1), embeddings.points(members), embeddings.curvature
    )
    return float((angle <= L.half_aperture(parent, embeddings.curvature, aperture)).double().mean())


def nested_taxa(embeddings: Embeddings, depth: int = 3) -> list[tuple[str, str]]:
    """The order with most specimens, its largest family, and so on: `depth` taxa as (rank, name),
    to show cones within cones."""
    table = embeddings.table
    left = table[table["modality"] != "text"] if embeddings.modalities else table
    names = set(table.loc[table["modality"] == "text", "id"])
    found = []
    for rank in RANKS[:depth]:
        counts = left[rank][left[rank].isin(names)].value_counts()
        if counts.empty:
            break
        name = min(counts.index[counts == counts.max()])
        found.append((rank, name))
        left = left[left[rank] == name]
    return found


def taxa_reach(embeddings: Embeddings, plane: Plane) -> tuple[float, float]:
    """How far from the middle of the picture (in its units) all but 2 % of the taxa lie, and how
    far the picture reaches."""
    lengths = np.linalg.norm(_centred(embeddings, plane.points), axis=1)
    taxa = lengths[(embeddings.table["modality"] == "text").to_numpy()]
    view = (
        1.0
        if embeddings.space == "lorentz" and lengths.max() > 0.6
        else 1.08 * float(lengths.max())
    )
    return (1.1 * float(np.quantile(taxa, 0.98)) if len(taxa) else view), view


def heaped(embeddings: Embeddings, plane: Plane) -> bool:
    """Whether the taxa of a Lorentz space fill so small a part of the disk's picture that they
    cover one another."""
    reach, view = taxa_reach(embeddings, plane)
    return embeddings.space == "lorentz" and reach < 0.45 * view


def _centred(embeddings: Embeddings, points: np.ndarray) -> np.ndarray:
    """The disk has its centre; a plane's is taken to be the middle of what it shows."""
    return (
        points
        if embeddings.space == "lorentz"
        else points - (points.min(axis=0) + points.max(axis=0)) / 2
    )


def _draw_space(
    ax,
    emb: Embeddings,
    plane: Plane,
    colours: dict,
    cones: list[tuple[str, str]],
    specimens: int,
    aperture: float,
    seed: int,
    inner: float | None,
) -> None:
    """Tree, specimens and (Lorentz) cones of one set of embeddings on axes, with the orders' names
    around it.

    inner: show the picture up to this distance from its middle (in its units), an enlargement.
    """
    lorentz = emb.space == "lorentz"
    table = emb.table.reset_index(drop=True)
    points, row_colour = (
        _centred(emb, plane.points),
        [colours.get(order, MUTED) for order in table["order"]],
    )
    texts = (table["modality"] == "text").to_numpy()
    reach = (
        np.linalg.norm(points, axis=1).max()
        if lorentz
        else max(np.abs(points[:, 1]).max(), np.abs(points[:, 0]).max() / 1.3)
    )
    view = inner or (1.0 if lorentz and reach > 0.6 else 1.08 * reach)
    ax.grid(False)
    if lorentz:
        edge = draw_frame(ax, emb.curvature, view=view)
        for depth, (rank, name) in enumerate(cones):
            apex = np.flatnonzero(texts & (table["rank"] == rank) & (table["id"] == name))[:1]
            if len(apex):
                draw_cone(
                    ax,
                    points[apex[0]],
                    emb.curvature,
                    row_colour[apex[0]],
                    aperture=aperture,
                    alpha=0.13,
                    zorder=1 + 0.1 * depth,
                )
    draw_edges(
        ax, points, parents(emb), row_colour, hyperbolic=lorentz, alpha=0.3 if inner else 0.55
    )
    generator = np.random.default_rng(seed)
    for modality, marker in SPECIMEN_MARKERS.items():
        rows = np.flatnonzero(table["modality"] == modality)
        rows = (
            np.sort(generator.choice(rows, specimens, replace=False))
            if len(rows) > specimens
            else rows
        )
        ax.scatter(
            *points[rows].T,
            s=5,
            marker=marker,
            c=[row_colour[i] for i in rows],
            alpha=0.45,
            linewidths=0,
            zorder=3,
            rasterized=True,
        )
    for rank in reversed(RANKS):
        rows = np.flatnonzero(texts & (table["rank"] == rank))
        ax.scatter(
            *points[rows].T,
            s=TAXON_SIZES[rank],
            c=[row_colour[i] for i in rows],
            edgecolors="white" if rank != "species" else "none",
            linewidths=0.5,
            zorder=4 + 0.1 * (3 - RANKS.index(rank)),
            rasterized=len(rows) > 2000,
        )
    if lorentz:
        half_space = float(disk_radius(saturation_radius(emb.curvature, aperture), emb.curvature))
        if not inner and heaped(emb, plane):
            ax.add_patch(
                Circle(
                    (0, 0),
                    taxa_reach(emb, plane)[0],
                    facecolor="none",
                    edgecolor=MUTED,
                    linestyle=(0, (4, 2)),
                    linewidth=0.8,
                    zorder=5,
                )
            )
        if inner and half_space < view:
            ax.add_patch(
                Circle(
                    (0, 0),
                    half_space,
                    facecolor="none",
                    edgecolor=INK,
                    linestyle=":",
                    linewidth=0.9,
                    zorder=5,
                )
            )
        clip_inside(ax, edge)
    # The plane's enlargement shows the taxa: there a name goes to the order itself, not to its
    # specimens.
    named = (
        texts & (table["rank"] == "order").to_numpy()
        if inner and not lorentz
        else np.ones(len(table), dtype=bool)
    )
    _name_orders(ax, table[named], points[named], colours, view, lorentz)
    blank(ax)
    if inner and not lorentz:
        ax.set_xlabel("enlarged: where the taxa lie", fontsize=SMALL, color=MUTED, labelpad=3)
        return
    if inner:
        distance = 2 * np.arctanh(inner) / np.sqrt(emb.curvature)
        words = (
            "dotted: within it a taxon's cone is a half-space"
            if half_space < view
            else "all cones of the taxa shown are half-spaces"
        )
        ax.set_xlabel(
            f"the dashed circle enlarged: within {distance:.2g} of the origin\n{words}",
            fontsize=SMALL,
            color=MUTED,
            labelpad=3,
        )
        return
    kept = f"directions: 2 principal components, {100 * plane.share:.0f} % of the variance"
    below = (
        f"{kept};\nthe circles give the distance from the origin, which is the true one"
        if lorentz
        else f"{kept}\nof the normalised features"
    )
    shares = (
        [(name, share_in_cone(emb, rank, name, aperture)) for rank, name in cones]
        if lorentz
        else []
    )
    inside = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares if share is not None)
    ax.set_xlabel(
        f"{below}\nown specimens inside the cone in the full space:\n{inside}" if inside else below,
        fontsize=SMALL,
        color=MUTED,
        labelpad=3,
    )


def _name_orders(ax, table, points: np.ndarray, colours: dict, view: float, lorentz: bool) -> None:
    """Every order's name: round the disk in the mean direction of what belongs to it, or (plane)
    over it; names kept apart."""
    orders = [order for order in colours if (table["order"] == order).any()]
    means = []
    for order in orders:
        own = points[(table["order"] == order).to_numpy()]
        means.append(
            (own / np.maximum(np.linalg.norm(own, axis=1), 1e-12)[:, None]).mean(axis=0)
            if lorentz
            else np.median(own, axis=0)
        )
    means = np.array(means)
    if lorentz:
        angles = spread_angles(np.arctan2(means[:, 1], means[:, 0]), 0.17)
        places = 1.045 * view * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    else:
        places = spread_heights(means, 0.11 * view, 0.6 * view)
    for order, (x, y) in zip(orders, places, strict=True):
        side = "center" if not lorentz or abs(x) < 0.2 * view else ("left" if x > 0 else "right")
        halo = [] if lorentz else [withStroke(linewidth=2.2, foreground="white", alpha=0.9)]
        ax.text(
            x,
            y,
            order,
            color=shade(colours[order]),
            fontsize=7,
            fontweight="bold",
            ha=side,
            va="center",
            zorder=8,
            path_effects=halo,
        )
    ax.set_aspect("equal")
    ax.set(xlim=(-1.42 * view, 1.42 * view), ylim=(-1.07 * view, 1.07 * view))


def _legend(fig: Figure, embeddings: list[Embeddings], cones: list[tuple[str, str]]) -> None:
    """Marks for ranks, modalities and cones, under the panels."""
    levels = {level for emb in embeddings for level in levels_present(emb.table)}
    marks = [
        Line2D(
            [],
            [],
            ls="",
            marker="o",
            color=MUTED,
            ms=TAXON_SIZES[r] ** 0.5,
            mec="white",
            mew=0.4,
            label=r,
        )
        for r in RANKS
        if r in levels
    ]
    marks += [
        Line2D(
            [], [], ls="", marker=SPECIMEN_MARKERS[m], color=MUTED, ms=3.5, label=MODALITY_NAMES[m]
        )
        for m in ("dna", "image")
        if m in levels
    ]
    if cones and any(emb.space == "lorentz" for emb in embeddings):
        marks.append(Patch(facecolor=MUTED, alpha=0.3, edgecolor=MUTED, label="entailment cone"))
    fig.legend(handles=marks, loc="outside lower center", ncols=len(marks), handletextpad=0.4)


def poincare_disk(
    embeddings: Embeddings,
    colours: dict[str, str] | None = None,
    *,
    cones: list[tuple[str, str]] | None = None,
    specimens: int = 400,
    aperture: float = 0.1,
    seed: int = 0,
) -> Figure:
    """The hyperbolic space as a Poincare disk: taxa joined to their parents by geodesics,
    specimens, and entailment cones.

    It is a projection: directions are those of two principal components of the tangent vectors
    (each modality centred; the share of variance is in the figure), distances from the centre are
    the true ones, other distances are not. A cone is the region of the picture where exterior_angle
    <= half_aperture for a point at the taxon's place; what lies in it in the full space is stated
    below. Where taxa heap up at the centre, a second panel enlarges it.

    colours: order -> colour (default: `order_colours` of the orders present). cones: (rank, name)
    of the taxa whose cones are drawn; default the largest order, its largest family and genus; []
    for none. specimens: at most so many per modality are drawn.
    """
    if embeddings.space != "lorentz":
        raise ValueError(
            "The Poincare disk needs embeddings of a Lorentz space, these are Euclidean: use"
            " euclidean_plane."
        )
    return _spaces([embeddings], [None], colours, cones, specimens, aperture, seed, (5.0, 4.7))


def euclidean_plane(
    embeddings: Embeddings,
    colours: dict[str, str] | None = None,
    *,
    specimens: int = 400,
    seed: int = 0,
) -> Figure:
    """The counterpart of `poincare_disk` for Euclidean embeddings: two principal components of the
    normalised features."""
    return _spaces([embeddings], [None], colours, [], specimens, 0.1, seed, (5.0, 4.35))


def spaces_side_by_side(
    lorentz: Embeddings,
    euclidean: Embeddings,
    colours: dict[str, str] | None = None,
    *,
    cones: list[tuple[str, str]] | None = None,
    specimens: int = 300,
    aperture: float = 0.1,
    seed: int = 0,
) -> Figure:
    """`poincare_disk` and `euclidean_plane` of two runs on the same data, in the same colours and
    marks; heaps of taxa are enlarged."""
    titles = ["Hyperbolic (Poincaré disk)", "Euclidean"]
    return _spaces(
        [lorentz, euclidean], titles, colours, cones, specimens, aperture, seed, (TEXT, 3.6)
    )


def _spaces(embeddings, titles, colours, cones, specimens, aperture, seed, size) -> Figure:
    """One panel per set of embeddings above a common legend; a heap of taxa at the disk's centre is
    enlarged in a panel beside it."""
    colours = colours or order_colours(name for emb in embeddings for name in emb.table["order"])
    cones = nested_taxa(embeddings[0]) if cones is None else cones
    planes = [project(emb) for emb in embeddings]
    panels = [
        (emb, plane, title, None)
        for emb, plane, title in zip(embeddings, planes, titles, strict=True)
    ]
    columns = len(panels)
    if any(heaped(emb, plane) for emb, plane in zip(embeddings, planes, strict=True)):
        panels += [
            (emb, plane, f"{title}, enlarged" if title else None, taxa_reach(emb, plane)[0])
            for emb, plane, title, _ in panels
        ]
        columns, size = 2, (TEXT, 3.2 if len(panels) == 2 else 6.4)
    with style():
        fig = new_figure(*size)
        if len(panels) > columns:
            fig.get_layout_engine().set(hspace=0.06)
        for ax, (emb, plane, title, inner) in zip(
            panel_grid(fig, len(panels), columns), panels, strict=True
        ):
            _draw_space(ax, emb, plane, colours, cones, specimens, aperture, seed, inner)
            if title:
                ax.set_title(title, loc="center")
        _legend(fig, embeddings, cones)
        return finish(fig)
