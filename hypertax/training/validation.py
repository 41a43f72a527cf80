"""The numbers of a validation: a row of a run's history, without its losses."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hypertax.embeddings import Embeddings
from hypertax.evaluation.cones import geometry
from hypertax.evaluation.epoch_choice import selection_score
from hypertax.evaluation.fidelity import pairs_within
from hypertax.geometry.spaces import CapSpace
from hypertax.model.model import HypertaxModel

VALIDATION_QUERIES = ("val_seen", "val_unseen")


def validation_row(
    model: HypertaxModel, embeddings: Embeddings, reads: Tensor | None = None
) -> dict[str, float]:
    """The model's scalars, its validation accuracy and the geometry of its points, by column.

    Args:
        model: that made the embeddings.
        embeddings: of the validation queries and their keys.
        reads: (N, L) aligned base codes of the barcodes among them, where divergences count.
    """
    return (
        {"logit_scale": model.logit_scale.item()}
        | _space_numbers(model)
        | _with_fidelity(selection_score(embeddings), embeddings, reads)
        | geometry(embeddings, splits=list(VALIDATION_QUERIES), aperture=model.config.aperture)
    )


def _with_fidelity(
    row: dict[str, float], embeddings: Embeddings, reads: Tensor | None
) -> dict[str, float]:
    """The scores, and how far distances are from divergences: half of what the epoch is chosen by,
    where training asks for it."""
    if reads is None:
        return row
    barcodes = embeddings.select("dna")
    queries = barcodes.table["split"].isin(VALIDATION_QUERIES).to_numpy()
    pairs = pairs_within(barcodes.where(queries), reads[torch.from_numpy(queries)])
    scale = pairs.best_scale()
    if math.isnan(scale):
        return row
    error = float(pairs.errors(scale).mean())
    accuracy = row["selection"]
    both = 1 - error if math.isnan(accuracy) else (accuracy + 1 - error) / 2
    return {**row, "val_divergence_error": error, "selection": both}


def _space_numbers(model: HypertaxModel) -> dict[str, float]:
    if model.space.name == "euclidean":
        return {}
    numbers = {"curvature": model.space.curvature.item()}
    numbers |= {f"scale_{m}": alpha.exp().item() for m, alpha in model.space.log_scale.items()}
    if isinstance(model.space, CapSpace):
        # The column's name is that of all runs so far.
        numbers["share"] = model.space.contraction.item()
    return numbers
