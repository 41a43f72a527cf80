"""Exports of BOLD and GBIF as people have them, with every fault that a table may have and still be
read; and tables of which some rows cannot be read at all.

python -m benchmarks.exports [ROWS] reads both, prints the list of what was done to which rows, and
compares the counts with what was put in.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.data.table import read_queries, read_table

FAMILIES = {
    "Culicidae": ("Diptera", ["Aedes", "Culex", "Anopheles"]),
    "Syrphidae": ("Diptera", ["Eristalis", "Syrphus"]),
    "Noctuidae": ("Lepidoptera", ["Noctua", "Agrotis", "Xestia"]),
    "Carabidae": ("Coleoptera", ["Carabus", "Bembidion"]),
    "Apidae": ("Hymenoptera", ["Bombus", "Andrena"]),
}
EPITHETS = "alba nigra rubra viridis minor major borealis australis vulgaris montana".split()
AUTHORS = ("Linnaeus, 1758", "(Fabricius, 1775)", "Meigen, 1818", "(Walker, 1848)")
# What is done to a row's name, and what it is then: a species, one for which only white space and
# quotation marks were cleaned away, a code of its own, no species, or an empty field.
NAMES = {
    "upper case": (lambda g, e: f"{g} {e}".upper(), "species"),
    "author": (lambda g, e: f"{g} {e} Linnaeus, 1758", "species"),
    "two blanks": (lambda g, e: f"{g}  {e}", "cleaned"),
    "zero-width space": (lambda g, e: f"{g} {e}\u200b", "cleaned"),
    "no-break space": (lambda g, e: f"{g}\u00a0{e}", "cleaned"),
    "underscore": (lambda g, e: f"{g}_{e}", "species"),
    "subgenus": (lambda g, e: f"{g} ({g}) {e}", "species"),
    "subspecies": (lambda g, e: f"{g} {e} {e}", "species"),
    "quotes": (lambda g, e: f"'{g} {e}'", "cleaned"),
    "sp.": (lambda g, e: f"{g} sp.", "none"),
    "sp. 3": (lambda g, e: f"{g} sp. 3", "none"),
    "sp. nov.": (lambda g, e: f"{g} sp. nov.", "none"),
    "cf.": (lambda g, e: f"{g} cf. {e}", "none"),
    "aff.": (lambda g, e: f"{g} aff. {e}", "none"),
    "nr.": (lambda g, e: f"{g} nr. {e}", "none"),
    "formula": (lambda g, e: f"{g} {e}/nigra", "none"),
    "BIN": (lambda g, e: f"{g} sp. BOLD:AAB{sum(map(ord, g + e)) % 9000 + 1000}", "interim"),
    "placeholder": (lambda g, e: "unidentified", "empty"),
}
READS = ("reversed", "long", "short", "all N", "gaps", "lower case")
_SEED = 0


def export(kind: str, rows: int, folder: Path, *, seed: int = _SEED) -> tuple[Path, pd.DataFrame]:
    """Write an export.

    Args:
        kind: "bold" (tab-separated, with a byte order mark) or "gbif" (a .csv with tabs, reads in a
            FASTA file beside it). rows: of the table. folder: where it goes.

    Returns:
        The table's path; and what was put into each row: `sampleid`, `name` (a key of `NAMES`, or
        "usual"), `read` (of `READS`, "usual" or "other marker"), `species` as it should be read,
        and `row`, its line in the file.
    """
    rng = np.random.default_rng([seed, len(kind)])
    truth = _truth(rows, rng)
    table = pd.DataFrame(
        {
            "processid": truth["sampleid"],
            "marker_code": np.where(truth["read"] == "other marker", "28S", "COI-5P"),
            "bin_uri": [f"BOLD:AAA{i % 9000 + 1000}" for i in range(rows)],
            "collection_date": [f"20{i % 25:02d}-0{i % 9 + 1}-1{i % 9}" for i in range(rows)],
            "collectors": [f'J. "Jim" O\'Neil {i}, É. Łuczak' for i in range(rows)],
            "order": truth.pop("order"),
            "family": truth.pop("family"),
            "genus": truth["genus"],
            "species": truth.pop("written"),
            "nuc": truth.pop("nuc"),
        }
    )
    if kind == "bold":
        path = folder / "bold_data.tsv"
        text = table.to_csv(sep="\t", index=False, quoting=3, escapechar="\\", na_rep="None")
        path.write_bytes(b"\xef\xbb\xbf" + text.replace("\\", "").encode())
        return path, truth
    path = folder / "0001234-251128.csv"
    reads = table.pop("nuc")
    names = {"processid": "occurrenceID", "marker_code": "target_gene", "bin_uri": "gbifID"}
    names |= {"collection_date": "eventDate", "collectors": "recordedBy"}
    table = table.rename(columns=names).assign(notes="two\nlines\tand a tab")
    # GBIF's own form quotes such cells; the species stands in its columns as GBIF derives it.
    table.to_csv(path, sep="\t", index=False, lineterminator="\r\n")
    fasta = "".join(
        f">{name}|{marker}|{genus}\r\n{read}\r\n"
        for name, marker, genus, read in zip(
            table["occurrenceID"], table["target_gene"], table["genus"], reads, strict=True
        )
    )
    path.with_suffix(".fasta").write_bytes(fasta.encode())
    truth["row"] = 2 + 2 * np.arange(rows)
    return path, truth


def _truth(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    genera = [(o, f, g) for f, (o, several) in FAMILIES.items() for g in several]
    forms = {
        (g, e): rng.integers(0, 4, 658)
        for _, _, g in genera
        for e in rng.choice(EPITHETS, 8, False)
    }
    shared = rng.integers(0, 4, 658)
    for form in forms.values():
        # As barcodes do, they agree at most places.
        same = rng.random(658) < 0.8
        form[same] = shared[same]
    kinds = list(forms)
    higher = {g: (o, f) for o, f, g in genera}
    found = []
    for i in range(rows):
        genus, epithet = kinds[rng.integers(len(kinds))]
        name = str(rng.choice(list(NAMES))) if rng.random() < 0.3 else "usual"
        read = str(rng.choice([*READS, "other marker"])) if rng.random() < 0.15 else "usual"
        written, species = f"{genus} {epithet}", f"{genus} {epithet}"
        if name != "usual":
            written, becomes = NAMES[name][0](genus, epithet), NAMES[name][1]
            species = species if becomes in ("species", "cleaned") else None
            species = written if becomes == "interim" else species
        order, family = higher[genus]
        nuc = _read("".join("ACGT"[base] for base in forms[genus, epithet]), read, rng)
        found.append(
            [f"P{i:05d}", genus, name, read, species, i + 2, order, family, written, nuc]
        )
    columns = "sampleid genus name read species row order family written nuc"
    return pd.DataFrame(found, columns=columns.split())


def _read(bases: str, how: str, rng: np.random.Generator) -> str:
    places = rng.integers(0, len(bases), 4)
    bases = "".join("A" if i in places else base for i, base in enumerate(bases))
    if how == "reversed":
        return bases[::-1].translate(str.maketrans("ACGT", "TGCA"))
    if how == "long":
        return bases + "".join("ACGT"[base] for base in rng.integers(0, 4, 400))
    if how == "short":
        return bases[:60]
    if how == "all N":
        return "N" * 658
    if how == "gaps":
        return "---" + bases[:300] + "--" + bases[302:]
    return bases.lower() if how == "lower case" else bases


def broken(kind: str, rows: int, folder: Path, *, seed: int = _SEED) -> list[str]:
    """What is not as it should be where fields of an export's rows were lost or doubled: the
    refusal is one sentence that names these rows."""
    path, truth = export(kind, rows, folder, seed=seed)
    data = path.read_bytes().decode("utf-8-sig")
    end = "\r\n" if "\r\n" in data else "\n"
    lines = data.split(end)
    chosen = np.random.default_rng(seed).choice(np.arange(1, rows + 1), 5, replace=False)
    for at, row in enumerate(sorted(chosen)):
        fields = lines[row].split("\t")
        lines[row] = "\t".join(fields[2:] if at % 2 else [*fields[:3], *fields[:3], *fields[3:]])
    path.write_bytes(end.join(lines).encode())
    names = ", ".join(str(truth["row"][row - 1]) for row in sorted(chosen))
    try:
        read_table(path)
    except ValueError as error:
        named = f"(rows {names})" in str(error) and "\n" not in str(error)
        return [] if named else [f"broken rows {names}: {error}"]
    return [f"broken rows {names} were read"]


def told(printed: str) -> Counter:
    """How many rows each line of the printed list counts, by its kind."""
    kinds = {
        "of a species written otherwise": "otherwise",
        "of no one species": "no species",
        "with a code": "code",
        "of another marker": "other marker",
        "without a known base": "all N",
        "of less than": "short",
        "of more than": "long",
        "of the other strand": "reversed",
    }
    found: Counter = Counter()
    for line in printed.splitlines():
        for words, kind in kinds.items():
            if count := re.search(rf": ([\d,]+) \w+ {words}", line):
                found[kind] += int(count[1].replace(",", ""))
    return found


def put_in(truth: pd.DataFrame) -> Counter:
    """How many rows each line should count: rows of another marker are gone before the names."""
    ours = truth[truth["read"] != "other marker"]
    becomes = ours["name"].map({name: what for name, (_, what) in NAMES.items()})
    wanted = {"otherwise": "species", "no species": "none"}
    found = {kind: int((becomes == what).sum()) for kind, what in wanted.items()}
    found["other marker"] = int((truth["read"] == "other marker").sum())
    for how in ("all N", "short", "long", "reversed"):
        found[how] = int((ours["read"] == how).sum())
    return Counter({kind: count for kind, count in found.items() if count})


def check(kind: str, rows: int, folder: Path, *, seed: int = _SEED) -> tuple[str, list[str]]:
    """Read an export in both ways.

    Returns:
        The printed list of what was done to which rows, and what is not as it should be.
    """
    path, truth = export(kind, rows, folder, seed=seed)
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed):
        table = read_table(path)
    wrong = []
    for name, (found, expected) in {
        "counts": (told(printed.getvalue()), put_in(truth)),
        "rows": (len(table), int((truth["read"] != "other marker").sum())),
    }.items():
        if found != expected:
            wrong.append(f"{name}: {found}, but {expected} were put in")
    both = table.merge(truth, on="sampleid", suffixes=("", " put in"))
    for column in ("genus", "species"):
        differ = both[column].fillna("") != both[f"{column} put in"].fillna("")
        wrong += [
            f"{column} of row {row['row']}: {row[column]!r}, not {row[f'{column} put in']!r}"
            for _, row in both[differ].head(3).iterrows()
        ]
    with contextlib.redirect_stderr(io.StringIO()):
        queries = read_queries(path)
    unusable = truth["read"].isin(["other marker", "all N"])
    if queries["sampleid"].tolist() != truth["sampleid"].tolist():
        wrong.append("queries: not every row is kept")
    elif queries["reason"].notna().tolist() != unusable.tolist():
        found = queries["reason"].notna().sum()
        wrong.append(f"queries: {found} without use, not {unusable.sum()}")
    return printed.getvalue(), wrong


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    with tempfile.TemporaryDirectory() as holder:
        for which in ("bold", "gbif"):
            said, faults = check(which, number, Path(holder))
            faults += broken(which, number, Path(holder))
            print(said)
            print("\n".join(faults) or f"{which}: every count is what was put in", end="\n\n")
