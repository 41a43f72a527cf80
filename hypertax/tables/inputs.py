"""The table of what each encoder is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.tables.table import DASH, Table
from hypertax.taxonomy import RANKS, full_text, known_ranks, rank_text


def text_inputs_table(specimens: pd.DataFrame, *, dataset: str = "") -> Table:
    """What each encoder is given for one specimen with a name at every rank, one with some names
    and one with none.

    The specimens are the first of their kind in the table, with some names those with the most
    frequent set of them. The stacked loss (SEL) is given one text per known rank: the bare name, or
    by the option `entailment_text: cumulative` the names down to it.

    Args:
        specimens: as `hypertax.data.load_specimens` gives them.
    """
    known = specimens[list(RANKS)].notna()
    partial = known[known.any(axis=1) & ~known.all(axis=1)]
    usual = partial.value_counts().index[0] if len(partial) else [False] * len(RANKS)
    kinds = {
        "full": known.all(axis=1),
        "partial": known.any(axis=1) & (known.to_numpy() == np.array(usual)).all(axis=1),
        "none": ~known.any(axis=1),
    }
    rows, absent = [], []
    for kind, mask in kinds.items():
        if mask.any():
            specimen = specimens[mask].iloc[0]
        elif kind == "none":
            specimen = pd.Series(
                dict.fromkeys(["sampleid", "image", "barcode", *RANKS]), dtype=object
            )
            absent.append(kind)
        else:
            absent.append(kind)
            continue
        inputs = {}
        if pd.notna(specimen["image"]):
            inputs["image encoder"] = Path(specimen["image"]).name
        if pd.notna(specimen["barcode"]):
            inputs["DNA encoder"] = (
                f"{specimen['barcode'][:24]}… ({len(specimen['barcode'])} bases)"
            )
        inputs["text encoder, contrastive loss"] = full_text(specimen)
        for name, cumulative in (("SEL", False), ("SEL, cumulative", True)):
            texts = {
                rank: rank_text(specimen, rank, cumulative=cumulative)
                for rank in known_ranks(specimen)
            }
            inputs |= {f"text encoder, {name}: {rank}": text for rank, text in texts.items()} or {
                f"text encoder, {name}": None
            }
        identity = DASH if pd.isna(specimen["sampleid"]) else specimen["sampleid"]
        rows += [
            {"labels": kind, "specimen": identity, "input": name, "shown": text or DASH}
            for name, text in inputs.items()
        ]
    if not rows:
        raise ValueError("The specimen table is empty.")
    note = f"{DASH}: no text is given, and the loss term leaves the specimen out."
    if absent:
        note += f" These data have no specimen of this kind: {', '.join(absent)}."
    tidy = pd.DataFrame(rows).assign(quantity="given", mean=np.nan, sd=np.nan, n=np.nan)
    return Table(
        tidy,
        ("labels", "specimen", "input"),
        ("quantity",),
        percent=False,
        source="",
        dataset=dataset,
        note=note,
    )
