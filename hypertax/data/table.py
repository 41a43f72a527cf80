"""Specimens from a table of one's own: TSV, CSV or Parquet, with the column names that BIOSCAN,
BOLD and Darwin Core use."""

from __future__ import annotations

import csv
import gzip
import os
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hypertax.data.check import check_specimens
from hypertax.data.split import clibd_split
from hypertax.files import resolve, shown
from hypertax.taxonomy import RANKS

COLUMNS = ("sampleid", "image", "barcode", *RANKS, "split")
"""Columns of a specimen table."""

# Names are compared in lower case without punctuation and prefix ("dwc:scientificName"); the first
# one present is taken.
ALIASES = {
    "sampleid": (
        "sampleid",
        "processid",
        "specimenid",
        "occurrenceid",
        "materialsampleid",
        "catalognumber",
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
    "name": ("scientificname",),
    "name_rank": ("taxonrank",),
    "processid": ("processid",),
    "chunk": ("chunknumber",),
}
PLACEHOLDERS = (
    "",
    "-",
    "?",
    "nan",
    "na",
    "n/a",
    "<na>",
    "none",
    "null",
    "not_classified",
    "not classified",
    "unclassified",
    "unknown",
)
"""What people write for "missing", in lower case."""

_TEXT = {".tsv": "\t", ".txt": "\t", ".csv": ","}
_FASTA = (".fasta", ".fa", ".fas", ".fna")
# "Aedes (Stegomyia) aegypti (Linnaeus, 1762)" is a binomial, "Aedes sp. 1" and "Aedes cf. aegypti"
# are not.
_BINOMIAL = re.compile(
    r"([A-Z][a-zà-ÿ-]+)(?: \([A-Z][a-z-]+\))?"
    r" ((?!(?:sp|spp|cf|aff|nr|near|gr|indet)\b)[a-z][a-zà-ÿ-]+)(?= |$)"
)


def read_table(
    path: str | os.PathLike, *, seed: int = 0, labels_needed: bool = False
) -> pd.DataFrame:
    """Specimens of a table: .tsv, .txt (tabs) or .csv, also with .gz, or .parquet.

    Columns are found by their usual names whatever their case (see `ALIASES`). All but an
    identifier are optional. Images are paths relative to the table's folder or to a folder `images`
    beside it. Barcodes may also stand in a FASTA file of the same name beside the table, whose
    records begin with the `sampleid` or `processid`.

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
    path = resolve(path)
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "was not found"
        raise ValueError(f"{shown(path)} {found}: name the file of a table of specimens.")
    stem, ending = _stem_and_ending(path)
    if ending not in (*_TEXT, ".parquet"):
        raise ValueError(
            f"{shown(path)} is not a table that can be read: save it as .tsv, .csv (also .gz) or"
            " .parquet."
        )
    raw, rows = _read_parquet(path) if ending == ".parquet" else _read_text(path, _TEXT[ending])
    for column in raw.columns:
        raw[column] = _cleaned(raw[column])
    specimens = pd.DataFrame({column: raw.get(column, _missing(len(raw))) for column in COLUMNS})
    specimens["barcode"] = clean_barcodes(specimens["barcode"])
    specimens["species"] = _species(raw)
    specimens["image"] = _image_paths(specimens["image"], raw.get("chunk"), path.parent)
    if fasta := _fasta_beside(path.parent, stem):
        found = clean_barcodes(_from_fasta(fasta, raw, specimens["barcode"].notna().any()))
        specimens["barcode"] = specimens["barcode"].where(specimens["barcode"].notna(), found)
    if specimens["split"].isna().all():
        specimens["split"] = clibd_split(specimens, seed)
    check_specimens(specimens, source=shown(path), rows=rows, labels_needed=labels_needed)
    return specimens


def clean_barcodes(barcodes: pd.Series) -> pd.Series:
    """Upper case, without gaps and white space, U as T; NA where nothing is left."""
    barcodes = (
        barcodes.astype("str")
        .str.replace(r"[-\s]+", "", regex=True)
        .str.upper()
        .str.replace("U", "T", regex=False)
    )
    return barcodes.mask(barcodes == "")


def table_stem(path: str | os.PathLike) -> str:
    """The name of a table's file without its endings, `insect1k` for `data/insect1k.tsv.gz`."""
    return _stem_and_ending(Path(path))[0]


def _stem_and_ending(path: Path) -> tuple[str, str]:
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    stem, ending = os.path.splitext(name)
    gzipped_parquet = name != path.name and ending.lower() == ".parquet"
    return stem, ".parquet.gz" if gzipped_parquet else ending.lower()


def _missing(n: int) -> pd.Series:
    return pd.Series([None] * n, dtype="str")


def _columns(header: list[str], path: Path) -> dict[str, str]:
    """Which column of the file each of ours is."""
    plain = {}
    for column in header:
        plain.setdefault(re.sub(r"[^a-z0-9]", "", str(column).rpartition(":")[2].lower()), column)
    present = {
        ours: [plain[alias] for alias in aliases if alias in plain]
        for ours, aliases in ALIASES.items()
    }
    columns = {ours: theirs[0] for ours, theirs in present.items() if theirs}
    if "sampleid" not in columns:
        accepted = ", ".join(ALIASES["sampleid"])
        raise ValueError(
            f"{shown(path)} has no column with the specimens' identifiers: name one of its"
            f" columns {accepted}."
        )
    return columns


def _open(path: Path):
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    return opener(path, "rt", encoding="utf-8-sig", newline="")


def _read_text(path: Path, separator: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Our columns of a delimited file, as text, and the line of each row."""
    try:
        with _open(path) as file:
            first = file.readline()
        if separator == "," and ";" in first and "," not in first:
            separator = ";"
        columns = _columns(next(csv.reader([first], delimiter=separator), []), path)
        # In a TSV a quotation mark is a letter, unless the header shows that fields are quoted.
        quoted = separator != "\t" or first.startswith('"')
        options = {
            "sep": separator,
            "quoting": csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
            "encoding": "utf-8-sig",
        }
        with warnings.catch_warnings():
            # Rows longer than the header: their fields would be shifted, or cut.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # All columns are read, since `usecols` would let rows of any length pass.
            table = pd.read_csv(
                path,
                dtype="str",
                keep_default_na=False,
                skip_blank_lines=False,
                index_col=False,
                **options,
            )
    except UnicodeDecodeError:
        raise ValueError(
            f"{shown(path)} is not UTF-8 text: save it as a TSV or CSV file in UTF-8."
        ) from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error, OSError, EOFError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ValueError(
            f"{shown(path)} cannot be read as a table ({reason}): check that it is whole and its"
            " columns agree."
        ) from None
    table = pd.DataFrame({ours: table[theirs] for ours, theirs in columns.items()})
    filled = ~table.isin(["", None]).all(axis=1)
    return table[filled].reset_index(drop=True), np.flatnonzero(filled) + 2


def _read_parquet(path: Path) -> tuple[pd.DataFrame, None]:
    try:
        columns = _columns(pq.read_schema(path).names, path)
        stored = pq.read_table(path, columns=list(dict.fromkeys(columns.values())))
        return pd.DataFrame(
            {ours: _text(stored.column(theirs)) for ours, theirs in columns.items()}
        ), None
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ValueError(
            f"{shown(path)} cannot be read as Parquet ({reason}): write it again."
        ) from None


def _text(column: pa.ChunkedArray) -> pd.Series:
    return column.cast(pa.string()).to_pandas().astype("str")


def _cleaned(column: pd.Series) -> pd.Series:
    column = column.str.replace(r"\s+", " ", regex=True).str.strip()
    return column.mask(column.str.lower().isin(PLACEHOLDERS))


def _species(raw: pd.DataFrame) -> pd.Series:
    """Species names: as given; of genus and epithet where only the epithet is given; of a
    scientific name that is a species'."""
    species, genus = (raw.get(column, _missing(len(raw))) for column in ("species", "genus"))
    epithet = species.where(species.str.fullmatch(r"[a-z][a-zà-ÿ-]+", na=False))
    epithet = epithet.fillna(raw["epithet"]) if "epithet" in raw else epithet
    species = species.mask(species.isna() | epithet.notna(), genus + " " + epithet)
    if "name" in raw:
        parts = raw["name"].str.extract(f"^{_BINOMIAL.pattern}")
        rank = raw.get("name_rank", _missing(len(raw))).str.lower()
        species = species.fillna(
            (parts[0] + " " + parts[1]).where(rank.isna() | (rank == "species"))
        )
    # "Aedes sp." stands for any number of species.
    return species.mask(species.str.fullmatch(r"(?:\S+ )?(?:sp|spp|indet)\.?", na=False))


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
        found.update(candidates[[os.path.exists(path) for path in candidates]])
    return found.fillna(places[0] + names).astype("str")


def _fasta_beside(folder: Path, stem: str) -> Path | None:
    candidates = [folder / f"{stem}{ending}{packed}" for ending in _FASTA for packed in ("", ".gz")]
    return next((path for path in candidates if path.is_file()), None)


def _from_fasta(path: Path, raw: pd.DataFrame, optional: bool) -> pd.Series:
    """The record of each specimen, by its sampleid or its processid; NA without one."""
    records = read_fasta(path)
    found = raw["sampleid"].map(records)
    if "processid" in raw:
        found = found.fillna(raw["processid"].map(records))
    if found.isna().all() and not optional:
        raise ValueError(
            f"No record of {shown(path)} has the sampleid or processid of a specimen: begin each"
            " header with one of them."
        )
    return found.astype("str")


def read_fasta(path: str | os.PathLike) -> pd.Series:
    """Sequences of a FASTA file (also .gz) by identifier: what stands after ">", up to a space or
    "|".

    Raises:
        ValueError: one sentence; the file is not FASTA, or two records of one identifier differ.
    """
    path = Path(path)
    try:
        with _open(path) as file:
            text = file.read()
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise ValueError(
            f"{shown(path)} cannot be read as FASTA ({error}): write it again."
        ) from None
    before, *records = re.split(r"(?m)^>", text)
    if before.strip() or not records:
        raise ValueError(f"{shown(path)} is not FASTA: its first line must begin with '>'.")
    heads, _, sequences = zip(*(record.partition("\n") for record in records), strict=True)
    names = [re.split(r"[|\s]", head.strip(), maxsplit=1)[0] for head in heads]
    series = pd.Series(sequences, index=names, dtype="str").str.replace(r"\s+", "", regex=True)
    series = series[
        ~(
            pd.DataFrame({"name": series.index, "sequence": series.to_numpy()})
            .duplicated()
            .to_numpy()
        )
    ]
    if series.index.has_duplicates:
        twice = series.index[series.index.duplicated()][0]
        raise ValueError(f"{shown(path)} has two different records of {twice!r}: keep one.")
    return series
