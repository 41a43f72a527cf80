"""Many barcodes against a large library: seconds, memory and specimens a second a core, VSEARCH beside it.

References and queries are real barcodes with bases changed, a tenth of the queries turned and a tenth
cut. The library is prepared first; then the same number of queries is asked of it as it was kept.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.identify import asking
from hypertax.data import TRAINING_SPLITS, load_specimens
from hypertax.data.barcodes.strand import reverse_complement
from hypertax.files import ROOT, resolve
from hypertax.tables.table import frame_table, write_table

CHANGED = 0.004
"""The share of bases that are another one."""
SHORT = 300
NOTE = (
    "One process on one core, alignment and strand included; nothing was kept of the queries."
    " Seconds of the processor do not count what else the machine does; the others do."
)


def made(table: pd.DataFrame, count: int, seed: int, harder: bool = False) -> pd.DataFrame:
    """`count` specimens made of those of a table, with 0.4 % of their bases changed.

    Args:
        table: with barcodes. seed: of what is drawn. harder: turn a tenth, and cut a tenth.
    """
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(table), size=count)
    found = table.iloc[rows].reset_index(drop=True).astype({"barcode": "object"})
    bases = np.frombuffer(b"ACGT", np.uint8)
    reads = []
    for place, read in enumerate(found["barcode"]):
        letters = np.frombuffer(read.encode("ascii"), np.uint8).copy()
        there = rng.random(len(letters)) < CHANGED
        letters[there] = bases[rng.integers(4, size=there.sum())]
        read = letters.tobytes().decode("ascii")
        if harder and place % 10 == 0:
            read = reverse_complement(read)
        if harder and place % 10 == 1 and len(read) > SHORT:
            begin = rng.integers(len(read) - SHORT)
            read = read[begin : begin + SHORT]
        reads.append(read)
    found["barcode"] = reads
    found["sampleid"] = [f"{'q' if harder else 'r'}{i}" for i in range(count)]
    return found


def measured(table: pd.DataFrame, references: int, counts: list[int]) -> pd.DataFrame:
    """A row for each number of queries and method.

    Args:
        table: specimens to make others of. references: of the library. counts: of queries.
    """
    rows = []
    library = made(table, references, 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = asking.ours(library, made(table, 10, 1, harder=True), folder, 0.95)
        rows.append(_row("hypertax, prepares the library", references, 10, first))
        for count in counts:
            queries = made(table, count, 2, harder=True)
            asking.write_fasta(queries, folder / "queries.fasta")
            one = asking.asked(["queries.fasta"], folder, 0.95)
            right = (one.names[:, -1] == queries["species"].to_numpy()).mean()
            rows.append(_row("hypertax", references, count, one) | {"right": right})
            shutil.rmtree(folder / "data" / "cache" / "aligned", ignore_errors=True)
            if shutil.which("vsearch"):
                one = asking.nearest(library, queries, folder)
                right = (one.names[:, -1] == queries["species"].to_numpy()).mean()
                rows.append(_row("VSEARCH", references, count, one) | {"right": right})
            print(pd.DataFrame(rows).to_string(index=False), flush=True)
    return pd.DataFrame(rows)


def _row(method: str, references: int, queries: int, one: asking.Answered) -> dict:
    return {
        "method": method,
        "queries": f"{queries:,}",
        "references": references,
        "seconds": one.seconds,
        "seconds of the processor": one.cpu_seconds,
        "a second": queries / one.cpu_seconds,
        "memory, MiB": one.mebibytes,
    }


def main(path: str, references: int, queries: list[int], output: Path | None) -> None:
    """Measure, print and write; to a folder, or to `tables/benchmarks`."""
    table = load_specimens(path)
    table = table[table["split"].isin(TRAINING_SPLITS) & table["barcode"].notna()]
    write_table(
        frame_table(measured(table, references, queries).round(4)),
        "identify_large",
        resolve(output) if output else ROOT / "tables" / "benchmarks",
        caption="Many barcodes against a large library",
        note=NOTE,
        dataset="barcodes made of real ones",
    )
