"""Euclidean embeddings of specimens and taxa, placed in a Lorentz space so that the cones of the
taxa nest: what takes no training."""

from __future__ import annotations

import numpy as np
import torch

from hypertax.config.run_config import RunConfig
from hypertax.embeddings import Embeddings
from hypertax.geometry.nested_cones import nested_radii
from hypertax.geometry.spaces import CapSpace
from hypertax.taxonomy import RANKS, parent_rows


@torch.no_grad()
def place_in_cones(embeddings: Embeddings, config: RunConfig) -> Embeddings:
    """The embeddings as the recipe `nested` would place their directions: nobody's neighbours
    change, radii and the drawing together are new.

    Args:
        embeddings: of a Euclidean space, with taxa. config: gives `cone_angle`, `specimen_radius`,
        `aperture` and `curvature`.

    Raises:
        ValueError: the embeddings are of a Lorentz space already, or have no taxa.
    """
    if embeddings.space != "euclidean":
        raise ValueError(
            "Only Euclidean embeddings can be placed: those of a Lorentz space have radii already."
        )
    is_taxon = (
        (embeddings.table["modality"] == "text") & embeddings.table["rank"].isin(RANKS)
    ).to_numpy(copy=True)
    if not is_taxon.any():
        raise ValueError("There are no taxa to place: the run was trained without names.")
    vectors = torch.from_numpy(embeddings.tangent.astype(np.float64))
    taxa = embeddings.where(is_taxon).table
    ranks = torch.tensor([RANKS.index(rank) for rank in taxa["rank"]])
    directions = torch.nn.functional.normalize(vectors[is_taxon], dim=-1)
    contraction, radii = nested_radii(
        directions,
        ranks,
        torch.from_numpy(parent_rows(taxa, taxa)),
        cone_angle=config.cone_angle,
        specimen_radius=config.specimen_radius,
        aperture=config.aperture,
        curvature=config.curvature,
    )
    space = CapSpace(vectors.shape[1] + 1, config.curvature, config.specimen_radius).double()
    space.contraction.copy_(contraction)
    placed = np.empty((len(vectors), vectors.shape[1] + 1), dtype=np.float32)
    placed[is_taxon] = space.tangent(directions * radii[:, None], "text").numpy()
    placed[~is_taxon] = space.tangent(vectors[~is_taxon], "specimen").numpy()
    return Embeddings(embeddings.table, placed, "lorentz", config.curvature)
