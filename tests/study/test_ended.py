"""A pipeline that is ended takes its steps with it, and one that still runs keeps others away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from hypertax.files import ROOT
from hypertax.study.processes import alone

from test_pipeline import make_paper, notebook, repository  # noqa: F401

ALONE = """
import subprocess, sys
from pathlib import Path
from hypertax.study.processes import alone
with alone(Path(sys.argv[1])) as (lock, alive):
    child = subprocess.Popen([sys.executable, "-c", "import sys; print('up', flush=True);"
        " sys.stdin.read()"], pass_fds=(lock,), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    print(child.pid, flush=True)
    sys.stdin.read()
"""


def marked(mark: str) -> list[psutil.Process]:
    """The living processes whose environment has a mark."""
    found = []
    for process in psutil.process_iter():
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and process.environ().get("HYPERTAX_MARK") == mark:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def wait_until(what, seconds: float):
    until = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def test_a_pipeline_that_is_gone_keeps_others_away_while_what_it_started_runs(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", ALONE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        child = psutil.Process(int(first.stdout.readline()))
        with pytest.raises(ValueError, match="Another `make paper` is running"), alone(tmp_path):
            pass
        first.kill()
        first.wait()
        if child.is_running():  # It reads from a pipe that has just been closed.
            with pytest.raises(ValueError), alone(tmp_path):
                pytest.skip("the child ended before the lock was tried")
    child.wait(10)
    with alone(tmp_path):
        pass


def test_steps_that_still_stop_keep_a_pipeline_away(tmp_path):
    code = (
        "import sys; from pathlib import Path; from hypertax.study.processes import as_step\n"
        "with as_step(Path(sys.argv[1])):\n    print('up', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as step:
        step.stdout.readline()
        with pytest.raises(ValueError, match="are still stopping"), alone(tmp_path):
            pass
        step.communicate()
    with alone(tmp_path):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_pipeline_that_is_ended_takes_its_steps_with_it(number, repository):  # noqa: F811
    begun = repository / "begun"
    code = f"import time, pathlib\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(300)"
    whole = (repository / "notebooks" / "02_train_euclidean.ipynb").read_text()
    notebook(repository / "notebooks" / "02_train_euclidean.ipynb", code)
    mark = uuid.uuid4().hex
    command = [sys.executable, "-m", "hypertax.study.pipeline", "paper", "--seeds", "1"]
    environment = {**os.environ, "PYTHONPATH": str(repository), "HYPERTAX_MARK": mark}
    environment.setdefault("HYPERTAX_DATA", str(ROOT / "data"))
    running = subprocess.Popen(
        [*command, "--cores", "2"],
        cwd=repository,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert wait_until(begun.exists, 400), "the notebook began"
    assert len(marked(mark)) >= 4, "the pipeline, Snakemake, a step and its notebook"
    running.send_signal(number)
    running.wait(60)
    assert wait_until(lambda: not marked(mark), 60), marked(mark)
    assert not list(repository.rglob(".hypertax-*"))
    (repository / "notebooks" / "02_train_euclidean.ipynb").write_text(whole)
    code, output = make_paper(repository)
    assert code == 0, output
    assert {p.name for p in Path(repository / "tables" / "simulated").iterdir()} == {
        "main.csv",
        "shared.csv",
        "splits.csv",
    }
