"""Figures of the embedding spaces: distances from the origin, the Poincare disk and its Euclidean counterpart."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

import hypertax.lorentz as L
from hypertax.disk import clip_inside, draw_cone, draw_edges, draw_frame, parents, project, spread_angles, spread_heights
from hypertax.embeddings import Embeddings
from hypertax.figure_style import (
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
)  # fmt: skip
from hypertax.taxonomy import RANKS

TAXON_SIZES = {"order": 46.0, "family": 22.0, "genus": 11.0, "species": 5.0}
SPECIMEN_MARKERS = {"dna": "^", "image": "s"}


def radius_by_rank(embeddings: dict[str, Embeddings]) -> Figure:
    """Distances from the origin of taxa (per rank), DNA and images, a panel per labelled set of embeddings.

    Lorentz: hyperbolic distance; Euclidean: the features' norm. The two have different scales, hence an axis each.
    Boxes: median and quartiles, whiskers to 1.5 interquartile ranges, single points beyond.
    """
    with style():
        columns = min(3, len(embeddings))
        rows = -(-len(embeddings) // columns)
        fig = new_figure(COLUMN if columns == 1 else TEXT, 2.4 * rows)
        for ax, (label, emb) in zip(panel_grid(fig, len(embeddings), columns), embeddings.items(), strict=True):
            levels = levels_present(emb.table)
            norms = np.linalg.norm(emb.tangent, axis=1)
            kind = emb.table["modality"].where(emb.table["modality"] != "text", emb.table["rank"])
            parts = ax.boxplot(
                [norms[(kind == level).to_numpy()] for level in levels], widths=0.62, patch_artist=True,
                medianprops={"color": INK, "linewidth": 1.1}, whiskerprops={"color": MUTED, "linewidth": 0.7},
                capprops={"color": MUTED, "linewidth": 0.7},
                flierprops={"marker": ".", "markersize": 1.5, "markerfacecolor": MUTED, "markeredgecolor": "none", "rasterized": True},
            )  # fmt: skip
            for box, level in zip(parts["boxes"], levels, strict=True):
                box.set(facecolor=LEVEL_COLOURS[level], edgecolor=INK, linewidth=0.5, alpha=0.85)
            ax.set_xticks(range(1, len(levels) + 1), [MODALITY_NAMES.get(level, level) for level in levels], rotation=35, ha="right",
                          rotation_mode="anchor")  # fmt: skip
            ax.set_ylim(bottom=0)
            ax.set_xlabel("taxa by rank (text), specimens")
            lorentz = emb.space == "lorentz"
            ax.set_ylabel("distance from the origin" if lorentz else "norm of the features")
            ax.set_title(f"{label} (c = {emb.curvature:.2f})" if lorentz else str(label))
        return finish(fig)


def share_in_cone(embeddings: Embeddings, rank: str, name: str, aperture: float = 0.1) -> float | None:
    """The share (0..1) of a taxon's own specimens that lie in its cone in the full space, not in the picture; None without any."""
    table = embeddings.table
    apex = np.flatnonzero((table["modality"] == "text") & (table["rank"] == rank) & (table["id"] == name))
    members = np.flatnonzero((table["modality"] != "text") & (table[rank] == name))
    if not len(apex) or not len(members):
        return None
    point = L.exp0(torch.tensor(embeddings.tangent, dtype=torch.float64), embeddings.curvature)
    parent = point[apex[:1]]
    angle = L.exterior_angle(parent.expand(len(members), -1), point[members], embeddings.curvature)
    return float((angle <= L.half_aperture(parent, embeddings.curvature, aperture)).double().mean())


def nested_taxa(embeddings: Embeddings, depth: int = 3) -> list[tuple[str, str]]:
    """The order with most specimens, its largest family, and so on: `depth` taxa as (rank, name), to show cones within cones."""
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


