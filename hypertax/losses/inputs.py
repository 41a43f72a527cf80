"""What the losses take: the views of a batch, and the two sides of parent-child pairs.

Shapes: B specimens, D space components, U parents, N children. A taxon is an index into the batch's
taxa. A lineage is a row of four of them, order to species; -1 where a rank is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class View:
    """One modality of the specimens of a batch.

    points: (B, D) points; those of a specimen without the modality are not read. present: (B,)
    bool, which specimens have it.
    """

    points: Tensor
    present: Tensor


def points_of_both(first: View, second: View) -> tuple[Tensor, Tensor] | None:
    """The points, (N, D) each, of the specimens that have two views; None without any."""
    both = first.present & second.present
    if both.all():
        return first.points, second.points
    return (first.points[both], second.points[both]) if both.any() else None


@dataclass(frozen=True)
class Parents:
    """The apexes of cones, each once.

    points: (U, D). rank: (U,) int, 0 (order) to 3 (species). taxon: (U,) the taxon at that rank, -1
    unknown.
    """

    points: Tensor
    rank: Tensor
    taxon: Tensor


@dataclass(frozen=True)
class Children:
    """What lies in cones or outside of them.

    points: (N, D). lineage: (N, 4). weight: (N,) how many specimens a child stands for, in the
    points' dtype.
    """

    points: Tensor
    lineage: Tensor
    weight: Tensor

    @classmethod
    def single(cls, points: Tensor, lineage: Tensor) -> Children:
        """Children that stand for one specimen each."""
        weight = torch.ones(len(points), dtype=points.dtype, device=points.device)
        return cls(points, lineage, weight)


def mean_of(terms: list[Tensor], like: Tensor) -> Tensor:
    """The mean of 0-d terms; 0 without any, in the dtype and on the device of `like`."""
    return (
        torch.stack(terms).mean()
        if terms
        else torch.zeros((), dtype=like.dtype, device=like.device)
    )
