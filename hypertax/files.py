"""Where files are, and how to write them: an interruption never leaves half of one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
"""The folder that holds the library: the repository, or where pip installed the library."""

ROOT = HOME if (HOME / "experiments.yaml").is_file() else Path.cwd()
"""The repository, from whichever folder a notebook is run; without one, the current folder. Its
`data`, `runs`, `tables` and `figures` are the defaults."""


def resolve(path: str | os.PathLike) -> Path:
    """The absolute path of `path`, taken from the current folder if it exists there, otherwise from
    `ROOT`."""
    given = Path(path).expanduser()
    if given.is_absolute() or given.exists():
        return given.resolve()
    return (ROOT / given).resolve()


def shown(path: str | os.PathLike) -> str:
    """A path for people: relative to `ROOT` where it lies inside it."""
    path = Path(path)
    return (
        str(path.relative_to(ROOT))
        if path.is_absolute() and path.is_relative_to(ROOT)
        else str(path)
    )


def processors() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside `path` for the block to write to.

    What the block wrote, a file or a folder, takes the place of `path` when the block ends. After
    an error it is removed. The temporary name has the same ending, which decides the format for
    pandas and matplotlib.

    Args:
        path: the file or folder to write; its folder is made if it is not there.
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
