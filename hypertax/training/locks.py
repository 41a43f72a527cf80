"""One training of a run at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from hypertax.files import make_folder, shown, writing
from hypertax.records import is_recorded

LOCKS = ".locks"
"""The folder of the locks, in that of the runs: an empty file a run."""
_PATIENCE = 2.0
"""Seconds after which a process says that it waits."""
_GROUP = ("MASTER_ADDR", "MASTER_PORT", "ACCELERATE_DEBUG_RDV_FILE")
"""Variables of the environment by which processes that train together know one another."""


@contextmanager
def training_alone(folder: Path, tell: Callable[[str], object]) -> Iterator[None]:
    """Keep every other process from training the run of a folder during the block; wait until
    another one that does has ended.

    The lock ends with the process, however it ends. Of the processes that train one run together
    the first one holds it for all.

    Args:
        folder: of the run. tell: given one sentence, where this process has to wait.

    Raises:
        NotWritten: the folder of the runs cannot be written to.
    """
    path = make_folder(folder.parent / LOCKS) / folder.name
    with writing(path):
        lock = open(path, "a+", encoding="utf-8")  # noqa: SIM115
    with lock:
        if int(os.environ.get("RANK", 0)):
            _wait_for_others(lock, folder)
        elif not _taken(lock, _PATIENCE):
            tell(f"Another process trains {shown(folder)}: waiting until it is done.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if int(os.environ.get("RANK", 0)):
            yield
            return
        lock.truncate(0)
        lock.write(_group())
        lock.flush()
        try:
            yield
        finally:
            with suppress(OSError):
                # Processes that were started in the block have the lock too.
                fcntl.flock(lock, fcntl.LOCK_UN)


def _taken(lock: IO[str], seconds: float) -> bool:
    """Whether this process has the lock now, after at most some seconds."""
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        except OSError:
            return True  # A file system without locks keeps nobody apart.


def _wait_for_others(lock: IO[str], folder: Path) -> None:
    """For all but the first process of a group: wait while a process of another group trains."""
    while not is_recorded(folder):
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            if lock.read() == _group():
                return
            time.sleep(0.5)
        except OSError:
            return
        else:
            fcntl.flock(lock, fcntl.LOCK_UN)
            return


def _group() -> str:
    return "|".join(os.environ.get(name, "") for name in _GROUP)
