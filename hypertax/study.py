"""Several runs side by side: the rows of an experiment, their seeds, their scores, and where results are written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hypertax.data import data_set_name
from hypertax.embeddings import Embeddings
from hypertax.experiments import Row
from hypertax.files import ROOT
from hypertax.metrics import evaluate
from hypertax.runs import Run, runs_folder
from hypertax.train import train, unaligned


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


def collect(
    rows: list[Row], specimens: pd.DataFrame, *, dataset: str, preset: str = "tiny", seeds: int = 1, output: str | None = None, **parameters
) -> list[StudyRun]:
    """The finished run of every row and seed; one that is not there yet is trained now, with progress.

    parameters: `RunConfig` fields given to every row (device, epochs ...); None leaves the row's own.
    """
    given = {name: value for name, value in parameters.items() if value is not None}
    study = []
    for row in rows:
        for seed in range(seeds):
            config = row.config(dataset=dataset, seed=seed, preset=preset, **given)
            make = train if row.notebook else unaligned
            study.append(StudyRun(row, seed, make(config, specimens, output=output)))
    return study


def score(study: list[StudyRun], stage: str) -> pd.DataFrame:
    """The scores of `hypertax.metrics.evaluate` of every run, with columns `method`, `run` and `seed` in front."""
    frames = []
    for member in study:
        frame = evaluate(member.embeddings, stage)
        frame.insert(0, "seed", member.seed)
        frame.insert(0, "run", member.run.name)
        frame.insert(0, "method", member.row.label)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def run_names(*members: StudyRun) -> list[str]:
    """Names of the runs, as tables and figures give them."""
    return [member.run.name for member in members]


def run_records(study: list[StudyRun]) -> pd.DataFrame:
    """What each run was: one row per run with its method, seed, commit, device, seconds, versions, and its configuration.

    With the names that every number and figure gives, this leads from a number to the code that made it.
    """
    records = []
    for member in study:
        environment = member.run.environment
        facts = ("commit", "device", "threads", "seconds", "peak_memory_mib", "parameters", "python", "system")
        about = {name: environment.get(name) for name in facts}
        versions = {f"{package} version": version for package, version in environment["versions"].items()}
        configuration = {name: value for name, value in member.run.config.to_dict().items() if name not in ("seed", "threads", "device")}
        configuration["dataset"] = data_set_name(configuration["dataset"])
        records.append({"run": member.run.name, "method": member.row.label, "seed": member.seed} | about | versions | configuration)
    return pd.DataFrame(records)


def sweep(rows: list[Row]) -> tuple[str | None, dict[str, tuple[str, float]]]:
    """What a group of rows sweeps: the parameter that takes most values in it, of the width and the curvature, if it takes three or more.

    Returns the parameter's name, and for each row's label the line it belongs to and its value; (None, {}) where nothing is swept.
    """
    configs = {row.label: row.config() for row in rows if row.notebook}
    curved = {label: config for label, config in configs.items() if config.space == "lorentz"}
    values = {"embed_dim": {c.embed_dim for c in configs.values()}, "curvature": {c.curvature for c in curved.values()}}
    parameter = max(values, key=lambda name: len(values[name]))
    if len(values[parameter]) < 3:
        return None, {}
    if parameter == "embed_dim":
        return parameter, {label: (label.split(",")[0], config.embed_dim) for label, config in configs.items()}
    lines = {label: "c learned" if config.learn_curvature else "c held" for label, config in curved.items()}
    scaled = {label: ", scaled" if config.scale_with_curvature else "" for label, config in curved.items()}
    return parameter, {label: (lines[label] + scaled[label], config.curvature) for label, config in curved.items()}


def result_folders(
    dataset: str, notebook: str, *, experiment: str = "core", publish: bool = False, output: str | None = None
) -> tuple[Path, Path]:
    """Where a notebook writes its tables and its figures.

    The pipeline publishes to `tables/<dataset>` and `figures/<dataset>`, groups of rows other than `core` to a folder of their own in
    them; a notebook run by itself keeps to `runs/<notebook>-<dataset>`.
    """
    name = data_set_name(dataset)
    if publish:
        place = Path(name) if experiment == "core" else Path(name) / experiment
        return ROOT / "tables" / place, ROOT / "figures" / place
    own = runs_folder(output) / f"{notebook}-{name}"
    return own / "tables", own / "figures"
