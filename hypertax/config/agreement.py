"""Which parameters of a run fit together: one sentence for each that does not."""

from __future__ import annotations

import math
from typing import Any

from hypertax.geometry.cone_angles import widest_cone

LEAST_WIDEST = 30.0
"""Degrees; narrower than this, a specimen's whole lineage would be drawn together into next to
nothing."""
ALIGNED = "aligned"
"""The DNA encoder that begins with a closed-form projection of aligned barcodes; see
`hypertax.model.starts`."""
TAXON_TABLE = "lineage"
"""The text encoder that is none: a learned vector per taxon; see
`hypertax.model.lineage_vectors`."""


def require_agreement(config: Any) -> None:
    """Stop where parameters contradict each other.

    Args:
        config: a `RunConfig`, each of whose parameters is within its own limits.

    Raises:
        ValueError: one sentence naming the parameter and what it must be.
    """
    if config.space == "euclidean" and config.entailment != "none":
        raise ValueError(
            "entailment must be 'none' in the Euclidean space, whose points have no cones."
        )
    if (
        not config.contrastive_weight
        and not config.taxon_weight
        and not config.divergence_weight
        and (config.entailment == "none" or config.entailment_weight == 0)
    ):
        raise ValueError(
            "contrastive_weight must be above 0 where there is no entailment loss, or"
            " nothing is learned."
        )
    if config.divergence_weight and not config.aligns:
        raise ValueError(
            f"dna_encoder must be {ALIGNED!r}, or align_barcodes True, with divergence_weight"
            " above 0: the divergence is that of aligned barcodes."
        )
    if config.text_encoder == TAXON_TABLE:
        _check_taxon_table(config)
    if config.nested:
        _check_cones(config)


def _check_taxon_table(config: Any) -> None:
    if config.full_text and config.contrastive_weight:
        raise ValueError(
            f"full_text must be False with text_encoder {TAXON_TABLE!r}, which has no"
            " vector for a full text."
        )
    if config.entailment not in ("none", "cones"):
        raise ValueError(
            f"entailment must be 'none' or 'cones' with text_encoder {TAXON_TABLE!r},"
            f" not {config.entailment!r}."
        )


def _check_cones(config: Any) -> None:
    """The taxa have vectors of their own, and specimens see a cone as wide as four ranks need."""
    if config.text_encoder != TAXON_TABLE:
        raise ValueError(
            f"text_encoder must be {TAXON_TABLE!r} with entailment 'cones', not"
            f" {config.text_encoder!r}."
        )
    widest = math.degrees(widest_cone(config.specimen_radius, config.aperture))
    if widest < LEAST_WIDEST:
        raise ValueError(
            f"specimen_radius {config.specimen_radius:g} and aperture {config.aperture:g} leave"
            f" cones a half-angle of at most {widest:.1f}"
            f" degrees: raise the one or lower the other until it is {LEAST_WIDEST:g} at least."
        )
