"""The cells of a table's file, whatever wrote it: compression, encoding, delimiter and quotes are
told by the content."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hypertax.data.remarks import counted, legible, places
from hypertax.files import shown

TEXT = {".tsv": "\t", ".tab": "\t", ".txt": "\t", ".csv": ","}
PARQUET = (".parquet", ".pq")
PACKED = {".gz": (b"\x1f\x8b", gzip), ".bz2": (b"BZh", bz2), ".xz": (b"\xfd7zXZ\x00", lzma)}
_DELIMITERS = "\t,;|"
_BYTE_ORDER_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32-le",
    b"\x00\x00\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}


@dataclass
class Cells:
    """Cells as text: the whole header; the wanted columns, named by their place in it; the line of
    the file that each row begins in (None of Parquet)."""

    header: list[str]
    columns: pd.DataFrame
    rows: np.ndarray | None


def stem_and_ending(path: Path) -> tuple[str, str]:
    """`("a", ".tsv")` of `a.tsv` and of `a.tsv.gz`; Parquet is not packed again."""
    packed = next((p for p in PACKED if path.name.lower().endswith(p)), "")
    stem, ending = os.path.splitext(path.name[: len(path.name) - len(packed)])
    return stem, ending.lower() + packed if ending.lower() in PARQUET else ending.lower()


def read_cells(path: Path, wanted: Callable[[list[str]], list[int]]) -> Cells:
    """Read a table.

    Args:
        path: a file. wanted: the places in a header of the columns to read.

    Raises:
        ValueError: it cannot be read (one sentence).
    """
    _, ending = stem_and_ending(path)
    if ending not in (*TEXT, *PARQUET):
        raise ValueError(
            f"{named(path)} is not a table that can be read: save it as .tsv, .csv (also .gz) or"
            " .parquet."
        )
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    if ending in PARQUET or is_parquet:
        return _parquet(path, wanted)
    text = read_text(path, "as a table", "save it as a TSV or CSV file in UTF-8")
    return _delimited(text, path, TEXT[ending], wanted)


def named(path: Path) -> str:
    """A file's name for a message."""
    return legible(shown(path), 300)


def read_text(path: Path, kind: str, remedy: str) -> str:
    """The text of a file, unpacked and decoded, without byte order marks.

    Args:
        path: the file. kind: what it should be, for the message ("as a table"). remedy: what to do
            where it is not text.

    Raises:
        ValueError: it is broken or not text (one sentence).
    """
    try:
        data = path.read_bytes()
        ending = path.suffix.lower()
        packed = next((p for p, (mark, _) in PACKED.items() if data.startswith(mark)), None)
        packed = packed or (ending if ending in PACKED else None)
        if packed:
            data = PACKED[packed][1].decompress(data)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(
            f"{named(path)} cannot be read {kind} ({_reason(error)}): check that it is whole."
        ) from None
    encoding = next((e for m, e in _BYTE_ORDER_MARKS.items() if data.startswith(m)), None)
    if encoding is None:
        encoding = _without_mark(data[:4096])
    try:
        return data.decode(encoding).lstrip("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{named(path)} is not UTF-8 text (line {line:,}): {remedy}."
        ) from None


def _without_mark(start: bytes) -> str:
    """UTF-16 has a zero in every second byte of Latin letters."""
    for encoding, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if len(start) > 3 and zeros.count(0) > 0.8 * len(zeros):
            return encoding
    return "utf-8"


def _reason(error: BaseException) -> str:
    return legible(str(error) or type(error).__name__, 160).rstrip(".")


def _delimited(
    text: str, path: Path, usual: str, wanted: Callable[[list[str]], list[int]]
) -> Cells:
    delimiter = _delimiter(text, usual, wanted)
    # In a TSV a quotation mark is a letter, unless the header shows that fields are quoted, or the
    # rows fit it only so.
    quoted = delimiter != "\t" or text.lstrip().startswith('"')
    ways = [csv.QUOTE_MINIMAL, csv.QUOTE_NONE] if quoted else [csv.QUOTE_NONE, csv.QUOTE_MINIMAL]
    problems = []
    for quoting in ways[: 2 if '"' in text else 1]:
        try:
            return _parsed(text, path, delimiter, quoting, wanted)
        except (csv.Error, _Ragged) as error:
            problems.append(error)
    # The way that nearly fits is how the table is written: its few rows are the broken ones.
    ragged = [p for p in problems if isinstance(p, _Ragged)]
    problem = min(ragged, key=lambda p: p.rows) if ragged else problems[0]
    reason = "" if isinstance(problem, _Ragged) else f" ({_reason(problem)})"
    raise ValueError(
        f"{named(path)} cannot be read as a table{reason}: "
        + (str(problem) if not reason else "check its quotation marks and that it is whole.")
    )


