"""Where taxa and specimens lie: radii, cones, and who is in whose cone. Computed in fp64, from
tangent vectors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch

from hypertax.embeddings import Embeddings
from hypertax.geometry import lorentz as L
from hypertax.taxonomy import RANKS

BLOCK = 2**22
"""Angles computed at a time: 32 MB in fp64."""
TEST_SPLITS = ("test_seen", "test_unseen")


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
        splits: whose specimens count. aperture: K of the half-aperture asin(2K / (sqrt(c)|x|)).
        device: one with fp64.

    Returns:
        In both spaces `radius_{order,family,genus,species,image,dna}`, the mean distance from the
        origin (norm of the features in the Euclidean one), and in Lorentz space also, per rank,
        `half_aperture_*` (mean, radians), `saturated_*` (share of taxa whose cone is a half-space)
        and `cones_*` (mean number of the rank's cones in which a specimen's image or DNA lies),
        `inside_{family,genus,species}` (share of taxa in the cone of their parent, the next known
        rank above) and `inside_{image,dna}` (share of specimens in the cone of their deepest known
        taxon). NaN where nothing is there to count.
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
    points = _points(apexes, device)
    half = L.half_aperture(points, c, aperture).cpu().numpy()
    saturated = 2 * aperture >= math.sqrt(c) * points.norm(dim=1).cpu().numpy()
    rank_of = apexes.table["rank"].to_numpy()
    for rank in RANKS:
        result[f"half_aperture_{rank}"] = _mean(half[rank_of == rank])
        result[f"saturated_{rank}"] = _mean(saturated[rank_of == rank])

    place = {key: i for i, key in enumerate(zip(rank_of, apexes.table["id"], strict=True))}
    lies = _inside(apexes, apexes, place, c, aperture, device, above=True)
    for rank in RANKS[1:]:
        result[f"inside_{rank}"] = _mean(lies[rank_of == rank])
    for modality, rows in specimens.items():
        result[f"inside_{modality}"] = _mean(_inside(rows, apexes, place, c, aperture, device))

    children = torch.cat([_points(rows, device) for rows in specimens.values()])
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


def _inside(
    rows: Embeddings, apexes: Embeddings, place: dict, c, aperture, device, *, above: bool = False
) -> np.ndarray:
    """Whether each row lies in the cone of its deepest known taxon (N,) as 0 or 1, NaN without one;
    `above`, of a taxon: its parent."""
    names = rows.table[list(RANKS)].to_numpy(dtype=object)
    own_rank = rows.table["rank"].to_numpy() if above else [None] * len(rows)
    parent = np.full(len(rows), -1)
    for i, (lineage, own) in enumerate(zip(names, own_rank, strict=True)):
        ranks = RANKS[: RANKS.index(own)] if above else RANKS
        known = [
            (rank, name)
            for rank, name in zip(RANKS, lineage, strict=True)
            if rank in ranks and pd.notna(name)
        ]
        parent[i] = place.get(known[-1], -1) if known else -1
    result = np.full(len(rows), np.nan)
    children = np.flatnonzero(parent >= 0)
    step = max(1, BLOCK // max(1, rows.tangent.shape[1]))
    for start in range(0, len(children), step):
        child = children[start : start + step]
        x, y = _points(apexes, device, parent[child]), _points(rows, device, child)
        result[child] = (
            (L.exterior_angle(x, y, c) <= L.half_aperture(x, c, aperture)).double().cpu().numpy()
        )
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


def _points(embeddings: Embeddings, device: str, index=slice(None)) -> torch.Tensor:
    """Space components (N, D), fp64."""
    tangent = torch.from_numpy(embeddings.tangent[index].astype(np.float64)).to(device)
    return L.exp0(tangent, float(embeddings.curvature))


def _mean(values: np.ndarray) -> float:
    values = np.asarray(values, dtype=float)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else np.nan


def geometry_table(
    embeddings: Embeddings, *, splits: Sequence[str] = TEST_SPLITS, aperture: float = 0.1
) -> pd.DataFrame:
    """`geometry` laid out for reading: one row per rank that has taxa, then one per modality that
    has specimens in `splits`.

    Columns: `level` (order ... species, image, DNA), `count` (taxa or specimens), `radius` (mean),
    and in Lorentz space `half_aperture` (mean, degrees), `saturated` (share), `inside` (share in
    the cone of its parent, or for specimens of the deepest known taxon) and `cones` (mean number of
    the rank's cones in which a specimen lies).
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
