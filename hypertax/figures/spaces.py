"""Figures of the embedding spaces: the Poincare disk and its Euclidean counterpart."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from hypertax.embeddings import Embeddings
from hypertax.figures.disk import centred, heaped, nested_taxa, project, taxa_reach
from hypertax.figures.space_panel import Picture, draw_space, legend_of_spaces
from hypertax.figures.style import (
    TEXT,
    clade_colours,
    colour_rank,
    finish,
    new_figure,
    panel_grid,
    style,
)


def poincare_disk(
    embeddings: Embeddings,
    colours: dict[str, str] | None = None,
    *,
    cones: list[tuple[str, str]] | None = None,
    specimens: int = 120,
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

    Of the tree, edges of families to their orders are drawn, and all below one family. Names stand
    outside, each with a line to its taxon.

    Args:
        embeddings: of a Lorentz space.
        colours: order (or family) -> colour (default: `clade_colours`).
        cones: (rank, name) of the taxa whose cones are drawn; default the largest order, its
            largest family and genus; [] for none.
        specimens: at most so many per modality are drawn.
        aperture: K of the cones.
        seed: of the choice of specimens.

    Raises:
        ValueError: the embeddings are Euclidean.
    """
    if embeddings.space != "lorentz":
        raise ValueError(
            "The Poincare disk needs embeddings of a Lorentz space, these are Euclidean: use"
            " euclidean_plane."
        )
    return _spaces([embeddings], [None], colours, cones, specimens, aperture, seed, (5.0, 4.45))


def euclidean_plane(
    embeddings: Embeddings,
    colours: dict[str, str] | None = None,
    *,
    specimens: int = 120,
    seed: int = 0,
) -> Figure:
    """The counterpart of `poincare_disk` for Euclidean embeddings: two principal components of the
    normalised features."""
    return _spaces([embeddings], [None], colours, [], specimens, 0.1, seed, (5.0, 4.1))


def spaces_side_by_side(
    lorentz: Embeddings,
    euclidean: Embeddings,
    colours: dict[str, str] | None = None,
    *,
    cones: list[tuple[str, str]] | None = None,
    specimens: int = 120,
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
    both = pd.concat([emb.table for emb in embeddings])
    rank = colour_rank(both, colours)
    colours = colours or clade_colours(both)
    cones = nested_taxa(embeddings[0]) if cones is None else cones
    planes = [project(emb) for emb in embeddings]
    reaches: list[float | None] = [None] * len(embeddings)
    columns = len(embeddings)
    if any(heaped(emb, plane) for emb, plane in zip(embeddings, planes, strict=True)):
        reaches += [taxa_reach(*both)[0] for both in zip(embeddings, planes, strict=True)]
        columns, size = 2, (TEXT, 3.1 if len(embeddings) == 1 else 5.9)
    with style():
        fig = new_figure(*size)
        if len(reaches) > columns:
            fig.get_layout_engine().set(hspace=0.06)
        for i, (ax, inner) in enumerate(
            zip(panel_grid(fig, len(reaches), columns), reaches, strict=True)
        ):
            emb, plane = (part[i % len(embeddings)] for part in (embeddings, planes))
            points = centred(emb, plane.points)
            picture = Picture(emb, plane, points, rank, colours, cones, aperture, inner)
            draw_space(ax, picture, specimens, seed)
            title = titles[i % len(embeddings)]
            if title:
                ax.set_title(f"{title}, enlarged" if inner else title, loc="center")
        legend_of_spaces(fig, embeddings, cones)
        return finish(fig)
