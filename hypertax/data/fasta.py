"""FASTA files, with the headers of the common reference libraries."""

from __future__ import annotations

import os
import re
from collections.abc import Container
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.data.cells import PACKED, named, read_text
from hypertax.data.columns import clean_barcodes
from hypertax.data.remarks import Remarks, legible
from hypertax.files import resolve
from hypertax.taxonomy import RANKS

FASTA = (".fasta", ".fa", ".fas", ".fna", ".ffn", ".fsa")
_PREFIXES = {"o": "order", "f": "family", "g": "genus", "s": "species"}
_BINOMIAL = re.compile(r"[A-Z][a-z-]+ (?!(?:sp|cf|aff|nr)\b)[a-z][a-z-]+")


def read_fasta(path: str | os.PathLike) -> pd.DataFrame:
    """The records of a FASTA file (also .gz, .bz2, .xz), in their order; none is left out.

    Returns:
        Columns `id` (see `identifiers`), `header` (without ">"), `sequence` (as written, without
        white space), `order`, `family`, `genus`, `species` (where the header tells them, otherwise
        NA). All are text.

    Raises:
        ValueError: the file is missing or not FASTA (one sentence).
    """
    path = resolve(path)
    if not path.is_file():
        raise ValueError(f"{named(path)} was not found: name a FASTA file.")
    text = read_text(path, "as FASTA", "write it again as text")
    before, *records = re.split(r"(?m)^>", text.replace("\r\n", "\n").replace("\r", "\n"))
    if before.strip() or not records:
        raise ValueError(f"{named(path)} is not FASTA: its first line must begin with '>'.")
    heads, _, sequences = zip(*(record.partition("\n") for record in records), strict=True)
    headers = [head.strip() for head in heads]
    # What stands before a space is no identifier where it is that of several records.
    ids = pd.Series([identifiers(header)[-1] for header in headers], dtype="str")
    longer = pd.Series([identifiers(header)[0] for header in headers], dtype="str")
    text_of = pd.Series(sequences, dtype="str").str.replace(r"\s+", "", regex=True)
    several = text_of.groupby(ids).transform("nunique") > 1
    table = pd.DataFrame(
        {"id": ids.mask(several, longer), "header": pd.Series(headers, dtype="str")}
    ).assign(sequence=text_of)
    lineages = pd.DataFrame([lineage(header) for header in headers], columns=list(RANKS))
    return pd.concat([table, lineages], axis=1).astype("str")


def identifiers(header: str) -> list[str]:
    """What may be the identifier of a record, the longest first: what stands before the first of
    tab, "|", ";" and "###"; before a space; of the NCBI's `gb|AB123|` the part behind."""
    if ncbi := re.match(r"(?:gi\|\d+\|)?(?:gb|emb|dbj|ref|lcl|gnl)\|([^|\s]+)", header):
        return [ncbi[1]]
    whole = re.split(r"[|;\t]|###", header, maxsplit=1)[0].strip()
    # MIDORI writes the region behind the accession.
    first = re.sub(r"\.(?:<?\d+>?|[<>]\d+)\.(?:<?\d+>?|[<>]?\d+[<>]?)$", "", whole.split(" ")[0])
    return list(dict.fromkeys([whole, whole.split(" ")[0], first]))


def lineage(header: str) -> dict[str, str | None]:
    """Order to species as a header tells them: `;tax=o:..,f:..` (SINTAX, UTAX), `o__..;f__..`,
    `root;..;..` and `A,B,C` down to the species (MIDORI, CRABS, RDP, BOLD), or a binomial."""
    found: dict[str, str | None] = dict.fromkeys(RANKS)
    prefixed = re.findall(r"(?:^|[;,|=\s])([ofgs])(?::|__)([^;,|]+)", header)
    if prefixed:
        found |= {_PREFIXES[rank]: _taxon(name) for rank, name in prefixed}
    else:
        for part in re.split(r"\||\t|###", header)[1:] or [header]:
            names = [_taxon(name) for name in re.split("[;,]", part)]
            if len(names) >= 5:
                found |= _of_a_list(names)
                break
        else:
            names = [*header.split("|")[1:], *header.split(maxsplit=1)[1:]]
            told = (_BINOMIAL.match(name.strip().replace("_", " ")) for name in names)
            found["species"] = next((name[0] for name in told if name), None)
    species = found["species"]
    if species and found["genus"] is None and " " in species:
        found["genus"] = species.split(" ")[0]
    elif species and found["genus"] and " " not in species and species.islower():
        found["species"] = f"{found['genus']} {species}"
    return found


