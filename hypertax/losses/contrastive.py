"""Contrastive losses: between the views of a specimen, and between specimens and the taxa of each
rank. Pure functions of points.

Shapes: B specimens, D space components, T taxa of the batch. A lineage is a row of four indices,
order to species, into the batch's taxa; -1 where a rank is unknown. Sources: [B] CLIBD, [C] a
co-author's code, [O] ours.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from hypertax.geometry.spaces import Space
from hypertax.losses.blockwise import symmetric_cross_entropy
from hypertax.losses.inputs import View, mean_of, points_of_both


def contrastive_loss(
    space: Space,
    views: dict[str, View],
    logit_scale: Tensor,
    grams: dict[tuple[str, str], Tensor] | None = None,
) -> Tensor:
    """Symmetric cross-entropy over `logit_scale * similarity`, averaged over the pairs of
    modalities [B][C]; 0-d.

    The targets are the diagonal: two specimens of one species are negatives of one another, as in
    CLIBD. Each pair of modalities uses the specimens that have both. A pair without any is left
    out; the loss is 0 if no pair has a specimen.

    Args:
        space: gives the similarity.
        views: per modality the specimens' points in `space`.
        logit_scale: 0-d, the inverse temperature.
        grams: what `gram_of` gave of two modalities, in the order of `views`, where another term
            needs it too.
    """
    terms = []
    for first, second in itertools.combinations(views, 2):
        points = points_of_both(views[first], views[second])
        if points is not None:
            gram = None if grams is None else grams.get((first, second))
            terms.append(symmetric_cross_entropy(space, *points, logit_scale, gram))
    return mean_of(terms, logit_scale)


def gram_of(space: Space, first: View, second: View) -> Tensor | None:
    """`space.gram` of the specimens that have both views, (N, N); None without any."""
    points = points_of_both(first, second)
    return None if points is None else space.gram(*points, space.curvature)


def taxon_contrastive_loss(
    space: Space,
    views: dict[str, View],
    taxa: Tensor,
    rank: Tensor,
    lineage: Tensor,
    logit_scale: float,
) -> Tensor:
    """Cross-entropy between specimens and the taxa of each rank over `logit_scale * cos`, averaged
    over modalities and ranks [O]; 0-d.

    One half finds a specimen's taxon among those of its rank. The other finds, for every taxon that
    the batch has specimens of, its specimens among all of the batch; the mean over its own ones
    counts, so that a taxon counts once, however many specimens it has. The cosine is that of the
    directions seen from the origin, in hyperbolic space too: a taxon's radius says how wide it is,
    not how likely. A rank without a labelled specimen leaves the mean.

    Args:
        space: gives the cosine.
        views: per modality the specimens' points in `space`.
        taxa: (T, D) points of unique taxa.
        rank: (T,) rank of each, 0 (order) to 3 (species).
        lineage: (B, 4) indices into the taxa, or -1.
        logit_scale: the inverse temperature.
    """
    terms = []
    for view in views.values():
        cosine = space.cosine(view.points, taxa)
        for r in range(lineage.shape[1]):
            rows = view.present & (lineage[:, r] >= 0)
            if rows.any():
                own = torch.nonzero(rank == r)[:, 0]
                target = torch.searchsorted(own, lineage[rows, r].contiguous())
                terms.append(_specimens_and_taxa(logit_scale * cosine[rows][:, own], target))
    return mean_of(terms, taxa)


def _specimens_and_taxa(logits: Tensor, target: Tensor) -> Tensor:
    """Both halves of one rank's cross-entropy: logits (N, U), target (N,) columns."""
    present, own = torch.unique(target, return_inverse=True)
    of_specimens = logits[:, present].log_softmax(dim=0).gather(1, own[:, None])[:, 0]
    per_taxon = torch.zeros_like(of_specimens[: len(present)]).index_add(
        0, own, of_specimens
    ) / torch.bincount(own)
    return 0.5 * torch.nn.functional.cross_entropy(logits, target) - 0.5 * per_taxon.mean()
