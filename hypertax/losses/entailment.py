"""The objectives: contrastive, pair entailment (MERU), stacked entailment. Pure functions of
points; no model, no I/O.

Shapes: B specimens, D space components, T taxa of the batch. A lineage is a row of four indices,
order to species, into the batch's taxa; -1 where a rank is unknown. Sources: [A] abstract, [B]
CLIBD, [C] a co-author's code, [R] a re-implementation, [O] ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hypertax.geometry import lorentz as L
from hypertax.losses.blockwise import hinge_over_pairs
from hypertax.losses.contrastive import _mean

SPECIES = 3


@dataclass(frozen=True)
class Cones:
    """What shapes the entailment terms.

    aperture: K of the half-aperture. margin: of the negative pairs, radians. negatives: whether
    they count. dna_image: "dna-contains-image", "image-contains-dna" or "none".
    """

    aperture: float = 0.1
    margin: float = 0.1
    negatives: bool = True
    dna_image: str = "dna-contains-image"


def cone_loss(
    specimens: dict[str, tuple[Tensor, Tensor]],
    taxa: Tensor,
    lineage: Tensor,
    c: Tensor,
    cones: Cones,
) -> dict[str, Tensor]:
    """How far specimens are outside the cone of their own taxon, radians, averaged over modalities
    [O].

    The deepest known taxon alone: where cones nest, its cone is in those of its ancestors. Returns
    `inside`, the mean of max(0, phi - omega), and `axis`, the mean phi, which pulls also where
    `inside` has vanished.

    Arguments as for `taxon_contrastive_loss`; c: 0-d.
    """
    depth = deepest_known_rank(lineage)
    parts: dict[str, list[Tensor]] = {"inside": [], "axis": []}
    for points, present in specimens.values():
        rows = present & (depth >= 0)
        if rows.any():
            own = taxa[lineage[rows].gather(1, depth[rows, None])[:, 0]]
            parts["axis"].append(L.exterior_angle(own, points[rows], c).mean())
            parts["inside"].append(_outside_cone(own, points[rows], c, cones.aperture).mean())
    return {name: _mean(terms, c) for name, terms in parts.items()}


def pair_entailment(
    parents: Tensor, children: list[tuple[Tensor, Tensor]], present: Tensor, c: Tensor, cones: Cones
) -> Tensor:
    """Mean of max(0, phi(parent, child) - omega(parent)) over the specimens that have both, as
    MERU, averaged over the modalities.

    parents: (B, D), the specimens' full texts; present: (B,) bool. children: for each modality its
    points (B, D) and presence (B,).
    """
    terms = []
    for points, has in children:
        both = present & has
        if both.any():
            terms.append(_outside_cone(parents[both], points[both], c, cones.aperture).mean())
    return _mean(terms, c)


def stacked_entailment(
    taxa: Tensor,
    lineage: Tensor,
    image: tuple[Tensor, Tensor] | None,
    dna: tuple[Tensor, Tensor] | None,
    c: Tensor,
    cones: Cones,
) -> dict[str, Tensor]:
    """The stacked entailment loss [R] in its two parts.

    taxa: (T, D) points of the batch's unique taxa. lineage: (B, 4) indices into them or -1. image,
    dna: points (B, D) and presence (B,) bool, or None for a modality that the data do not have. c:
    0-d.

    Returns `intra` (Eq. 3: every taxon's cone contains the next known rank's taxon; mean over the
    child's ranks) and `inter` (Eq. 4: mean of deepest known taxon contains image, the same contains
    DNA, and DNA contains image). Each part is a mean over the terms that have a positive pair: a
    missing term leaves the mean, it does not count as zero [O].
    """
    inter = []
    depth = deepest_known_rank(lineage)
    labelled = depth >= 0
    if labelled.any():
        own = lineage[labelled].gather(1, depth[labelled, None])[:, 0]
        names, index = torch.unique(own, return_inverse=True)
        target = torch.full_like(depth, -1)
        target[labelled] = index
        ranks = torch.zeros_like(names).scatter_(0, index, depth[labelled])
        for child in (image, dna):
            rows = None if child is None else child[1] & labelled
            if rows is not None and rows.any():
                inter.append(
                    entailment(
                        taxa[names],
                        child[0][rows],
                        target[rows],
                        ranks,
                        names,
                        lineage[rows],
                        c,
                        cones,
                    )
                )
    if (
        image is not None
        and dna is not None
        and cones.dna_image != "none"
        and (image[1] & dna[1]).any()
    ):
        rows = image[1] & dna[1]
        parent, child = (
            (dna[0], image[0]) if cones.dna_image == "dna-contains-image" else (image[0], dna[0])
        )
        lineages = lineage[rows]
        ranks = torch.full_like(lineages[:, SPECIES], SPECIES)
        own = torch.arange(len(lineages), device=taxa.device)
        inter.append(
            entailment(
                parent[rows], child[rows], own, ranks, lineages[:, SPECIES], lineages, c, cones
            )
        )
    return {"intra": _mean(_intra_terms(taxa, lineage, c, cones), c), "inter": _mean(inter, c)}


def _intra_terms(taxa: Tensor, lineage: Tensor, c: Tensor, cones: Cones) -> list[Tensor]:
    # Specimens of one lineage have the same pairs: count them once, with a weight.
    lineages, count = torch.unique(lineage, dim=0, return_counts=True)
    weight = count.to(taxa.dtype)
    terms = []
    parent_rank = torch.full_like(count, -1)
    for rank in range(lineages.shape[1]):
        known = lineages[:, rank] >= 0
        rows = known & (parent_rank >= 0)
        if rows.any():
            parents = lineages[rows].gather(1, parent_rank[rows][:, None])[:, 0]
            names, target = torch.unique(parents, return_inverse=True)
            ranks = torch.zeros_like(names).scatter_(0, target, parent_rank[rows])
            children = taxa[lineages[rows, rank]]
            terms.append(
                entailment(
                    taxa[names],
                    children,
                    target,
                    ranks,
                    names,
                    lineages[rows],
                    c,
                    cones,
                    weight[rows],
                )
            )
        parent_rank = torch.where(known, rank, parent_rank)
    return terms


def entailment(
    parents: Tensor,
    children: Tensor,
    target: Tensor,
    parent_rank: Tensor,
    parent_taxon: Tensor,
    lineage: Tensor,
    c: Tensor,
    cones: Cones,
    weight: Tensor | None = None,
) -> Tensor:
    """One `Lent` of the stacked loss [R]: half the mean of the positive pairs plus half the mean of
    the negative ones.

    parents: (U, D), unique. children: (N, D). target: (N,) the child's own parent. Positive pairs:
    max(0, phi - omega). parent_rank, parent_taxon: (U,) rank and taxon of each parent, lineage: (N,
    4) of each child. A pair is negative, max(0, omega - phi + margin), where the child's taxon at
    the parent's rank is known and another one; where it is unknown the pair is masked [O]. weight:
    (N,) how many specimens a child stands for. Without negative pairs (or with `cones.negatives`
    off) the positive mean alone.
    """
    weight = (
        torch.ones(len(children), dtype=children.dtype, device=children.device)
        if weight is None
        else weight
    )
    outside = _outside_cone(parents[target], children, c, cones.aperture)
    positive = (weight * outside).sum() / weight.sum()
    if not cones.negatives:
        return positive
    total, pairs = hinge_over_pairs(
        parents,
        children,
        parent_rank,
        parent_taxon,
        lineage,
        weight,
        c,
        cones.aperture,
        cones.margin,
    )
    if pairs == 0:
        return positive
    return 0.5 * positive + 0.5 * total / pairs


def deepest_known_rank(lineage: Tensor) -> Tensor:
    """(B, 4) lineages to (B,) the index of the deepest known rank, -1 without any."""
    ranks = torch.arange(lineage.shape[1], device=lineage.device)
    return torch.where(lineage >= 0, ranks, -1).amax(dim=1)


def _outside_cone(parents: Tensor, children: Tensor, c: Tensor, aperture: float) -> Tensor:
    """max(0, phi(parent, child) - omega(parent)), (N,), radians: how far outside its parent's cone
    a child is."""
    return (L.exterior_angle(parents, children, c) - L.half_aperture(parents, c, aperture)).clamp(
        min=0
    )
