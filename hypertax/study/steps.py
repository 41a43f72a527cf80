"""The steps of the pipeline: a notebook executed with its stamp and log, and a data set prepared."""

from __future__ import annotations

import json
import logging
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypertax.config.parameters import refuse_unknown
from hypertax.config.run_config import PARAMETERS, RunConfig
from hypertax.files import ROOT, atomic_path, make_folder, resolve, shown, write_text
from hypertax.study.rows import TRAINING
from hypertax.study.stamps import Written, listing, write_stamp


_SENTENCES = {
    *("ValueError", "FileNotFoundError", "SystemExit", "AssertionError", "NotWritten"),
    *("SpecimenTableError", "EncoderUnavailable", "TrainingDiverged"),
}
"""Errors whose message is a sentence for people, which needs no name in front of it."""


class NotebookError(Exception):
    """A notebook that stopped; the message is one sentence with its own last words."""


def run(
    notebook: str | Path,
    output: str | Path,
    parameters: dict[str, Any],
    *,
    stamp: Path | None = None,
) -> None:
    """Execute a notebook with papermill from the repository's root, into `output`; its cells'
    output also goes to `output`'s `.log`.

    The executed notebook of a training run is also put into its run folder. `stamp` is written only
    on success; where the notebook fails, a file of that name ending in `.failed` holds the reason.

    Raises:
        NotebookError: one sentence, the last words of the notebook's error.
    """
    notebook, output = resolve(notebook), Path(output).absolute()
    make_folder(output.parent)
    started = time.time()
    if stamp:
        say(f"{stamp.stem}: started")
    try:
        if not notebook.is_file():
            raise NotebookError(f"There is no notebook {shown(notebook)}.")
        with (
            _log(output.with_suffix(".log")),
            listing(output.with_suffix(".written")) as written,
        ):
            _execute(notebook, output, parameters)
    except NotebookError as error:
        if stamp:
            _failed(stamp, str(error))
        raise
    if notebook.stem in TRAINING:
        _keep_with_runs(output, written.runs)
    if stamp:
        took = duration(time.time() - started)
        _reason(stamp).unlink(missing_ok=True)
        write_stamp(stamp, f"{shown(output)}: {took}", written)
        say(f"{stamp.stem}: done in {took}")


def prepare(dataset: str, preset: str, stamp: Path) -> None:
    """Have a data set's specimens ready, as every notebook reads them, and what a preset's encoders
    start from; `stamp` is written on success, its `.failed` otherwise.

    Raises:
        NotebookError: one sentence.
    """
    from hypertax.data import load_specimens
    from hypertax.model import compute_starts

    started = time.time()
    say(f"{stamp.stem}: started")
    try:
        specimens = load_specimens(dataset)
        count = len(specimens)
        # Or every run that begins at once would compute it for itself.
        compute_starts(RunConfig.create(preset, dataset=dataset), specimens)
    except (ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[-1]
        _failed(stamp, reason)
        raise NotebookError(reason) from None
    except Exception as error:
        # An error of ours: its traceback goes to the log, and `make paper` still says what it was.
        _failed(stamp, f"{type(error).__name__}: {' '.join(str(error).split())}")
        raise
    _reason(stamp).unlink(missing_ok=True)
    took = duration(time.time() - started)
    write_stamp(stamp, f"{count} specimens: {took}", Written())
    say(f"{stamp.stem}: {count} ready in {took}")


def _failed(stamp: Path, reason: str) -> None:
    write_text(_reason(stamp), f"{reason}\n")
    say(f"{stamp.stem}: failed: {reason}")


def _reason(stamp: Path) -> Path:
    return stamp.parent / f"{stamp.stem}.failed"


def say(text: str) -> None:
    """Write a line of the pipeline's progress, with the time of day."""
    write_line(f"{time.strftime('%H:%M:%S')}  {text}")


def write_line(text: str) -> None:
    """Write a line with its end at once, so that those of several processes cannot mix."""
    # Several processes share this output: `print` would write the end of the line by itself where
    # Python does not buffer.
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def duration(seconds: float) -> str:
    """Seconds in words: "45 s", "3 min"."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def parameters_of(notebook: Path) -> set[str]:
    """The names of a notebook's parameters: those of its parameters cell and, where it trains,
    every field of a run but the space, which the notebook fixes."""
    import papermill

    fields = set(PARAMETERS) - {"space"} if notebook.stem in TRAINING else set()
    return set(papermill.inspect_notebook(notebook)) | fields


def _execute(notebook: Path, output: Path, parameters: dict[str, Any]) -> None:
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillException, PapermillExecutionError

    try:
        # papermill only warns of an unknown name, and starts a kernel first.
        try:
            refuse_unknown(parameters, parameters_of(notebook), notebook.name)
        except ValueError as error:
            raise NotebookError(str(error)) from None
        papermill.execute_notebook(
            notebook,
            output,
            parameters,
            cwd=ROOT,
            log_output=True,
            progress_bar=sys.stderr.isatty(),
            start_timeout=300,
        )
    except PapermillExecutionError as error:
        # Coloured names in the message of some errors
        words = [
            line
            for line in re.sub(r"\x1b\[[0-9;]*m", "", error.evalue or "").splitlines()
            if line.strip()
        ]
        reason = words[-1].strip() if words else f"It raised {error.ename}."
        told = words and error.ename in _SENTENCES
        raise NotebookError(reason if told else f"{error.ename}: {reason}") from None
    except DeadKernelError:
        message = (
            "The notebook's process was ended from outside, most often because memory ran"
            " out (fewer at a time: make paper CORES=1)."
        )
        raise NotebookError(message) from None
    except (PapermillException, CellTimeoutError, OSError, RuntimeError) as error:
        raise NotebookError(f"{type(error).__name__}: {' '.join(str(error).split())}") from None


@contextmanager
def _log(path: Path) -> Iterator[None]:
    logger = logging.getLogger("papermill")
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
        handler.close()


def _keep_with_runs(output: Path, runs: dict[Path, bool]) -> None:
    """Put the executed notebook into the runs that it trained, and into those that have none: a run
    that was only used again keeps the notebook that trained it."""
    for folder, trained in runs.items():
        kept = folder / "notebook.ipynb"
        if folder.is_dir() and (trained or not _is_notebook(kept)):
            with atomic_path(kept) as temporary:
                shutil.copyfile(output, temporary)


def _is_notebook(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8"))["cells"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
