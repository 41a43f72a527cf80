"""What the cluster's profile asks a real scheduler: Slurm on one node, started and stopped here.

It needs root and Debian's packages slurm-wlm and munge.
"""

import os
import shutil
import subprocess
import time

import pytest

from hypertax.files import ROOT

SERVER = ROOT / "tests" / "one_node_slurm.sh"
PROGRAMS = ("slurmctld", "slurmd", "munged")
SEARCHED = f"{os.environ['PATH']}:/usr/sbin"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(shutil.which(name, path=SEARCHED) is None for name in PROGRAMS) or os.geteuid() != 0,
        reason="needs root, and Slurm: apt-get install slurm-wlm munge",
    ),
]


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """The folder of a running Slurm, whose commands find it."""
    folder = tmp_path / "slurm"
    subprocess.run(["sh", str(SERVER), "start", str(folder)], check=True, timeout=100)
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    yield folder
    subprocess.run(["sh", str(SERVER), "stop", str(folder)], check=True, timeout=60)


def jobs(state: str) -> dict[str, str]:
    """Numbers of the jobs in a state, by their name."""
    command = ["squeue", "--all", "--noheader", f"--states={state}", "--format=%j %i"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    return dict(line.split() for line in done.stdout.splitlines())


def wait_for(what, seconds: float):
    """The first true value of `what`, asked again and again."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("It did not happen in time.")


@pytest.mark.parametrize(
    "script, state", [("true", "success"), ("exit 3", "failed"), ("sleep 100", "failed")]
)
def test_the_state_of_a_job_is_told(slurm, tmp_path, script, state):
    """A job that ends, one that fails, one that is cancelled as it runs; then one nobody knows."""
    ask = [str(ROOT / "profiles" / "slurm" / "status.sh")]

    def told(number: str) -> str:
        command = [*ask, number]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        return done.stdout.strip()

    job = tmp_path / "job.sh"
    job.write_text(f"#!/bin/sh\n{script}\n")
    submit = ["sbatch", "--parsable", "--mem=100", "--output=/dev/null", str(job)]
    number = subprocess.run(submit, capture_output=True, text=True, check=True).stdout.strip()
    if script.startswith("sleep"):
        wait_for(lambda: jobs("RUNNING"), 30)
        assert told(number) == "running"
        subprocess.run(["scancel", number], check=True, timeout=20)
    assert wait_for(lambda: told(number) != "running" and told(number), 30) == state
    assert told("99999") == "failed"

