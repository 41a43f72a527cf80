"""Answers on disk, with what they came from beside them; an interrupted run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd

from hypertax.data.progress import progress_bar
from hypertax.files import atomic_path, write_text
from hypertax.identify.identifier import CHUNK, Identifier

PACKAGES = ("hypertax", "torch", "numpy", "pandas", "scikit-learn", "pyhmmer")
ENDINGS = (".tsv", ".csv", ".parquet")


def output_ending(path: Path) -> str:
    """The format of an answers file by its ending.

    Raises:
        ValueError: another ending than `ENDINGS`.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"output must end in {', '.join(ENDINGS)}, not {path.name!r}.")
    return path.suffix.lower()


def write_answers(
    identifier: Identifier,
    queries: pd.DataFrame,
    output: Path,
    *,
    precision: float,
    rank: str,
    parameters: dict,
    seconds: dict[str, float] | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Identify queries in parts, write the answers, and beside them `NAME.json`.

    Parts are kept in `.NAME.parts` until all are there, so that the same command goes on after an
    interruption.

    Args:
        identifier: answers. queries: see `Identifier.identify`. output: the file to write.
        precision, rank: see `Identifier.identify`. parameters: recorded. seconds: of the steps
            before, recorded.

    Returns:
        the answers.
    """
    ending = output_ending(output)
    asked = digest_of(queries)
    key = json.dumps(
        [asked, identifier.library.fingerprint(), identifier.embedder.name, precision, rank, CHUNK]
    )
    folder = output.parent / f".{output.name}.parts"
    if not (folder / "key.json").is_file() or (folder / "key.json").read_text("utf-8") != key:
        shutil.rmtree(folder, ignore_errors=True)
        write_text(folder / "key.json", key)
    started = time.monotonic()
    paths = [folder / f"{first:09d}.parquet" for first in range(0, len(queries), CHUNK)]
    bar = progress_bar(
        paths,
        desc="identifying",
        unit=" parts",
        leave=False,
        disable=not progress or len(paths) < 3,
    )
    for place, path in enumerate(bar):
        if path.is_file():
            continue
        answered = next(
            identifier.chunks(
                queries, precision=precision, rank=rank, start=place * CHUNK, progress=False
            )
        )
        with atomic_path(path) as temporary:
            answered.to_parquet(temporary)
    answers = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
    with atomic_path(output) as temporary:
        write_table(answers, temporary, ending)
    record = {
        "versions": _versions(),
        "queries": asked,
        "specimens": len(queries),
        "library": identifier.library.fingerprint(),
        "references": len(identifier.library),
        "model": identifier.embedder.name,
        "parameters": parameters,
        "thresholds": {
            view: {rank: value if value < float("inf") else None for rank, value in one.items()}
            for view, one in identifier.thresholds(precision).items()
        },
        "calibration": identifier.note or "by held-out references of the library",
        "answers": hashlib.sha256(output.read_bytes()).hexdigest(),
        "seconds": {**(seconds or {}), "identify": round(time.monotonic() - started, 2)},
    }
    write_text(output.with_name(output.name + ".json"), json.dumps(record, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    return answers


def write_table(answers: pd.DataFrame, path: Path, ending: str) -> None:
    """Write answers as TSV, CSV or Parquet."""
    if ending == ".parquet":
        answers.to_parquet(path)
    else:
        separator = "\t" if ending == ".tsv" else ","
        answers.to_csv(path, sep=separator, index=False, lineterminator="\n")


def digest_of(queries: pd.DataFrame) -> str:
    """SHA-256 of a table of specimens, 16 digits; photographs count by name."""
    digest = hashlib.sha256()
    for column in ("sampleid", "barcode", "image"):
        values = queries[column].fillna("\0").astype(str)
        if column == "image":
            values = values.map(lambda path: Path(path).name)
        digest.update("\x1f".join(values).encode())
    return digest.hexdigest()[:16]


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found
