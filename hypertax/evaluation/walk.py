"""The way from a specimen to the root: which taxa are nearest on the geodesic to the origin of the
hyperboloid."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hypertax.embeddings import Embeddings
from hypertax.evaluation.retrieval import nearest_vectors


def taxa_on_the_way(embeddings: Embeddings, row: int, *, steps: int = 50) -> pd.DataFrame:
    """The nearest taxon at equal steps along the geodesic from a specimen to the origin, by
    geodesic distance in the full space.

    Geodesics through the origin are straight in the tangent space there: the points are exp0(t v)
    of the specimen's tangent vector v, t from 1 down to 0, whose distances from the origin are t
    |v|.

    Args:
        embeddings: of a Lorentz space, with taxa (text). row: the specimen's place in
        `embeddings.table` (0-based). steps: number of
            points, both ends included.

    Returns:
        one row a step: `way` (0 at the specimen to 1 at the origin), `radius` (distance from the
        origin), `rank` and `taxon` of the nearest taxon, and `lineage`: "own" where the specimen
        has that name at that rank, "other" where it has another name, "unknown" where it has none.

    Raises:
        ValueError: Euclidean embeddings, or none of taxa.
    """
    if embeddings.space != "lorentz":
        raise ValueError(
            "The walk to the root needs a Lorentz space: the cosine is the same all along a"
            " straight line to the Euclidean origin."
        )
    taxa = embeddings.select("text")
    if not len(taxa):
        raise ValueError(
            "The embeddings hold no taxa: the walk looks for the nearest one at each step."
        )
    remaining = np.linspace(1, 0, steps)
    start = embeddings.tangent[row].astype(np.float64)
    points = remaining[:, None] * start
    nearest = nearest_vectors(
        points, taxa.tangent, space="lorentz", curvature=embeddings.curvature, k=1
    )[0]
    found = taxa.table.iloc[nearest[:, 0].numpy()]
    own = embeddings.table.iloc[row]
    lineage = [
        "unknown" if pd.isna(own[rank]) else "own" if own[rank] == name else "other"
        for rank, name in zip(found["rank"], found["id"], strict=True)
    ]
    return pd.DataFrame(
        {
            "way": 1 - remaining,
            "radius": remaining * np.linalg.norm(start),
            "rank": found["rank"].to_numpy(),
            "taxon": found["id"].to_numpy(),
            "lineage": lineage,
        }
    )


def bands(steps: pd.DataFrame) -> pd.DataFrame:
    """Runs of steps with the same nearest taxon, of a table as `taxa_on_the_way` makes it.

    Returns:
        columns `start` and `end` (shares of the way, borders half-way between two steps), `rank`,
        `taxon` and `lineage`.
    """
    changes = (steps[["rank", "taxon"]] != steps[["rank", "taxon"]].shift()).any(axis=1).to_numpy()
    first = np.flatnonzero(changes)
    way = steps["way"].to_numpy()
    borders = (way[first[1:] - 1] + way[first[1:]]) / 2
    found = steps.iloc[first][["rank", "taxon", "lineage"]].reset_index(drop=True)
    found.insert(0, "start", np.concatenate([[0.0], borders]))
    found.insert(1, "end", np.concatenate([borders, [1.0]]))
    return found
