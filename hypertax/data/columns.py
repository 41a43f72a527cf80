"""Which columns of a table are which of ours, and what stands for a missing value."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container

import numpy as np
import pandas as pd

from hypertax.data.remarks import legible

# Names are compared in lower case without punctuation and prefix ("dwc:scientificName"); the first
# one that has values is taken.
ALIASES = {
    "sampleid": (
        "sampleid",
        "processid",
        "specimenid",
        "occurrenceid",
        "materialsampleid",
        "catalognumber",
        "gbifid",
        "id",
    ),
    "image": (
        "image",
        "imagefile",
        "imagepath",
        "imagefilename",
        "imagename",
        "filename",
        "file",
        "photo",
    ),
    "barcode": (
        "nucraw",
        "barcode",
        "dnabarcode",
        "nucleotides",
        "nuc",
        "dnasequence",
        "sequence",
        "seq",
        "dna",
    ),
    "order": ("order", "ordername"),
    "family": ("family", "familyname"),
    "genus": ("genus", "genusname"),
    "species": ("species", "speciesname"),
    "split": ("split", "clibdsplit"),
    "epithet": ("specificepithet",),
    "generic": ("genericname",),
    "name": ("scientificname",),
    "name_rank": ("taxonrank",),
    "qualifier": ("identificationqualifier",),
    "marker": ("markercode", "targetgene", "marker"),
    "processid": ("processid",),
    "chunk": ("chunknumber",),
    "bin": ("binuri", "bin", "boldbinuri", "uri"),
}
PLACEHOLDERS = (
    "",
    "-",
    "--",
    "---",
    ".",
    "?",
    "nan",
    "na",
    "n/a",
    "n.a.",
    "#n/a",
    "#na",
    "<na>",
    "\\n",
    "nil",
    "none",
    "null",
    "(null)",
    "missing",
    "no data",
    "not_classified",
    "not classified",
    "not applicable",
    "not assigned",
    "not available",
    "not determined",
    "not identified",
    "not provided",
    "unassigned",
    "unclassified",
    "undetermined",
    "unidentified",
    "unknown",
    "indet",
    "indet.",
    "incertae sedis",
)
"""What people write for "missing", in lower case."""

BIN = r"(BOLD:[A-Z]{3}\d{4})"
"""A number of BOLD's index of barcodes."""
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffc]"
)
_IGNORED_SHOWN = 12


def _plain(column: str) -> str:
    name = unicodedata.normalize("NFKC", str(column)).lower()
    name = re.split(r"[/#]", name)[-1] if "://" in name else name.rpartition(":")[2]
    return re.sub(r"[^a-z0-9]", "", name)


_KNOWN = {alias for aliases in ALIASES.values() for alias in aliases}


def wanted(header: list[str], names: Container[str] = _KNOWN) -> list[int]:
    """The places of the columns whose names we know; of two of one name the first."""
    plain: dict[str, int] = {}
    for place, column in enumerate(header):
        if (name := _plain(column)) in names:
            plain.setdefault(name, place)
    return sorted(plain.values())


def choose(header: list[str], columns: pd.DataFrame) -> tuple[dict[str, int], str]:
    """Which column each of ours is, and a line about what is read and what is ignored.

    Args:
        header: all names. columns: the known ones, by their places, with NA for missing.
    """
    by_name = {_plain(header[place]): place for place in columns.columns}
    taken: dict[str, int] = {}
    for ours, aliases in ALIASES.items():
        present = [by_name[alias] for alias in aliases if alias in by_name]
        if ours == "barcode":
            present = [place for place in present if not _numbers_things(columns[place])]
        filled = [place for place in present if columns[place].notna().any()]
        whole = [place for place in filled if columns[place].notna().all()]
        if ours == "sampleid" and whole:
            filled = whole
        if filled or present:
            taken[ours] = (filled or present)[0]
    if "sampleid" not in taken and "barcode" in by_name and by_name["barcode"] not in {
        *taken.values()
    }:
        # A museum's barcodes are the labels on its pins.
        taken["sampleid"] = by_name["barcode"]
    read = dict.fromkeys(legible(header[place], 40) for place in taken.values())
    ignored = [
        legible(column, 40)
        for place, column in enumerate(header)
        if place not in taken.values() and column.strip()
    ]
    line = f"read: {', '.join(read) or 'nothing'}; ignored: "
    line += ", ".join(ignored[:_IGNORED_SHOWN]) or "nothing"
    more = len(ignored) - _IGNORED_SHOWN
    return taken, line + (f" and {more:,} more" if more > 0 else "")


def _numbers_things(column: pd.Series) -> bool:
    """Whether a column holds catalogue numbers: most of its values have a digit."""
    filled = column.dropna()
    return bool(len(filled)) and filled.str.contains(r"\d", regex=True).mean() > 0.5


def clean(column: pd.Series) -> pd.Series:
    """Cells without invisible characters, surrounding quotes and needless white space; NA where
    what is left stands for missing."""
    unique = column.dropna().unique()
    cleaned = {cell: _cell(cell) for cell in unique}
    found = column.map(cleaned).astype("str")
    return found.mask(found.str.len().lt(24) & found.str.lower().isin(PLACEHOLDERS))


def _cell(cell: str) -> str:
    cell = " ".join(_INVISIBLE.sub("", unicodedata.normalize("NFC", cell)).split())
    while len(cell) > 1 and cell[0] == cell[-1] and cell[0] in "\"'":
        cell = cell[1:-1].replace('""', '"').strip()
    return cell


def clean_paths(column: pd.Series) -> pd.Series:
    """Names of files as they are written, but for white space around them."""
    found = column.str.strip().str.strip("\ufeff\x00")
    return found.mask(found.str.lower().isin(PLACEHOLDERS))


def clean_barcodes(barcodes: pd.Series) -> pd.Series:
    """Upper case, without gaps and white space, U as T; NA where nothing is left."""
    barcodes = (
        barcodes.astype("str")
        .str.replace(r"[-\s\x00\ufeff\u200b-\u200f\u00ad\u2060]+", "", regex=True)
        .str.upper()
        .str.replace("U", "T", regex=False)
    )
    return barcodes.mask(barcodes == "")


def genera_like_placeholders(
    genus: pd.Series, raw: pd.Series, *binomials: pd.Series | None
) -> pd.Series:
    """Genera whose names look like "missing" but are none, such as Nan, Na and Null.

    Such a name stays where a species of the table begins with it, or where it is written like a
    genus and is no usual word for missing (Nan, Na, Null; not None or Unknown).

    Args:
        genus: cleaned. raw: as written. binomials: columns of species or scientific names, cleaned.
    """
    words = raw.map({cell: _cell(cell) for cell in raw.dropna().unique()}).astype("str")
    doubtful = genus.isna() & words.str.fullmatch(r"[A-Z][a-z]+", na=False)
    if not doubtful.any():
        return genus
    first = {
        name.split(" ")[0]
        for column in binomials
        if column is not None
        for name in column.dropna().unique()
        if " " in name
    }
    stays = words.isin({"Nan", "Na", "Null"} | first)
    return genus.mask(doubtful & stays, words)


def missing(n: int) -> pd.Series:
    """N missing texts."""
    return pd.Series(np.full(n, None, dtype=object), dtype="str")
