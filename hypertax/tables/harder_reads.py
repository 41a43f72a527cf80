"""The table of harder reads: where each row breaks."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from hypertax.tables.seeds import accuracies_over_seeds
from hypertax.tables.table import Table


def harder_reads_table(scores: pd.DataFrame) -> Table:
    """Accuracies and novelty of every method, a column for each kind of read.

    Args:
        scores: of `hypertax.study.harder_scores`.

    Raises:
        ValueError: no number, or several of one method and seed.
    """
    table = accuracies_over_seeds(
        scores.assign(pairing="DNA to DNA"),
        ("measure", "method"),
        ("reads",),
        ("measure", "reads"),
        "harder reads",
    )
    counts = scores.drop_duplicates("measure")
    asked = ", ".join(
        f"{row.measure} {row.queries:,} of {row.species:,} species" for row in counts.itertuples()
    )
    note = (
        "Macro top-1 by the nearest key, and the AUROC of seen against unseen species by the"
        " distance to the nearest seen key. Queries alone are changed; keys are whole. Windows of"
        " 200 and 130 bases, wrong bases and single-base indels are at random places, the same for"
        f" every method. Queries: {asked}."
    )
    return replace(table, note=note)
