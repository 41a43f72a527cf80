"""A clade unfolded into a plane around the origin: which taxa of it, where they lie, and which
specimens are in all their cones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import torch

from hypertax.embeddings import Embeddings
from hypertax.evaluation.cones import cone_membership
from hypertax.taxonomy import RANKS


@dataclass(frozen=True)
class Branch:
    """A taxon of the drawn clade.

    Args:
        rank, name: of the taxon.
        above: its parent's place in the list, -1 for the top.
        side: 1 to its parent's right, -1 to its left.
        followed: whether its own children are drawn, or, of a species, its specimens.
    """

    rank: str
    name: str
    above: int
    side: int
    followed: bool


@dataclass(frozen=True)
class Unfolded:
    """A clade of one run in the plane; radii times sqrt(c), directions in radians from straight up,
    positive to the right.

    Args:
        radius, direction: (T,) of the taxa.
        specimens: a row per drawn specimen and modality with `modality`, `species`, `radius`,
            `direction` and `inside`, whether it lies in the cones of all its taxa in the full
            space.
        shares: modality -> (inside, all), counts of the whole clade.
    """

    radius: np.ndarray
    direction: np.ndarray
    specimens: pd.DataFrame
    shares: dict[str, tuple[int, int]]


class Clades:
    """The taxa that all runs have, their children, and how many specimens of the given splits carry
    their names."""

    def __init__(self, runs: Sequence[Embeddings], splits: Sequence[str]) -> None:
        texts = [
            run.table[(run.table["modality"] == "text") & run.table["rank"].isin(RANKS)]
            for run in runs
        ]
        self.taxa = set.intersection(
            *(set(zip(table["rank"], table["id"], strict=True)) for table in texts)
        )
        self.children: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for above, rank in zip(RANKS, RANKS[1:], strict=False):
            own = texts[0][texts[0]["rank"] == rank]
            for name, parent in zip(own["id"], own[above], strict=True):
                if (rank, name) in self.taxa and (above, parent) in self.taxa:
                    self.children.setdefault((above, parent), []).append((rank, name))
        self.specimens: dict[tuple[str, str], int] = {}
        for run in runs:
            own = run.table[(run.table["modality"] != "text") & run.table["split"].isin(splits)]
            for rank in RANKS:
                for name, count in own[rank].value_counts().items():
                    self.specimens[rank, name] = self.specimens.get((rank, name), 0) + count

    def ranked(self, taxon: tuple[str, str], branches: Callable) -> list[tuple[str, str]]:
        """Its children: those that branch first, then by specimens, then by name."""
        found = self.children.get(taxon, [])
        return sorted(
            found, key=lambda child: (not branches(child), -self.specimens.get(child, 0), child)
        )

    def branching(self, children: int) -> Callable[[tuple[str, str]], bool]:
        """A function of a taxon: whether from it down to a species every rank has so many children
        with specimens to draw."""

        @cache
        def branches(taxon: tuple[str, str]) -> bool:
            own = [child for child in self.children.get(taxon, []) if self.specimens.get(child)]
            return taxon[0] == RANKS[-1] or (
                len(own) >= children and any(branches(child) for child in own)
            )

        return branches

    def default(self, children: int) -> tuple[str, str]:
        """The order, or else the family, that branches enough and has most specimens."""
        branches = self.branching(children)
        for rank in RANKS[:2]:
            found = [taxon for taxon in self.taxa if taxon[0] == rank and branches(taxon)]
            if found:
                return min(found, key=lambda taxon: (-self.specimens[taxon], taxon))
        raise ValueError(
            f"No order or family has {children} children with specimens at every rank in all"
            " runs: name a clade, give other splits, or "
            "set children=1."
        )

    def unfold(self, clade: tuple[str, str], children: int, turned: Sequence[int]) -> list[Branch]:
        """The top, then rank by rank the drawn children of the followed taxon, whose first is
        followed in turn.

        turned: per rank below the top, the side of its first child; its siblings alternate.
        """
        branches = self.branching(children)
        found, above, taxon = [Branch(*clade, -1, 1, True)], 0, clade
        for side in turned:
            own = self.ranked(taxon, branches)[:children]
            if not own:
                break
            first = len(found)
            for i, (rank, name) in enumerate(own):
                found.append(
                    Branch(
                        rank,
                        name,
                        above,
                        side if i % 2 == 0 else -side,
                        i == 0 or rank == RANKS[-1],
                    )
                )
            above, taxon = first, own[0]
        return found


@dataclass(frozen=True)
class Members:
    """A clade's members in one run.

    Args:
        place: the row of each taxon, (rank, name) -> row.
        rows: (N,) rows of the clade's specimens.
        inside: (N,) whether each lies in the cones of all its taxa of the clade.
    """

    place: dict[tuple[str, str], int]
    rows: np.ndarray
    inside: np.ndarray

    @classmethod
    def find(
        cls, run: Embeddings, aperture: float, clade: tuple[str, str], splits: Sequence[str]
    ) -> Members:
        """The specimens of the splits that carry the clade's name, and who of them lies in the
        cones of all its taxa from the top down."""
        table = run.table
        texts = np.flatnonzero(table["modality"] == "text")
        place = dict(
            zip(
                zip(table["rank"].to_numpy()[texts], table["id"].to_numpy()[texts], strict=True),
                texts,
                strict=True,
            )
        )
        rows = np.flatnonzero(
            (table["modality"] != "text")
            & table["split"].isin(splits)
            & (table[clade[0]] == clade[1])
        )
        return cls(
            place, rows, _in_all_cones(run, rows, place, RANKS[RANKS.index(clade[0]) :], aperture)
        )


def unfold(run: Embeddings, members: Members, branches: Sequence[Branch]) -> Unfolded:
    """Place the taxa and their specimens: every radius, and every angle between a child and its
    parent seen from the origin, is true."""
    root = float(run.curvature) ** 0.5
    taxa = _vectors(run, [members.place[branch.rank, branch.name] for branch in branches])
    direction = np.zeros(len(branches))
    for i, branch in enumerate(branches[1:], start=1):
        direction[i] = (
            direction[branch.above] + branch.side * _angles(taxa[branch.above], taxa[i : i + 1])[0]
        )
    modality, species = (
        run.table[column].to_numpy(dtype=object)[members.rows] for column in ("modality", "species")
    )
    shares = {
        m: (int(members.inside[modality == m].sum()), int((modality == m).sum()))
        for m in run.modalities
        if (modality == m).any()
    }
    parts = [pd.DataFrame(columns=["modality", "species", "radius", "direction", "inside"])]
    for (i, branch), m in product(enumerate(branches), run.modalities):
        chosen = (
            np.flatnonzero((species == branch.name) & (modality == m))
            if branch.rank == "species"
            else []
        )
        if len(chosen):
            vectors = _vectors(run, members.rows[chosen])
            side = np.where(np.arange(len(chosen)) % 2, -1, 1)
            parts.append(
                pd.DataFrame(
                    {
                        "modality": m,
                        "species": branch.name,
                        "radius": root * np.linalg.norm(vectors, axis=1),
                        "direction": direction[i] + side * _angles(taxa[i], vectors),
                        "inside": members.inside[chosen],
                    }
                )
            )
    return Unfolded(
        root * np.linalg.norm(taxa, axis=1),
        direction,
        pd.concat(parts[1:] or parts, ignore_index=True),
        shares,
    )


def _vectors(run: Embeddings, rows) -> np.ndarray:
    return run.tangent[rows].astype(np.float64)


def _angles(axis: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """The angles (N,) between an axis (D,) and vectors (N, D), seen from the origin; exact for
    small ones too."""
    unit = axis / np.linalg.norm(axis)
    along = vectors @ unit
    return np.arctan2(np.linalg.norm(vectors - along[:, None] * unit, axis=1), along)


def _in_all_cones(
    run: Embeddings, members: np.ndarray, place: dict, ranks: Sequence[str], aperture: float
) -> np.ndarray:
    """Whether each member (N,) lies in the cones of all its taxa of these ranks, in the full space;
    not where a taxon has no vector."""
    table, c = run.table, float(run.curvature)
    points = run.points(members)
    result = np.ones(len(members), dtype=bool)
    for rank in ranks:
        names = table[rank].to_numpy(dtype=object)[members]
        result &= np.array([(rank, name) in place for name in names], dtype=bool)
        for name in pd.unique(names):
            if (rank, name) in place:
                own = names == name
                apex = run.points([place[rank, name]])
                result[own] &= cone_membership(apex, points[torch.from_numpy(own)], c, aperture)[
                    0
                ].numpy()
    return result
