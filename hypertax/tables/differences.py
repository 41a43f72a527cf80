"""Tables of differences between methods with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.evaluation.bootstrap import BETTER, FEW, FEWEST, WORSE
from hypertax.tables.plain import write_csv
from hypertax.tables.seeds import points, seeds_in_words
from hypertax.tables.table import DASH, Table, write_table

DRAWN = (
    "species are drawn, each with all its queries, and with fewer than"
    f" {FEWEST} species there is no interval"
)
"""What the notes of tables say of the draws."""
_ONE_OF_MANY = (
    f"and in brackets its 95 % interval from a paired bootstrap: {DRAWN}; * where the interval,"
    " before it is rounded, excludes zero. Intervals hold the trained models fixed and are not"
    " corrected for the number of cells."
)
_KINDS = {
    "unseen": ("standard", "unseen"),
    "seen": ("standard", "seen"),
    "novel": ("novel", "unseen"),
}
"""Protocol and split of the tables by kind of species."""


def difference_table(
    differences: pd.DataFrame,
    split: str = "unseen",
    *,
    protocol: str = "standard",
    average: str = "macro",
    runs: Sequence[str] = (),
) -> Table:
    """Accuracy minus the reference's, in points, with its 95 % interval; an asterisk where that
    excludes zero.

    Args:
        differences: of `hypertax.evaluation.compare`.
        split: "seen", "unseen" or "harmonic".
        protocol: "standard" or "novel".
        average: the metric, a key of `hypertax.evaluation.METRICS`.
        runs: names of the runs compared.

    Returns:
        methods and ranks against pairings; tidy has `mean` (a share), `low`, `high`, `verdict`,
        `queries`, `seeds`, `seeds_agreeing`.

    Raises:
        ValueError: no such cells, or differences to several references.
    """
    wanted = {"split": split, "protocol": protocol, "average": average}
    chosen = differences[(differences[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    if chosen.empty:
        raise ValueError(f"There are no differences for {protocol}, {split}, {average}.")
    note = (
        f"Difference to {only_reference(chosen)} in points, and in brackets its 95 % interval"
        f" from a paired bootstrap: {DRAWN}; * where the"
        " interval, before it is rounded, excludes zero. Intervals hold the trained models fixed"
        " and are not corrected for the number"
        " of cells."
    )
    shown = [interval(row) for row in chosen.itertuples()]
    return of_differences(
        chosen.drop(columns=["split", "protocol", "average"]), shown, ("method", "rank"), runs, note
    )


def write_difference_tables(
    differences: pd.DataFrame,
    folder: str | Path,
    *,
    together: str = "differences",
    each: str = "difference",
    dataset: str | None = None,
    runs: Sequence[str] = (),
) -> dict[str, Table]:
    """Write the differences of macro top-1 for unseen, seen and novel species, and a csv file of
    all of them.

    Args:
        differences: of `hypertax.evaluation.compare`.
        folder: where they are written.
        together: name of the csv file. each: beginning of the tables' names, before "_unseen",
            "_seen" and "_novel".
        dataset, runs: as in `write_table`.

    Returns:
        the tables by "unseen", "seen" and "novel".

    Raises:
        ValueError: a kind of species without differences, or differences to several references.
    """
    reference = only_reference(differences)
    tables = {}
    for kind, (protocol, split) in _KINDS.items():
        caption = f"Test, {kind} species: macro top-1 accuracy minus that of {reference}, in points"
        tables[kind] = difference_table(differences, split, protocol=protocol, runs=runs)
        write_table(tables[kind], f"{each}_{kind}", folder, caption=caption, dataset=dataset)
    write_csv(differences, Path(folder) / f"{together}.csv", float_format="%.6g")
    return tables


def baseline_table(
    differences: pd.DataFrame, *, average: str = "macro", runs: Sequence[str] = ()
) -> Table:
    """Every trained row minus the rows that need no training, in points, with 95 % intervals; an
    asterisk where these exclude zero.

    Args:
        differences: of `hypertax.evaluation.compare` with several references.
        average: the metric, a key of `hypertax.evaluation.METRICS`.
        runs: names of the runs compared.

    Returns:
        methods, kinds of species and ranks against pairings and references.

    Raises:
        ValueError: no such cells.
    """
    chosen = differences[(differences["average"] == average) & (differences["split"] != "harmonic")]
    if chosen.empty:
        raise ValueError(f"There are no differences of {average} accuracy to baselines.")
    note = f"Difference to the baseline above it in points, {_ONE_OF_MANY}"
    return _by_kind(chosen.rename(columns={"reference": "minus"}), note, runs, ("pairing", "minus"))


def joint_table(differences: pd.DataFrame, *, runs: Sequence[str] = ()) -> Table:
    """Rows trained with photographs and barcodes together minus the same rows with one of them
    alone, in points of macro top-1, with 95 % intervals.

    Args:
        differences: of `hypertax.evaluation.compare`, of every joint row to its single ones.
        runs: names of the runs compared.

    Returns:
        methods, kinds of species and ranks against pairings; `reference` in tidy is the single row.

    Raises:
        ValueError: no such cells.
    """
    chosen = differences[(differences["average"] == "macro") & (differences["split"] != "harmonic")]
    if chosen.empty:
        raise ValueError("There are no rows of one view to compare joint rows with.")
    note = (
        "Difference in points to the same row with the view of the pairing alone,"
        f" {_ONE_OF_MANY}"
    )
    return _by_kind(chosen, note, runs)


def endpoint_table(found: pd.DataFrame, *, runs: Sequence[str] = ()) -> Table:
    """The endpoints: each row that is asked minus each that it is compared with, in points, with
    95 % intervals; an asterisk where these exclude zero.

    Args:
        found: of `hypertax.study.endpoint_differences`.
        runs: names of the runs compared.

    Returns:
        endpoints and methods against what they are compared with.
    """
    shown = [interval(row) for row in found.itertuples()]
    about = found.rename(columns={"reference": "minus"})
    note = f"Difference in points of the measure, {_ONE_OF_MANY}"
    rows = ("pairing", "question", "measure", "method")
    return of_differences(about, shown, rows, runs, note, columns=("minus",))


def _by_kind(
    differences: pd.DataFrame, note: str, runs: Sequence[str], columns: Sequence[str] = ("pairing",)
) -> Table:
    """A table of differences by method, kind of species and rank."""
    kinds = {cell: kind for kind, cell in _KINDS.items()}
    cells = zip(differences["protocol"], differences["split"], strict=True)
    shown = [interval(row) for row in differences.itertuples()]
    about = differences.drop(columns=["split", "protocol", "average"])
    about = about.assign(species=[kinds[cell] for cell in cells])
    return of_differences(about, shown, ("method", "species", "rank"), runs, note, columns=columns)


def only_reference(differences: pd.DataFrame) -> str:
    """The method that all differences are to.

    Raises:
        ValueError: they have several.
    """
    references = differences["reference"].unique()
    if len(references) > 1:
        raise ValueError(
            f"The differences have several references ({', '.join(references)}): make one table"
            " of each."
        )
    return references[0]


def interval(row) -> str:
    """A difference in points with its interval; an asterisk where that excludes zero, a dash where
    there are too few species for one."""
    if row.verdict == FEW:
        return f"{points(row.difference)} [{DASH}]"
    text = f"{points(row.difference)} [{points(row.low)}, {points(row.high)}]"
    return f"{text} *" if row.verdict in (BETTER, WORSE) else text


def of_differences(
    differences: pd.DataFrame,
    shown: list[str],
    rows: Sequence[str],
    runs: Sequence[str],
    note: str,
    *,
    columns: Sequence[str] = ("pairing",),
) -> Table:
    """A table of differences, its columns the pairings by default.

    Args:
        differences: with those of `rows` and `columns`, `difference` and `seeds`.
        shown: the text of each cell.
        rows, runs, note: as in `Table`.
    """
    return Table(
        tidy=differences.rename(columns={"difference": "mean"})
        .assign(sd=np.nan, n=np.nan, shown=shown)
        .reset_index(drop=True),
        rows=tuple(rows),
        columns=tuple(columns),
        percent=False,
        seeds=seeds_in_words(differences["seeds"]),
        runs=tuple(runs),
        note=note,
    )
