"""A run that is killed goes on, and ends as if it had not been."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hypertax.runs import Run

TRAIN = """
import sys
import numpy as np, pandas as pd
from hypertax.config import RunConfig
from hypertax.train import train
rng = np.random.default_rng(0)
rows = []
for s in range(8):
    bases = rng.choice(list("ACGT"), 600)
    for i in range(40):
        read = bases.copy()
        read[rng.integers(0, 600, 12)] = "A"
        split = ("train_seen", "train_seen", "seen_keys", "val_seen")[i % 4]
        rows.append([f"{s}-{i}", None, "".join(read), "O", f"F{s // 4}", f"G{s // 2}", f"S{s}", split])
table = pd.DataFrame(rows, columns=["sampleid", "image", "barcode", "order", "family", "genus", "species", "split"])
train(RunConfig.create("tiny", epochs=6, batch_size=16), table, output=sys.argv[1], progress=False)
"""


def start(folder: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", TRAIN, str(folder)], env={**os.environ, "OMP_NUM_THREADS": "1"})


def kill_after_a_checkpoint(folder: Path, seen: int | None) -> int:
    """Start, wait for a checkpoint newer than `seen`, kill; the checkpoint's time."""
    running = start(folder)
    while running.poll() is None:
        written = [path.stat().st_mtime_ns for path in folder.glob("*/checkpoint.pt")]
        if written and written[0] != seen:
            running.send_signal(signal.SIGKILL)
            running.wait(timeout=60)
            return written[0]
        time.sleep(0.005)
    raise AssertionError("the run ended before it could be killed")


@pytest.mark.slow
def test_kill_9_after_any_epoch(tmp_path):
    assert start(tmp_path / "whole").wait(timeout=300) == 0
    seen = None
    for _ in range(3):
        seen = kill_after_a_checkpoint(tmp_path / "cut", seen)
    assert start(tmp_path / "cut").wait(timeout=300) == 0
    whole, cut = (Run(next((tmp_path / name).glob("hyperbolic-*"))) for name in ("whole", "cut"))
    pd.testing.assert_frame_equal(whole.history.drop(columns="seconds"), cut.history.drop(columns="seconds"), check_exact=True)
    assert np.array_equal(whole.embeddings().tangent, cut.embeddings().tangent)
    assert not [path for path in cut.folder.iterdir() if path.name.startswith((".", "checkpoint", "best"))], "nothing half-written stays"