def _of_a_list(names: list[str | None]) -> dict[str, str | None]:
    """A lineage down to the species, with or without the ranks between order and genus."""
    if names[-1] is None or " " not in names[-1]:
        names = [*names, None]
    family = next((i for i, name in enumerate(names) if name and name.endswith("idae")), None)
    above = [*names[: len(names) - 3 if family is None else family]]
    return {
        "order": above[-1] if above else None,
        "family": names[family] if family is not None else names[-3],
        "genus": names[-2],
        "species": names[-1],
    }


def _taxon(name: str) -> str | None:
    """A name without the number of the NCBI's taxonomy behind it."""
    name = " ".join(re.sub(r"_\d+$", "", name.strip()).replace("_", " ").split())
    return None if name.lower() in ("", "na", "nan", "none", "unknown", "unclassified") else name


def beside(table: Path, stem: str) -> Path | None:
    """The FASTA file of a table's name in its folder, or None."""
    endings = [ending + packed for ending in FASTA for packed in ("", *PACKED)]
    names = [stem + form for ending in endings for form in (ending, ending.upper())]
    return next((p for name in names if (p := table.parent / name).is_file()), None)


def barcodes_of(
    path: Path, ids: pd.DataFrame, has_barcode: np.ndarray, remarks: Remarks
) -> pd.Series:
    """The cleaned record of each specimen of a table; NA without one.

    Args:
        path: the FASTA file. ids: columns of identifiers, N rows; the first that a record has
            counts. has_barcode: (N,) specimens that need none. remarks: records without a specimen
            and specimens without a record are told here.

    Raises:
        ValueError: no record is a specimen's, or two records of one differ (one sentence).
    """
    table = read_fasta(path)
    known = {value for column in ids for value in ids[column].dropna()}
    keys = pd.Series([_matching(header, known) for header in table["header"]], dtype="str")
    records = pd.DataFrame({"key": keys, "read": clean_barcodes(table["sequence"])})
    records = records[records["key"].notna()].drop_duplicates()
    if records["key"].duplicated().any():
        twice = legible(records["key"][records["key"].duplicated()].iloc[0])
        raise ValueError(f"{named(path)} has two different records of {twice!r}: keep one.")
    reads = records.set_index("key")["read"]
    found = pd.Series(np.full(len(ids), None, dtype=object), dtype="str")
    matched = np.zeros(len(ids), bool)
    for column in ids:
        found = found.fillna(ids[column].map(reads))
        matched |= ids[column].isin(reads.index).to_numpy()
    if not matched.any() and not has_barcode.any():
        raise ValueError(
            f"No record of {named(path)} has the sampleid or processid of a specimen: begin each"
            " header with one of them."
        )
    lost = table["id"][keys.isna()]
    if len(lost):
        some = ", ".join(legible(name, 40) for name in lost[:5]) + (", …" if len(lost) > 5 else "")
        verb = "belongs" if len(lost) == 1 else "belong"
        remarks.add(
            f"{len(lost):,} of {len(table):,} records of {legible(path.name)} {verb} to no specimen"
            f" ({some})"
        )
    if (without := np.flatnonzero(~matched & ~has_barcode)).size:
        remarks.add(
            f"{without.size:,} of {len(ids):,} specimens have no record in {legible(path.name)}",
            without,
        )
    return found.astype("str")


def _matching(header: str, known: Container[str]) -> str | None:
    candidates = [header, *identifiers(header), *header.split("|")]
    return next((name for name in map(str.strip, candidates) if name in known), None)
