"""Where files are, and how to write them: neither an interruption nor a power cut leaves half of
one, and a disk that takes nothing more is said in one sentence."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import stat
import time
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


WRITTEN = "HYPERTAX_WRITTEN"
"""The variable of the environment that names the file in which everything that is written is
listed."""
_HOLDER = ".hypertax-"
"""How the name of a folder begins that holds what is being written."""
_DAY = 86_400
_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space and run the same again",
    errno.EDQUOT: "your quota of the disk is used up: free some space and run the same again",
    errno.EFBIG: "it is larger than a file may be here: choose another folder",
    errno.EROFS: "the disk can only be read: choose another folder",
    errno.EACCES: "you may not write there: change the permissions or choose another folder",
    errno.EPERM: "you may not write there: change the permissions or choose another folder",
    errno.ENOTDIR: "a part of the path is a file and no folder: choose another folder",
    errno.EEXIST: "a file is where a folder should be: choose another folder",
    errno.EISDIR: "a folder has this name: move it away or choose another folder",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
    errno.ELOOP: "its links lead in a circle: choose another folder",
    errno.EIO: "the disk reports an error: check it, and choose another folder",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n) and run the same again",
}
"""Errors that are the disk's or the path's, and what to do about each."""


class NotWritten(OSError, ValueError):
    """What could not be written, why, and what to do, in one sentence."""


def not_written(path: str | os.PathLike, error: BaseException) -> NotWritten | None:
    """The sentence for an error that came up while `path` was written; None where the error is
    none of the disk's or the path's.

    Libraries wrap the system's error: its number is looked for in the error, in its text and in
    what it was raised from.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, NotWritten):
            return seen
        number = seen.errno if isinstance(seen, OSError) else None
        if number is not None and not _concerns(seen.filename, Path(path)):
            return None
        if number is None and (said := re.search(r"(?:errno|os error) (\d+)", str(seen), re.I)):
            number = int(said[1])
        if number in _REMEDIES:
            return NotWritten(f"{shown(path)} could not be written: {_REMEDIES[number]}.")
        seen = seen.__cause__ or seen.__context__
    if isinstance(error, OSError | RuntimeError) and _is_full(Path(path)):
        # A library that only says that writing failed.
        return NotWritten(f"{shown(path)} could not be written: {_REMEDIES[errno.ENOSPC]}.")
    return None


def _concerns(filename: object, path: Path) -> bool:
    """Whether an error about a file is one of writing `path`, and not of reading something else."""
    if not isinstance(filename, str | os.PathLike):
        return True
    where = Path(filename).absolute()
    return where.is_relative_to(path.parent.absolute()) or path.absolute().is_relative_to(where)


def _is_full(path: Path) -> bool:
    for folder in path.parents:
        if folder.is_dir():
            return shutil.disk_usage(folder).free < 2**16
    return False


@contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Say in one sentence where the block cannot write `path`.

    Raises:
        NotWritten: the disk is full, only readable or forbidden, or the path cannot be.
    """
    try:
        yield
    except Exception as error:
        told = not_written(path, error)
        if told is None or told is error:
            raise
        raise told from error


def make_folder(path: str | os.PathLike) -> Path:
    """Make a folder that may be there already, with those above it.

    Raises:
        NotWritten: it cannot be made.
    """
    path = Path(path)
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside `path` for the block to write to.

    What the block wrote, a file or a folder, takes the place of `path` when the block ends and is
    on the disk by then. After an error it is removed; what a killed process left behind goes with
    the next file that is written beside it. The temporary name has the same ending, which decides
    the format for pandas and matplotlib.

    Args:
        path: the file or folder to write; its folder is made if it is not there.

    Raises:
        NotWritten: the disk is full, only readable or forbidden, or the path cannot be.
    """
    path = Path(path)
    with writing(path):
        make_folder(path.parent)
        remove_abandoned(path.parent)
        # Within, the disk is as full as the block has made it.
        with _holder(path.parent) as holder, writing(path):
            temporary = holder / path.name
            yield temporary
            _to_disk(temporary)
            if temporary.is_dir() and path.is_dir():
                # A folder cannot replace a folder that is not empty: move the old one aside first.
                os.replace(path, holder / "old")
            os.replace(temporary, path)
            _sync(path.parent)
    note(path)


@contextmanager
def _holder(folder: Path) -> Iterator[Path]:
    """A new folder in `folder`, locked for as long as this process needs it."""
    while True:
        # Its mode follows the umask, unlike that of `tempfile`, and what is made in it too.
        holder = folder / f"{_HOLDER}{secrets.token_hex(8)}"
        holder.mkdir()
        descriptor = os.open(holder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            break  # A file system without locks: its leftovers are told by their age.
        if holder.is_dir():
            break
        os.close(descriptor)  # Somebody tidied up between the two.
    try:
        yield holder
    finally:
        shutil.rmtree(holder, ignore_errors=True)
        os.close(descriptor)


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder: of `atomic_path` alone, whose
    names are recognised, and nothing that a living process still writes."""
    for holder in folder.glob(f"{_HOLDER}*"):
        try:
            descriptor = os.open(holder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            abandoned = True
        except BlockingIOError:
            abandoned = False
        except OSError:
            abandoned = time.time() - os.fstat(descriptor).st_mtime > _DAY
        try:
            if abandoned:
                shutil.rmtree(holder, ignore_errors=True)
        finally:
            os.close(descriptor)


def _to_disk(path: Path) -> None:
    """Have a file, or a folder with all that is in it, on the disk and not only on its way."""
    if path.is_dir():
        for folder, _, names in os.walk(path):
            for name in names:
                _sync(Path(folder) / name)
            _sync(Path(folder))
    else:
        _sync(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    if not stat.S_ISREG(mode := path.stat().st_mode) and not stat.S_ISDIR(mode):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot do it for folders, and some for nothing.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(descriptor)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file atomically (UTF-8)."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def note(path: str | os.PathLike, *, made: bool = True) -> None:
    """List a file as a result of this process where the environment names a file for the list, one
    JSON object a line; the pipeline knows by it what a step has written.

    Args:
        path: of the result. made: False for one that was there already and is used again.
    """
    if listing := os.environ.get(WRITTEN):
        line = json.dumps({"path": str(Path(path).absolute()), "made": made})
        # A line at a time: several processes may append.
        with open(listing, "a", encoding="utf-8") as file:
            file.write(f"{line}\n")
