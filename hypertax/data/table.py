"""Specimens from a table of one's own: TSV, CSV or Parquet, with the column names that BIOSCAN,
BOLD and Darwin Core use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.data.cells import PACKED, named, read_cells, stem_and_ending
from hypertax.data.check import IUPAC, check_specimens
from hypertax.data.columns import (
    ALIASES,
    BIN,
    PLACEHOLDERS,
    choose,
    clean,
    clean_barcodes,
    clean_paths,
    genera_like_placeholders,
    missing,
    wanted,
)
from hypertax.data.fasta import FASTA, barcodes_of, beside, read_fasta
from hypertax.data.labels import read_labels
from hypertax.data.lacking import what_is_lacking
from hypertax.data.photograph_files import UnreadablePhotograph, check_photograph
from hypertax.data.progress import progress_bar
from hypertax.data.reads import of_another_marker, remark_on
from hypertax.data.remarks import Remarks, counted, legible
from hypertax.data.split import clibd_split
from hypertax.files import resolve
from hypertax.taxonomy import RANKS

__all__ = [
    "ALIASES",
    "COLUMNS",
    "PLACEHOLDERS",
    "clean_barcodes",
    "read_queries",
    "read_table",
    "table_stem",
]

COLUMNS = ("sampleid", "image", "barcode", *RANKS, "split")
"""Columns of a specimen table."""
UNREADABLE = "its photograph cannot be read"
"""How a remark on a broken photograph begins."""


def read_table(
    path: str | os.PathLike, *, seed: int = 0, labels_needed: bool = False
) -> pd.DataFrame:
    """Specimens of a table: .tsv, .txt or .csv, also with .gz, .bz2 or .xz, or .parquet.

    Columns are found by their usual names whatever their case (see `columns.ALIASES`). All but an
    identifier are optional. Images are paths relative to the table's folder or to a folder `images`
    beside it. Barcodes may also stand in a FASTA file of the same name beside the table, whose
    records begin with the `sampleid` or `processid`. What was read and ignored, and what was done
    to which rows, is printed to standard error.

    Args:
        path: the file, as the user gave it.
        seed: the seed of the split by CLIBD's recipe, for a table without a column `split`.
        labels_needed: refuse a table that no model can be trained on, for want of labels or of
            specimens in a training split. Without it the table may be one to be embedded.

    Returns:
        A specimen table; see `hypertax.data.load_specimens`.

    Raises:
        ValueError: the file is missing or unreadable (one sentence).
        SpecimenTableError: something is wrong with its rows; see `check_specimens`.
    """
    path = _file(path)
    raw, rows = _raw(path)
    if "sampleid" not in raw:
        accepted = ", ".join(ALIASES["sampleid"])
        raise ValueError(
            f"{named(path)} has no column with the specimens' identifiers: name one of its"
            f" columns {accepted}."
        )
    remarks = _remarks(path, rows, raw["sampleid"])
    remarks.add(raw.attrs["read"])
    _leave_out_other_markers(raw, remarks)
    kept = np.flatnonzero(~raw.attrs["left out"])
    if kept.size < len(raw):
        raw = raw.iloc[kept].reset_index(drop=True)
        rows = None if rows is None else rows[kept]
        remarks.names = remarks.names[kept]
    specimens = _specimens(raw, path, remarks)
    if specimens["split"].isna().all():
        specimens["split"] = clibd_split(specimens, seed)
    check_specimens(specimens, source=named(path), rows=rows, labels_needed=labels_needed)
    remark_on(specimens["barcode"], remarks)
    if labels_needed and (lacking := what_is_lacking(specimens)):
        remarks.add(lacking)
    remarks.print()
    return specimens


def read_queries(path: str | os.PathLike) -> pd.DataFrame:
    """Specimens to be embedded or identified, of a table (as `read_table`) or a FASTA file.

    Every row is kept, in its order; neither labels nor splits nor an identifier is needed.

    Returns:
        The columns of a specimen table; `bin_uri`, a number of BOLD's index or NA; `remarks`: what of
        a row cannot be used, otherwise NA; and `reason`: the same where nothing is left to embed. A
        row without an identifier is called by its number, "row 2".

    Raises:
        ValueError: the file is missing or unreadable (one sentence).
    """
    path = _file(path)
    if stem_and_ending(path)[1] in FASTA:
        records = read_fasta(path)
        table = pd.DataFrame({column: records.get(column) for column in RANKS})
        table["sampleid"], table["barcode"] = records["id"], clean_barcodes(records["sequence"])
        for column in ("image", "split"):
            table[column] = missing(len(table))
        table = table[list(COLUMNS)].astype("str")
        table["bin_uri"] = _bins(records["header"])
        return _with_reasons(table, np.arange(len(table)) + 1)
    raw, rows = _raw(path)
    rows = np.arange(len(raw)) + 1 if rows is None else rows
    raw["sampleid"] = raw.get("sampleid", missing(len(raw)))
    remarks = Remarks(named(path), rows, "row")
    remarks.add(raw.attrs["read"])
    other = _leave_out_other_markers(raw, remarks)
    table = _specimens(raw, path, remarks)
    table["bin_uri"] = _bins(raw.get("bin", missing(len(raw))))
    remark_on(table["barcode"], remarks)
    remarks.print()
    return _with_reasons(table, rows, other)


def _bins(texts: pd.Series) -> pd.Series:
    return texts.astype("str").str.extract(BIN, expand=False).astype("str")


def table_stem(path: str | os.PathLike) -> str:
    """The name of a table's file without its endings, `insect1k` for `data/insect1k.tsv.gz`."""
    return stem_and_ending(Path(path))[0]


