"""Training: the loop, the schedule, checkpoints and the history; `train_here` returns a finished
run, reused or resumed where there is one.

In several processes (`hypertax.training.launch`) every one runs the same loop on its share of each
batch; the first one alone validates, embeds, writes and speaks.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from hypertax.config.devices import require_device
from hypertax.config.run_config import RunConfig
from hypertax.data import fingerprint
from hypertax.data.batches import Specimens, list_unreadable, loader
from hypertax.data.progress import progress_bar
from hypertax.data.split import KEY_SPLITS, TRAINING_SPLITS
from hypertax.data.taxon_index import TaxonIndex
from hypertax.embeddings import Embeddings
from hypertax.evaluation.epoch_choice import selection_words
from hypertax.files import atomic_path, processors, shown
from hypertax.model.build import build_model
from hypertax.model.embedding import embed
from hypertax.model.model import HypertaxModel
from hypertax.training.checkpoints import Checkpoints, Progress, TrainingInterrupted
from hypertax.training.divergence import require_finite, require_finite_weights
from hypertax.training.large_batch import LargeBatch
from hypertax.training.objective import Objective
from hypertax.training.optimizer import build_optimizer, build_schedule
from hypertax.training.processes import accelerator_of, made_by_first
from hypertax.training.runs import (
    Run,
    finished_or_alone,
    peak_memory,
    run_name,
    runs_folder,
    write_environment,
)
from hypertax.training.validation import VALIDATION_QUERIES, validation_row

MAX_GRADIENT_NORM = 1.0  # [O]; the same for both spaces


def train_here(
    config: RunConfig,
    specimens: pd.DataFrame,
    *,
    output: str | Path | None = None,
    progress: bool = True,
) -> Run:
    """Train a model on `no_split` and `train_seen`, choose the best epoch on the validation splits,
    embed, and write a run folder.

    A finished run of the same configuration, data and code is returned as it is; an interrupted one
    goes on from its last checkpoint.

    Args:
        config: the run.
        specimens: a table as `hypertax.data` gives it, with splits.
        output: folder of the runs; the repository's `runs` without it.
        progress: print, and show a progress bar.

    Raises:
        TrainingDiverged: the loss is not finite. TrainingInterrupted: somebody interrupted it.
        ValueError: the device is not there, or the run cannot be written.
    """
    # Every random number comes from the seed and the epoch, so that a resumed run goes on as it would
    # have.
    return _run(config, specimens, output, progress, Trainer.run)


def unaligned(
    config: RunConfig,
    specimens: pd.DataFrame,
    *,
    output: str | Path | None = None,
    progress: bool = True,
) -> Run:
    """The run of a model before any training: its encoders are as they begin, pretrained or random.

    Arguments as for `train_here`.
    """

    def validated(trainer: Trainer) -> Run:
        trainer.at.history = [trainer.validate(epoch=0)]
        return trainer.finish(best_epoch=0)

    return _run(config, specimens, output, progress, validated, "unaligned")


def _run(config, specimens, output, progress, make, method: str | None = None) -> Run:
    """The run, found finished or made by a new trainer, while no other process makes it."""
    require_device(config.device)
    data = fingerprint(specimens)
    folder = runs_folder(output) / run_name(config, data, method=method)
    trainer = None
    try:
        with finished_or_alone(folder, print if progress and not method else bool) as run:
            trainer = None if run else Trainer(config, specimens, folder, data, progress)
            return run or make(trainer)
    except KeyboardInterrupt:
        raise TrainingInterrupted(
            trainer.checkpoints.after_interruption(trainer.steps_per_epoch, trainer.epochs)
            if trainer
            else f"Interrupted before {shown(folder)} was begun here."
        ) from None


class Trainer:
    """One run in progress.

    Args:
        config: the run. folder: where it is written.
        specimens: the whole table: training, validation and all that is embedded in the end.
        data: fingerprint of the specimens.
        progress: print, and show a bar; the first process alone does.
    """

    def __init__(
        self, config: RunConfig, specimens: pd.DataFrame, folder: Path, data: str, progress: bool
    ) -> None:
        self.config, self.specimens, self.folder, self.data = config, specimens, folder, data
        self.started = time.perf_counter()
        self._join_processes(progress)
        self._build_model()
        self._load_data()
        self._plan_steps()
        self.checkpoints = Checkpoints(
            folder, self.accelerator, self.model, self.optimizer, self.schedule
        )
        self.at = Progress()

    def _join_processes(self, progress: bool) -> None:
        self.accelerator = accelerator_of(self.config)
        self.device = self.accelerator.device
        self.first = self.accelerator.is_main_process
        self.progress = progress and self.first
        here = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        torch.set_num_threads(self.config.threads or max(1, processors() // here))

    def _build_model(self) -> None:
        from accelerate.utils import broadcast

        config = self.config
        self.index = TaxonIndex(self.specimens, cumulative=config.entailment_text == "cumulative")
        self.is_training = self.specimens["split"].isin(TRAINING_SPLITS).to_numpy()
        model = build_model(config, self.specimens, self.index, self.is_training)
        self.model = model.to(self.device)
        if self.accelerator.num_processes > 1:
            for value in self.model.state_dict().values():
                value.copy_(broadcast(value))

    def _load_data(self) -> None:
        config = self.config
        self.training_data = self._tensors(self._training_rows(), augment=True)
        reads = self.training_data.bases if config.divergence_weight else None
        objective = Objective(config, self.index, self.model, self.device, reads)
        self.step = LargeBatch(objective, self.accelerator, config.micro_batch)
        validated = [*VALIDATION_QUERIES, *KEY_SPLITS]
        self.validation_rows = np.flatnonzero(self.specimens["split"].isin(validated).to_numpy())
        self.validation_data = self._tensors(self.validation_rows)

    def _training_rows(self) -> np.ndarray:
        config, processes = self.config, self.accelerator.num_processes
        rows = np.flatnonzero(self.is_training)
        if config.max_specimens and len(rows) > config.max_specimens:
            rows = np.sort(
                np.random.default_rng(config.seed).choice(rows, config.max_specimens, replace=False)
            )
        if min(len(rows), config.batch_size // 2) < processes:
            raise ValueError(
                f"{processes} processes are too many for batches of {config.batch_size} of"
                f" {len(rows)} specimens: each needs one even of the last, which may be half as"
                " large."
            )
        return rows

    def _plan_steps(self) -> None:
        config = self.config
        self.steps_per_epoch = len(self._batches(seed=0))
        self.epochs = max(config.epochs, math.ceil(config.steps / self.steps_per_epoch))
        self.optimizer = build_optimizer(self.model, config)
        steps = self.epochs * self.steps_per_epoch
        self.schedule = build_schedule(self.optimizer, steps, config.warmup)

    def _tensors(self, rows: np.ndarray, augment: bool = False) -> Specimens:
        table = self.specimens.iloc[rows].reset_index(drop=True)
        data = self.model.tensors(table, self.index.take(rows), augment=augment)
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
        """Train to the end, from the last checkpoint if there is one."""
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
                # Without a score the last epoch is taken.
                if at.best is None or not score <= at.history[at.best]["selection"]:
                    at.best = at.epoch
                    self.checkpoints.save_best(at.epoch)
                self.checkpoint()
        self.checkpoints.load_best(at.best)
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
            require_finite(terms["loss"], "loss", epoch, self.folder.name)
            norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT_NORM)
            require_finite(norm, "gradient", epoch, self.folder.name)
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
                self.checkpoint()
        require_finite_weights(self.model, epoch, self.folder.name)
        return {
            "learning_rate": self.schedule.get_last_lr()[0],
            **{name: value / at.batch for name, value in at.sums.items()},
        }

    def validate(self, epoch: int) -> dict[str, float]:
        """The history's row of an epoch, without its losses; made by the first process for all."""
        return made_by_first(self.accelerator, lambda: self._validated(epoch))

    def _validated(self, epoch: int) -> dict[str, float]:
        table = self.specimens.iloc[self.validation_rows].reset_index(drop=True)
        index = self.index.take(self.validation_rows)
        embeddings = embed(self.model, table, data=self.validation_data, index=index)
        if not epoch and self.progress:
            print(selection_words(embeddings))
        reads, data = None, self.validation_data
        if self.config.divergence_weight and data.has_dna.any():
            reads = data.bases[data.has_dna]
        return {
            "epoch": epoch,
            "step": epoch * self.steps_per_epoch,
            "seconds": time.perf_counter() - self.started,
        } | validation_row(self.model, embeddings, reads)

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
        self.checkpoints.remove()

    def _embed_all(self, model: HypertaxModel) -> Embeddings:
        keep = np.flatnonzero((self.specimens["split"] != "no_split").to_numpy())
        index = self.index.take(keep)
        table = self.specimens.iloc[keep].reset_index(drop=True)
        data = model.tensors(table, index)
        embeddings = embed(model, table, data=data, index=index, progress=self.progress)
        list_unreadable((self.training_data, self.validation_data, data), self.folder)
        return embeddings

    def checkpoint(self) -> None:
        """Write how far the run has come."""
        self.checkpoints.save(self.at, time.perf_counter() - self.started)

    def _resume(self) -> None:
        found = self.checkpoints.resume()
        if found is None:
            return
        self.at, seconds = found
        self.started = time.perf_counter() - seconds
        if self.progress:
            saved = self.checkpoints.how_far(self.steps_per_epoch, self.epochs)
            print(f"Going on after {saved} of {shown(self.folder)}.")
