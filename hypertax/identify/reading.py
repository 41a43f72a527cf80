"""Queries and libraries from files: tables, FASTA, folders of photographs, or several of them."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from hypertax.data.check import IUPAC
from hypertax.data.table import ALIASES, PLACEHOLDERS, clean_barcodes
from hypertax.files import resolve, shown
from hypertax.taxonomy import RANKS

FASTA = (".fasta", ".fa", ".fas", ".fna", ".ffn")
TABLES = {".tsv": "\t", ".txt": "\t", ".csv": ","}
PHOTOGRAPHS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")
COLUMNS = ("sampleid", "image", "barcode", *RANKS, "bin_uri", "remarks")
_SINTAX = {"o": "order", "f": "family", "g": "genus", "s": "species"}
_BINOMIAL = re.compile(r"[A-Z][a-z-]+ (?!sp\b|cf\b|aff\b|nr\b)[a-z][a-z-]+")


def read_specimens(paths: str | os.PathLike | Iterable[str | os.PathLike]) -> pd.DataFrame:
    """Specimens of one or several files, in their order; none is left out.

    Args:
        paths: tables (.tsv, .csv, .txt, also .gz, .parquet), FASTA files (also .gz) and folders of
            photographs.

    Returns:
        Columns `sampleid`, `image`, `barcode`, the four ranks, `bin_uri`, and `remarks`, why a
        record cannot be used; NA where there is nothing. A photograph and a barcode that two files
        give of one `sampleid` are one specimen.

    Raises:
        ValueError: a file is missing or is none of these (one sentence).
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    parts = [_read(resolve(path)) for path in given]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))
    if len(parts) > 1:
        table = _joined(table)
    if table.empty:
        raise ValueError(f"{shown(resolve(given[0]))} holds no specimens: give another file.")
    return table


def _read(path: Path) -> pd.DataFrame:
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise ValueError(f"{shown(path)} was not found: give a table, a FASTA file or a folder.")
    name = path.name.lower().removesuffix(".gz")
    ending = os.path.splitext(name)[1]
    if ending in FASTA:
        return _fasta(path)
    if ending in TABLES or ending == ".parquet":
        return _table(path, ending)
    if ending in PHOTOGRAPHS:
        return _frame([{"sampleid": path.stem, "image": str(path)}])
    raise ValueError(
        f"{shown(path)} is neither a table (.tsv, .csv, .parquet), nor FASTA (.fasta, .fa), nor a"
        " folder of photographs."
    )


def _frame(rows: list[dict]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype("object")
    return table.where(table.notna(), None)


def _folder(path: Path) -> pd.DataFrame:
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in PHOTOGRAPHS)
    if not files:
        raise ValueError(f"{shown(path)} holds no photographs ({', '.join(PHOTOGRAPHS)}).")
    return _frame([{"sampleid": p.stem, "image": str(p)} for p in files])


def _fasta(path: Path) -> pd.DataFrame:
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        # Line ends of any system: universal newlines.
        with opener(path, "rt", encoding="utf-8-sig", errors="replace") as file:
            text = file.read()
    except (OSError, EOFError) as error:
        raise ValueError(
            f"{shown(path)} cannot be read as FASTA ({error}): write it again."
        ) from None
    before, *records = re.split(r"(?m)^>", text)
    rows = []
    if before.strip():
        if not records:
            raise ValueError(f"{shown(path)} is not FASTA: its first line must begin with '>'.")
        rows.append({"sampleid": "", "remarks": "text before the first header of the FASTA file"})
    for record in records:
        head, _, sequence = record.partition("\n")
        rows.append({**header(head.strip()), "barcode": re.sub(r"\s+", "", sequence)})
    return _checked(_frame(rows))


