"""What a table that can be trained on does not allow: said before training, not after it."""

from __future__ import annotations

import pandas as pd

from hypertax.data.remarks import legible
from hypertax.data.split import KEY_SPLITS, QUERY_SPLITS
from hypertax.taxonomy import RANKS


def what_is_lacking(specimens: pd.DataFrame) -> str:
    """What a specimen table does not allow, in one line; empty for a table that allows all."""
    found = []
    empty = [rank for rank in RANKS if specimens[rank].isna().all()]
    if empty:
        found.append(f"no specimen has a name of {', '.join(empty)}, so nothing is scored there")
    species = specimens["species"].dropna().unique()
    if len(species) == 1:
        found.append(
            f"all named specimens are of one species, {legible(species[0])}, so no species can be"
            " told from another"
        )
    pictured = specimens.loc[specimens["image"].notna(), "species"]
    if len(species) > 1 and len(pictured) and pictured.nunique() < 2:
        found.append(
            "the photographs show fewer than two named species, so they tell none from another"
        )
    named = specimens[specimens["species"].notna()]
    for stage, queries in QUERY_SPLITS.items():
        if not named["split"].isin(queries.values()).any():
            purpose = "choose an epoch by" if stage == "val" else "test on"
            found.append(
                f"no named specimen is in {' or '.join(queries.values())}, so there is nothing to"
                f" {purpose}"
            )
    if not named["split"].isin(KEY_SPLITS).any():
        found.append(
            f"no named specimen is in {', '.join(KEY_SPLITS)}, so there is nothing to look up"
        )
    return "; ".join(found)
