"""Tables of harder reads: where each row breaks, and how rows differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from hypertax.tables.differences import DRAWN, interval, of_differences, only_reference
from hypertax.tables.seeds import accuracies_over_seeds
from hypertax.tables.table import Table


def harder_reads_table(scores: pd.DataFrame) -> Table:
    """Accuracies and novelty of every method, a column for each kind of read.

    Args:
        scores: of `hypertax.study.ask_harder`.

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


def harder_differences_table(differences: pd.DataFrame, *, runs: Sequence[str] = ()) -> Table:
    """Accuracies minus the reference's in points with 95 % intervals, a column for each kind of
    read; an asterisk where the interval excludes zero.

    Args:
        differences: of `hypertax.evaluation.harder_reads.read_differences`. runs: names of the runs compared.

    Raises:
        ValueError: differences to several references.
    """
    cells = len(differences)
    note = (
        f"Macro top-1 minus that of {only_reference(differences)} in points, and in brackets the"
        f" 95 % interval from a paired bootstrap: {DRAWN}; * where the interval, before it is"
        f" rounded, excludes zero: of {cells} cells about {cells / 20:.0f} would by chance alone."
        " Intervals hold the trained models fixed."
    )
    shown = [interval(row) for row in differences.itertuples()]
    rows = ("measure", "method")
    return of_differences(differences, shown, rows, runs, note, columns=("reads",))
