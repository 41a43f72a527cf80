"""The paper's loss as it is usually written: over expanded (N, M, D) pairs, by autograd alone.

`benchmarks.paper` compares a step with it and a step with the library's losses in blocks.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from hypertax.data.batches import Batch
from hypertax.geometry import lorentz as L
from hypertax.losses.entailment import Cones
from hypertax.model.model import HypertaxModel
from hypertax.training.objective import Objective

SPECIES = 3


class BroadcastObjective:
    """The contrastive and the stacked loss of a Lorentz space, in place of an `Objective`.

    Args:
        objective: says which texts a batch needs.
        model: its configuration and its space.
        taxon_text: (T,) the text of each taxon of the data set.
    """

    def __init__(self, objective: Objective, model: HypertaxModel, taxon_text: Tensor) -> None:
        self.texts, self.tokens_of = objective.texts, objective.tokens_of
        self.model, self.taxon_text = model, taxon_text
        config = model.config
        self.cones = Cones(
            config.aperture, config.entailment_margin, config.entailment_negatives, config.dna_image
        )

    def terms(self, tangents: dict[str, Tensor], batch: Batch, texts: Tensor) -> dict[str, Tensor]:
        """The terms by name, and their weighted sum as `loss`; 0-d tensors."""
        config, space = self.model.config, self.model.space
        points = {name: space.lift(vectors) for name, vectors in tangents.items()}
        views = {"image": batch.has_image, "dna": batch.has_dna}
        views = {name: (points[name], has) for name, has in views.items() if name in points}
        taxa = torch.unique(batch.lineage[batch.lineage >= 0])
        lineage = torch.where(batch.lineage >= 0, torch.searchsorted(taxa, batch.lineage), -1)
        taxon_points = points["text"][torch.searchsorted(texts, self.taxon_text[taxa])]
        parts = stacked_entailment(taxon_points, lineage, views, space.curvature, self.cones)
        if config.full_text:
            row = torch.searchsorted(texts, batch.full_text.clamp(min=0)).clamp(max=len(texts) - 1)
            views["text"] = (points["text"][row], batch.full_text >= 0)
        terms = []
        for (a, has_a), (b, has_b) in combinations(views.values(), 2):
            both = has_a & has_b
            terms.append(cross_entropy(a[both], b[both], space.curvature, self.model.logit_scale))
        contrastive = torch.stack(terms).mean()
        loss = config.contrastive_weight * contrastive
        loss = loss + config.entailment_weight * (parts["intra"] + parts["inter"])
        return {"loss": loss, "contrastive": contrastive, **parts}


def cross_entropy(a: Tensor, b: Tensor, c: Tensor, logit_scale: Tensor) -> Tensor:
    """Symmetric cross-entropy over geoopt's distances of a and b, (B, D) each; 0-d."""
    manifold = L.manifold(1.0, dtype=a.dtype)
    # Scaled to curvature -1, so that c has a gradient: geoopt's own k is a number.
    a, b = (L.to_geoopt(c.sqrt() * x, 1.0) for x in (a, b))
    logits = -logit_scale * manifold.dist(a[:, None], b[None]) / c.sqrt()
    target = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def stacked_entailment(
    taxa: Tensor, lineage: Tensor, views: dict[str, tuple[Tensor, Tensor]], c: Tensor, cones: Cones
) -> dict[str, Tensor]:
    """`intra` and `inter` of the stacked loss, for lineages that have a positive pair in each.

    Args:
        taxa: (T, D) points. lineage: (B, 4) indices into them or -1.
        views: points (B, D) and presence (B,) of the image or the DNA or both.
        c: 0-d. cones: the shape of the cones.
    """
    lineages, count = torch.unique(lineage, dim=0, return_counts=True)
    intra = []
    for rank in range(1, lineage.shape[1]):
        above = _deepest(lineages[:, :rank])
        rows = (above >= 0) & (lineages[:, rank] >= 0)
        if rows.any():
            parents, own = _ancestors(taxa, lineages[rows], above[rows])
            children = Children(taxa[lineages[rows, rank]], own, lineages[rows], count[rows])
            intra.append(_entailment(parents, children, c, cones))
    inter = []
    depth = _deepest(lineage)
    for points, has in views.values():
        rows = has & (depth >= 0)
        if rows.any():
            parents, own = _ancestors(taxa, lineage[rows], depth[rows])
            children = Children(points[rows], own, lineage[rows], torch.ones_like(own))
            inter.append(_entailment(parents, children, c, cones))
    if len(views) == 2 and cones.dna_image != "none":
        order = ("dna", "image") if cones.dna_image == "dna-contains-image" else ("image", "dna")
        (above, has_above), (below, has_below) = (views[name] for name in order)
        rows = has_above & has_below
        if rows.any():
            own, species = torch.arange(int(rows.sum()), device=rows.device), lineage[rows, SPECIES]
            parents = Parents(above[rows], torch.full_like(own, SPECIES), species)
            children = Children(below[rows], own, lineage[rows], torch.ones_like(own))
            inter.append(_entailment(parents, children, c, cones))
    return {"intra": torch.stack(intra).mean(), "inter": torch.stack(inter).mean()}


class Parents(NamedTuple):
    """Apexes of cones: (U, D) points, and the (U,) rank and taxon of each, -1 if unknown."""

    points: Tensor
    rank: Tensor
    taxon: Tensor


class Children(NamedTuple):
    """(N, D) points, the (N,) row of the own parent, (N, 4) lineages, (N,) specimens of each."""

    points: Tensor
    own: Tensor
    lineage: Tensor
    weight: Tensor


def _ancestors(taxa: Tensor, lineage: Tensor, rank: Tensor) -> tuple[Parents, Tensor]:
    """The taxa of lineages (N, 4) at a rank of each (N,), once each, and the (N,) own one's row."""
    taxon, own = torch.unique(lineage.gather(1, rank[:, None])[:, 0], return_inverse=True)
    return Parents(taxa[taxon], torch.zeros_like(taxon).scatter_(0, own, rank), taxon), own


def _entailment(parents: Parents, children: Children, c: Tensor, cones: Cones) -> Tensor:
    """Half the mean over the own parents, half the mean over other taxa of a parent's rank."""
    pairs = (len(parents.points), len(children.points), -1)
    angle = L.exterior_angle(
        parents.points[:, None].expand(pairs), children.points[None].expand(pairs), c
    )
    outside = angle - L.half_aperture(parents.points, c, cones.aperture)[:, None]
    own = children.own == torch.arange(len(parents.points), device=angle.device)[:, None]
    positive = (children.weight * own * outside.clamp(min=0)).sum() / children.weight.sum()
    theirs, taxon = children.lineage.T[parents.rank], parents.taxon[:, None]
    negative = children.weight * ((theirs >= 0) & (taxon >= 0) & (theirs != taxon))
    if not cones.negatives or not negative.any():
        return positive
    hinge = (cones.margin - outside).clamp(min=0)
    return 0.5 * positive + 0.5 * (negative * hinge).sum() / negative.sum()


def _deepest(lineage: Tensor) -> Tensor:
    """(B, R) lineages to (B,) the index of the deepest known rank, -1 without any."""
    ranks = torch.arange(lineage.shape[1], device=lineage.device)
    return torch.where(lineage >= 0, ranks, -1).amax(dim=1)
