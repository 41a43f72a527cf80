"""What one training step minimises: the loss terms that a configuration asks for, and their weighted
sum.

To add a loss: write it as a function of points in `hypertax.losses`, label its columns in
`hypertax.losses.terms`, give it a `Term` in `Objective`, and its weight a field of `RunConfig`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from hypertax.config.run_config import TAXON_TABLE, RunConfig
from hypertax.data.barcodes.divergence import pairwise_divergence
from hypertax.data.batches import Batch
from hypertax.data.taxon_index import TaxonIndex
from hypertax.losses.contrastive import contrastive_loss, gram_of, taxon_contrastive_loss
from hypertax.losses.divergence import divergence_loss
from hypertax.losses.entailment import Cones, cone_loss, pair_entailment, stacked_entailment
from hypertax.losses.inputs import View
from hypertax.model.model import HypertaxModel
from hypertax.taxonomy import RANKS


@dataclass(frozen=True)
class StepPoints:
    """The points of one step, as the loss terms read them.

    Shapes: B specimens, T taxa, D space components.

    curvature: c, 0-d; None in the Euclidean space.
    views: the specimens by `image` and `dna`, where the data have them.
    full_text: each specimen's full text, absent where it has no label.
    taxa: (T, D) taxa, each once. rank: (T,) of each, 0 (order) to 3 (species).
    lineage: (B, 4) rows of `taxa`, or -1.
    barcodes: (B, D) tangent vectors of the barcodes. reads: (B, L) their aligned base codes.
    gram: (N, N) inner products of the images and the DNA of the specimens that have both, where two
        terms read them.

    What has None as its default is None where no term reads it, or no specimen has one.
    """

    curvature: Tensor | None
    views: dict[str, View]
    full_text: View | None = None
    taxa: Tensor | None = None
    rank: Tensor | None = None
    lineage: Tensor | None = None
    barcodes: Tensor | None = None
    reads: Tensor | None = None
    gram: Tensor | None = None


@dataclass(frozen=True)
class Term:
    """A summand of the objective: a loss of one or more parts, each a column of `history.csv`.

    parts: factor of each part within the term, by its column.
    weight: factor of the term.
    loss: gives the parts, 0-d; none of them where the step lacks what it reads.
    full_text, taxa: whether it reads the specimens' full texts, and those of taxa.
    """

    parts: dict[str, float]
    weight: float
    loss: Callable[[StepPoints], dict[str, Tensor]]
    full_text: bool = False
    taxa: bool = False


class Objective:
    """The terms that a configuration asks for, over batches of one table.

    Args:
        config: names the losses and their weights.
        index: the table's taxa and texts.
        model: gives the tokenizer, the space and the temperature. The model that is called is an
            argument of its own, so that it may be wrapped.
        device: where the losses are computed.
        reads: (N, L) aligned base codes of the specimens that batches are of, by their `index`, as
            they are without anything hidden; needed where divergences count.
    """

    def __init__(
        self,
        config: RunConfig,
        index: TaxonIndex,
        model: HypertaxModel,
        device: torch.device | str = "cpu",
        reads: Tensor | None = None,
    ) -> None:
        self.config, self.model, self.reads = config, model, reads
        self.cones = Cones(
            config.aperture, config.entailment_margin, config.entailment_negatives, config.dna_image
        )
        has_text = "text" in model.modalities
        self.aligns_text = has_text and config.full_text and config.contrastive_weight > 0
        self.loss_terms = self._loss_terms(has_text)
        self.reads_full_text = any(term.full_text for term in self.loss_terms)
        # Two terms then read all pairs of images and DNA.
        self.shares_gram = (
            any(term.loss == self._stacked for term in self.loss_terms)
            and config.contrastive_weight > 0
            and config.entailment_negatives
            and config.dna_image != "none"
        )
        self.reads_taxa = any(term.taxa for term in self.loss_terms)
        self.rank = torch.tensor(
            [RANKS.index(rank) for rank in index.taxa["rank"]], dtype=torch.int64, device=device
        )
        self.padding = model.tokens.padding
        self.trained = None
        if has_text and config.text_encoder == TAXON_TABLE:
            # Vectors cost next to nothing: every step sees all taxa, not only the batch's.
            rows, known = model.taxon_tokens(index)
            self._tokens = torch.from_numpy(rows)
            self.trained = torch.from_numpy(known).nonzero()[:, 0].to(device)
            self.taxon_text = torch.arange(len(rows), device=device)
        else:
            self._tokens = torch.from_numpy(model.tokens(index.texts)) if has_text else None
            self.taxon_text = torch.from_numpy(index.taxon_text).to(device)

    def _loss_terms(self, has_text: bool) -> list[Term]:
        """The terms of this configuration, in the order of their sum."""
        config, terms = self.config, []
        if config.contrastive_weight:
            terms.append(
                Term(
                    {"contrastive": 1.0},
                    config.contrastive_weight,
                    self._contrastive,
                    full_text=self.aligns_text,
                )
            )
        if config.divergence_weight:
            terms.append(Term({"divergence": 1.0}, config.divergence_weight, self._divergence))
        if not has_text:
            return terms
        entailment = config.entailment_weight
        if config.entailment == "pair":
            terms.append(Term({"pair_entailment": 1.0}, entailment, self._pair, full_text=True))
        if config.taxon_weight > 0:
            terms.append(
                Term(
                    {"taxon_contrastive": 1.0},
                    config.taxon_weight,
                    self._taxon_contrastive,
                    taxa=True,
                )
            )
        if config.nested:
            parts = {"inside": 1.0, "axis": config.axis_weight}
            terms.append(Term(parts, entailment, self._in_cones, taxa=True))
        if config.entailment == "stacked":
            parts = {"intra": 1.0, "inter": 1.0}
            terms.append(Term(parts, entailment, self._stacked, taxa=True))
        return terms

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The parts of all terms by their columns, and their weighted sum as `loss`; 0-d."""
        texts = self.texts(batch)
        return self.terms(model(batch, self.tokens_of(texts)), batch, texts)

    def terms(self, tangents: dict[str, Tensor], batch: Batch, texts: Tensor) -> dict[str, Tensor]:
        """The same from tangent vectors that the model made already.

        Args:
            tangents: per modality the vectors of the batch's specimens (B, D), and those of `texts`
                (U, D) as `text`.
            batch: its labels alone are read.
            texts: (U,) what `self.texts` gave for the batch.
        """
        points = self._points(tangents, batch, texts)
        found: dict[str, Tensor] = {}
        total = torch.zeros((), device=batch.index.device)
        for term in self.loss_terms:
            parts = term.loss(points)
            if parts:
                value = sum(term.parts[name] * part for name, part in parts.items())
                total = total + term.weight * value
                found |= parts
        return {"loss": total, **found}

    def texts(self, batch: Batch) -> Tensor:
        """Sorted ids of the texts that the step needs, each once, (U,)."""
        if self.trained is not None:
            return self.trained
        wanted = [batch.full_text[:0]]
        if self.reads_full_text:
            wanted.append(batch.full_text[batch.full_text >= 0])
        if self.reads_taxa:
            wanted.append(self.taxon_text[batch.lineage[batch.lineage >= 0]])
        return torch.unique(torch.cat(wanted))

    def tokens_of(self, texts: Tensor) -> Tensor | None:
        """Tokens (U, L) of texts (U,), without the columns in which every text has ended."""
        if self._tokens is None or not len(texts):
            return None
        tokens = self._tokens[texts.cpu()]
        return tokens[:, : int((tokens != self.padding).sum(dim=1).max())].to(texts.device)

    def _points(self, tangents: dict[str, Tensor], batch: Batch, texts: Tensor) -> StepPoints:
        lifted = {m: self.model.space.lift(v) for m, v in tangents.items()}
        presence = {"image": batch.has_image, "dna": batch.has_dna}
        points = StepPoints(
            self.model.space.curvature,
            {m: View(lifted[m], has) for m, has in presence.items() if m in lifted},
        )
        if self.config.divergence_weight and self.reads is not None and "dna" in tangents:
            reads = self.reads[batch.index.to(self.reads.device)].to(batch.index.device)
            points = replace(points, barcodes=tangents["dna"], reads=reads)
        if self.shares_gram and len(points.views) == 2:
            points = replace(points, gram=gram_of(self.model.space, *points.views.values()))
        if self.reads_full_text and len(texts):
            # A specimen without labels has no text: any row stands in for it, and is masked.
            row = torch.searchsorted(texts, batch.full_text.clamp(min=0)).clamp(max=len(texts) - 1)
            points = replace(points, full_text=View(lifted["text"][row], batch.full_text >= 0))
        if self.reads_taxa and len(texts):
            taxa, lineage = self._taxa(batch)
            row = torch.searchsorted(texts, self.taxon_text[taxa])
            points = replace(
                points, taxa=lifted["text"][row], rank=self.rank[taxa], lineage=lineage
            )
        return points

    def _taxa(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The taxa that a step sees, sorted, and the batch's lineages (B, 4) renumbered to them."""
        known = batch.lineage >= 0
        taxa = torch.unique(batch.lineage[known]) if self.trained is None else self.trained
        return taxa, torch.where(known, torch.searchsorted(taxa, batch.lineage.clamp(min=0)), -1)

    def _contrastive(self, points: StepPoints) -> dict[str, Tensor]:
        views = points.views
        if len(views) < 2 and not self.aligns_text:
            return {}
        if self.aligns_text and points.full_text is not None:
            views = {**views, "text": points.full_text}
        grams = None if points.gram is None else {("image", "dna"): points.gram}
        loss = contrastive_loss(self.model.space, views, self.model.logit_scale, grams)
        return {"contrastive": loss}

    def _divergence(self, points: StepPoints) -> dict[str, Tensor]:
        if points.reads is None:
            return {}
        has = points.views["dna"].present
        distance = self.model.space.distances(points.barcodes[has])
        divergence, usable = pairwise_divergence(points.reads[has], points.reads[has])
        scale = self.model.divergence_scale
        return {"divergence": divergence_loss(distance, divergence, usable, scale)}

    def _pair(self, points: StepPoints) -> dict[str, Tensor]:
        if points.full_text is None:
            return {}
        loss = pair_entailment(points.full_text, points.views, points.curvature, self.cones)
        return {"pair_entailment": loss}

    def _taxon_contrastive(self, points: StepPoints) -> dict[str, Tensor]:
        if points.taxa is None:
            return {}
        loss = taxon_contrastive_loss(
            self.model.space,
            points.views,
            points.taxa,
            points.rank,
            points.lineage,
            self.config.taxon_scale,
        )
        return {"taxon_contrastive": loss}

    def _in_cones(self, points: StepPoints) -> dict[str, Tensor]:
        if points.taxa is None:
            return {}
        return cone_loss(points.views, points.taxa, points.lineage, points.curvature, self.cones)

    def _stacked(self, points: StepPoints) -> dict[str, Tensor]:
        if points.taxa is None:
            return {}
        return stacked_entailment(
            points.taxa,
            points.lineage,
            points.views.get("image"),
            points.views.get("dna"),
            points.curvature,
            self.cones,
            points.gram,
        )
