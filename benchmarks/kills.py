"""Kill -9 at random moments, and two processes on one run: whether what comes out in the end is the
same to the byte.

python -m benchmarks.kills --kills 50 --pairs 20
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.files import ROOT

STAGES = ("data", "training", "evaluation", "figures", "pipeline")
_SEED = 0
# Where a run was made, and how long it took, is no result.
_APART = ("environment.json", "history.csv", "runs.csv", "notebook.ipynb", "cost.", "all_tables")


def main() -> None:
    """Kill every stage, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="over all stages")
    parser.add_argument("--pairs", type=int, default=20, help="of processes on one run")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    given = parser.parse_args()
    shares = np.array_split(range(given.kills), len(given.stages))
    with tempfile.TemporaryDirectory(prefix="hypertax-kills-") as folder:
        rows = [
            kill_stage(stage, Path(folder) / stage, len(share))
            for stage, share in zip(given.stages, shares, strict=True)
        ]
        print(pd.DataFrame(rows).to_string(index=False), flush=True)
        if given.pairs and "training" in given.stages:
            print(pd.DataFrame([pair(Path(folder), n) for n in range(given.pairs)]).to_string())


def kill_stage(stage: str, folder: Path, kills: int) -> dict:
    """Do a stage in one go, and again with kills; compare what there is.

    Args:
        stage: one of `STAGES`. folder: for both. kills: of the second, each at a random moment.
    """
    started = time.monotonic()
    if start(stage, folder / "whole").wait() != 0:
        raise RuntimeError(f"The stage {stage} failed without being killed.")
    took = time.monotonic() - started
    moments = np.random.default_rng([_SEED, STAGES.index(stage)])
    whole, cut = contents(folder / "whole"), folder / "cut"
    killed, ends = 0, []
    while killed < kills:
        process = start(stage, cut)
        try:
            process.wait(moments.uniform(0.05, 1) * took)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
            _wait_for_locks(cut)
        else:
            # It came to its end between two kills, and begins anew.
            ends.append(_end(process.returncode, whole, cut))
            shutil.rmtree(cut)
    ends.append(_end(start(stage, cut).wait(), whole, cut))
    return {
        "stage": stage,
        "seconds": round(took, 1),
        "killed": killed,
        "came to an end": len(ends),
        "ended well": sum(well for well, *_ in ends),
        "files": len(whole),
        "same bytes": sum(same for _, same, _ in ends),
        "left over": sum(left for *_, left in ends),
    }


def _end(code: int, whole: dict[str, str], cut: Path) -> tuple[bool, bool, int]:
    """How a stage came to its end: whether it ended well, wrote the same bytes, and how many
    half-written files it left."""
    found = contents(cut)
    for name in sorted(whole.keys() | found.keys()):
        if whole.get(name) != found.get(name):
            print(f"{cut}: {name} differs", flush=True)
    return code == 0, whole == found, sum(1 for _ in cut.rglob(".hypertax-*"))


def pair(folder: Path, number: int) -> dict:
    """Two processes on one run at a time."""
    runs = folder / f"pair-{number}"
    both = [start("training", runs, stdout=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate()[0].decode() for process in both]
    return {
        "ended well": [process.returncode for process in both] == [0, 0],
        "trained": sum("parameters," in text for text in said),
        "waited or used": sum("is there already" in text for text in said),
        "same bytes": contents(runs) == contents(folder / "training" / "whole"),
    }


def start(stage: str, folder: Path, **options) -> subprocess.Popen:
    """Begin a stage in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.kills_steps", stage, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    options.setdefault("stdout", subprocess.DEVNULL)
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, **options
    )


def _wait_for_locks(folder: Path, seconds: float = 60) -> None:
    """Until the steps of a pipeline that was killed have ended."""
    from hypertax.study.processes import alone

    until = time.monotonic() + seconds
    for lock in folder.rglob(".lock"):
        while time.monotonic() < until:
            try:
                with alone(lock.parent):
                    break
            except ValueError:
                time.sleep(0.5)


def contents(folder: Path) -> dict[str, str]:
    """The digest of every file that is a result, by its place in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not path.name.startswith(_APART)
        and not any(part.startswith(".") or part == "executed" for part in path.parts)
    }


if __name__ == "__main__":
    main()
