"""Several runs side by side: the rows of an experiment, their seeds, their scores, and where
results are written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.config.presets import DEFAULT_PRESET
from hypertax.data import data_set_name
from hypertax.embeddings import Embeddings
from hypertax.evaluation.members import EmbeddedRun
from hypertax.files import ROOT
from hypertax.study.rows import Row, published_place
from hypertax.training.runs import Run, runs_folder


@dataclass(frozen=True)
class StudyRun:
    """One seed of one row of an experiment."""

    row: Row
    seed: int
    run: Run

    @property
    def method(self) -> str:
        """The row's label."""
        return self.row.label

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.name

    @property
    def embeddings(self) -> Embeddings:
        """The embeddings of the run's best epoch."""
        return self.run.embeddings()

    @property
    def aperture(self) -> float:
        """K of the cones of `embeddings`."""
        return self.run.config.aperture


def run_names(*members: EmbeddedRun) -> list[str]:
    """Names of the runs, as tables and figures give them."""
    return [member.name for member in members]


def run_records(study: list[StudyRun]) -> pd.DataFrame:
    """What each run was: one row per run with its method, seed, commit, device, seconds, versions,
    and its configuration.

    With the names that every number and figure gives, this leads from a number to the code that
    made it.
    """
    records = []
    for member in study:
        environment = member.run.environment
        facts = (
            "commit",
            "device",
            "threads",
            "seconds",
            "peak_memory_mib",
            "parameters",
            "python",
            "system",
        )
        about = {name: environment.get(name) for name in facts}
        versions = {
            f"{package} version": version for package, version in environment["versions"].items()
        }
        configuration = {
            name: value
            for name, value in member.run.config.to_dict().items()
            if name not in ("seed", "threads", "device")
        }
        configuration["dataset"] = data_set_name(configuration["dataset"])
        records.append(
            {"run": member.run.name, "method": member.row.label, "seed": member.seed}
            | about
            | versions
            | configuration
        )
    return pd.DataFrame(records)


def run_costs(study: list[StudyRun]) -> pd.DataFrame:
    """What each run cost, from its environment and history: one row per run, as
    `hypertax.tables.cost_table` takes it.

    An epoch's seconds are the mean from the first to the last epoch of the history, a step's
    likewise; both are NaN without training.
    """
    rows = []
    for member in study:
        environment, history = member.run.environment, member.run.history
        first, last = history.iloc[0], history.iloc[-1]
        epochs, steps = last["epoch"] - first["epoch"], last["step"] - first["step"]
        time = last["seconds"] - first["seconds"]
        threads = environment["threads"]
        noun = "thread" if threads == 1 else "threads"
        rows.append(
            {
                "method": member.method,
                "run": member.name,
                "seed": member.seed,
                "device": f"{environment['device']}, {threads} {noun}",
                "parameters": environment["parameters"],
                "seconds": environment["seconds"],
                "epochs": epochs if epochs else np.nan,
                "seconds_per_epoch": time / epochs if epochs else np.nan,
                "milliseconds_per_step": 1000 * time / steps if steps else np.nan,
                "peak_memory": environment.get("peak_memory_mib", np.nan),
            }
        )
    return pd.DataFrame(rows)


def result_folders(
    dataset: str,
    notebook: str,
    *,
    experiment: str = "core",
    preset: str = DEFAULT_PRESET,
    publish: bool = False,
    output: str | None = None,
) -> tuple[Path, Path]:
    """Where a notebook writes its tables and its figures.

    The pipeline publishes to `tables/<dataset>` and `figures/<dataset>`, presets other than the
    default one and groups of rows other than `core` to folders of their own in them; a notebook run
    by itself keeps to `runs/<notebook>-<dataset>`.
    """
    name = data_set_name(dataset)
    if publish:
        place = published_place(name, preset)
        place = place if experiment == "core" else place / experiment
        return ROOT / "tables" / place, ROOT / "figures" / place
    own = runs_folder(output) / f"{notebook}-{name}"
    return own / "tables", own / "figures"
