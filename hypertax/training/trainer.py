"""Training: the loop, the schedule, checkpoints and the history; `train` returns a finished run,
reused or resumed where there is one.

In several processes (`accelerate launch -m hypertax.training.launch ...`, or `processes` of the
notebooks) every one runs the same loop on its share of each batch; the first one alone validates,
embeds, writes and speaks.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader
from tqdm import tqdm

from hypertax.config.run_config import RunConfig
from hypertax.data import fingerprint
from hypertax.data.batches import Names, Specimens, loader
from hypertax.data.progress import progress_bar
from hypertax.data.split import KEY_SPLITS, TRAINING_SPLITS
from hypertax.embeddings import Embeddings
from hypertax.evaluation.accuracy import selection_score
from hypertax.evaluation.cones import geometry
from hypertax.files import atomic_path, processors, shown, write_text
from hypertax.geometry.spaces import CapSpace
from hypertax.model.model import HypertaxModel, build_model, embed
from hypertax.training.large_batch import LargeBatch, random_state, set_random_state
from hypertax.training.objective import Objective
from hypertax.training.runs import (
    Run,
    finished,
    peak_memory,
    run_name,
    runs_folder,
    write_environment,
)

MAX_GRADIENT_NORM = 1.0  # [O]; the same for both spaces
LONGEST_VALIDATION = 4 * 3600
"""Seconds that the other processes wait for the first one."""
UNREADABLE = "unreadable_images.txt"
VALIDATION_QUERIES = ("val_seen", "val_unseen")


class TrainingDiverged(RuntimeError):
    """The loss stopped being a number."""


def train(
    config: RunConfig,
    specimens: pd.DataFrame,
    *,
    output: str | Path | None = None,
    progress: bool = True,
) -> Run:
    """Train a model on `no_split` and `train_seen`, choose the best epoch on the validation splits,
    embed, and write a run folder.

    A finished run of the same configuration, data and code is returned as it is; an interrupted one
    goes on from its last epoch.

    Raises:
        TrainingDiverged: the loss is not finite; names the epoch.
    """
    data = fingerprint(specimens)
    folder = runs_folder(output) / run_name(config, data)
    run = finished(folder)
    if run:
        if progress:
            print(f"{shown(folder)} is there already: the same configuration, data and code.")
        return run
    # Every random number comes from the seed and the epoch, so that a resumed run goes on as it
    # would have.
    return _Training(config, specimens, folder, data, progress).run()


def unaligned(
    config: RunConfig,
    specimens: pd.DataFrame,
    *,
    output: str | Path | None = None,
    progress: bool = True,
) -> Run:
    """The encoders before any joint training: pretrained ones at paper scale, randomly initialised
    ones at the tiny preset."""
    data = fingerprint(specimens)
    folder = runs_folder(output) / run_name(config, data, method="unaligned")
    run = finished(folder)
    if run:
        return run
    training = _Training(config, specimens, folder, data, progress)
    training.at.history = [training.validate(epoch=0)]
    return training.finish(best_epoch=0)


def accelerator_of(config: RunConfig):
    """The device and the processes that a configuration trains with: an
    `accelerate.Accelerator`."""
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    timeout = InitProcessGroupKwargs(timeout=timedelta(seconds=LONGEST_VALIDATION))
    return Accelerator(
        cpu=config.device == "cpu" or not torch.accelerator.is_available(),
        kwargs_handlers=[timeout],
    )


class _Training:
    """One run in progress; `data` is the fingerprint of its specimens."""

    def __init__(
        self, config: RunConfig, specimens: pd.DataFrame, folder: Path, data: str, progress: bool
    ) -> None:
        from accelerate.utils import broadcast

        self.config, self.folder, self.data = config, folder, data
        self.started = time.perf_counter()
        self.accelerator = accelerator_of(config)
        self.device = self.accelerator.device
        self.first = self.accelerator.is_main_process
        torch.set_num_threads(
            config.threads or max(1, processors() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
        )
        self.progress = progress and self.first
        self.specimens = specimens
        self.names = Names(specimens, cumulative=config.entailment_text == "cumulative")
        is_training = specimens["split"].isin(TRAINING_SPLITS).to_numpy()
        model = build_model(config, specimens, self.names, is_training)
        self.model = model.to(self.device)
        if self.accelerator.num_processes > 1:
            # Equal seeds made them equal; the first one's are what counts.
            for value in self.model.state_dict().values():
                value.copy_(broadcast(value))
        self.step = LargeBatch(
            Objective(config, self.names, model, self.device), self.accelerator, config.micro_batch
        )
        rows = np.flatnonzero(is_training)
        if config.max_specimens and len(rows) > config.max_specimens:
            rows = np.sort(
                np.random.default_rng(config.seed).choice(rows, config.max_specimens, replace=False)
            )
        if min(len(rows), config.batch_size // 2) < self.accelerator.num_processes:
            raise ValueError(
                f"{self.accelerator.num_processes} processes are too many for batches of"
                f" {config.batch_size} of {len(rows)} specimens: each needs"
                " one even of the last, which may be half as large."
            )
        self.training_data = self._tensors(model, rows, augment=True)
        in_validation = specimens["split"].isin([*VALIDATION_QUERIES, *KEY_SPLITS]).to_numpy()
        self.validation_rows = np.flatnonzero(in_validation)
        self.validation_data = self._tensors(model, self.validation_rows)
        self.steps_per_epoch = len(self._batches(seed=0))
        self.epochs = max(config.epochs, math.ceil(config.steps / self.steps_per_epoch))
        self.optimizer = _optimizer(model, config)
        peaks = [group["lr"] for group in self.optimizer.param_groups]
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            peaks,
            total_steps=self.epochs * self.steps_per_epoch + 1,
            pct_start=config.warmup,
        )
        self.at = _Progress()

    def _tensors(self, model: HypertaxModel, rows: np.ndarray, augment: bool = False) -> Specimens:
        table = self.specimens.iloc[rows].reset_index(drop=True)
        data = model.tensors(table, self.names.take(rows), augment=augment)
        if data.photographs:
            data.photographs.remember()
        return data

    def _batches(self, seed: int, start: int = 0) -> DataLoader:
        share = (self.accelerator.process_index, self.accelerator.num_processes)
        return loader(
            self.training_data,
            self.config.batch_size,
            shuffle_seed=seed,
            start=start,
            share=share,
            workers=self.config.workers,
        )

    def run(self) -> Run:
        if self.progress:
            total = self.model.parameter_counts().iloc[-1]
            print(f"{total['parameters']:,} parameters, {total['trainable']:,} of them trained.")
        self._resume()
        at = self.at
        if not at.history:
            at.history = [self.validate(epoch=0)]
        bar = progress_bar(
            total=self.epochs * self.steps_per_epoch,
            initial=at.epoch * self.steps_per_epoch + at.batch,
            desc=self.config.method,
            disable=not self.progress,
            mininterval=2,
            unit=" steps",
        )
        with bar:
            while at.epoch < self.epochs:
                losses = self._epoch(at.epoch + 1, bar)
                at.epoch, at.batch, at.sums = at.epoch + 1, 0, {}
                at.history.append(losses | self.validate(at.epoch))
                score = at.history[-1]["selection"]
                bar.set_postfix(loss=f"{losses['loss']:.3f}", validation=f"{score:.3f}")
                if at.best is None or score > at.history[at.best]["selection"]:
                    at.best = at.epoch
                    self._save_best()
                self._checkpoint()
        if self.first:
            self.model.load_state_dict(load_file(self.folder / "best.safetensors"))
        return self.finish(at.best)

    def _epoch(self, epoch: int, bar: tqdm) -> dict[str, float]:
        seed = 1_000_003 * (self.config.seed + 1) + epoch
        at = self.at
        if not at.batch:
            # Views and dropout are drawn by each process for its own specimens.
            torch.manual_seed(seed + 7_368_787 * self.accelerator.process_index)
        self.model.train()
        for batch in self._batches(seed, start=at.batch):
            self.training_data.note(batch)
            self.optimizer.zero_grad()
            terms = self.step.backward(self.model, batch)
            if not torch.isfinite(terms["loss"]):
                raise TrainingDiverged(
                    f"The loss is not finite in epoch {epoch} of {self.folder.name}: lower"
                    " learning_rate and start again."
                )
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT_NORM)
            self.optimizer.step()
            self.schedule.step()
            self.model.clamp_()
            for name, value in terms.items():
                at.sums[name] = at.sums.get(name, 0.0) + value.item()
            at.batch += 1
            bar.update()
            if (
                self.config.checkpoint_steps
                and at.batch % self.config.checkpoint_steps == 0
                and at.batch < self.steps_per_epoch
            ):
                self._checkpoint()
        return {
            "learning_rate": self.schedule.get_last_lr()[0],
            **{name: value / at.batch for name, value in at.sums.items()},
        }

    def validate(self, epoch: int) -> dict[str, float]:
        """The history's row of an epoch, its losses aside; made by the first process, known to
        all."""
        if self.accelerator.num_processes == 1:
            return self._validated(epoch)
        from accelerate.utils import broadcast_object_list

        told: list = [None, None]
        if self.first:
            try:
                told[0] = self._validated(epoch)
            except Exception as error:  # noqa: BLE001
                # The others would wait for a row that never comes.
                told[1] = error
        broadcast_object_list(told)
        if told[1] is not None:
            raise told[1]
        return told[0]

    def _validated(self, epoch: int) -> dict[str, float]:
        model = self.model
        table = self.specimens.iloc[self.validation_rows].reset_index(drop=True)
        embeddings = embed(
            model, table, data=self.validation_data, names=self.names.take(self.validation_rows)
        )
        row = {
            "epoch": epoch,
            "step": epoch * self.steps_per_epoch,
            "seconds": time.perf_counter() - self.started,
        }
        row |= {"logit_scale": model.logit_scale.item()} | _space_numbers(model)
        row |= selection_score(embeddings) | geometry(
            embeddings, splits=list(VALIDATION_QUERIES), aperture=self.config.aperture
        )
        return row

    def finish(self, best_epoch: int) -> Run:
        """Embed with the chosen weights and write the run folder; `environment.json` last."""
        if self.first:
            self._write(best_epoch)
        self.accelerator.wait_for_everyone()
        return Run(self.folder)

    def _write(self, best_epoch: int) -> None:
        model = self.model
        total = model.parameter_counts().iloc[-1]
        model.save_pretrained(self.folder)
        with atomic_path(self.folder / "history.csv") as temporary:
            pd.DataFrame(self.at.history).to_csv(temporary, index=False)
        self._embed_all(model).save(self.folder / "embeddings.parquet")
        write_environment(
            self.folder,
            best_epoch=best_epoch,
            device=str(self.device),
            processes=self.accelerator.num_processes,
            threads=torch.get_num_threads(),
            seconds=round(time.perf_counter() - self.started, 1),
            parameters=int(total["parameters"]),
            trained_parameters=int(total["trainable"]),
            peak_memory_mib=peak_memory(self.device),
            data_fingerprint=self.data,
        )
        for leftover in ("checkpoint.pt", "best.safetensors"):
            (self.folder / leftover).unlink(missing_ok=True)

    def _embed_all(self, model: HypertaxModel) -> Embeddings:
        keep = np.flatnonzero((self.specimens["split"] != "no_split").to_numpy())
        names = self.names.take(keep)
        table = self.specimens.iloc[keep].reset_index(drop=True)
        data = model.tensors(table, names)
        embeddings = embed(model, table, data=data, names=names, progress=self.progress)
        self._list_unreadable(data)
        return embeddings

    def _list_unreadable(self, embedded: Specimens) -> None:
        """Write the photographs that the first process could not read since it started, one a line,
        into the run folder."""
        seen = [
            data.photographs.unreadable()
            for data in (self.training_data, self.validation_data, embedded)
            if data.photographs
        ]
        files = sorted({path for part in seen for path in part})
        if files:
            write_text(self.folder / UNREADABLE, "\n".join(files) + "\n")
            print(
                f"{len(files)} images could not be read and were left out:"
                f" {shown(self.folder / UNREADABLE)}."
            )

    def _save_best(self) -> None:
        if self.first:
            with atomic_path(self.folder / "best.safetensors") as temporary:
                save_file(
                    {name: value.contiguous() for name, value in self.model.state_dict().items()},
                    temporary,
                )

    def _checkpoint(self) -> None:
        # Of every process: (processes, bytes).
        random = [
            self.accelerator.gather(state[None].to(self.device)).cpu()
            for state in random_state(self.device)
        ]
        state = {
            **vars(self.at),
            "where": [self.accelerator.num_processes, self.device.type],
            "seconds": time.perf_counter() - self.started,
            "random": random,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        if self.first:
            with atomic_path(self.folder / "checkpoint.pt") as temporary:
                torch.save(state, temporary)

    def _resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.is_file():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.at = _Progress(**{name: state[name] for name in vars(self.at)})
        here = [self.accelerator.num_processes, self.device.type]
        if self.at.batch and state["where"] != here:
            raise ValueError(
                f"{shown(self.folder)} was interrupted within an epoch of {state['where'][0]}"
                f" processes on {state['where'][1]}: go on with"
                " the same, or delete it."
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.at.batch:
            # An epoch begins with a seed of its own.
            set_random_state(
                [part[self.accelerator.process_index].clone() for part in state["random"]],
                self.device,
            )
        self.started = time.perf_counter() - state["seconds"]
        if self.progress:
            within = (
                f" and {self.at.batch} of {self.steps_per_epoch} steps" if self.at.batch else ""
            )
            print(
                f"Going on after epoch {self.at.epoch}{within} of {self.epochs} of"
                f" {shown(self.folder)}."
            )


@dataclass
class _Progress:
    """How far a training has come.

    epoch: epochs finished. batch: steps made of the next one. sums: of its loss terms. best: the
    epoch with the highest validation score.
    """

    epoch: int = 0
    batch: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    best: int | None = None
    history: list[dict] = field(default_factory=list)


def _optimizer(model: HypertaxModel, config: RunConfig) -> torch.optim.Optimizer:
    """AdamW or Adam, without decay on scalars, norms and biases: decay would pull curvature and
    temperature towards one."""
    rates = {"encoders.image.": config.image_rate, "encoders.text.": config.text_rate}
    groups = []
    for part in ("", *rates):
        own = [
            p
            for name, p in model.named_parameters()
            if p.requires_grad and next(filter(name.startswith, rates), "") == part
        ]
        rate = rates.get(part, 1.0)
        for matrices, decay in ((True, config.weight_decay), (False, 0.0)):
            groups.append(
                {
                    "params": [p for p in own if (p.ndim >= 2) == matrices],
                    "weight_decay": decay,
                    "lr": config.learning_rate * rate,
                }
            )
    groups = [group for group in groups if group["params"]]
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(groups)


def _space_numbers(model: HypertaxModel) -> dict[str, float]:
    if model.space.name == "euclidean":
        return {}
    scales = {f"scale_{m}": alpha.exp().item() for m, alpha in model.space.log_scale.items()}
    share = {"share": model.space.share.item()} if isinstance(model.space, CapSpace) else {}
    return {"curvature": model.space.curvature.item()} | scales | share
