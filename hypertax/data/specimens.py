"""Specimens: the data sets that have a name, one table for each, and a summary of its content."""

from __future__ import annotations

import gzip
import hashlib
import os
import platform
import re
import shutil
import tempfile
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from hypertax import sources
from hypertax.data.bioscan1m.reader import Layout, read_bioscan1m
from hypertax.data.photograph_files import content_digest
from hypertax.data.progress import progress_bar
from hypertax.data.split import SPLITS
from hypertax.data.table import COLUMNS, read_table, table_stem
from hypertax.files import ROOT, processors, resolve, shown
from hypertax.taxonomy import RANKS

__all__ = [
    "COLUMNS",
    "READERS",
    "cache_folder",
    "data_set_name",
    "fingerprint",
    "load_specimens",
    "simulated_folder",
    "summarise",
]

_MANY_IMAGES = 200_000


def load_specimens(
    dataset: str, *, seed: int = 0, data_dir: Path | None = None, download: bool = False
) -> pd.DataFrame:
    """The specimen table of a data set.

    Args:
        dataset: a name in `READERS`, or the path of a table (see `hypertax.data.read_table`).
        seed: the seed of the simulation, or of the split of a table that has none.
        data_dir: the folder with the named data sets; by default the environment's HYPERTAX_DATA,
            otherwise `data` in the repository.
        download: let the package `bioscan-dataset` fetch BIOSCAN-1M.

    Returns:
        One row per specimen, all columns text, missing values NA: `sampleid`, `image` (absolute
        path), `barcode` (IUPAC codes in upper case without gaps), `order`, `family`, `genus`,
        `species`, `split` (one of `hypertax.data.SPLITS`).

    Raises:
        ValueError: the data set is unknown, incomplete or wrong; the last line says what to do.
    """
    if dataset in READERS:
        return READERS[dataset](seed=seed, data_dir=data_dir, download=download)
    if not (path := resolve(dataset)).is_file():
        found = "is a folder" if path.is_dir() else "was not found"
        named = ", ".join(map(repr, READERS))
        raise ValueError(f"dataset must be {named} or the path of a table; {dataset} {found}.")
    return read_table(dataset, seed=seed, labels_needed=True)


def _read_simulated(*, seed: int, data_dir: Path | None, download: bool) -> pd.DataFrame:
    """The simulated data, made on first use."""
    folder = simulated_folder(seed=seed, data_dir=data_dir)
    if Layout.of(folder).missing():
        raise ValueError(
            f"The simulated data in {shown(folder)} are not whole: delete this folder, and"
            " run again to have them made anew."
        )
    return read_bioscan1m(folder)


def _read_bioscan1m(*, seed: int, data_dir: Path | None, download: bool) -> pd.DataFrame:
    return read_bioscan1m(_data_dir(data_dir) / "bioscan-1m", download=download)


READERS: dict[str, Callable[..., pd.DataFrame]] = {
    "simulated": _read_simulated,
    "bioscan-1m": _read_bioscan1m,
}
"""The data sets that have a name. A reader takes `seed`, `data_dir` and `download` and returns a
specimen table; see `load_specimens`."""


RESERVED = ("benchmarks", "tuning", "tiny", "paper")
"""Names of folders in `tables` and `figures` that belong to no data set."""
PUBLISHED = {"insect1k": "a50eafb7e3ee318e490802eaeee5c81d047d7602720064c2e81384b0a2f180f7"}
"""Tables whose results this repository publishes: the SHA-256 of each one's text."""
_LONGEST_NAME = 80
"""Bytes of the name of a data set."""


def data_set_name(dataset: str) -> str:
    """A data set's short name, fit for a folder: a name in `READERS`, or the stem of a table's file.

    A table called as one of the folders in which this repository keeps its own results gets another
    name, whatever the case of its letters, so that nobody's results take their place.
    """
    if dataset in READERS:
        return dataset
    stem = unicodedata.normalize("NFC", table_stem(dataset))
    name = re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "table"
    if len(name.encode()) > _LONGEST_NAME:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name.encode()[: _LONGEST_NAME - 9].decode(errors='ignore')}-{digest}"
    plain = name.casefold()
    published = PUBLISHED.get(plain)
    if plain in {*READERS, *RESERVED} or (published and _text_digest(dataset) != published):
        return f"{name}-table"
    return name


def _text_digest(table: str) -> str | None:
    """SHA-256 of a table's text, packed or not; that of the published one where there is none."""
    path = resolve(table)
    if not path.is_file():
        return PUBLISHED.get(table_stem(table).casefold())
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, EOFError):
        return None


