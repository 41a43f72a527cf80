"""Several runs side by side: the rows of an experiment, their seeds, their scores, and where
results are written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hypertax.data import data_set_name
from hypertax.embeddings import Embeddings
from hypertax.files import ROOT
from hypertax.study.rows import Row
from hypertax.training.runs import Run, runs_folder


@dataclass(frozen=True)
class StudyRun:
    """One seed of one row of an experiment."""

    row: Row
    seed: int
    run: Run

    @property
    def embeddings(self) -> Embeddings:
        """Of the run's best epoch."""
        return self.run.embeddings()

    @property
    def aperture(self) -> float:
        """K of the cones of `embeddings`."""
        return self.run.config.aperture


def run_names(*members: StudyRun) -> list[str]:
    """Names of the runs, as tables and figures give them."""
    return [member.run.name for member in members]


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


def result_folders(
    dataset: str,
    notebook: str,
    *,
    experiment: str = "core",
    publish: bool = False,
    output: str | None = None,
) -> tuple[Path, Path]:
    """Where a notebook writes its tables and its figures.

    The pipeline publishes to `tables/<dataset>` and `figures/<dataset>`, groups of rows other than
    `core` to a folder of their own in them; a notebook run by itself keeps to
    `runs/<notebook>-<dataset>`.
    """
    name = data_set_name(dataset)
    if publish:
        place = Path(name) if experiment == "core" else Path(name) / experiment
        return ROOT / "tables" / place, ROOT / "figures" / place
    own = runs_folder(output) / f"{notebook}-{name}"
    return own / "tables", own / "figures"
