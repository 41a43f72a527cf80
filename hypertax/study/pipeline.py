"""The pipeline behind `make paper`: `paper` runs the Snakefile and reports; the Snakefile has each
notebook executed by `run`.

python -m hypertax.study.pipeline run notebooks/03_train_hyperbolic.ipynb out.ipynb -p curvature 1.0
python -m hypertax.study.pipeline paper --dataset simulated --seeds 3 --group core
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypertax.config.parameters import parse_value, refuse_unknown
from hypertax.config.presets import PRESETS
from hypertax.config.run_config import PARAMETERS, RunConfig
from hypertax.files import ROOT, processors, resolve, shown, write_text
from hypertax.study.rows import TRAINING, load_rows

STAMPS = ROOT / "runs" / ".stamps"
EXECUTED = ROOT / "runs" / "executed"
_MEMORY_PER_JOB = 2 * 2**30


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
    output.parent.mkdir(parents=True, exist_ok=True)
    started = time.time()
    if stamp:
        _say(f"{stamp.stem}: started")
    try:
        if not notebook.is_file():
            raise NotebookError(f"There is no notebook {shown(notebook)}.")
        with _log(output.with_suffix(".log")):
            _execute(notebook, output, parameters)
    except NotebookError as error:
        if stamp:
            write_text(_reason(stamp), f"{error}\n")
            _say(f"{stamp.stem}: failed: {error}")
        raise
    if notebook.stem in TRAINING:
        _keep_with_run(output, {**TRAINING[notebook.stem], **parameters}, started)
    if stamp:
        took = _duration(time.time() - started)
        _reason(stamp).unlink(missing_ok=True)
        write_text(stamp, f"{shown(output)}: {took}\n")
        _say(f"{stamp.stem}: done in {took}")


def prepare(dataset: str, stamp: Path) -> None:
    """Have a data set's specimens ready, as every notebook reads them; `stamp` is written on
    success, its `.failed` otherwise.

    Raises:
        NotebookError: one sentence.
    """
    from hypertax.data import load_specimens

    started = time.time()
    _say(f"{stamp.stem}: started")
    try:
        count = len(load_specimens(dataset))
    except (ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[-1]
        write_text(_reason(stamp), f"{reason}\n")
        _say(f"{stamp.stem}: failed: {reason}")
        raise NotebookError(reason) from None
    _reason(stamp).unlink(missing_ok=True)
    took = _duration(time.time() - started)
    write_text(stamp, f"{count} specimens: {took}\n")
    _say(f"{stamp.stem}: {count} ready in {took}")


def _reason(stamp: Path) -> Path:
    return stamp.parent / f"{stamp.stem}.failed"


def _say(text: str) -> None:
    _line(f"{time.strftime('%H:%M:%S')}  {text}")


def _line(text: str) -> None:
    # Several processes share this output: `print` would write the end of the line by itself where
    # Python does not buffer.
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _duration(seconds: float) -> str:
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
        expected = error.ename in (
            "ValueError",
            "FileNotFoundError",
            "SystemExit",
            "AssertionError",
        )
        raise NotebookError(reason if expected and words else f"{error.ename}: {reason}") from None
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


def _keep_with_run(output: Path, parameters: dict[str, Any], started: float) -> None:
    import yaml

    folder = resolve(parameters.get("output") or ROOT / "runs")
    own = {
        name: value
        for name, value in parameters.items()
        if name not in ("output", "processes", "download")
    }
    wanted = RunConfig.create(**own).to_dict()
    for path in folder.glob("*/config.yaml"):
        finished = path.parent / "environment.json"
        # A run that was only reused keeps the notebook that trained it.
        if not finished.is_file() or finished.stat().st_mtime < started - 1:
            continue
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        if all(found.get(name) == value for name, value in wanted.items()):
            shutil.copyfile(output, path.parent / "notebook.ipynb")


def paper(
    dataset: str = "simulated",
    *,
    preset: str = "tiny",
    seeds: int = 3,
    group: str = "core",
    cores: int = 0,
    profile: str = "",
) -> int:
    """Run the whole pipeline: data, the rows of a group of `experiments.yaml` (or of several, with
    commas between) for each seed, evaluation, figures.

    What is finished and unchanged is not done again. `cores` notebooks run at a time, 0 for what
    the machine has room for. profile: a folder with a Snakemake profile, which says where the jobs
    go instead (a cluster: `profiles/slurm`).

    Returns:
        0, or 1 if something failed; the reasons are printed, one a line.

    Raises:
        ValueError: one sentence, before anything runs.
    """
    if preset not in PRESETS:
        raise ValueError(f"PRESET must be one of {', '.join(PRESETS)}, not {preset!r}.")
    if seeds < 1:
        raise ValueError(
            f"SEEDS must be at least 1, the number of times each row is trained, not {seeds}."
        )
    from hypertax.data import READERS, data_set_name

    if dataset not in READERS and not resolve(dataset).exists():
        raise ValueError(
            f"DATASET must be {', '.join(READERS)} or the path of a table of specimens; there"
            f" is no {dataset!r}."
        )
    if profile and not (resolve(profile) / "config.yaml").is_file():
        raise ValueError(
            "PROFILE must be a folder with Snakemake's config.yaml, such as profiles/slurm;"
            f" {profile!r} has none."
        )
    rows = {row.name: row for one in group.split(",") for row in load_rows(one)}.values()
    name = data_set_name(dataset)
    started = time.monotonic()
    with _alone(STAMPS / name):
        for reason in (STAMPS / name).glob("*.failed"):
            reason.unlink()
        if not (ROOT / ".snakemake" / "metadata").is_dir():
            # What the stamps were made from is not known.
            for stamp in (STAMPS / name).glob("*.done"):
                stamp.unlink()
        if not any((ROOT / "tables" / name).glob("**/*.csv")):
            # Somebody removed the tables: their stamps would say that they are there.
            for stamp in [
                *(STAMPS / name).glob("evaluate*.done"),
                *(STAMPS / name).glob("figures*.done"),
            ]:
                stamp.unlink()
        cores = cores or _room()
        places = f"as jobs of {profile}" if profile else f"{cores} at a time"
        runs = sum(row.notebook is not None for row in rows) * seeds
        print(
            f"{dataset}: {runs} training runs ({group}), {places}; their own output:"
            f" {shown(EXECUTED / name)}/*.log",
            flush=True,
        )
        given = {
            "dataset": dataset,
            "preset": preset,
            "seeds": seeds,
            "group": group,
            "cores": cores,
        }
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(ROOT / "Snakefile"),
            "--directory",
            str(ROOT),
        ]
        command += ["--profile", str(resolve(profile))] if profile else ["--cores", str(cores)]
        command += ["--keep-going", "--rerun-incomplete", "--nolock", "--scheduler", "greedy"]
        # Not the dates of files: the rules' parameters carry fingerprints of what counts.
        command += ["--rerun-triggers", "params", "input"]
        command += [
            "--nocolor",
            "--config",
            *(f"{key}={json.dumps(value)}" for key, value in given.items()),
        ]
        code = _call(command)
        reasons = sorted((STAMPS / name).glob("*.failed"))
    return _report(name, code, reasons, time.monotonic() - started)


def _call(command: list[str]) -> int:
    """Run Snakemake; of what it says, only how far it is, and everything if it stops before its
    first step."""
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    said, steps = [], False
    try:
        for line in process.stderr:
            said.append(line)
            progress = re.match(r"(\d+) of (\d+) steps", line)
            steps = steps or bool(progress) or line.startswith(("Execute ", "Nothing to be done"))
            if progress:
                _line(f"          {progress[1]} of {progress[2]} steps")
    except KeyboardInterrupt:
        # The terminal interrupted Snakemake too; it ends its notebooks first.
        _line("Stopping.")
        for _ in process.stderr:
            pass
    code = process.wait()
    if code and not steps:
        sys.stderr.write("".join(said[-20:]))
    return code


def _report(name: str, code: int, reasons: list[Path], seconds: float) -> int:
    took = _duration(seconds)
    if code == 0:
        print(
            f"Done in {took}. Tables: tables/{name}/; figures: figures/{name}/; executed"
            f" notebooks: {shown(EXECUTED / name)}/."
        )
        from hypertax.study.reproduced import against_committed

        print(
            against_committed(ROOT / "tables" / name)
            or "No tables of this data set are committed to compare with."
        )
        return 0
    print(
        f"Stopped after {took}. What is finished is kept: the same command goes on from"
        f" there.{' Failed:' if reasons else ''}"
    )
    for reason in reasons:
        print(
            f"  {reason.stem}: {reason.read_text(encoding='utf-8').strip()}"
            f" ({shown(EXECUTED / name / reason.stem)}.log)"
        )
    return 1


def _room() -> int:
    """Notebooks that the machine has processors and memory for."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(processors(), memory // _MEMORY_PER_JOB))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep two pipelines of one data set apart; unlike Snakemake's own lock, this one ends with the
    process, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"Another `make paper` is running on {folder.name}; wait for it, or stop it first."
            ) from None
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hypertax.study.pipeline",
        description="Execute one notebook, or all of them.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run", help="execute one notebook")
    one.add_argument("notebook", type=Path)
    one.add_argument("output", type=Path, help="where the executed notebook goes")
    one.add_argument(
        "-p", nargs=2, action="append", default=[], dest="parameters", metavar=("NAME", "VALUE")
    )
    one.add_argument("--stamp", type=Path, help="file to write on success")
    first = commands.add_parser("prepare", help="have a data set ready")
    first.add_argument("dataset")
    first.add_argument("--stamp", type=Path, required=True)
    whole = commands.add_parser("paper", help="execute the pipeline")
    whole.add_argument("--dataset", default="simulated")
    whole.add_argument("--preset", default="tiny")
    whole.add_argument("--seeds", default="3", help="number of seeds")
    whole.add_argument("--group", default="core", help="group of rows in experiments.yaml")
    whole.add_argument(
        "--cores", default="0", help="notebooks at a time; 0: what the machine has room for"
    )
    whole.add_argument("--profile", default="", help="folder of a Snakemake profile, for a cluster")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = _parser().parse_args(arguments)
    try:
        if given.command == "run":
            run(
                given.notebook,
                given.output,
                {name: parse_value(value) for name, value in given.parameters},
                stamp=given.stamp,
            )
            return 0
        if given.command == "prepare":
            prepare(given.dataset, given.stamp)
            return 0
        for name in ("seeds", "cores"):
            if not getattr(given, name).isdecimal():
                raise ValueError(
                    f"{name.upper()} must be a whole number, not {getattr(given, name)!r}."
                )
        return paper(
            given.dataset,
            preset=given.preset,
            seeds=int(given.seeds),
            group=given.group,
            cores=int(given.cores),
            profile=given.profile,
        )
    except (NotebookError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