def simulated_folder(*, seed: int = 0, data_dir: Path | None = None) -> Path:
    """The folder of the simulated data set, made if it is not there.

    Its name carries the seed and the fingerprint of the code that made it, comments and docstrings
    aside. Several processes may ask for it at once.

    Raises:
        ValueError: the packages that simulate are not installed.
    """
    # `files` says where files are, not what is in them.
    version = sources.fingerprint("hypertax.data.simulation.dataset", without=["hypertax.files"])
    target = _data_dir(data_dir) / f"simulated-seed{seed}-v{version[:8]}"
    if target.is_dir():
        return target
    try:
        from hypertax.data.simulation.dataset import simulate
    except ModuleNotFoundError as error:
        raise ValueError(
            f"The simulated data need the package {error.name}: install hypertax[notebooks]."
        ) from None

    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    holder = Path(
        tempfile.mkdtemp(
            prefix=f".{target.name}-{platform.node()}-{os.getpid()}-", dir=target.parent
        )
    )
    try:
        simulate(holder / target.name, seed=seed)
        try:
            os.rename(holder / target.name, target)
        except OSError:
            # Another process was faster; the same seed and code made the same files.
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(holder, ignore_errors=True)
    return target


def _remove_abandoned(target: Path) -> None:
    """Remove what killed processes left behind: at once on this machine, after a day from any
    other."""
    for holder in target.parent.glob(f".{target.name}-*"):
        machine, _, pid = (
            holder.name.removeprefix(f".{target.name}-").rpartition("-")[0].rpartition("-")
        )
        try:
            old = time.time() - holder.stat().st_mtime > 86_400
            if old or (machine == platform.node() and not _alive(int(pid))):
                shutil.rmtree(holder, ignore_errors=True)
        except FileNotFoundError:
            continue


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # Somebody else's process
    return True


def _data_dir(data_dir: Path | None) -> Path:
    return (
        Path(data_dir or os.environ.get("HYPERTAX_DATA") or ROOT / "data").expanduser().absolute()
    )


def cache_folder(name: str) -> Path:
    """The folder of what is computed once from specimens and kept: aligned barcodes, features.

    It lies beside the data sets, in `cache`; nothing is lost where it is deleted.

    Args:
        name: of the kind of thing that is kept.
    """
    return _data_dir(None) / "cache" / name


def fingerprint(specimens: pd.DataFrame) -> str:
    """SHA-256 of a specimen table's content: 64 hexadecimal digits, the same wherever the data lie.

    An image counts by its file's content, whatever its name; a file that cannot be read by its
    name. Above 200,000 images, name and size (-1 where the file is missing) stand for the content,
    as reading a million files takes an hour: there, a photograph that is replaced by one of the
    same size is not noticed.
    """
    digest = hashlib.sha256()
    mark = _sized if specimens["image"].notna().sum() > _MANY_IMAGES else _content
    marks = _image_marks(specimens["image"], mark)
    for start in range(0, len(specimens), 10_000):
        part = specimens.iloc[start : start + 10_000]
        for name in COLUMNS:
            values = (
                marks[start : start + len(part)]
                if name == "image"
                else part[name].fillna("\0").tolist()
            )
            digest.update("\x1f".join([name, *values, "\x1e"]).encode())
    return digest.hexdigest()


def _image_marks(paths: pd.Series, mark: Callable[[str], str]) -> list[str]:
    """What each image counts by, in threads: most of the time is spent waiting for files."""
    with ThreadPoolExecutor(processors()) as pool:
        found = pool.map(lambda path: "\0" if pd.isna(path) else mark(path), paths)
        bar = progress_bar(
            found,
            total=len(paths),
            desc="reading images",
            unit=" images",
            leave=False,
            mininterval=1,
            delay=2,
        )
        return list(bar)


def _content(path: str) -> str:
    return content_digest(path) or f"{os.path.basename(path)}:-1"


def _sized(path: str) -> str:
    try:
        return f"{os.path.basename(path)}:{os.stat(path).st_size}"
    except OSError:
        return f"{os.path.basename(path)}:-1"


def summarise(specimens: pd.DataFrame) -> pd.DataFrame:
    """Counts per split: one row for each split present, and `all`.

    Columns: `specimens`, `species` (different names), `with image`, `with barcode`, and
    `known order` to `known species` (specimens with a name of that rank).
    """
    counted = pd.DataFrame({"split": specimens["split"], "specimens": 1})
    counted["with image"], counted["with barcode"] = (
        specimens["image"].notna().astype(int),
        specimens["barcode"].notna().astype(int),
    )
    for rank in RANKS:
        counted[f"known {rank}"] = specimens[rank].notna().astype(int)
    table = counted.groupby("split").sum()
    table.loc["all"] = counted.drop(columns="split").sum()
    species = specimens.groupby("split")["species"].nunique()
    table.insert(
        1, "species", species.reindex(table.index, fill_value=specimens["species"].nunique())
    )
    return _in_order(table)


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    return table.loc[[name for name in (*SPLITS, "all") if name in table.index]].rename_axis(
        index="split"
    )