def _draw_space(ax, emb: Embeddings, colours: dict, cones: list[tuple[str, str]], specimens: int, aperture: float, seed: int) -> None:
    """Tree, specimens and (Lorentz) cones of one set of embeddings on axes, with the orders' names around it."""
    lorentz = emb.space == "lorentz"
    table, plane = emb.table.reset_index(drop=True), project(emb)
    points, row_colour = plane.points, [colours.get(order, MUTED) for order in table["order"]]
    texts = (table["modality"] == "text").to_numpy()
    if not lorentz:
        points = points - (points.min(axis=0) + points.max(axis=0)) / 2
    reach = np.linalg.norm(points, axis=1).max() if lorentz else max(np.abs(points[:, 1]).max(), np.abs(points[:, 0]).max() / 1.3)
    view = 1.0 if lorentz and reach > 0.6 else 1.08 * reach
    ax.grid(False)
    if lorentz:
        edge = draw_frame(ax, emb.curvature, view=view)
        for depth, (rank, name) in enumerate(cones):
            apex = np.flatnonzero(texts & (table["rank"] == rank) & (table["id"] == name))[:1]
            if len(apex):
                draw_cone(ax, points[apex[0]], emb.curvature, row_colour[apex[0]], aperture=aperture, alpha=0.13, zorder=1 + 0.1 * depth)
    draw_edges(ax, points, parents(emb), row_colour, hyperbolic=lorentz)
    generator = np.random.default_rng(seed)
    for modality, marker in SPECIMEN_MARKERS.items():
        rows = np.flatnonzero(table["modality"] == modality)
        rows = np.sort(generator.choice(rows, specimens, replace=False)) if len(rows) > specimens else rows
        ax.scatter(*points[rows].T, s=5, marker=marker, c=[row_colour[i] for i in rows], alpha=0.45, linewidths=0, zorder=3, rasterized=True)
    for rank in reversed(RANKS):
        rows = np.flatnonzero(texts & (table["rank"] == rank))
        ax.scatter(*points[rows].T, s=TAXON_SIZES[rank], c=[row_colour[i] for i in rows], edgecolors="white" if rank != "species" else "none",
                   linewidths=0.5, zorder=4 + 0.1 * (3 - RANKS.index(rank)), rasterized=len(rows) > 2000)  # fmt: skip
    if lorentz:
        clip_inside(ax, edge)
    _name_orders(ax, table, points, colours, view, lorentz)
    blank(ax)
    kept = f"directions: 2 principal components, {100 * plane.share:.0f} % of the variance"
    below = f"{kept};\nthe circles give the distance from the origin, which is the true one" if lorentz else f"{kept}\nof the normalised features"
    shares = [(name, share_in_cone(emb, rank, name, aperture)) for rank, name in cones] if lorentz else []
    inside = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares if share is not None)
    ax.set_xlabel(f"{below}\nown specimens inside the cone in the full space:\n{inside}" if inside else below, fontsize=SMALL, color=MUTED, labelpad=3)


def _name_orders(ax, table, points: np.ndarray, colours: dict, view: float, lorentz: bool) -> None:
    """Every order's name: round the disk in the mean direction of what belongs to it, or (plane) over it; names kept apart."""
    orders = [order for order in colours if (table["order"] == order).any()]
    means = []
    for order in orders:
        own = points[(table["order"] == order).to_numpy()]
        means.append((own / np.maximum(np.linalg.norm(own, axis=1), 1e-12)[:, None]).mean(axis=0) if lorentz else np.median(own, axis=0))
    means = np.array(means)
    if lorentz:
        angles = spread_angles(np.arctan2(means[:, 1], means[:, 0]), 0.17)
        places = 1.045 * view * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    else:
        places = spread_heights(means, 0.11 * view, 0.6 * view)
    for order, (x, y) in zip(orders, places, strict=True):
        side = "center" if not lorentz or abs(x) < 0.2 * view else ("left" if x > 0 else "right")
        halo = [] if lorentz else [withStroke(linewidth=2.2, foreground="white", alpha=0.9)]
        ax.text(x, y, order, color=shade(colours[order]), fontsize=7, fontweight="bold", ha=side, va="center", zorder=8, path_effects=halo)
    ax.set_aspect("equal")
    ax.set(xlim=(-1.42 * view, 1.42 * view), ylim=(-1.07 * view, 1.07 * view))


