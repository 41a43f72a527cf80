"""What one training step minimises: which texts a batch needs, the model's points, the configured
loss terms and their sum."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hypertax.config.run_config import TAXON_TABLE, RunConfig
from hypertax.data.batches import Batch, Names
from hypertax.losses.contrastive import contrastive_loss, taxon_contrastive_loss
from hypertax.losses.entailment import Cones, cone_loss, pair_entailment, stacked_entailment
from hypertax.model.model import HypertaxModel
from hypertax.taxonomy import RANKS


class Objective:
    """The terms that a configuration asks for, over batches of one table.

    names: the table's taxa and texts. model: gives the tokenizer; the model that is called is an
    argument, so that it may be wrapped.
    """

    def __init__(
        self,
        config: RunConfig,
        names: Names,
        model: HypertaxModel,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config = config
        self.cones = Cones(
            config.aperture, config.entailment_margin, config.entailment_negatives, config.dna_image
        )
        self.space, self.temperature = model.space, lambda: model.logit_scale
        has_text = "text" in model.modalities
        self.stacked = has_text and config.entailment == "stacked"
        self.pair = has_text and config.entailment == "pair"
        self.align_text = has_text and config.full_text and config.contrastive_weight > 0
        self.taxa = has_text and config.taxon_weight > 0
        self.in_cones = has_text and config.nested
        self.rank = torch.tensor(
            [RANKS.index(rank) for rank in names.taxa["rank"]], dtype=torch.int64, device=device
        )
        self.padding = model.tokens.padding
        self.trained = None
        if has_text and config.text_encoder == TAXON_TABLE:
            # Vectors cost next to nothing: every step sees all taxa, not only the batch's.
            rows, known = model.taxon_tokens(names)
            self._tokens = torch.from_numpy(rows)
            self.trained = torch.from_numpy(known).nonzero()[:, 0].to(device)
            self.taxon_text = torch.arange(len(rows), device=device)
        else:
            self._tokens = torch.from_numpy(model.tokens(names.texts)) if has_text else None
            self.taxon_text = torch.from_numpy(names.taxon_text).to(device)

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The terms by name, and their weighted sum as `loss`; 0-d tensors."""
        texts = self.texts(batch)
        return self.terms(model(batch, self.tokens_of(texts)), batch, texts)

    def terms(self, tangents: dict[str, Tensor], batch: Batch, texts: Tensor) -> dict[str, Tensor]:
        """The same from the tangent vectors that the model made of the batch and of `texts`; of the
        batch, only labels are read."""
        points = {m: self.space.lift(v) for m, v in tangents.items()}
        specimens = {
            m: (points[m], has)
            for m, has in (("image", batch.has_image), ("dna", batch.has_dna))
            if m in points
        }
        full = None
        if (self.align_text or self.pair) and len(texts):
            # A specimen without labels has no text: any row stands in for it, and is masked.
            row = torch.searchsorted(texts, batch.full_text.clamp(min=0)).clamp(max=len(texts) - 1)
            full = (points["text"][row], batch.full_text >= 0)
        config, c = self.config, self.space.curvature
        terms: dict[str, Tensor] = {}
        total = torch.zeros((), device=batch.index.device)
        if config.contrastive_weight and (len(specimens) > 1 or self.align_text):
            aligned = specimens | ({"text": full} if self.align_text and full else {})
            views, present = ({m: value[i] for m, value in aligned.items()} for i in (0, 1))
            terms["contrastive"] = contrastive_loss(self.space, views, present, self.temperature())
            total = total + config.contrastive_weight * terms["contrastive"]
        if self.pair and full:
            terms["pair_entailment"] = pair_entailment(
                full[0], list(specimens.values()), full[1], c, self.cones
            )
            total = total + config.entailment_weight * terms["pair_entailment"]
        if (self.taxa or self.in_cones or self.stacked) and len(texts):
            taxa, lineage = self._taxa_of(batch)
            taxon_points = points["text"][torch.searchsorted(texts, self.taxon_text[taxa])]
            if self.taxa:
                loss = taxon_contrastive_loss(
                    self.space,
                    specimens,
                    taxon_points,
                    self.rank[taxa],
                    lineage,
                    config.taxon_scale,
                )
                terms["taxon_contrastive"] = loss
                total = total + config.taxon_weight * loss
            if self.in_cones:
                parts = cone_loss(specimens, taxon_points, lineage, c, self.cones)
                terms |= parts
                total = total + config.entailment_weight * (
                    parts["inside"] + config.axis_weight * parts["axis"]
                )
            if self.stacked:
                parts = stacked_entailment(
                    taxon_points,
                    lineage,
                    specimens.get("image"),
                    specimens.get("dna"),
                    c,
                    self.cones,
                )
                terms |= parts
                total = total + config.entailment_weight * (parts["intra"] + parts["inter"])
        return {"loss": total, **terms}

    def texts(self, batch: Batch) -> Tensor:
        """Sorted ids of the texts that the step needs, each once."""
        if self.trained is not None:
            return self.trained
        wanted = [batch.full_text[:0]]
        if self.align_text or self.pair:
            wanted.append(batch.full_text[batch.full_text >= 0])
        if self.stacked or self.taxa or self.in_cones:
            wanted.append(self.taxon_text[batch.lineage[batch.lineage >= 0]])
        return torch.unique(torch.cat(wanted))

    def _taxa_of(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The taxa that a step sees, sorted, and the batch's lineages (B, 4) renumbered to them."""
        known = batch.lineage >= 0
        taxa = torch.unique(batch.lineage[known]) if self.trained is None else self.trained
        return taxa, torch.where(known, torch.searchsorted(taxa, batch.lineage.clamp(min=0)), -1)

    def tokens_of(self, texts: Tensor) -> Tensor | None:
        """(U, L) tokens, without the columns in which every text has ended."""
        if self._tokens is None or not len(texts):
            return None
        tokens = self._tokens[texts.cpu()]
        return tokens[:, : int((tokens != self.padding).sum(dim=1).max())].to(texts.device)
