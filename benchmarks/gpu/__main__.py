"""The GPU check in one command; `benchmarks/gpu.sh` calls it.

Each part is a process of its own with a limit of its own, and the JSON is written after every part:
what was measured stays, whatever happens later. Nothing begins that the time left does not allow.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hypertax.files import ROOT
from hypertax.tables.table import frame_table, write_table

LIMIT = 360
"""Seconds of everything."""
TEST_SECONDS = 110
RESERVE = 5
SEL = "hyperbolic CL + SEL"


@dataclass(frozen=True)
class Part:
    """One measurement of `benchmarks.gpu.steps`. seconds: its limit, and what must be left for it
    to begin."""

    method: str
    batch: int
    seconds: float
    micro_batch: int = 250
    rounds: int = 3
    compile: bool = False


PARTS = [
    Part("Euclidean CL", 2000, 45),
    Part("hyperbolic CL", 2000, 45),
    Part(SEL, 2000, 45),
    Part("hyperbolic, nested", 2000, 45),
    Part(SEL, 8000, 70, micro_batch=500, rounds=2),
    Part(SEL, 16000, 100, micro_batch=500, rounds=1),
    Part(SEL, 2000, 100, compile=True),
]
# Compilation needs a compiler: the rehearsal leaves it out.
TOY_PARTS = [
    Part("Euclidean CL", 8, 100, micro_batch=4, rounds=1),
    Part("hyperbolic, nested", 8, 100, micro_batch=4, rounds=1),
    Part(SEL, 16, 100, micro_batch=4, rounds=1),
]


class Check:
    """What was found so far, and the time that is left.

    Args:
        folder: takes `gpu.json`. seconds: of everything. toy: a rehearsal.
    """

    def __init__(self, folder: Path, seconds: float, toy: bool) -> None:
        self.folder, self.toy = folder, toy
        self.end = time.monotonic() + seconds - RESERVE
        self.found: dict = {"machine": _machine(), "toy": toy, "tests": {}, "steps": []}
        folder.mkdir(parents=True, exist_ok=True)

    def left(self) -> float:
        """Seconds until everything must be done."""
        return self.end - time.monotonic()

    def write(self) -> None:
        """Write `gpu.json`."""
        text = json.dumps(self.found, indent=1)
        (self.folder / "gpu.json").write_text(text + "\n", encoding="utf-8")

    def run_tests(self) -> None:
        """The tests marked `cuda`: each one's outcome and seconds."""
        with tempfile.TemporaryDirectory() as temporary:
            report = Path(temporary) / "report.xml"
            options = ["-m", "cuda", "-q", "-o", "addopts=", f"--junitxml={report}"]
            plugins = ["-p", "no:cacheprovider", "-p", "no:nbval", "-p", "no:xdist"]
            command = [sys.executable, "-m", "pytest", "tests/cuda", *options, *plugins]
            ended = _run(command, min(TEST_SECONDS, self.left()))
            self.found["tests"] = {"ended": ended, "cases": outcomes(report)}
        self.write()

    def measure(self, part: Part) -> None:
        """One row, or a row that says why there is no figure."""
        named = {"method": part.method, "batch": part.batch, "compiled": part.compile}
        if self.left() < part.seconds / 2:
            row = named | {"failed": "no time left"}
        else:
            with tempfile.TemporaryDirectory() as temporary:
                lines = Path(temporary) / "lines.json"
                ended = _run(self._command(part, lines), min(part.seconds, self.left()))
                row = (
                    json.loads(lines.read_text("utf-8"))
                    if lines.exists()
                    else named | {"failed": ended}
                )
        self.found["steps"].append(row)
        self.write()
        print(json.dumps(row), flush=True)

    def _command(self, part: Part, lines: Path) -> list[str]:
        numbers = {
            "--batch": part.batch,
            "--micro-batch": part.micro_batch,
            "--rounds": part.rounds,
        }
        command = [sys.executable, "-m", "benchmarks.gpu.steps", "--method", part.method]
        command += [word for name, value in numbers.items() for word in (name, str(value))]
        command += ["--toy"] * self.toy + ["--compile"] * part.compile
        return [*command, "--output", str(lines)]


def outcomes(report: Path) -> dict[str, dict[str, float | str]]:
    """Each test of pytest's XML report: `passed`, `failed` or `skipped`, seconds, and why it was
    skipped or failed."""
    if not report.exists():
        return {}
    cases = {}
    for case in ElementTree.parse(report).iter("testcase"):
        children = [child for child in case if child.tag in ("failure", "error", "skipped")]
        why = children[0].get("message", "").split("\n")[0][:200] if children else ""
        tag = children[0].tag if children else "passed"
        name = f"{case.get('classname', '').split('.')[-1]}::{case.get('name')}"
        cases[name] = {
            "outcome": {"failure": "failed", "error": "failed"}.get(tag, tag),
            "seconds": float(case.get("time", 0)),
            **({"why": why} if why else {}),
        }
    return cases


def _run(command: list[str], seconds: float) -> str:
    """How a command ended: `done`, `out of time`, or the last line of what it said."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return "out of time"
    if done.returncode == 0:
        return "done"
    lines = (done.stdout + done.stderr).strip().split("\n")
    return lines[-1][:300]


def _machine() -> dict[str, str | None]:
    # In a process of its own: this one must not hold memory of the GPU.
    code = (
        "import json, torch; gpu = torch.cuda.is_available();"
        "print(json.dumps({'torch': torch.__version__,"
        " 'gpu': torch.cuda.get_device_name() if gpu else None}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {"python": platform.python_version(), **json.loads(done.stdout.strip().split("\n")[-1])}


def tabulate(found: dict, folder: Path) -> None:
    """Write the rows that have a figure as a table."""
    steps = pd.DataFrame([row for row in found["steps"] if "s/step" in row])
    if steps.empty:
        return
    steps["batch"] = steps["batch"].astype(str)
    steps["compiled"] = steps["compiled"].map({True: "yes", False: "no"})
    machine = found["machine"]
    note = (
        f"{machine['gpu'] or 'CPU'}, PyTorch {machine['torch']}, random weights,"
        " full fine-tuning, gradient caching. FLOP/s count the second forward pass too."
    )
    caption = "One training step of the paper's models"
    if found["toy"]:
        caption += ", toy size"
    write_table(frame_table(steps), "gpu", folder, caption=caption, note=note, dataset="random")


def main(arguments: list[str] | None = None) -> None:
    """Run all parts; exit with 1 where a test failed or a figure is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toy", action="store_true", help="rehearse at toy size, anywhere")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "gpu")
    parser.add_argument("--tables", type=Path, default=ROOT / "tables" / "benchmarks")
    parser.add_argument("--seconds", type=float, default=LIMIT, help="of everything")
    parser.add_argument("--no-tests", action="store_true", help="leave the tests out")
    given = parser.parse_args(arguments)
    check = Check(given.output, given.seconds, given.toy)
    if check.found["machine"]["gpu"] is None and not given.toy:
        sys.exit("No GPU is available here: run benchmarks/gpu.sh on one, or rehearse with --toy.")
    if not given.no_tests:
        check.run_tests()
    counted = Counter(case["outcome"] for case in check.found["tests"].get("cases", {}).values())
    print("tests:", dict(counted), flush=True)
    for part in TOY_PARTS if given.toy else PARTS:
        check.measure(part)
    tabulate(check.found, given.output if given.toy else given.tables)
    if counted["failed"] or any("failed" in row for row in check.found["steps"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