def _delimiter(text: str, usual: str, wanted: Callable[[list[str]], list[int]]) -> str:
    """That which finds the most columns in the header."""

    def found(delimiter: str) -> tuple[int, int, bool]:
        try:
            header = next(_records(text[:1_000_000], delimiter, csv.QUOTE_MINIMAL))[1]
        except (csv.Error, StopIteration):
            header = next(_records(text[:1_000_000], delimiter, csv.QUOTE_NONE), (0, []))[1]
        return len(wanted(header)), len(header), delimiter == usual

    return max(_DELIMITERS, key=found)


def _records(text: str, delimiter: str, quoting: int) -> Iterator[tuple[int, list[str]]]:
    """The records that are not empty, each with the line that it begins in."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True
        )
        line = 1
        for record in reader:
            if any(cell and not cell.isspace() for cell in record):
                yield line, record
            line = reader.line_num + 1
    finally:
        csv.field_size_limit(limit)


class _Ragged(Exception):
    """Rows that have not as many fields as the header."""

    def __init__(self, message: str, rows: int) -> None:
        super().__init__(message)
        self.rows = rows


def _parsed(
    text: str, path: Path, delimiter: str, quoting: int, wanted: Callable[[list[str]], list[int]]
) -> Cells:
    records = _records(text, delimiter, quoting)
    header = next(records, (1, []))[1]
    while header and not header[-1].strip():
        header.pop()
    chosen, n = wanted(header), len(header)
    columns: list[list[str]] = [[] for _ in chosen]
    rows: list[int] = []
    wrong: dict[int, int] = {}
    for line, record in records:
        if len(record) != n and (len(record) < n or any(map(str.strip, record[n:]))):
            wrong[line] = len(record)
            continue
        rows.append(line)
        for values, place in zip(columns, chosen, strict=True):
            values.append(record[place])
    if wrong:
        sizes = sorted(set(wrong.values()))
        some = "/".join(map(str, sizes[:4])) + ("/…" if len(sizes) > 4 else "")
        where = places(list(wrong), np.arange(len(wrong)), "row")
        raise _Ragged(
            f"{counted(len(wrong), 'row')} with {some} fields under a header of {n}{where}, to be"
            " filled up or cut.",
            len(wrong),
        )
    frame = pd.DataFrame(
        {place: pd.Series(values, dtype="str") for place, values in zip(chosen, columns)}
    )
    return Cells(header, frame.reindex(range(len(rows))), np.array(rows, dtype=int))


def _parquet(path: Path, wanted: Callable[[list[str]], list[int]]) -> Cells:
    try:
        file = pq.ParquetFile(path)
        header = [str(name) for name in file.schema_arrow.names]
        chosen = wanted(header)
        stored = file.read(columns=list(dict.fromkeys(header[i] for i in chosen)))
        frame = pd.DataFrame(
            {
                i: _text(stored.column(stored.schema.get_all_field_indices(header[i])[0]))
                for i in chosen
            }
        )
        return Cells(header, frame.reindex(range(stored.num_rows)), None)
    except (
        pa.ArrowException,
        OSError,
        ValueError,
        TypeError,
        LookupError,
        OverflowError,
        MemoryError,
    ) as error:
        raise ValueError(
            f"{named(path)} cannot be read as Parquet ({_reason(error)}): write it again."
        ) from None


def _text(column: pa.ChunkedArray) -> pd.Series:
    if pa.types.is_floating(column.type):
        # Whole numbers with a gap are floating-point numbers in pandas.
        numbers = column.to_pandas()
        if (numbers.dropna() % 1 == 0).all():
            return numbers.astype("Int64").astype("str")
    text = column.cast(pa.string())
    # Arrow takes a file's word for it that its texts are UTF-8.
    text.validate(full=True)
    return text.to_pandas().astype("str")
