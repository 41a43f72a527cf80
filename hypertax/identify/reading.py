"""Queries and libraries from files: tables, FASTA, folders of photographs, or several of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from hypertax.data import read_queries
from hypertax.files import resolve, shown
from hypertax.taxonomy import RANKS

PHOTOGRAPHS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")
COLUMNS = ("sampleid", "image", "barcode", *RANKS, "bin_uri", "remarks")


def read_specimens(paths: str | os.PathLike | Iterable[str | os.PathLike]) -> pd.DataFrame:
    """Specimens of one or several files, in their order; none is left out.

    Args:
        paths: tables and FASTA files as `hypertax.data.read_queries` reads them, photographs, and
            folders of photographs.

    Returns:
        Columns `sampleid`, `image`, `barcode`, the four ranks, `bin_uri`, and `remarks`, what of a
        record cannot be used; None where there is nothing. A photograph and a barcode that two
        files give of one `sampleid` are one specimen.

    Raises:
        ValueError: a file is missing or is none of these (one sentence).
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    parts = [_read(resolve(path)) for path in given]
    table = pd.concat(parts, ignore_index=True) if parts else _frame([])
    if len(parts) > 1:
        table = _joined(table)
    if table.empty:
        raise ValueError(f"{shown(resolve(given[0]))} holds no specimens: give another file.")
    return table


def _read(path: Path) -> pd.DataFrame:
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in PHOTOGRAPHS)
        if not files:
            raise ValueError(f"{shown(path)} holds no photographs ({', '.join(PHOTOGRAPHS)}).")
        return _frame([{"sampleid": p.stem, "image": str(p)} for p in files])
    if path.suffix.lower() in PHOTOGRAPHS and path.is_file():
        return _frame([{"sampleid": path.stem, "image": str(path)}])
    return _frame(read_queries(path)[list(COLUMNS)])


def _frame(rows: list[dict] | pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype("object")
    return table.where(table.notna(), None)


def _joined(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of one sampleid that give a barcode in one and a photograph in the other become one row."""
    rows, place = [], {}
    for row in table.to_dict("records"):
        name = row["sampleid"]
        first = rows[place[name]] if name in place and name else None
        both = first is not None and all(
            pd.isna(first[column]) or pd.isna(row[column]) for column in ("image", "barcode")
        )
        if both:
            for column, value in row.items():
                first[column] = value if pd.isna(first[column]) else first[column]
            if pd.notna(first["image"]) and pd.notna(first["barcode"]):
                first["remarks"] = None
        else:
            place.setdefault(name, len(rows))
            rows.append(row)
    return _frame(rows)
