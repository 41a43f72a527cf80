"""The simulated data with photographs only, barcodes only, and both: in the space of a trained run.

The run was trained on `train_seen`. References that it was trained on do not calibrate; species that
it never saw play the new ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.identify import judging
from benchmarks.identify.asking import Answered, of_answers
from hypertax.data import load_specimens
from hypertax.files import ROOT, resolve
from hypertax.identify.prepared import prepared
from hypertax.tables.table import frame_table, write_table
from hypertax.taxonomy import RANKS

LIBRARIES = {
    "all known": ("train_seen", "seen_keys", "val_unseen_keys", "test_unseen_keys"),
    "half new": ("train_seen", "seen_keys", "{other}_unseen_keys"),
}
GIVEN = {
    "photographs": {"barcode": None},
    "barcodes": {"image": None},
    "both": {},
}
NOTE = (
    "Right: the share of best names that are true, whether sure or not. Coverage and precision are"
    " of the answers given. Low and high: 95 % of draws of species. Both alike: known and new"
    " species weigh the same."
)


def measured(
    specimens: pd.DataFrame, model: str, stage: str, precision: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables: coverage, precision and right names by what is given; and calibration errors.

    Args:
        specimens: with the splits of CLIBD. model: the folder of a run. stage: "test" or "val".
    """
    table = specimens.astype("object").where(specimens.notna(), None)
    other = {"test": "val", "val": "test"}[stage]
    queries = table[table["split"].isin((f"{stage}_seen", f"{stage}_unseen"))]
    queries = queries[queries["image"].notna() & queries["barcode"].notna()]
    queries = queries.reset_index(drop=True)
    rows, facts = [], []
    for name, splits in LIBRARIES.items():
        splits = [split.format(other=other) for split in splits]
        library = table[table["split"].isin(splits)].reset_index(drop=True)
        identifier = prepared(library.drop(columns="split"), model=model, progress=False)
        known = queries["species"].isin(library["species"]).to_numpy()
        for given, without in GIVEN.items():
            asked = queries.drop(columns=[*RANKS, "split"]).assign(**without)
            answers = identifier.identify(asked, precision=precision, progress=False)
            one = Answered(*of_answers(answers), np.nan, np.nan, np.nan, answers)
            about = {"library": name, "given": given}
            rows += [{**about, **cell} for cell in judging.cells(one, queries, known)]
            facts += [{**about, **fact} for fact in judging.calibration(one, queries, known)]
            if not known.all():
                facts += [{**about, **fact} for fact in judging.novelty(one, known)]
    return pd.DataFrame(rows), pd.DataFrame(facts)


def compared(cells: pd.DataFrame) -> dict[str, int]:
    """In how many cells of the column `right` both together are worse or better than the better of
    the two, and how many leave room."""
    wide = cells.pivot(index=["library", "queries", "rank"], columns="given", values="right")
    better = wide[["photographs", "barcodes"]].max(axis=1)
    difference = (wide["both"] - better).round(6)
    return {
        "cells": len(wide),
        "worse": int((difference < 0).sum()),
        "better": int((difference > 0).sum()),
        "with room": int((better < 1).sum()),
    }


def main(model: str, stage: str, precision: float, output: Path | None) -> None:
    """Ask, print and write; to a folder, or to `tables/simulated`."""
    cells, facts = measured(load_specimens("simulated"), model, stage, precision)
    print(cells.round(4).to_string(index=False))
    print(facts.round(4).to_string(index=False))
    print(compared(cells))
    tables = resolve(output) if output else ROOT / "tables" / "simulated"
    shown = {"test": "Test", "val": "Validation"}[stage]
    for frame, name, caption in (
        (cells, "identify", f"{shown}: answers at a wanted precision of {precision}"),
        (facts, "identify_facts", f"{shown}: calibration and new species"),
    ):
        write_table(
            frame_table(frame.round(4)),
            name,
            tables,
            caption=caption,
            note=NOTE,
            dataset="simulated",
            runs=[Path(model).name],
        )
