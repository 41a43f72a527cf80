"""Entailment losses: of pairs (MERU), stacked along the taxonomy, and of nested cones. Pure
functions of points; no model, no I/O.

A child is in its parent's cone where the exterior angle phi at the parent is at most the parent's
half-aperture omega (`hypertax.geometry.lorentz`).

Shapes: B specimens, D space components, T taxa of the batch. A lineage is a row of four indices,
order to species, into the batch's taxa; -1 where a rank is unknown. Sources: [A] abstract, [B]
CLIBD, [C] a co-author's code, [R] a re-implementation, [O] ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hypertax.geometry import lorentz as L
from hypertax.losses.hinge import hinge_over_pairs
from hypertax.losses.inputs import Children, Parents, View, mean_of

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
    views: dict[str, View], taxa: Tensor, lineage: Tensor, c: Tensor, cones: Cones
) -> dict[str, Tensor]:
    """How far specimens are outside the cone of their own taxon, radians, averaged over modalities
    [O].

    The deepest known taxon alone counts: where cones nest, its cone is in those of its ancestors.
    Returns `inside`, the mean of max(0, phi - omega), and `axis`, the mean phi, which pulls also
    where `inside` has vanished; both 0-d.

    Args:
        views: per modality the specimens' points.
        taxa: (T, D) points of unique taxa.
        lineage: (B, 4) indices into the taxa, or -1.
        c: 0-d; the curvature is -c.
        cones: gives the aperture.
    """
    depth = deepest_known_rank(lineage)
    parts: dict[str, list[Tensor]] = {"inside": [], "axis": []}
    for view in views.values():
        rows = view.present & (depth >= 0)
        if rows.any():
            own = taxa[lineage[rows].gather(1, depth[rows, None])[:, 0]]
            parts["axis"].append(L.exterior_angle(own, view.points[rows], c).mean())
            parts["inside"].append(L.outside_cone(own, view.points[rows], c, cones.aperture).mean())
    return {name: mean_of(terms, c) for name, terms in parts.items()}


def pair_entailment(parents: View, views: dict[str, View], c: Tensor, cones: Cones) -> Tensor:
    """Mean of max(0, phi(parent, child) - omega(parent)), radians, averaged over the modalities, as
    MERU; 0-d.

    Each modality uses the specimens that have it and a parent.

    Args:
        parents: the specimens' full texts.
        views: the children: per modality the same specimens' points.
        c: 0-d; the curvature is -c.
        cones: gives the aperture.
    """
    terms = []
    for view in views.values():
        both = parents.present & view.present
        if both.any():
            outside = L.outside_cone(parents.points[both], view.points[both], c, cones.aperture)
            terms.append(outside.mean())
    return mean_of(terms, c)


def stacked_entailment(
    taxa: Tensor,
    lineage: Tensor,
    image: View | None,
    dna: View | None,
    c: Tensor,
    cones: Cones,
    gram: Tensor | None = None,
) -> dict[str, Tensor]:
    """The stacked entailment loss [R] in its two parts, radians; 0-d.

    `intra` (Eq. 3): every taxon's cone contains the next known rank's taxon; the mean over the
    child's ranks. `inter` (Eq. 4): the deepest known taxon contains the image, the same contains
    the DNA, and the DNA contains the image; the mean of the three. A part is a mean over the terms
    that have a positive pair: a missing term leaves the mean, it does not count as zero [O].

    Args:
        taxa: (T, D) points of the batch's unique taxa.
        lineage: (B, 4) indices into the taxa, or -1.
        image, dna: the specimens' points; None for a modality that the data do not have.
        c: 0-d; the curvature is -c.
        cones: aperture, margin, and which pairs count.
        gram: (N, N) Lorentz inner products of the images and the DNA of the specimens that have
            both, where they are at hand; it carries its part of the gradient.
    """
    inter = _taxon_terms(taxa, lineage, [image, dna], c, cones)
    if image is not None and dna is not None and cones.dna_image != "none":
        if cones.dna_image == "dna-contains-image":
            gram = None if gram is None else gram.mT
            inter += _specimen_terms(dna, image, lineage, c, cones, gram)
        else:
            inter += _specimen_terms(image, dna, lineage, c, cones, gram)
    return {
        "intra": mean_of(_intra_terms(taxa, lineage, c, cones), c),
        "inter": mean_of(inter, c),
    }


def _taxon_terms(
    taxa: Tensor, lineage: Tensor, views: list[View | None], c: Tensor, cones: Cones
) -> list[Tensor]:
    """A term per view: the deepest known taxon contains the specimen."""
    depth = deepest_known_rank(lineage)
    labelled = depth >= 0
    if not labelled.any():
        return []
    own = lineage[labelled].gather(1, depth[labelled, None])[:, 0]
    taxon, index = torch.unique(own, return_inverse=True)
    target = torch.full_like(depth, -1)
    target[labelled] = index
    rank = torch.zeros_like(taxon).scatter_(0, index, depth[labelled])
    terms = []
    for view in views:
        rows = None if view is None else view.present & labelled
        if rows is not None and rows.any():
            parents = Parents(taxa.index_select(0, taxon), rank, taxon)
            children = Children.single(*_rows((view.points, lineage), rows))
            terms.append(entailment(parents, children, *_rows((target,), rows), c, cones))
    return terms


def _rows(tensors: tuple[Tensor, ...], rows: Tensor) -> tuple[Tensor, ...]:
    """Rows (B,) bool of tensors; the tensors themselves where that is all rows, without a copy."""
    return tensors if rows.all() else tuple(tensor[rows] for tensor in tensors)


def _specimen_terms(
    parent: View, child: View, lineage: Tensor, c: Tensor, cones: Cones, inner: Tensor | None
) -> list[Tensor]:
    """One term: a specimen's one view contains its other view; none where no specimen has both."""
    rows = parent.present & child.present
    if not rows.any():
        return []
    above, below, lineages = _rows((parent.points, child.points, lineage), rows)
    species = lineages[:, SPECIES]
    parents = Parents(above, torch.full_like(species, SPECIES), species)
    children = Children.single(below, lineages)
    return [entailment(parents, children, None, c, cones, inner)]


