"""Where files are, and writing them so that an interruption never leaves half of one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The repository: its `data`, `runs`, `tables` and `figures` are the defaults, from whichever
folder a notebook is run."""


def resolve(path: str | os.PathLike) -> Path:
    """A path as the user meant it: as it stands from the current folder if it exists there,
    otherwise from the repository's root."""
    given = Path(path).expanduser()
    if given.is_absolute() or given.exists():
        return given.resolve()
    return (ROOT / given).resolve()


def shown(path: str | os.PathLike) -> str:
    """A path for people: relative to the repository where it lies inside it."""
    path = Path(path)
    return (
        str(path.relative_to(ROOT))
        if path.is_absolute() and path.is_relative_to(ROOT)
        else str(path)
    )


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place when the block ends without an error, and
    is removed otherwise.

    It keeps the name's ending, which decides the format for pandas and matplotlib. The block may
    make a file or a folder there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    temporary = holder / path.name
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            # A folder cannot replace a folder that is not empty: move the old one aside first.
            os.replace(path, holder / "old")
        os.replace(temporary, path)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file atomically (UTF-8)."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
