"""The pipeline behind `make paper`: `paper` runs the Snakefile and reports; the Snakefile has each
notebook executed by `run`.

python -m hypertax.study.pipeline run notebooks/03_train_hyperbolic.ipynb out.ipynb -p curvature 1.0
python -m hypertax.study.pipeline paper --dataset simulated --seeds 5 --group core
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

from hypertax.config.parameters import parse_value
from hypertax.config.presets import DEFAULT_PRESET, PRESETS
from hypertax.files import ROOT, processors, resolve, shown, write_text
from hypertax.study.processes import PIPELINE, alone, as_step, ending_on_signals, stop_group
from hypertax.study.rows import load_rows, published_place
from hypertax.study.stamps import made_from, remove_stale
from hypertax.study.steps import (
    NotebookError,
    duration,
    prepare,
    run,
    write_line,
)

STAMPS = ROOT / "runs" / ".stamps"
EXECUTED = ROOT / "runs" / "executed"
_QUOTED = "quoted-"
"""How the name of a data set begins whose other characters are quoted as in an address."""
_MEMORY_PER_JOB = 2 * 2**30
_LEAST_ROOM = 2**16
"""Bytes that must be free before a pipeline starts."""


def paper(
    dataset: str = "simulated",
    *,
    preset: str = DEFAULT_PRESET,
    seeds: int = 5,
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

    if any(not character.isprintable() for character in dataset):
        raise ValueError(
            "DATASET must be a path without line breaks and control characters: rename"
            f" {dataset!r}."
        )
    if dataset not in READERS and not resolve(dataset).exists():
        raise ValueError(
            f"DATASET must be {', '.join(READERS)} or the path of a table of specimens; there"
            f" is no {dataset!r}."
        )
    elsewhere = resolve(dataset) != (ROOT / dataset).resolve()
    if dataset not in READERS and (elsewhere or dataset.startswith("-")):
        dataset = str(resolve(dataset))  # Its steps run in the repository.
    if profile and not (resolve(profile) / "config.yaml").is_file():
        raise ValueError(
            "PROFILE must be a folder with Snakemake's config.yaml, such as profiles/slurm;"
            f" {profile!r} has none."
        )
    rows = {row.name: row for one in group.split(",") for row in load_rows(one)}.values()
    name = str(published_place(data_set_name(dataset), preset))
    _require_room(STAMPS / name)
    started = time.monotonic()
    with ending_on_signals(), alone(STAMPS / name) as (lock, alive):
        for reason in (STAMPS / name).glob("*.failed"):
            reason.unlink()
        if not (ROOT / ".snakemake" / "metadata").is_dir():
            # What the stamps were made from is not known.
            for stamp in (STAMPS / name).glob("*.done"):
                stamp.unlink()
        for step, reason in remove_stale(STAMPS / name).items():
            print(f"{step} is done again: {reason}.", flush=True)
        specimens, views = made_from(dataset)
        cores = cores or _room()
        places = f"as jobs of {profile}" if profile else f"{cores} at a time"
        runs = sum(row.notebook is not None for row in rows) * seeds
        print(
            f"{dataset}: {runs} training runs ({group}), {places}; their own output:"
            f" {shown(EXECUTED / name)}/*.log",
            flush=True,
        )
        given = {
            # Snakemake reads it more than once, each time as something that it may not be.
            "dataset": f"{_QUOTED}{quote(dataset, safe='')}",
            "preset": preset,
            "seeds": seeds,
            "group": group,
            "cores": cores,
            "specimens": specimens,
            "views": "+".join(sorted(views or {"dna", "image"})),
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
        # Jobs of a cluster run on other machines, and end by its own means.
        environment = {**os.environ} if profile else {**os.environ, PIPELINE: str(alive)}
        code = _call(command, environment, lock)
        reasons = sorted((STAMPS / name).glob("*.failed"))
    return _report(name, code, reasons, time.monotonic() - started)


def _require_room(folder: Path) -> None:
    """Write a file and remove it: on a disk that takes nothing Snakemake was seen to wait.

    Raises:
        NotWritten: the disk is full, only readable or forbidden (one sentence).
    """
    probe = folder / ".room"
    write_text(probe, " " * _LEAST_ROOM)
    probe.unlink()


def _call(command: list[str], environment: dict[str, str], lock: int) -> int:
    """Run Snakemake; of what it says, only how far it is, and everything if it stops before its
    first step."""
    # In a group of its own, which can be ended as a whole; it keeps the lock while it lives.
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        pass_fds=(lock,),
        start_new_session=True,
    )
    said, steps = [], False
    try:
        for line in process.stderr:
            said.append(line)
            progress = re.match(r"(\d+) of (\d+) steps", line)
            steps = steps or bool(progress) or line.startswith(("Execute ", "Nothing to be done"))
            if progress:
                write_line(f"          {progress[1]} of {progress[2]} steps")
        code = process.wait()
    except KeyboardInterrupt:
        write_line("Stopping.")
        steps = True
        # What it still says would otherwise fill the pipe, and it would wait for ever.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        stop_group(process)
        code = 130
    if code and not steps:
        sys.stderr.write("".join(said[-20:]))
    return code


def _report(name: str, code: int, reasons: list[Path], seconds: float) -> int:
    took = duration(seconds)
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
    first.add_argument("--preset", default=DEFAULT_PRESET)
    first.add_argument("--stamp", type=Path, required=True)
    whole = commands.add_parser("paper", help="execute the pipeline")
    whole.add_argument("--dataset", default="simulated")
    whole.add_argument("--preset", default=DEFAULT_PRESET)
    whole.add_argument("--seeds", default="5", help="number of seeds")
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
        if given.command != "paper":
            with as_step(given.stamp.parent if given.stamp else None):
                if given.command == "prepare":
                    prepare(given.dataset, given.preset, given.stamp)
                    return 0
                run(
                    given.notebook,
                    given.output,
                    {name: parse_value(value) for name, value in given.parameters},
                    stamp=given.stamp,
                )
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
    except (NotebookError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