def _intra_terms(taxa: Tensor, lineage: Tensor, c: Tensor, cones: Cones) -> list[Tensor]:
    """A term per rank of the child: its taxon is in the cone of the next known rank above."""
    # Specimens of one lineage have the same pairs: count them once, with a weight.
    lineages, count = torch.unique(lineage, dim=0, return_counts=True)
    weight = count.to(taxa.dtype)
    terms = []
    parent_rank = torch.full_like(count, -1)
    for rank in range(lineages.shape[1]):
        known = lineages[:, rank] >= 0
        rows = known & (parent_rank >= 0)
        if rows.any():
            own = lineages[rows].gather(1, parent_rank[rows][:, None])[:, 0]
            taxon, target = torch.unique(own, return_inverse=True)
            ranks = torch.zeros_like(taxon).scatter_(0, target, parent_rank[rows])
            parents = Parents(taxa.index_select(0, taxon), ranks, taxon)
            points = taxa.index_select(0, lineages[rows, rank])
            children = Children(points, lineages[rows], weight[rows])
            terms.append(entailment(parents, children, target, c, cones))
        parent_rank = torch.where(known, rank, parent_rank)
    return terms


def entailment(
    parents: Parents,
    children: Children,
    target: Tensor | None,
    c: Tensor,
    cones: Cones,
    inner: Tensor | None = None,
) -> Tensor:
    """One `Lent` of the stacked loss [R], radians: half the mean of the positive pairs plus half
    the mean of the negative ones; 0-d.

    A child and its own parent are a positive pair: max(0, phi - omega). A pair is negative, max(0,
    omega - phi + margin), where the child's taxon at the parent's rank is known and another one;
    where it is unknown the pair is masked [O]. Without negative pairs (or with `cones.negatives`
    off) the positive mean alone counts.

    Args:
        parents: U unique apexes.
        children: N points with their lineages and weights.
        target: (N,) the row of each child's own parent; None where it is the child's own row.
        c: 0-d; the curvature is -c.
        cones: aperture, margin, negatives.
        inner: (U, N) Lorentz inner products, where they are at hand.
    """
    weight = children.weight
    apexes = parents.points if target is None else parents.points.index_select(0, target)
    outside = L.outside_cone(apexes, children.points, c, cones.aperture)
    positive = (weight * outside).sum() / weight.sum()
    if not cones.negatives:
        return positive
    total, pairs = hinge_over_pairs(parents, children, c, cones.aperture, cones.margin, inner)
    if pairs == 0:
        return positive
    return 0.5 * positive + 0.5 * total / pairs


def deepest_known_rank(lineage: Tensor) -> Tensor:
    """The index of the deepest known rank of lineages (B, 4), (B,); -1 without any."""
    ranks = torch.arange(lineage.shape[1], device=lineage.device)
    return torch.where(lineage >= 0, ranks, -1).amax(dim=1)
