"""The pipeline and its steps as processes: one pipeline of a data set at a time, and steps that end
with it."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PIPELINE = "HYPERTAX_PIPELINE"
"""The variable of the environment that names the file which a pipeline locks while it lives."""
_PATIENCE = 30
"""Seconds that steps have to stop."""


class Ended(KeyboardInterrupt):
    """The process was asked to end, from the keyboard or otherwise."""


@contextmanager
def alone(folder: Path) -> Iterator[tuple[int, Path]]:
    """Keep two pipelines of one data set apart; unlike Snakemake's own lock, this one ends with the
    processes that have it, however they end.

    Args:
        folder: of the stamps of the data set.

    Returns:
        The descriptor of the lock, to be inherited by what runs the steps, and a file that is
        locked for as long as this process lives.

    Raises:
        ValueError: another pipeline, or a step of one, still runs on it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock, open(folder / ".alive", "w") as alive:
        _take(lock, f"Another `make paper` is running on {folder.name}; wait for it, or stop it.")
        with open(folder / ".steps", "w") as steps:
            _take(
                steps,
                f"Steps of an earlier `make paper` on {folder.name} are still stopping; run the"
                " same again when they have.",
            )
        fcntl.flock(alive, fcntl.LOCK_EX)
        yield lock.fileno(), folder / ".alive"


def _take(file, otherwise: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(otherwise) from None


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Have the signals that ask a process to end raise `Ended`, so that it can end its children."""

    def end(*_) -> None:
        raise Ended

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            # What is ignored, as under nohup, stays so.
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_group(process: subprocess.Popen) -> None:
    """End a process that leads a group, with all of the group, as from the keyboard; after a while
    by force."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        pass
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def as_step(folder: Path | None) -> Iterator[None]:
    """Be a step of a pipeline: end when it has ended, and be known to the next one until then.

    Args:
        folder: of the stamps; None for no step of a pipeline.
    """
    if pipeline := os.environ.get(PIPELINE):
        threading.Thread(target=_end_with, args=(Path(pipeline),), daemon=True).start()
    with ending_on_signals():
        if folder is None:
            yield
            return
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / ".steps", "a") as steps:
            fcntl.flock(steps, fcntl.LOCK_SH)
            yield


def _end_with(alive: Path) -> None:
    """Ask this process to end once nobody locks `alive` any more."""
    while True:
        try:
            with open(alive) as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(1)
        except OSError:
            break
    os.kill(os.getpid(), signal.SIGTERM)