def _file(path: str | os.PathLike) -> Path:
    path = resolve(path)
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "was not found"
        found = found if path.is_dir() or not path.exists() else "is no regular file"
        raise ValueError(f"{named(path)} {found}: name the file of a table of specimens.")
    return path


def _remarks(path: Path, rows: np.ndarray | None, sampleid: pd.Series) -> Remarks:
    if rows is None:
        return Remarks(named(path), sampleid.fillna("without a sampleid").to_numpy(), "specimen")
    return Remarks(named(path), rows, "row")


def _raw(path: Path) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Our columns of a table, cleaned; `attrs["read"]` says what was read and ignored."""
    cells = read_cells(path, wanted)
    kinds = {"image": clean_paths, "barcode": _clean_reads}
    kind_of = {}
    for ours, cleaner in kinds.items():
        kind_of |= {place: cleaner for place in wanted_of(cells.header, ours)}
    cleaned = pd.DataFrame(
        {place: kind_of.get(place, clean)(column) for place, column in cells.columns.items()},
        index=cells.columns.index,
    )
    taken, line = choose(cells.header, cleaned)
    raw = pd.DataFrame({ours: cleaned[place] for ours, place in taken.items()})
    raw = raw.reindex(cells.columns.index)
    if (place := taken.get("sampleid")) in kind_of:
        raw["sampleid"] = clean(cells.columns[place])
    if "genus" in taken:
        written = cells.columns[taken["genus"]]
        raw["genus"] = genera_like_placeholders(
            raw["genus"], written, raw.get("species"), raw.get("name")
        )
    raw.attrs["read"] = line
    return raw, cells.rows


def wanted_of(header: list[str], ours: str) -> list[int]:
    """The places in a header of the columns that may be one of ours."""
    return [place for place in wanted(header) if wanted([header[place]], ALIASES[ours])]


def _clean_reads(column: pd.Series) -> pd.Series:
    short = column.str.len() < 24
    return clean_barcodes(column.mask(short & column.str.strip().str.lower().isin(PLACEHOLDERS)))


def _leave_out_other_markers(raw: pd.DataFrame, remarks: Remarks) -> np.ndarray:
    """Take the reads of other markers out of rows; `attrs["left out"]` are rows that nothing else
    is left of, and the column `other` tells the rows of other markers.

    Returns:
        (N,) bool, the rows of another marker.

    Raises:
        ValueError: all rows are of other markers (one sentence).
    """
    other = np.zeros(len(raw), bool)
    if "marker" in raw:
        other = of_another_marker(raw["marker"])
    raw["other"] = other
    raw.attrs["left out"] = np.zeros(len(raw), bool)
    if not other.any():
        return other
    some = ", ".join(legible(m, 40) for m in raw["marker"][other].unique()[:5])
    if other.all():
        raise ValueError(
            f"{remarks.source} has no row of COI but only of other markers ({some}): give a table"
            " with barcodes of COI."
        )
    remarks.add(
        f"{counted(int(other.sum()), 'row')} of another marker than COI left out ({some})",
        np.flatnonzero(other),
    )
    if "barcode" in raw:
        raw["barcode"] = raw["barcode"].mask(other)
    pictured = raw.get("image", missing(len(raw))).notna()
    again = raw["sampleid"].isin(set(raw["sampleid"][~other].dropna()))
    raw.attrs["left out"] = other & (again | ~pictured).to_numpy()
    return other


def _specimens(raw: pd.DataFrame, path: Path, remarks: Remarks) -> pd.DataFrame:
    """A specimen table of our columns; splits as they are given."""
    specimens = pd.DataFrame({column: raw.get(column, missing(len(raw))) for column in COLUMNS})
    labels = read_labels(raw, remarks)
    specimens[list(RANKS)] = labels[list(RANKS)]
    specimens["image"] = _image_paths(specimens["image"], raw.get("chunk"), path.parent)
    if fasta := beside(path, stem_and_ending(path)[0]):
        ids = raw[[column for column in ("sampleid", "processid") if column in raw]]
        # A record of a row of another marker is one of that marker.
        needs_none = specimens["barcode"].notna() | raw["other"]
        found = barcodes_of(fasta, ids, needs_none.to_numpy(), remarks)
        specimens["barcode"] = specimens["barcode"].fillna(found.mask(raw["other"]))
    return specimens.astype("str")


def _image_paths(names: pd.Series, chunk: pd.Series | None, folder: Path) -> pd.Series:
    """Absolute paths. A name found in none of the places stays beside the table, where it is
    missed."""
    names = names.str.replace("\\", "/", regex=False)
    places = [f"{folder}/", f"{folder}/images/"]
    if chunk is not None:
        part = "part" + chunk.str.replace(r"\.0$", "", regex=True) + "/"
        places += [place + inner + part for place in places for inner in ("", "cropped_256/")]
    found = names.where(names.str.startswith("/", na=False))
    for place in places:
        candidates = (place + names)[names.notna() & found.isna()].dropna()
        found.update(candidates[[_exists(path) for path in candidates]])
    return found.fillna(places[0] + names).astype("str")


def _exists(path: str) -> bool:
    try:
        return os.path.exists(path)
    except (OSError, ValueError):
        return False


@dataclass
class _Reasons:
    """Why rows cannot be embedded; the first reason counts."""

    found: pd.Series

    def add(self, rows: pd.Series, reason: str | pd.Series) -> None:
        self.found = self.found.mask(rows & self.found.isna(), reason)


def _with_reasons(
    table: pd.DataFrame, rows: np.ndarray, other: np.ndarray | None = None
) -> pd.DataFrame:
    """Reads and photographs that cannot be used taken away, with the reason where nothing is
    left."""
    table["sampleid"] = table["sampleid"].mask(
        table["sampleid"].isna() | (table["sampleid"] == ""), [f"row {row}" for row in rows]
    )
    reasons = _Reasons(missing(len(table)))
    if other is not None:
        reasons.add(pd.Series(other), "its barcode is of another marker than COI")
    strange = table["barcode"].notna() & ~table["barcode"].str.fullmatch(f"[{IUPAC}]+", na=True)
    reasons.add(strange, "its barcode has letters that are no nucleotide codes")
    unknown = table["barcode"].str.fullmatch("N+", na=False)
    reasons.add(unknown, "its barcode has no known base")
    table["barcode"] = table["barcode"].mask(strange | unknown)
    pictured = np.flatnonzero(table["image"].notna())
    broken = pd.Series(missing(len(table)))
    for row in progress_bar(
        pictured,
        desc="checking images",
        total=len(pictured),
        unit=" images",
        disable=len(pictured) <= 2000,
        leave=False,
    ):
        try:
            check_photograph(table["image"].iloc[row])
        except UnreadablePhotograph as error:
            broken[row] = f"{UNREADABLE} ({legible(error.reason)})"
    reasons.add(broken.notna(), broken)
    table["image"] = table["image"].mask(broken.notna())
    nothing = table["barcode"].isna() & table["image"].isna()
    reasons.add(nothing, "it has neither a barcode nor a photograph")
    table["remarks"] = reasons.found
    table["reason"] = reasons.found.where(nothing)
    return table
