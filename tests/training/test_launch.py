"""A whole training in two processes: one run folder, equal weights, interruption; and the commands
that start it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from small_reads import small_reads

import hypertax.training.launch
from hypertax.config.run_config import RunConfig
from hypertax.files import ROOT
from hypertax.training.launch import main, train
from hypertax.training.runs import Run
from hypertax.training.trainer import TrainingInterrupted, train_here

PARAMETERS: dict = {
    "epochs": 3,
    "batch_size": 18,
    "embed_dim": 16,
    "device": "cpu",
    "checkpoint_steps": 2,
    "micro_batch": 4,
}

WORKER = """
import sys
import torch
from hypertax.config.run_config import RunConfig
from hypertax.data import load_specimens
from hypertax.training.trainer import Trainer, train_here

output, stop = sys.argv[2], int(sys.argv[3])
made = []

def checkpoint(self):
    own = torch.cat([p.detach().double().flatten() for p in self.model.parameters()])
    whole = self.accelerator.gather(own[None])
    assert len(whole) == 2 and torch.equal(whole[0], whole[1]), "the processes' weights are equal"
    saved(self)
    made.append(self.at)
    if len(made) == stop:
        raise KeyboardInterrupt

saved, Trainer.checkpoint = Trainer.checkpoint, checkpoint
table = load_specimens(sys.argv[1])
train_here(RunConfig.create("tiny", **PARAMETERS), table, output=output, progress=False)
assert made
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    reads = small_reads(20, ("train_seen", "train_seen", "seen_keys", "val_seen", "test_seen"))
    reads.to_csv(tmp_path / "reads.tsv", sep="\t", index=False)
    return tmp_path / "reads.tsv"


def in_two_processes(*arguments: str) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        *arguments,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, cwd=ROOT
    )


@pytest.mark.slow
def test_two_processes_make_one_run_and_go_on_after_an_interruption(table, tmp_path):
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER.replace("**PARAMETERS", f"**{PARAMETERS}"))
    done = in_two_processes(str(worker), str(table), str(tmp_path / "whole"), "0")
    assert done.returncode == 0, done.stderr[-3000:]
    # The third checkpoint is within an epoch of 4 steps.
    assert in_two_processes(str(worker), str(table), str(tmp_path / "cut"), "3").returncode != 0
    assert in_two_processes(str(worker), str(table), str(tmp_path / "cut"), "0").returncode == 0
    whole, cut = (Run(next((tmp_path / name).iterdir())) for name in ("whole", "cut"))
    assert list(whole.history["epoch"]) == [0, 1, 2, 3] and whole.environment["processes"] == 2
    pd.testing.assert_frame_equal(
        whole.history.drop(columns="seconds"), cut.history.drop(columns="seconds"), check_exact=True
    )
    weights = [load_file(run.folder / "model.safetensors") for run in (whole, cut)]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert whole.history["loss"].iloc[-1] < whole.history["loss"].iloc[1]


@pytest.mark.slow
def test_the_launched_command_makes_the_run_that_a_notebook_finds(table, tmp_path):
    given = [
        f"-p {name} {value}".split()
        for name, value in {**PARAMETERS, "dataset": table, "output": tmp_path / "runs"}.items()
    ]
    done = in_two_processes(
        "-m", "hypertax.training.launch", *(word for part in given for word in part)
    )
    assert done.returncode == 0 and done.stdout.count("is finished.") == 1, (
        done.stdout + done.stderr[-3000:]
    )
    from hypertax.data import load_specimens

    specimens = load_specimens(str(table))
    run = train_here(
        RunConfig.create("tiny", dataset=str(table), **PARAMETERS),
        specimens,
        output=tmp_path / "runs",
        progress=False,
    )
    assert run.environment["processes"] == 2 and len(list((tmp_path / "runs").iterdir())) == 1


@pytest.mark.slow
def test_a_notebooks_processes(table, tmp_path):
    """As in a notebook's kernel: a new interpreter, since processes are forked from it."""
    code = f"""
from hypertax.config.run_config import RunConfig
from hypertax.data import load_specimens
from hypertax.training.launch import train
table, output = load_specimens({str(table)!r}), {str(tmp_path / "runs")!r}
given = {PARAMETERS}
config = RunConfig.create("tiny", **{{**given, "device": "auto"}})
run = train(config, table, output=output, processes=2)
assert run.environment["processes"] == 2 and len(run.embeddings()) > 0
train(RunConfig.create("tiny", seed=1, **given), table, output=output)
try:
    train(RunConfig.create("tiny", seed=2, **given), table, processes=2)
except ValueError as error:
    assert "Restart the kernel" in str(error)
else:
    raise AssertionError("processes were forked from one that knows itself alone")
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_a_process_that_stops_says_why(table, tmp_path):
    code = f"""
import hypertax.training.trainer
from hypertax.config.run_config import RunConfig
from hypertax.data import load_specimens
from hypertax.training.launch import train
def diverged(self, model, batch):
    return {{"loss": model.log_logit_scale * float("nan")}}
hypertax.training.trainer.LargeBatch.backward = diverged
table, output = load_specimens({str(table)!r}), {str(tmp_path / "runs")!r}
train(RunConfig.create("tiny", **{PARAMETERS}), table, output=output, processes=2)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "RuntimeError: The loss is not finite in epoch 1 of hyperbolic-cl-sel-seed0-"
    ), done.stderr[-2000:]


def test_what_cannot_be_launched_is_said_in_one_sentence(table, tmp_path, capsys):
    config = RunConfig.create("tiny", **PARAMETERS)
    with pytest.raises(ValueError, match="processes must be a whole number of at least 1, not 0"):
        train(config, pd.DataFrame(), processes=0)
    for arguments, sentence in (
        (["-p", "curvature", "-1"], "curvature must be"),
        (["-p", "dataset", "nowhere.tsv"], "nowhere.tsv was not found"),
        (["-p", "pace", "3"], "pace is not a parameter"),
    ):
        assert main(arguments) == 1
        assert sentence in capsys.readouterr().err.splitlines()[-1]


def test_an_interrupted_command_ends_as_a_shell_expects(table, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise TrainingInterrupted("Interrupted; saved up to epoch 1 of 3.")

    monkeypatch.setattr(hypertax.training.launch, "train_here", interrupted)
    assert main(["-p", "dataset", str(table)]) == 130
    # The line before says what was read of the table.
    assert capsys.readouterr().err.splitlines()[-1] == "Interrupted; saved up to epoch 1 of 3."


def test_a_misspelt_parameter_of_the_command_is_answered_with_the_nearest(capsys):
    for name, near in (("recip", "recipe"), ("outptu", "output")):
        assert main(["-p", name, "x"]) == 1
        assert capsys.readouterr().err == (
            f"{name} is not a parameter of a run; did you mean {near}?\n"
        )
