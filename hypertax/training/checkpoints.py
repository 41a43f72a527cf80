"""What a run keeps in its folder while it is trained: how far it has come, twice, and the best
weights. A checkpoint that is not whole is set aside, and the one before it serves."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from hypertax.files import atomic_path, shown
from hypertax.model.model import HypertaxModel
from hypertax.training.large_batch import random_state, set_random_state
from hypertax.records import digest

CHECKPOINT, BEFORE = "checkpoint.pt", "checkpoint-before.pt"
BEST, BROKEN = "best-{}.safetensors", "broken-"


@dataclass
class Progress:
    """How far a training has come.

    epoch: epochs finished. batch: steps made of the next one. sums: of its loss terms. best: the
    epoch with the highest validation score. history: a row per epoch.
    """

    epoch: int = 0
    batch: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    best: int | None = None
    history: list[dict] = field(default_factory=list)


class TrainingInterrupted(KeyboardInterrupt):
    """Somebody interrupted the training; the message says what is saved and how to go on."""

    def _render_traceback_(self) -> list[str]:
        # A notebook shows this instead of the traceback.
        return [str(self)]


class _Broken(Exception):
    """A checkpoint that cannot be used; the message says why in a few words."""


class Checkpoints:
    """The checkpoint and the best weights of a run in progress; the first process writes them.

    Args:
        folder: of the run.
        accelerator: of the processes.
        model, optimizer, schedule: what a checkpoint holds the state of.
    """

    def __init__(
        self,
        folder: Path,
        accelerator,
        model: HypertaxModel,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
    ) -> None:
        self.folder, self.accelerator = folder, accelerator
        self.device, self.first = accelerator.device, accelerator.is_main_process
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.saved: tuple[int, int] | None = None
        """Epochs, and steps of the next one, that the checkpoint holds; None without one."""
        self._best: list[int | None] = []
        """The best epochs of the last two checkpoints."""

    def save(self, progress: Progress, seconds: float) -> None:
        """Write the checkpoint; every process takes part, with its own random numbers.

        Args:
            progress: how far the training has come. seconds: that it has taken.
        """
        # Each is (processes, bytes).
        random = [
            self.accelerator.gather(state[None].to(self.device)).cpu()
            for state in random_state(self.device)
        ]
        # numpy's own numbers are none that a checkpoint may hold: it is read without running code.
        history = [
            {name: v.item() if isinstance(v, np.generic) else v for name, v in row.items()}
            for row in progress.history
        ]
        state = {
            **vars(progress),
            "history": history,
            "where": self._where(),
            "seconds": seconds,
            "random": random,
            "best_digest": self._best_digest(progress.best),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        if self.first:
            path = self.folder / CHECKPOINT
            with atomic_path(path) as temporary:
                torch.save(state, temporary)
                if path.is_file():
                    os.replace(path, self.folder / BEFORE)
            self._best = [*self._best[-1:], progress.best]
            kept = {BEST.format(epoch) for epoch in self._best}
            for old in self.folder.glob(BEST.format("*")):
                if old.name not in kept:
                    old.unlink()
        self.saved = (progress.epoch, progress.batch)

    def resume(self) -> tuple[Progress, float] | None:
        """Bring model, optimiser, schedule and random numbers to where the latest whole checkpoint
        was written. One that is not whole is renamed, with a warning.

        Returns how far that was and the seconds until then; None without a checkpoint.

        Raises:
            ValueError: the checkpoint lies within an epoch of other processes or another device.
        """
        broken, state = {}, None
        for name in (CHECKPOINT, BEFORE):
            if (self.folder / name).exists():
                try:
                    state = self._read(self.folder / name)
                    break
                except _Broken as error:
                    broken[name] = str(error)
        # Every process has read the same files; none is renamed while another one reads it.
        self.accelerator.wait_for_everyone()
        if self.first:
            self._set_aside(broken, state is not None)
        if state is None:
            return None
        progress = Progress(**{name: state[name] for name in vars(Progress())})
        if progress.batch and state["where"] != self._where():
            processes, device = state["where"]
            raise ValueError(
                f"{shown(self.folder)} was interrupted within an epoch of {processes} processes on"
                f" {device}: go on with the same, or delete it."
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if progress.batch:
            # An epoch begins with a seed of its own.
            set_random_state(
                [part[self.accelerator.process_index].clone() for part in state["random"]],
                self.device,
            )
        self.saved, self._best = (progress.epoch, progress.batch), [progress.best]
        return progress, state["seconds"]

    def _read(self, path: Path) -> dict:
        """What a checkpoint holds, if it is whole and fits this run.

        Raises:
            _Broken: it is not; says why.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                # `torch.load` finds a file that is cut off, but not every one that was changed.
                if any(part.compress_type for part in archive.infolist()) or archive.testzip():
                    raise _Broken("its content is not what was written")
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise _Broken("it is cut off or empty") from error
        except (pickle.UnpicklingError, NotImplementedError) as error:
            raise _Broken("it is no checkpoint") from error
        self._check(state)
        return state

    def _check(self, state: object) -> None:
        wanted = {*vars(Progress()), "where", "seconds", "random", "best_digest"}
        wanted |= {"model", "optimizer", "schedule"}
        if not isinstance(state, dict) or set(state) != wanted:
            raise _Broken("it is no checkpoint of this version")
        counts = [state["epoch"], state["batch"], 0 if state["best"] is None else state["best"]]
        if not all(isinstance(count, int) and count >= 0 for count in counts) or not (
            isinstance(state["history"], list) and len(state["history"]) == state["epoch"] + 1
        ):
            raise _Broken("its counts of epochs are wrong")
        own, saved = self.model.state_dict(), state["model"]
        if not isinstance(saved, dict) or set(own) != set(saved):
            raise _Broken("its weights are those of another model")
        for name, value in own.items():
            if not isinstance(saved[name], torch.Tensor) or saved[name].shape != value.shape:
                raise _Broken(f"{name} has another shape")
            if not torch.isfinite(saved[name]).all():
                raise _Broken(f"{name} is not finite")
        if state["best_digest"] != self._best_digest(state["best"]):
            raise _Broken("the best weights that belong to it are not whole")

    def _best_digest(self, epoch: int | None) -> str | None:
        path = self.folder / BEST.format(epoch)
        return digest(path) if epoch is not None and path.is_file() else None

    def _set_aside(self, broken: dict[str, str], another: bool) -> None:
        for name, why in broken.items():
            os.replace(self.folder / name, self.folder / f"{BROKEN}{name}")
            then = "the one before it serves" if another else "the training begins anew"
            warnings.warn(
                f"{shown(self.folder / name)} is not whole ({why}): it is now called"
                f" {BROKEN}{name}, and {then}.",
                stacklevel=3,
            )

    def how_far(self, steps_per_epoch: int, epochs: int) -> str:
        """What is saved, in words: `epoch 3 and 5 of 11 steps of 8`; there is something saved."""
        epoch, batch = self.saved
        within = f" and {batch} of {steps_per_epoch} steps" if batch else ""
        return f"epoch {epoch}{within} of {epochs}"

    def after_interruption(self, steps_per_epoch: int, epochs: int) -> str:
        """For somebody who interrupted the training: what is saved, and how to go on."""
        if self.saved is None:
            return (
                f"Interrupted before {shown(self.folder)} was saved for the first time: the same"
                " cell or command begins again."
            )
        return (
            f"Interrupted; {shown(self.folder)} is saved up to"
            f" {self.how_far(steps_per_epoch, epochs)}: the same cell or command goes on from"
            " there."
        )

    def save_best(self, epoch: int) -> None:
        """Keep the model's weights as the best so far, those of an epoch."""
        if self.first:
            with atomic_path(self.folder / BEST.format(epoch)) as temporary:
                save_file(
                    {name: value.contiguous() for name, value in self.model.state_dict().items()},
                    temporary,
                )

    def load_best(self, epoch: int) -> None:
        """Give the first process's model the best weights, those of an epoch."""
        if self.first:
            self.model.load_state_dict(load_file(self.folder / BEST.format(epoch)))

    def remove(self) -> None:
        """Delete all of these files: the run is finished."""
        for pattern in (CHECKPOINT, BEFORE, BEST.format("*"), f"{BROKEN}checkpoint*.pt"):
            for leftover in self.folder.glob(pattern):
                if leftover.is_file():
                    leftover.unlink(missing_ok=True)

    def _where(self) -> list:
        return [self.accelerator.num_processes, self.device.type]
