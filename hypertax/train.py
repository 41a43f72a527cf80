"""Training: the loop, the schedule, checkpoints and the history; `train` returns a finished run, reused or resumed where there is one."""

from __future__ import annotations

import math
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from hypertax.config import RunConfig
from hypertax.data import fingerprint
from hypertax.data.batches import Names, Specimens, loader
from hypertax.data.split import KEY_SPLITS, TRAINING_SPLITS
from hypertax.embeddings import Embeddings
from hypertax.files import atomic_path, shown
from hypertax.geometry_metrics import geometry
from hypertax.metrics import selection_score
from hypertax.model import HypertaxModel, build_model, embed
from hypertax.objective import Objective
from hypertax.runs import Run, finished, run_name, runs_folder, write_environment

MAX_GRADIENT_NORM = 1.0  # [O]; the same for both spaces
VALIDATION_QUERIES = ("val_seen", "val_unseen")


class TrainingDiverged(RuntimeError):
    """The loss stopped being a number."""


def train(config: RunConfig, specimens: pd.DataFrame, *, output: str | Path | None = None, progress: bool = True) -> Run:
    """Train a model on `no_split` and `train_seen`, choose the best epoch on the validation splits, embed, and write a run folder.

    A finished run of the same configuration, data and code is returned as it is; an interrupted one goes on from its last epoch.

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
    # Every random number comes from the seed and the epoch, so that a resumed run goes on as it would have.
    return _Training(config, specimens, folder, data, progress).run()


def unaligned(config: RunConfig, specimens: pd.DataFrame, *, output: str | Path | None = None, progress: bool = True) -> Run:
    """The encoders before any joint training: pretrained ones at paper scale, randomly initialised ones at the tiny preset."""
    data = fingerprint(specimens)
    folder = runs_folder(output) / run_name(config, data, method="unaligned")
    run = finished(folder)
    if run:
        return run
    training = _Training(config, specimens, folder, data, progress)
    training.history = [training.validate(epoch=0)]
    return training.finish(best_epoch=0)


class _Training:
    """One run in progress; `data` is the fingerprint of its specimens."""

    def __init__(self, config: RunConfig, specimens: pd.DataFrame, folder: Path, data: str, progress: bool) -> None:
        from accelerate import Accelerator

        torch.set_num_threads(config.threads or os.cpu_count() or 1)
        self.config, self.folder, self.data, self.progress = config, folder, data, progress
        self.started = time.perf_counter()
        self.accelerator = Accelerator(cpu=config.device == "cpu")
        self.device = self.accelerator.device
        self.specimens = specimens
        self.names = Names(specimens, cumulative=config.entailment_text == "cumulative")
        is_training = specimens["split"].isin(TRAINING_SPLITS).to_numpy()
        model = build_model(config, specimens, self.names, is_training)
        self.objective = Objective(config, self.names, model, self.device)
        rows = np.flatnonzero(is_training)
        if config.max_specimens and len(rows) > config.max_specimens:
            rows = np.sort(np.random.default_rng(config.seed).choice(rows, config.max_specimens, replace=False))
        self.training_data = self._tensors(model, rows, augment=True)
        in_validation = specimens["split"].isin([*VALIDATION_QUERIES, *KEY_SPLITS]).to_numpy()
        self.validation_rows = np.flatnonzero(in_validation)
        self.validation_data = self._tensors(model, self.validation_rows)
        self.steps_per_epoch = max(1, len(loader(self.training_data, config.batch_size, shuffle_seed=0)))
        self.epochs = max(config.epochs, math.ceil(config.steps / self.steps_per_epoch))
        optimizer = _optimizer(model, config)
        peaks = [group["lr"] for group in optimizer.param_groups]
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, peaks, total_steps=self.epochs * self.steps_per_epoch + 1, pct_start=config.warmup
        )
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.schedule = schedule
        self.history: list[dict] = []

    def _tensors(self, model: HypertaxModel, rows: np.ndarray, augment: bool = False) -> Specimens:
        table = self.specimens.iloc[rows].reset_index(drop=True)
        data = model.tensors(table, self.names.take(rows), augment=augment)
        if data.photographs:
            data.photographs.remember()
        return data

    def run(self) -> Run:
        epoch, best = self._resume()
        if not self.history:
            self.history = [self.validate(epoch=0)]
        bar = tqdm(
            total=self.epochs * self.steps_per_epoch,
            initial=epoch * self.steps_per_epoch,
            desc=self.config.method,
            disable=not self.progress,
            mininterval=2,
            unit="step",
        )
        with bar:
            while epoch < self.epochs:
                epoch += 1
                losses = self._epoch(epoch, bar)
                self.history.append(losses | self.validate(epoch))
                score = self.history[-1]["selection"]
                bar.set_postfix(loss=f"{losses['loss']:.3f}", validation=f"{score:.3f}")
                if best is None or score > self.history[best]["selection"]:
                    best = epoch
                    self._save_best()
                self._checkpoint(epoch, best)
        self.accelerator.unwrap_model(self.model).load_state_dict(load_file(self.folder / "best.safetensors"))
        return self.finish(best)

    def _epoch(self, epoch: int, bar: tqdm) -> dict[str, float]:
        seed = 1_000_003 * (self.config.seed + 1) + epoch
        torch.manual_seed(seed)
        self.model.train()
        sums: dict[str, float] = {}
        batches = 0
        for batch in loader(self.training_data, self.config.batch_size, shuffle_seed=seed):
            terms = self.objective(self.model, batch.to(self.device))
            loss = terms["loss"]
            if not torch.isfinite(loss):
                raise TrainingDiverged(f"The loss is not finite in epoch {epoch} of {self.folder.name}: lower learning_rate and start again.")
            self.optimizer.zero_grad()
            self.accelerator.backward(loss)
            self.accelerator.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT_NORM)
            self.optimizer.step()
            self.schedule.step()
            self.accelerator.unwrap_model(self.model).clamp_()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value.item()
            batches += 1
            bar.update()
        return {"learning_rate": self.schedule.get_last_lr()[0], **{name: value / batches for name, value in sums.items()}}

    def validate(self, epoch: int) -> dict[str, float]:
        """The history's row of an epoch, its losses aside."""
        model = self.accelerator.unwrap_model(self.model)
        table = self.specimens.iloc[self.validation_rows].reset_index(drop=True)
        embeddings = embed(model, table, data=self.validation_data, names=self.names.take(self.validation_rows))
        row = {"epoch": epoch, "step": epoch * self.steps_per_epoch, "seconds": time.perf_counter() - self.started}
        row |= {"logit_scale": model.logit_scale.item()} | _space_numbers(model)
        row |= selection_score(embeddings) | geometry(embeddings, splits=list(VALIDATION_QUERIES), aperture=self.config.aperture)
        return row

    def finish(self, best_epoch: int) -> Run:
        """Embed with the chosen weights and write the run folder; `environment.json` last."""
        model = self.accelerator.unwrap_model(self.model)
        model.save_pretrained(self.folder)
        with atomic_path(self.folder / "history.csv") as temporary:
            pd.DataFrame(self.history).to_csv(temporary, index=False)
        self._embed_all(model).save(self.folder / "embeddings.parquet")
        write_environment(
            self.folder,
            best_epoch=best_epoch,
            device=str(self.device),
            threads=torch.get_num_threads(),
            seconds=round(time.perf_counter() - self.started, 1),
            parameters=sum(p.numel() for p in model.parameters()),
            peak_memory_mib=_peak_memory(self.device),
            data_fingerprint=self.data,
        )
        for leftover in ("checkpoint.pt", "best.safetensors"):
            (self.folder / leftover).unlink(missing_ok=True)
        return Run(self.folder)

    def _embed_all(self, model: HypertaxModel) -> Embeddings:
        keep = np.flatnonzero((self.specimens["split"] != "no_split").to_numpy())
        return embed(
            model, self.specimens.iloc[keep].reset_index(drop=True), names=self.names.take(keep), progress=self.progress
        )

    def _save_best(self) -> None:
        state = self.accelerator.unwrap_model(self.model).state_dict()
        with atomic_path(self.folder / "best.safetensors") as temporary:
            save_file({name: value.contiguous() for name, value in state.items()}, temporary)

    def _checkpoint(self, epoch: int, best: int) -> None:
        state = {
            "epoch": epoch,
            "best": best,
            "history": self.history,
            "seconds": time.perf_counter() - self.started,
            "model": self.accelerator.unwrap_model(self.model).state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        with atomic_path(self.folder / "checkpoint.pt") as temporary:
            torch.save(state, temporary)

    def _resume(self) -> tuple[int, int | None]:
        path = self.folder / "checkpoint.pt"
        if not path.is_file():
            return 0, None
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.accelerator.unwrap_model(self.model).load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.history = state["history"]
        self.started = time.perf_counter() - state["seconds"]
        if self.progress:
            print(f"Going on after epoch {state['epoch']} of {self.epochs} of {shown(self.folder)}.")
        return state["epoch"], state["best"]


def _optimizer(model: HypertaxModel, config: RunConfig) -> torch.optim.Optimizer:
    """AdamW or Adam, without decay on scalars, norms and biases: decay would pull curvature and temperature towards one."""
    rates = {"encoders.image.": config.image_rate, "encoders.text.": config.text_rate}
    groups = []
    for part in ("", *rates):
        own = [p for name, p in model.named_parameters() if p.requires_grad and next(filter(name.startswith, rates), "") == part]
        rate = rates.get(part, 1.0)
        for matrices, decay in ((True, config.weight_decay), (False, 0.0)):
            groups.append({"params": [p for p in own if (p.ndim >= 2) == matrices], "weight_decay": decay, "lr": config.learning_rate * rate})
    groups = [group for group in groups if group["params"]]
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(groups)


def _space_numbers(model: HypertaxModel) -> dict[str, float]:
    if model.space.name == "euclidean":
        return {}
    scales = {f"scale_{m}": alpha.exp().item() for m, alpha in model.space.log_scale.items()}
    return {"curvature": model.space.curvature.item()} | scales


def _peak_memory(device: torch.device) -> int:
    """Most memory of this process so far, MiB: of the GPU where there is one, resident otherwise."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))  # macOS counts bytes, Linux KiB
