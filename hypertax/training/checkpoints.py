"""What a run keeps in its folder while it is trained: how far it has come, and the best weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from hypertax.files import atomic_path, shown
from hypertax.model.model import HypertaxModel
from hypertax.training.large_batch import random_state, set_random_state

CHECKPOINT, BEST = "checkpoint.pt", "best.safetensors"


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
        state = {
            **vars(progress),
            "where": self._where(),
            "seconds": seconds,
            "random": random,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        if self.first:
            with atomic_path(self.folder / CHECKPOINT) as temporary:
                torch.save(state, temporary)
        self.saved = (progress.epoch, progress.batch)

    def resume(self) -> tuple[Progress, float] | None:
        """Bring model, optimiser, schedule and random numbers to where the checkpoint was written.

        Returns how far that was and the seconds until then; None without a checkpoint.

        Raises:
            ValueError: the checkpoint lies within an epoch of other processes or another device.
        """
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return None
        state = torch.load(path, map_location="cpu", weights_only=True)
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
        self.saved = (progress.epoch, progress.batch)
        return progress, state["seconds"]

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
            f" {self.how_far(steps_per_epoch, epochs)}: the same cell or command goes on from there."
        )

    def save_best(self) -> None:
        """Keep the model's weights as the best so far."""
        if self.first:
            with atomic_path(self.folder / BEST) as temporary:
                save_file(
                    {name: value.contiguous() for name, value in self.model.state_dict().items()},
                    temporary,
                )

    def load_best(self) -> None:
        """Give the first process's model the best weights."""
        if self.first:
            self.model.load_state_dict(load_file(self.folder / BEST))

    def remove(self) -> None:
        """Delete both files: the run is finished."""
        for leftover in (CHECKPOINT, BEST):
            (self.folder / leftover).unlink(missing_ok=True)

    def _where(self) -> list:
        return [self.accelerator.num_processes, self.device.type]
