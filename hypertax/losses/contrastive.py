"""Contrastive losses: between the views of a specimen, and between specimens and the taxa of each
rank. Pure functions of points.

Shapes: B specimens, D space components, T taxa of the batch. A lineage is a row of four indices,
order to species, into the batch's taxa; -1 where a rank is unknown. Sources: [B] CLIBD, [C] a
co-author's code, [O] ours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hypertax.geometry.spaces import Space
from hypertax.losses.blockwise import symmetric_cross_entropy


def contrastive_loss(
    space: Space, points: dict[str, Tensor], present: dict[str, Tensor], logit_scale: Tensor
) -> Tensor:
    """Symmetric cross-entropy over `logit_scale * similarity`, averaged over the pairs of
    modalities [B][C].

    points: per modality (B, D). present: per modality (B,) bool. logit_scale: 0-d. The targets are
    the diagonal: two specimens of one species are negatives of one another, as in CLIBD. Each pair
    of modalities uses the specimens that have both; a pair without any is left out. A 0-d tensor, 0
    if no pair has a specimen.
    """
    names = list(points)
    terms = []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            both = present[first] & present[second]
            if both.all():
                terms.append(
                    symmetric_cross_entropy(space, points[first], points[second], logit_scale)
                )
            elif both.any():
                terms.append(
                    symmetric_cross_entropy(
                        space, points[first][both], points[second][both], logit_scale
                    )
                )
    return _mean(terms, logit_scale)


def taxon_contrastive_loss(
    space: Space,
    specimens: dict[str, tuple[Tensor, Tensor]],
    taxa: Tensor,
    rank: Tensor,
    lineage: Tensor,
    logit_scale: float,
) -> Tensor:
    """Cross-entropy between specimens and the taxa of each rank over `logit_scale * cos`, averaged
    over modalities and ranks [O].

    Half of it finds a specimen's taxon among those of its rank; half, for every taxon that the
    batch has specimens of, its specimens among all of the batch, the mean over its own ones: there
    a taxon counts once, however many specimens it has. The cosine is that of the directions seen
    from the origin, in hyperbolic space too: a taxon's radius says how wide it is, not how likely.

    specimens: per modality its points (B, D) and presence (B,) bool. taxa: (T, D), unique; rank:
    (T,) of each. lineage: (B, 4) indices into them or -1. A rank without a labelled specimen leaves
    the mean.
    """
    terms = []
    for points, present in specimens.values():
        cosine = space.cosine(points, taxa)
        for r in range(lineage.shape[1]):
            rows = present & (lineage[:, r] >= 0)
            if rows.any():
                own = torch.nonzero(rank == r)[:, 0]
                target = torch.searchsorted(own, lineage[rows, r].contiguous())
                terms.append(_specimens_and_taxa(logit_scale * cosine[rows][:, own], target))
    return _mean(terms, taxa)


def _specimens_and_taxa(logits: Tensor, target: Tensor) -> Tensor:
    """Both halves of one rank's cross-entropy: logits (N, U), target (N,) columns."""
    present, own = torch.unique(target, return_inverse=True)
    of_specimens = logits[:, present].log_softmax(dim=0).gather(1, own[:, None])[:, 0]
    per_taxon = torch.zeros_like(of_specimens[: len(present)]).index_add(
        0, own, of_specimens
    ) / torch.bincount(own)
    return 0.5 * torch.nn.functional.cross_entropy(logits, target) - 0.5 * per_taxon.mean()


def _mean(terms: list[Tensor], like: Tensor) -> Tensor:
    return (
        torch.stack(terms).mean()
        if terms
        else torch.zeros((), dtype=like.dtype, device=like.device)
    )
