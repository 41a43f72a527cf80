"""Whether specimens lie in the cones of their own taxa, rank by rank, and in how many others'
beside; in fp64."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from hypertax.data.split import QUERY_SPLITS
from hypertax.embeddings import Embeddings
from hypertax.evaluation.cones import _mean, _points, cone_membership
from hypertax.taxonomy import RANKS

ALL = "all"
"""The row for all known ranks of a specimen at once."""


def specimens_in_cones(
    embeddings: Embeddings, stage: str = "test", *, aperture: float = 0.1
) -> pd.DataFrame:
    """One row per modality, kind of species (seen, unseen) and rank; unseen species' own cones, of
    names never trained on, do not count.

    Args:
        embeddings: of a Lorentz space. stage: "val" or "test", whose queries are counted. aperture:
        K.

    Returns:
        `modality`, `split` ("seen", "unseen"), `rank` (or "all"), `specimens`, those whose taxon
        has a cone; `inside`, the share of them in it ("all": in those of every rank); `cones`, the
        mean number of the rank's cones in which a specimen lies; `saturated`, the share of the
        rank's cones that are half-spaces.

    Raises:
        ValueError: the embeddings are Euclidean.
    """
    if embeddings.space != "lorentz":
        raise ValueError(
            "Cones belong to a Lorentz space: take the embeddings of a hyperbolic run."
        )
    c = float(embeddings.curvature)
    taxa = {rank: embeddings.select("text", rank=rank) for rank in RANKS}
    apexes = {rank: _points(own, "cpu") for rank, own in taxa.items()}
    rows = []
    for modality in embeddings.modalities:
        for split, name in QUERY_SPLITS[stage].items():
            queries = embeddings.select(modality, [name])
            if not len(queries):
                continue
            points = _points(queries, "cpu")
            inside_all = np.ones(len(queries), dtype=bool)
            counted_all = np.zeros(len(queries), dtype=bool)
            for rank in RANKS[: len(RANKS) - (split == "unseen")]:
                inside, counted, cones = _of_rank(
                    queries, points, taxa[rank], apexes[rank], rank, c, aperture
                )
                saturated = 2 * aperture >= c**0.5 * apexes[rank].norm(dim=1)
                rows.append(
                    [
                        modality,
                        split,
                        rank,
                        int(counted.sum()),
                        _mean(inside[counted]),
                        cones,
                        _mean(saturated.numpy()),
                    ]
                )
                inside_all &= inside | ~counted
                counted_all |= counted
            rows.append(
                [
                    modality,
                    split,
                    ALL,
                    int(counted_all.sum()),
                    _mean(inside_all[counted_all]),
                    np.nan,
                    np.nan,
                ]
            )
    return pd.DataFrame(
        rows, columns=["modality", "split", "rank", "specimens", "inside", "cones", "saturated"]
    )


def _of_rank(
    queries: Embeddings,
    points: torch.Tensor,
    taxa: Embeddings,
    apexes: torch.Tensor,
    rank: str,
    c: float,
    aperture: float,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Who lies in the cone of its own taxon (N,), whose taxon has a cone (N,), and the mean number
    of cones."""
    place = {name: i for i, name in enumerate(taxa.table["id"])}
    own = queries.table[rank].map(place).fillna(-1).to_numpy(dtype=int)
    members = cone_membership(apexes, points, c, aperture).numpy()
    counted = own >= 0
    inside = np.zeros(len(queries), dtype=bool)
    inside[counted] = members[own[counted], np.flatnonzero(counted)]
    return inside, counted, float(members.sum(axis=0).mean()) if len(apexes) else np.nan
