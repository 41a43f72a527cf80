"""What a specimen is embedded by beside its names: which of image and barcode a table has, and
whether a configuration can learn from it."""

from __future__ import annotations

import pandas as pd

from hypertax.config.run_config import TAXON_TABLE, RunConfig


def views_of(specimens: pd.DataFrame) -> set[str]:
    """What the specimens of a table have of `image` and `dna`."""
    return {
        view
        for view, column in (("image", "image"), ("dna", "barcode"))
        if specimens[column].notna().any()
    }


def require_something_to_learn(config: RunConfig, views: set[str]) -> None:
    """Stop where a configuration leaves these data without anything to learn from.

    Raises:
        ValueError: one sentence.
    """
    used = views & set(config.views.split("+"))
    if not used:
        raise ValueError(f"views is {config.views!r}, which no specimen of {config.dataset} has.")
    if (
        config.contrastive_weight
        and not config.taxon_weight
        and not (config.divergence_weight and "dna" in used)
        and not config.full_text
        and len(used) < 2
    ):
        # A table of taxa has no vector for a full text.
        remedy = (
            "taxon_weight must be above 0"
            if config.text_encoder == TAXON_TABLE
            else "full_text must be True"
        )
        raise ValueError(
            f"{remedy} where the specimens have one view alone ({', '.join(used)}), or nothing"
            " is left to contrast it with."
        )
