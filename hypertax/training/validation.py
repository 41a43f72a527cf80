"""The numbers of a validation: a row of a run's history, without its losses."""

from __future__ import annotations

from hypertax.embeddings import Embeddings
from hypertax.evaluation.cones import geometry
from hypertax.evaluation.epoch_choice import selection_score
from hypertax.geometry.spaces import CapSpace
from hypertax.model.model import HypertaxModel

VALIDATION_QUERIES = ("val_seen", "val_unseen")


def validation_row(model: HypertaxModel, embeddings: Embeddings) -> dict[str, float]:
    """The model's scalars, its validation accuracy and the geometry of its points, by column.

    Args:
        model: that made the embeddings. embeddings: of the validation queries and their keys.
    """
    return (
        {"logit_scale": model.logit_scale.item()}
        | _space_numbers(model)
        | selection_score(embeddings)
        | geometry(embeddings, splits=list(VALIDATION_QUERIES), aperture=model.config.aperture)
    )


def _space_numbers(model: HypertaxModel) -> dict[str, float]:
    if model.space.name == "euclidean":
        return {}
    numbers = {"curvature": model.space.curvature.item()}
    numbers |= {f"scale_{m}": alpha.exp().item() for m, alpha in model.space.log_scale.items()}
    if isinstance(model.space, CapSpace):
        # The column's name is that of all runs so far.
        numbers["share"] = model.space.contraction.item()
    return numbers
