"""Broken checkpoints, damaged runs, two processes on one run, devices that are not there, numbers
that are none."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_reads import small_reads

from hypertax.config.devices import require_device
from hypertax.config.run_config import RunConfig
from hypertax.files import NotWritten
from hypertax.training.checkpoints import TrainingInterrupted
from hypertax.training.divergence import TrainingDiverged, require_finite_weights
from hypertax.training.launch import train
from hypertax.records import NEEDED, damage
from hypertax.training.runs import finished, runs_folder
from hypertax.training.trainer import Trainer, train_here

CONFIG = RunConfig.create("tiny", epochs=3, batch_size=16, embed_dim=8)


@pytest.fixture(scope="module")
def table():
    return small_reads(12, ("train_seen", "train_seen", "seen_keys", "val_seen"))


@pytest.fixture(scope="module")
def whole(table, tmp_path_factory):
    return train_here(CONFIG, table, output=tmp_path_factory.mktemp("whole"), progress=False)


def weights(run) -> bytes:
    return (run.folder / "model.safetensors").read_bytes()


def stopped_after(epochs, table, output, monkeypatch) -> Path:
    """The folder of a run that was interrupted after a number of epochs."""
    save = Trainer.checkpoint

    def save_and_stop(self):
        save(self)
        if self.at.epoch == epochs:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "checkpoint", save_and_stop)
        with pytest.raises(TrainingInterrupted):
            train_here(CONFIG, table, output=output, progress=False)
    (folder,) = output.glob("hyperbolic-*")
    return folder


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def text(path: Path) -> None:
    path.write_text("not a checkpoint")


def poison(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    next(iter(state["model"].values())).view(-1)[0] = float("nan")
    torch.save(state, path)


def other(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    state["model"].pop(next(iter(state["model"])))
    torch.save(state, path)


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("harm", [empty, cut, flip, text, poison, other, folder_instead])
def test_a_broken_checkpoint_is_set_aside_and_the_one_before_it_serves(
    harm, table, whole, tmp_path, monkeypatch, capsys
):
    folder = stopped_after(2, table, tmp_path, monkeypatch)
    harm(folder / "checkpoint.pt")
    capsys.readouterr()
    with pytest.warns(UserWarning, match="is not whole .*broken-checkpoint.pt, and the one before"):
        again = train_here(CONFIG, table, output=tmp_path)
    assert "Going on after epoch 1 of 3" in capsys.readouterr().out
    assert weights(again) == weights(whole)
    assert not list(folder.glob("*checkpoint*.pt")) or harm is folder_instead


def test_best_weights_that_are_broken_are_noticed(table, whole, tmp_path, monkeypatch):
    folder = stopped_after(2, table, tmp_path, monkeypatch)
    for best in folder.glob("best-*"):
        flip(best)
    with pytest.warns(UserWarning, match="best weights that belong to it"):
        again = train_here(CONFIG, table, output=tmp_path, progress=False)
    assert weights(again) == weights(whole)


def test_a_checkpoint_that_runs_a_program_runs_none(table, tmp_path, monkeypatch):
    folder = stopped_after(1, table, tmp_path, monkeypatch)

    class Program:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"model": Program()}, folder / "checkpoint.pt")
    with pytest.warns(UserWarning, match="no checkpoint"):
        train_here(CONFIG, table, output=tmp_path, progress=False)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", NEEDED)
def test_a_damaged_run_is_not_used(name, table, tmp_path):
    run = train_here(CONFIG, table, output=tmp_path, progress=False)
    kept = weights(run)
    assert damage(run.folder) is None and finished(run.folder)
    flip(run.folder / name)
    assert damage(run.folder) == f"{name} is not what was written"
    with pytest.warns(UserWarning, match=f"is damaged .{name} is not what was written"):
        again = train_here(CONFIG, table, output=tmp_path, progress=False)
    assert weights(again) == kept and damage(run.folder) is None
    (run.folder / name).unlink()
    assert damage(run.folder) == f"{name} is missing"


def test_a_record_without_files_is_none(tmp_path):
    for said in ("{}", "", "[]", json.dumps({"files": {"../x": {}}}), '{"files": {"a": 3}}'):
        (tmp_path / "environment.json").write_text(said)
        assert damage(tmp_path)


def test_hidden_files_of_others_stay(table, tmp_path, monkeypatch):
    folder = stopped_after(1, table, tmp_path, monkeypatch)
    (folder / ".notes").mkdir()
    (folder / ".notes" / "mine").write_text("mine")
    train_here(CONFIG, table, output=tmp_path, progress=False)
    assert (folder / ".notes" / "mine").read_text() == "mine"


BOTH = """
import sys
sys.path.insert(0, sys.argv[2])
from test_accidents import CONFIG
from small_reads import small_reads
from hypertax.training.trainer import train_here
table = small_reads(12, ("train_seen", "train_seen", "seen_keys", "val_seen"))
train_here(CONFIG, table, output=sys.argv[1])
"""


def start(output: Path) -> subprocess.Popen:
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests / "training"), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", BOTH, str(output), str(tests)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True])
def test_of_two_processes_on_one_run_one_trains(killed, whole, tmp_path):
    """The other one takes the result, or goes on where the first one was killed."""
    both = [start(tmp_path), start(tmp_path)]
    if killed:
        while not list(tmp_path.glob("*/checkpoint.pt")):
            time.sleep(0.01)
        both[0].send_signal(signal.SIGKILL)
    said = [process.communicate(timeout=200)[0] for process in both]
    assert [process.returncode for process in both] == [-signal.SIGKILL if killed else 0, 0]
    trained = [text for text in said if "parameters," in text]
    assert killed or len(trained) == 1, said
    (folder,) = tmp_path.glob("hyperbolic-*")
    assert damage(folder) is None and weights(finished(folder)) == weights(whole)


def test_a_run_that_another_process_trains_is_waited_for_in_one_line(table, tmp_path, capsys):
    folder = tmp_path / "a"
    code = (
        "import sys, time; from pathlib import Path; from hypertax.training.locks import *\n"
        "with training_alone(Path(sys.argv[1]), print):\n"
        "    print('has it', flush=True); time.sleep(4)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout.readline() == "has it\n"
        from hypertax.training.locks import training_alone

        said = []
        with training_alone(folder, said.append):
            assert first.wait(10) == 0
    assert len(said) == 1 and "waiting until it is done" in said[0]


def test_a_device_that_is_not_there_is_refused_before_anything_else(table, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("cuda", "mps"):
        with pytest.raises(ValueError, match=f"^device must be 'auto' or 'cpu' here, not '{name}'"):
            train(CONFIG.__class__.create(device=name), table, output=tmp_path)
        with pytest.raises(ValueError, match="no such device"):
            RunConfig.from_notebook({"device": name, "dataset": "simulated"}, space="lorentz")
    assert list(tmp_path.iterdir()) == []
    require_device("auto")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    require_device("cuda")
    with pytest.raises(ValueError, match="^device must be 'auto', 'cuda' or 'cpu' here, not 'mps'"):
        require_device("mps")


def test_an_output_that_is_no_folder_is_refused(table, tmp_path):
    (tmp_path / "file").write_text("")
    for output, words in ((2024, "must be the path of a folder"), (tmp_path / "file", "a folder,")):
        with pytest.raises(ValueError, match=f"^output must be .*{words[-8:]}"):
            train(CONFIG, table, output=output)
    with pytest.raises(NotWritten):
        train(CONFIG, table, output=tmp_path / "file" / "runs")
    assert runs_folder(None).name == "runs"


def test_a_gradient_that_is_no_number_stops_the_training(table, tmp_path, monkeypatch):
    def clip(*_):
        return torch.tensor(float("nan"))

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip)
    with pytest.raises(TrainingDiverged, match="The gradient is not finite in epoch 1 of .*lower"):
        train_here(CONFIG, table, output=tmp_path, progress=False)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_stops_the_training(value):
    model = torch.nn.Linear(3, 2)
    require_finite_weights(model, 1, "run")
    with torch.no_grad():
        model.weight[1, 1] = value
    with pytest.raises(TrainingDiverged, match="The weight is not finite in epoch 4 of run"):
        require_finite_weights(model, 4, "run")


@pytest.mark.parametrize("when", ["environment.json", "checkpoint.pt", "model.safetensors"])
def test_a_full_disk_stops_a_training_in_one_sentence_and_it_goes_on(
    when, table, whole, tmp_path, monkeypatch
):
    replace = os.replace

    def full(source, target):
        if Path(target).name == when:
            raise OSError(28, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(NotWritten, match=f"{when} could not be written: the disk is full"):
            train_here(CONFIG, table, output=tmp_path, progress=False)
    again = train_here(CONFIG, table, output=tmp_path, progress=False)
    assert weights(again) == weights(whole)