def header(text: str) -> dict[str, str | None]:
    """Identifier, lineage and BIN of a FASTA header: `id;tax=o:Diptera,f:...;`, `id|name|...` as BOLD writes it, or
    the identifier alone."""
    found: dict[str, str | None] = {"sampleid": re.split(r"[|;\s]", text, maxsplit=1)[0]}
    if taxa := re.search(r";\s*tax=([^;]*)", text):
        for part in taxa[1].split(","):
            key, _, name = part.strip().partition(":")
            if key in _SINTAX and name.strip():
                found[_SINTAX[key]] = name.strip().replace("_", " ")
    else:
        for part in text.split("|")[1:]:
            _from_field(part.strip(), found)
    if found_bin := re.search(r"BOLD:[A-Z]{3}\d{4}", text):
        found["bin_uri"] = found_bin[0]
    return found


def _from_field(part: str, found: dict[str, str | None]) -> None:
    """One field of a header with `|`: prefixed ranks (`f__Muscidae`), a lineage by commas, or a binomial."""
    names = re.findall(r"\b([ofgs])__([^;,|]+)", part)
    if names:
        for key, name in names:
            found[_SINTAX[key]] = name.strip().replace("_", " ")
    elif part.count(",") >= 3:
        names = [name.strip() for name in part.split(",")]
        by_ending = {"order": r"(?:ptera|odea|odonata)$", "family": r"idae$"}
        for rank, ending in by_ending.items():
            match = next((name for name in names if re.search(ending, name, re.I)), None)
            found.setdefault(rank, match)
        binomial = next((name for name in names if _BINOMIAL.fullmatch(name)), None)
        if binomial:
            found |= {"genus": binomial.split()[0], "species": binomial}
    elif _BINOMIAL.fullmatch(part.replace("_", " ")):
        name = part.replace("_", " ")
        found |= {"genus": name.split()[0], "species": name}


def _table(path: Path, ending: str) -> pd.DataFrame:
    try:
        if ending == ".parquet":
            raw = pd.read_parquet(path).astype("str")
        else:
            raw = pd.read_csv(
                path, sep=TABLES[ending], dtype="str", keep_default_na=False, encoding="utf-8-sig"
            )
    except (ValueError, OSError, EOFError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise ValueError(f"{shown(path)} cannot be read as a table ({reason}).") from None
    plain: dict[str, str] = {}
    for column in raw.columns:
        plain.setdefault(re.sub(r"[^a-z0-9]", "", str(column).rpartition(":")[2].lower()), column)
    table = _frame([{}] * len(raw))
    aliases = {**ALIASES, "bin_uri": ("binuri", "bin", "boldbinuri")}
    for ours in (*COLUMNS[:3], *RANKS, "bin_uri"):
        theirs = next((plain[alias] for alias in aliases[ours] if alias in plain), None)
        if theirs is not None:
            values = raw[theirs].str.strip()
            values = values.mask(values.str.lower().isin(PLACEHOLDERS))
            table[ours] = values.astype("object").where(values.notna(), None)
    if table["sampleid"].isna().all():
        table["sampleid"] = [f"row {i + 2}" for i in range(len(table))]
    table["sampleid"] = table["sampleid"].fillna("")
    table["image"] = [_image(name, path.parent) for name in table["image"]]
    return _checked(table)


def _image(name: str | None, folder: Path) -> str | None:
    if pd.isna(name):
        return None
    places = [folder / name, folder / "images" / name]
    return str(next((place for place in places if place.is_file()), places[0]))


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    """Barcodes in upper case; those with strange letters are taken away, with a remark."""
    table = table.copy()
    reads = clean_barcodes(table["barcode"].fillna("")).astype("object")
    reads = reads.where(reads.notna(), None)
    strange = [read is not None and bool(set(read) - set(IUPAC)) for read in reads]
    table["barcode"] = [None if bad else read for read, bad in zip(reads, strange, strict=True)]
    for i, bad in enumerate(strange):
        if bad:
            letters = "".join(sorted(set(reads.iloc[i]) - set(IUPAC)))[:5]
            table.loc[i, "remarks"] = f"the barcode has letters that are no bases: {letters}"
    nothing = table["barcode"].isna() & table["image"].isna() & table["remarks"].isna()
    table.loc[nothing, "remarks"] = "the record has neither a barcode nor a photograph"
    return table


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