def _legend(fig: Figure, embeddings: list[Embeddings], cones: list[tuple[str, str]]) -> None:
    """Marks for ranks, modalities and cones, under the panels."""
    levels = {level for emb in embeddings for level in levels_present(emb.table)}
    marks = [Line2D([], [], ls="", marker="o", color=MUTED, ms=TAXON_SIZES[r] ** 0.5, mec="white", mew=0.4, label=r) for r in RANKS if r in levels]
    marks += [Line2D([], [], ls="", marker=SPECIMEN_MARKERS[m], color=MUTED, ms=3.5, label=MODALITY_NAMES[m]) for m in ("dna", "image") if m in levels]
    if cones and any(emb.space == "lorentz" for emb in embeddings):
        marks.append(Patch(facecolor=MUTED, alpha=0.3, edgecolor=MUTED, label="entailment cone"))
    fig.legend(handles=marks, loc="outside lower center", ncols=len(marks), handletextpad=0.4)


def poincare_disk(embeddings: Embeddings, colours: dict[str, str] | None = None, *, cones: list[tuple[str, str]] | None = None,
                  specimens: int = 400, aperture: float = 0.1, seed: int = 0) -> Figure:  # fmt: skip
    """The hyperbolic space as a Poincare disk: taxa joined to their parents by geodesics, specimens, and entailment cones.

    It is a projection: directions are those of two principal components of the tangent vectors (each modality centred; the share of
    variance is in the figure), distances from the centre are the true ones, other distances are not. A cone is the region of the picture
    where exterior_angle <= half_aperture for a point at the taxon's place; what lies in it in the full space is stated below.

    colours: order -> colour (default: `order_colours` of the orders present). cones: (rank, name) of the taxa whose cones are drawn;
    default the largest order, its largest family and genus; [] for none. specimens: at most so many per modality are drawn.
    """
    if embeddings.space != "lorentz":
        raise ValueError("The Poincare disk needs embeddings of a Lorentz space, these are Euclidean: use euclidean_plane.")
    return _spaces([embeddings], [None], colours, cones, specimens, aperture, seed, (5.0, 4.7))


def euclidean_plane(embeddings: Embeddings, colours: dict[str, str] | None = None, *, specimens: int = 400, seed: int = 0) -> Figure:
    """The counterpart of `poincare_disk` for Euclidean embeddings: two principal components of the normalised features (modalities centred)."""
    return _spaces([embeddings], [None], colours, [], specimens, 0.1, seed, (5.0, 4.35))


def spaces_side_by_side(lorentz: Embeddings, euclidean: Embeddings, colours: dict[str, str] | None = None, *,
                        cones: list[tuple[str, str]] | None = None, specimens: int = 300, aperture: float = 0.1, seed: int = 0) -> Figure:  # fmt: skip
    """`poincare_disk` and `euclidean_plane` of two runs on the same data, in the same colours and marks."""
    return _spaces([lorentz, euclidean], ["Hyperbolic (Poincaré disk)", "Euclidean"], colours, cones, specimens, aperture, seed, (TEXT, 3.6))


def _spaces(embeddings, titles, colours, cones, specimens, aperture, seed, size) -> Figure:
    """One panel per set of embeddings above a common legend."""
    colours = colours or order_colours(name for emb in embeddings for name in emb.table["order"])
    cones = nested_taxa(embeddings[0]) if cones is None else cones
    with style():
        fig = new_figure(*size)
        for ax, emb, title in zip(panel_grid(fig, len(embeddings), len(embeddings)), embeddings, titles, strict=True):
            _draw_space(ax, emb, colours, cones, specimens, aperture, seed)
            if title:
                ax.set_title(title, loc="center")
        _legend(fig, embeddings, cones)
        return finish(fig)
