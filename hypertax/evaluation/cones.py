"""Where taxa and specimens lie: radii, cones, and who is in whose cone. Computed in fp64, from
tangent vectors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch

from hypertax.embeddings import Embeddings
from hypertax.evaluation.protocol import query_splits
from hypertax.geometry import lorentz as L
from hypertax.taxonomy import RANKS, parent_rows

BLOCK = 2**22
"""Angles computed at a time: 32 MB in fp64."""
TEST_SPLITS = tuple(query_splits("test").values())
ALL = "all"
"""In `specimens_in_cones` the row for all known ranks of a specimen at once."""


@torch.no_grad()
def geometry(
    embeddings: Embeddings,
    *,
    splits: Sequence[str] = ("val_seen", "val_unseen"),
    aperture: float = 0.1,
    device: str = "cpu",
) -> dict[str, float]:
    """The geometry columns of `history.csv`.

    Args:
        embeddings: of specimens, and of taxa where there are any.
        splits: whose specimens count.
        aperture: K of the half-aperture asin(2K / (sqrt(c)|x|)).
        device: one with fp64.

    Returns:
        numbers by name, NaN where nothing is there to count. In both spaces:

        - `radius_{order,family,genus,species,image,dna}`: mean distance from the origin, in the
          Euclidean space the norm of the features.

        In a Lorentz space also:

        - `half_aperture_RANK`: mean, radians.
        - `saturated_RANK`: share of taxa whose cone is a half-space.
        - `cones_RANK`: mean number of the rank's cones in which a specimen's image or DNA lies.
        - `inside_{family,genus,species}`: share of taxa in the cone of their parent, the next known
          rank above.
        - `inside_{image,dna}`: share of specimens in the cone of their deepest known taxon.
    """
    taxa, specimens = _taxa(embeddings), _specimens(embeddings, splits)
    result = {
        f"radius_{name}": _mean(np.linalg.norm(e.tangent.astype(np.float64), axis=1))
        for name, e in {**taxa, **specimens}.items()
    }
    if embeddings.space != "lorentz":
        return result

    c = float(embeddings.curvature)
    apexes = embeddings.where(
        (embeddings.table["modality"] == "text") & embeddings.table["rank"].isin(RANKS)
    )
    points = apexes.points(device=device)
    half = L.half_aperture(points, c, aperture).cpu().numpy()
    saturated = 2 * aperture >= math.sqrt(c) * points.norm(dim=1).cpu().numpy()
    rank_of = apexes.table["rank"].to_numpy()
    for rank in RANKS:
        result[f"half_aperture_{rank}"] = _mean(half[rank_of == rank])
        result[f"saturated_{rank}"] = _mean(saturated[rank_of == rank])

    lies = _inside(apexes, apexes, aperture, device)
    for rank in RANKS[1:]:
        result[f"inside_{rank}"] = _mean(lies[rank_of == rank])
    for modality, rows in specimens.items():
        result[f"inside_{modality}"] = _mean(_inside(rows, apexes, aperture, device))

    children = torch.cat([rows.points(device=device) for rows in specimens.values()])
    for rank in RANKS:
        counts = cone_counts(
            points[torch.as_tensor(rank_of == rank, device=points.device)], children, c, aperture
        )
        result[f"cones_{rank}"] = _mean(counts.cpu().numpy()) if (rank_of == rank).any() else np.nan
    return result


@torch.no_grad()
def cone_counts(
    parents: torch.Tensor, children: torch.Tensor, c: float, aperture: float = 0.1
) -> torch.Tensor:
    """In how many parents' cones each child lies: parents (N, D) and children (M, D), space
    components; (M,) int64."""
    counts = [inside.sum(dim=0) for inside in _membership(parents, children, c, aperture)]
    return torch.cat(counts) if counts else torch.zeros(0, dtype=torch.int64)


@torch.no_grad()
def cone_membership(
    parents: torch.Tensor, children: torch.Tensor, c: float, aperture: float = 0.1
) -> torch.Tensor:
    """Who lies in whose cone: parents (N, D) and children (M, D), space components; (N, M) bool.

    Pass fp64: in fp32 the angle of a point near the axis is up to 0.2 rad off at radius 6.
    """
    blocks = list(_membership(parents, children, c, aperture))
    return torch.cat(blocks, dim=1) if blocks else torch.zeros((len(parents), 0), dtype=torch.bool)


def _membership(parents, children, c, aperture) -> Iterator[torch.Tensor]:
    half = L.half_aperture(parents, c, aperture)[:, None]
    step = max(1, BLOCK // max(1, len(parents)))
    for start in range(0, len(children), step):
        yield L.pairwise_exterior_angle(parents, children[start : start + step], c) <= half


def _inside(rows: Embeddings, apexes: Embeddings, aperture: float, device: str) -> np.ndarray:
    """Whether each row lies in its parent's cone (N,) as 0 or 1, NaN without one: a specimen's
    parent is its deepest known taxon, a taxon's the next known rank above."""
    parent = parent_rows(rows.table, apexes.table)
    c = float(rows.curvature)
    result = np.full(len(rows), np.nan)
    children = np.flatnonzero(parent >= 0)
    step = max(1, BLOCK // max(1, rows.tangent.shape[1]))
    for start in range(0, len(children), step):
        child = children[start : start + step]
        x, y = apexes.points(parent[child], device), rows.points(child, device)
        inside = L.exterior_angle(x, y, c) <= L.half_aperture(x, c, aperture)
        result[child] = inside.double().cpu().numpy()
    return result


def _taxa(embeddings: Embeddings) -> dict[str, Embeddings]:
    is_text = embeddings.table["modality"] == "text"
    return {rank: embeddings.where(is_text & (embeddings.table["rank"] == rank)) for rank in RANKS}


def _specimens(embeddings: Embeddings, splits: Sequence[str]) -> dict[str, Embeddings]:
    chosen = embeddings.table["split"].isin(splits)
    return {
        modality: embeddings.where(chosen & (embeddings.table["modality"] == modality))
        for modality in ("image", "dna")
    }


def _mean(values: np.ndarray) -> float:
    values = np.asarray(values, dtype=float)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else np.nan


def geometry_table(
    embeddings: Embeddings, *, splits: Sequence[str] = TEST_SPLITS, aperture: float = 0.1
) -> pd.DataFrame:
    """`geometry` laid out for reading: one row per rank that has taxa, then one per modality that
    has specimens in `splits`.

    Args:
        embeddings, splits, aperture: as in `geometry`.

    Returns:
        columns `level` (order ... species, image, DNA), `count` (taxa or specimens) and `radius`
        (mean). In Lorentz space also `half_aperture` (mean, degrees), `saturated` (share), `inside`
        (share in the cone of the parent, or of a specimen's deepest known taxon) and `cones` (mean
        number of the rank's cones in which a specimen lies).
    """
    found = geometry(embeddings, splits=splits, aperture=aperture)
    rows = []
    for name, subset in {**_taxa(embeddings), **_specimens(embeddings, splits)}.items():
        if not len(subset):
            continue
        row = {
            "level": "DNA" if name == "dna" else name,
            "count": len(subset),
            "radius": found[f"radius_{name}"],
        }
        if embeddings.space == "lorentz":
            row["half_aperture"] = math.degrees(found.get(f"half_aperture_{name}", np.nan))
            row.update(
                {
                    column: found.get(f"{column}_{name}", np.nan)
                    for column in ("saturated", "inside", "cones")
                }
            )
        rows.append(row)
    return pd.DataFrame(rows)


def specimens_in_cones(
    embeddings: Embeddings, stage: str = "test", *, aperture: float = 0.1
) -> pd.DataFrame:
    """Whether specimens lie in the cones of their own taxa, rank by rank, and in how many others'.

    The cones of unseen species, of names never trained on, do not count.

    Args:
        embeddings: of a Lorentz space, with taxa.
        stage: "val" or "test", whose queries are counted.
        aperture: K.

    Returns:
        one row per modality, kind of species and rank: `modality`, `split` ("seen", "unseen"),
        `rank` (or "all"); `specimens`, those whose taxon has a cone; `inside`, the share of them in
        it ("all": in those of every rank); `cones`, the mean number of the rank's cones in which a
        specimen lies; `saturated`, the share of the rank's cones that are half-spaces.

    Raises:
        ValueError: the embeddings are Euclidean, or a stage that does not exist.
    """
    require_lorentz(embeddings)
    c = float(embeddings.curvature)
    taxa = {rank: embeddings.select("text", rank=rank) for rank in RANKS}
    apexes = {rank: own.points() for rank, own in taxa.items()}
    saturated = {
        rank: _mean((2 * aperture >= c**0.5 * own.norm(dim=1)).numpy())
        for rank, own in apexes.items()
    }
    rows = []
    for modality in embeddings.modalities:
        for split, name in query_splits(stage).items():
            queries = embeddings.select(modality, [name])
            if not len(queries):
                continue
            points = queries.points()
            inside_all = np.ones(len(queries), dtype=bool)
            counted_all = np.zeros(len(queries), dtype=bool)
            about = {"modality": modality, "split": split}
            for rank in RANKS[: len(RANKS) - (split == "unseen")]:
                members = cone_membership(apexes[rank], points, c, aperture).numpy()
                inside, counted = _in_own_cone(queries.table[rank], taxa[rank].table["id"], members)
                rows.append(
                    {
                        **about,
                        "rank": rank,
                        "specimens": int(counted.sum()),
                        "inside": _mean(inside[counted]),
                        "cones": float(members.sum(axis=0).mean()) if len(members) else np.nan,
                        "saturated": saturated[rank],
                    }
                )
                inside_all &= inside | ~counted
                counted_all |= counted
            inside = _mean(inside_all[counted_all])
            every = {"rank": ALL, "specimens": int(counted_all.sum()), "inside": inside}
            rows.append({**about, **every, "cones": np.nan, "saturated": np.nan})
    columns = ["modality", "split", "rank", "specimens", "inside", "cones", "saturated"]
    return pd.DataFrame(rows, columns=columns)


def _in_own_cone(
    names: pd.Series, taxa: pd.Series, members: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Who lies in the cone of its own taxon (N,), and whose taxon has a cone (N,).

    Args:
        names: (N,) of the specimens' taxa. taxa: (T,) names of those that have a cone.
        members: (T, N), who lies in whose cone.
    """
    place = {name: i for i, name in enumerate(taxa)}
    own = names.map(place).fillna(-1).to_numpy(dtype=int)
    counted = own >= 0
    inside = np.zeros(len(names), dtype=bool)
    inside[counted] = members[own[counted], np.flatnonzero(counted)]
    return inside, counted


def require_lorentz(embeddings: Embeddings) -> None:
    """Refuse Euclidean embeddings, which have no cones.

    Raises:
        ValueError: the embeddings are Euclidean.
    """
    if embeddings.space != "lorentz":
        raise ValueError(
            "Cones belong to a Lorentz space: take the embeddings of a hyperbolic run."
        )
