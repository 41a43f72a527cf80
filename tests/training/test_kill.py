"""A run that is killed goes on, and ends as if it had not been."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from hypertax.training.runs import Run

TRAIN = """
import sys
sys.path.insert(0, sys.argv[2])
from small_reads import small_reads
from hypertax.config.run_config import RunConfig
from hypertax.training.trainer import train_here
table = small_reads(40, ("train_seen", "train_seen", "seen_keys", "val_seen"))
config = RunConfig.create("tiny", epochs=12, batch_size=16, checkpoint_steps=2)
train_here(config, table, output=sys.argv[1], progress=False)
"""


def start(folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN, str(folder), str(Path(__file__).parents[1])],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def progress(folder: Path) -> tuple[int, int]:
    """Epochs and further steps in the checkpoint; (0, 0) without one."""
    written = sorted(folder.glob("*/checkpoint*.pt"), reverse=True)
    if not written:
        return 0, 0
    state = torch.load(written[0], weights_only=True)
    return state["epoch"], state["batch"]


def kill_after(folder: Path, begun: Callable[[], bool], seconds: float) -> None:
    """Start, wait until it has `begun` and some seconds more, kill."""
    running = start(folder)
    while running.poll() is None and not begun():
        time.sleep(0.002)
    time.sleep(seconds)
    assert running.poll() is None, "the run ended before it could be killed"
    running.send_signal(signal.SIGKILL)
    running.wait(timeout=60)


def written_anew(folder: Path) -> Callable[[], bool]:
    """Whether there is a checkpoint that was not there when this was called."""

    def stamps():
        return [path.stat().st_mtime_ns for path in folder.glob("*/checkpoint.pt")]

    before = stamps()
    return lambda: stamps() not in ([], before)


@pytest.mark.slow
def test_kill_9_ten_times_at_random_moments(tmp_path):
    """Seven while it trains, a checkpoint every other step; three as it starts, when there is
    something to lose already."""
    assert start(tmp_path / "whole").wait(timeout=300) == 0
    cut = tmp_path / "cut"
    moments = np.random.default_rng(0)
    reached = [(0, 0)]
    for i in range(10):
        if i in (2, 5, 8):
            kill_after(cut, lambda: True, moments.uniform(0.5, 6))
        else:
            kill_after(cut, written_anew(cut), moments.uniform(0, 0.2))
        reached.append(progress(cut))
    assert reached == sorted(reached), "a checkpoint is never replaced by an earlier one"
    assert len(set(reached)) >= 6 and any(batch for _, batch in reached) and reached[-1][0] < 12, (
        reached
    )
    assert start(cut).wait(timeout=300) == 0
    whole, cut = (Run(next((tmp_path / name).glob("hyperbolic-*"))) for name in ("whole", "cut"))
    pd.testing.assert_frame_equal(
        whole.history.drop(columns="seconds"), cut.history.drop(columns="seconds"), check_exact=True
    )
    assert (whole.folder / "model.safetensors").read_bytes() == (
        cut.folder / "model.safetensors"
    ).read_bytes()
    assert np.array_equal(whole.embeddings().tangent, cut.embeddings().tangent)
    assert not [
        path for path in cut.folder.iterdir() if path.name.startswith((".", "checkpoint", "best"))
    ], "nothing half-written stays"
