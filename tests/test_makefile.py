"""The Makefile's first contact: what it lists, and the one sentence that it says where it cannot
set up."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hypertax.files import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not on this machine")
TOOLS = ("sh", "make", "df", "awk", "ls", "mkdir", "dirname", "grep", "rm", "touch", "cat", "uname")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What setting up reads, in a folder with a space in its name."""
    folder = tmp_path / "hyper tax"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    kept = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", **environment}
    command = [shutil.which("make"), *arguments]
    return subprocess.run(
        command, check=False, cwd=folder, env=kept, capture_output=True, text=True, timeout=60
    )


def sentence(done: subprocess.CompletedProcess) -> str:
    """The one line before make's own."""
    assert done.returncode != 0
    said, own = done.stderr.splitlines()
    assert own.startswith("make: ***")
    return said


def test_make_lists_every_target(clone):
    targets = set(re.findall(r"(?m)^\.PHONY: (.+)$", (ROOT / "Makefile").read_text())[0].split())
    said = make(clone).stdout
    listed = set(re.findall(r"(?m)^make (\S+) +\S", said))
    assert (
        listed == targets
        and {"paper", "test", "test-all", "bench", "sweeps", "notebooks", "clean"} <= targets
    )
    options = set(re.findall(r"(\w+)=", said.partition("Options of make paper")[2]))
    assert options == {"DATASET", "PRESET", "SEEDS", "GROUP", "CORES", "PROFILE"}


def test_without_python_it_says_what_to_install(clone):
    tools = clone / "tools"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(shutil.which(tool))
    (tools / "python3.12").write_text("#!/bin/sh\nexit 127\n")
    (tools / "python3.12").chmod(0o755)
    assert sentence(make(clone, "paper", PATH=str(tools))).startswith(
        "Python 3.11 to 3.13 with its venv module was not found: install one"
    )
    assert not (clone / ".venv").exists()


def test_without_room_it_says_how_much_is_needed(clone):
    said = sentence(make(clone, "test", "NEEDED_GB=999999"))
    assert re.match(
        r"The environment takes about 999999 GB and \d+ GB are free here: free some", said
    )


def test_a_folder_with_other_things_in_it_is_left_alone(clone):
    (clone / "mine").mkdir()
    (clone / "mine" / "thesis.tex").write_text("x")
    assert sentence(make(clone, "setup", "VENV=mine")).startswith(
        "mine is a folder with other things in it"
    )
    assert [path.name for path in (clone / "mine").iterdir()] == ["thesis.tex"]


def test_an_environment_that_another_make_is_installing_is_left_alone(clone):
    unfinished = clone / ".venv" / ".unfinished"
    unfinished.parent.mkdir()
    unfinished.write_text(f"{os.getpid()}\n")
    assert sentence(make(clone, "test")).startswith(
        "Another make is installing into .venv: run the same command again when it is done"
    )
    assert unfinished.read_text() == f"{os.getpid()}\n"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    unfinished.write_text(f"{ended.pid}\n")
    assert "free here" in sentence(make(clone, "test", "NEEDED_GB=999999"))
    assert not unfinished.exists()


def test_clean_keeps_what_took_long(clone):
    kept = {"runs/x/model.safetensors", "data/bioscan1m/a.tsv", "tables/simulated/a.csv"}
    for path in (*kept, "runs/.stamps/simulated/x.done", "data/simulated-seed0-1/a", "out.ipynb"):
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        (clone / path).write_text("")
    for folder in ("hypertax/geometry", "benchmarks", "tests/geometry", "notebooks"):
        (clone / folder / "__pycache__").mkdir(parents=True)
    assert make(clone, "clean").returncode == 0
    left = {path.relative_to(clone).as_posix() for path in clone.rglob("*") if path.is_file()}
    assert left == {"Makefile", "pyproject.toml", "constraints.txt", *kept}
    assert not list(clone.rglob("__pycache__"))
