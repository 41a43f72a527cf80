"""Damaged tables: each is read, or refused by our own error.

python -m benchmarks.fuzz_tables [NUMBER] tries so many damages, half of text, half of Parquet.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.data.check import SpecimenTableError
from hypertax.data.progress import progress_bar
from hypertax.data.table import read_queries, read_table

_INSERTED = (
    b"\x00",
    b"\xff",
    b'"',
    b"\t",
    b"\n",
    b"\r",
    b",",
    b";",
    b"\xef\xbb\xbf",
    b"\xe2\x80\x8b",
    b"=1+1",
    b"Aedes cf.",
    b"\x1b[31m",
    b">",
    b"na",
    b"\xcc\x81",
    b"9" * 400,
)


def fuzz(n: int, folder: Path, *, seed: int = 0) -> dict:
    """Read n damaged tables.

    Returns:
        `counts` of how it ended (read, refused for its rows, refused in a sentence), and `other`,
        the number and error of each that ended in any other way.
    """
    rng = np.random.default_rng(seed)
    table = _table(rng)
    table.to_parquet(folder / "whole.parquet")
    parquet = (folder / "whole.parquet").read_bytes()
    forms = {".tsv": "\t", ".csv": ","}
    texts = {end: table.to_csv(sep=sep, index=False).encode() for end, sep in forms.items()}
    counts: Counter[str] = Counter()
    other: list[str] = []
    for number in progress_bar(range(n), desc="damaged tables", total=n, disable=n < 200):
        if number % 2:
            path, data = folder / "a.parquet", parquet
            if number % 4 == 1:
                _columns(table, rng).to_parquet(path)
                data = path.read_bytes()
            else:
                data = _damaged(data, rng)
        else:
            ending = (".tsv", ".csv")[number // 2 % 2]
            path, data = folder / f"a{ending}", _damaged(texts[ending], rng)
        path.write_bytes(data)
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                read_queries(path)
                read_table(path, labels_needed=bool(number % 3))
            counts["read"] += 1
        except SpecimenTableError as error:
            counts["refused for its rows"] += 1
            _look_at(str(error), number, other)
        except ValueError as error:
            kind = type(error) is ValueError and str(error).endswith(".")
            counts["refused in a sentence" if kind else "other"] += 1
            if not kind:
                other.append(f"{number}: {error!r}")
            _look_at(str(error), number, other)
        except Exception as error:
            counts["other"] += 1
            other.append(f"{number}: {error!r}")
    return {"counts": dict(counts), "other": other}


def _look_at(message: str, number: int, other: list[str]) -> None:
    unseen = [c for c in message if not c.isprintable() and c != "\n"]
    if unseen or max(map(len, message.splitlines())) > 1_500:
        other.append(f"{number}: a message of {len(message)} characters, {unseen[:3]}")


def _table(rng: np.random.Generator) -> pd.DataFrame:
    n = 20
    return pd.DataFrame(
        {
            "processid": [f"P{i}" for i in range(n)],
            "order": "Diptera",
            "family": "Culicidae",
            "genus": "Aedes",
            "species": [f"Aedes {name}" for name in rng.choice(["aegypti", "vexans", "sp. 1"], n)],
            "marker_code": "COI-5P",
            "nuc": ["".join(rng.choice(list("ACGT"), 120)) for _ in range(n)],
            "split": "train_seen",
        }
    )


def _damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes inserted, taken out, changed, repeated or cut off."""
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(len(data) + 1)) if rng.random() < 0.7 else int(rng.integers(200))
        kind = rng.integers(6)
        if kind == 0:
            data = data[:at] + _INSERTED[rng.integers(len(_INSERTED))] + data[at:]
        elif kind == 1:
            data = data[:at] + data[at + int(rng.integers(1, 40)) :]
        elif kind == 2:
            data = data[:at] + bytes([rng.integers(256)]) + data[at + 1 :]
        elif kind == 3:
            data = data[:at] + data[max(0, at - 60) : at] + data[at:]
        elif kind == 4:
            data = data[: max(at, 1)] if rng.random() < 0.3 else data
        else:
            some = data[at : at + 30]
            data = data[:at] + some[::-1] + data[at + 30 :]
    return data


def _columns(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """A whole Parquet file with a column of some other type or name."""
    table = table.copy()
    column = rng.choice(table.columns)
    values = (
        list(range(len(table))),
        [float(i) if i % 3 else None for i in range(len(table))],
        [[i] for i in range(len(table))],
        [{"a": i} for i in range(len(table))],
        [b"\xff\xfe"] * len(table),
        pd.date_range("2020", periods=len(table)),
        [True, None] * (len(table) // 2),
        pd.Categorical(["Aedes x aegypti"] * len(table)),
        [None] * len(table),
    )
    table[column] = values[rng.integers(len(values))]
    if rng.random() < 0.3:
        table = table.rename(columns={column: str(rng.choice(["", "a\nb", "id", "\ufeffid"]))})
    return table


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    with tempfile.TemporaryDirectory() as holder:
        found = fuzz(number, Path(holder))
    print(found["counts"])
    print("\n".join(found["other"]) or "no error but ours, every message legible")
