"""The runs of a study: found where they are finished, and trained where they are not and may be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from hypertax.config.presets import DEFAULT_PRESET
from hypertax.data import data_set_name, load_specimens
from hypertax.data.specimens import fingerprint
from hypertax.data.views import views_of
from hypertax.files import shown
from hypertax.study.baselines import BESIDE, BaselineRun, run_baselines
from hypertax.study.rows import Row, applicable, load_rows
from hypertax.study.runs import StudyRun, result_folders
from hypertax.training.runs import finished, run_name, runs_folder
from hypertax.training.trainer import train_here, unaligned


@dataclass(frozen=True)
class Study:
    """Everything that a notebook of results starts from.

    Args:
        name: of the data set.
        specimens: the table of specimens.
        rows: the rows of the experiment that these data allow.
        runs: one of every row and seed.
        baselines: runs of the rows that need no training, where they are asked for.
        tables, figures: the folders to write to.
    """

    name: str
    specimens: pd.DataFrame
    rows: list[Row]
    runs: list[StudyRun]
    baselines: list[BaselineRun]
    tables: Path
    figures: Path

    @property
    def answering(self) -> list[StudyRun | BaselineRun]:
        """All runs that answer queries, the baselines first."""
        return [*self.baselines, *self.runs]

    @property
    def beside(self) -> list[BaselineRun]:
        """The baselines that figures show beside the trained rows."""
        return [run for run in self.baselines if run.row.name in BESIDE and run.available]

    @property
    def all_rows(self) -> list[Row]:
        """The rows, those of the baselines first."""
        beside = [replace(run.row, label=run.method) for run in self.baselines]
        return [*beside, *self.rows]

    def of_space(self, space: str) -> list[StudyRun]:
        """The runs of one space, "lorentz" or "euclidean"."""
        return [member for member in self.runs if member.run.config.space == space]

    @property
    def baseline(self) -> str:
        """Label of the first Euclidean row that is trained; without one, of the first row."""
        trained = [row.label for row in self.rows if row.notebook == "02_train_euclidean"]
        return trained[0] if trained else self.rows[0].label


def load_study(
    notebook: str,
    *,
    dataset: str,
    experiment: str = "core",
    preset: str = DEFAULT_PRESET,
    seeds: int = 1,
    data_seed: int = 0,
    published_as: str | None = None,
    baselines: bool = False,
    publish: bool = False,
    output: str | None = None,
    **parameters,
) -> Study:
    """The specimens of a data set and the runs of a group of rows; runs that are not there yet are
    trained now, with progress.

    Args:
        notebook: that asks, for the name of its folder of results.
        dataset: "simulated", "bioscan-1m", or the path of a table of specimens.
        experiment: group of rows in experiments.yaml.
        preset, seeds, output, parameters: as in `collect_runs`.
        data_seed: of the simulated data and of the split.
        published_as: the group that names the folder of published results; by default `experiment`.
        baselines: whether the rows that need no training are made, too.
        publish: whether results go to `tables/` and `figures/`; see
            `hypertax.study.result_folders`.

    Raises:
        ValueError: a data set, group or parameter that does not exist.
    """
    specimens = load_specimens(dataset, seed=data_seed)
    rows = applicable(load_rows(experiment), views_of(specimens))
    runs = collect_runs(
        rows,
        specimens,
        dataset=dataset,
        preset=preset,
        seeds=seeds,
        output=output,
        data_seed=data_seed,
        **parameters,
    )
    tables, figures = result_folders(
        dataset,
        notebook,
        experiment=published_as or experiment,
        preset=preset,
        publish=publish,
        output=output,
    )
    beside = run_baselines(specimens, output=output) if baselines else []
    return Study(data_set_name(dataset), specimens, rows, runs, beside, tables, figures)


def collect_runs(
    rows: list[Row],
    specimens: pd.DataFrame,
    *,
    dataset: str,
    preset: str = DEFAULT_PRESET,
    seeds: int = 1,
    output: str | None = None,
    **parameters,
) -> list[StudyRun]:
    """The finished run of every row and seed; one that is not there yet is trained now, with
    progress.

    Args:
        rows: of an experiment. specimens: the table that they are trained on.
        dataset: its name or path. preset: one of `hypertax.config.presets.PRESETS`.
        seeds: how many runs of each row, with the seeds 0, 1 and so on.
        output: the runs folder; None is `runs/`.
        parameters: `RunConfig` fields given to every row (device, epochs ...); None leaves the
            row's own.
    """
    given = {name: value for name, value in parameters.items() if value is not None}
    study = []
    for row in rows:
        for seed in range(seeds):
            config = row.config(dataset=dataset, seed=seed, preset=preset, **given)
            make = train_here if row.notebook else unaligned
            study.append(StudyRun(row, seed, make(config, specimens, output=output)))
    return study


def finished_runs(
    rows: list[Row],
    specimens: pd.DataFrame,
    *,
    dataset: str,
    preset: str = DEFAULT_PRESET,
    seeds: int = 1,
    output: str | None = None,
) -> list[StudyRun]:
    """The finished run of every row and seed; nothing is trained.

    Arguments as for `collect_runs`.

    Raises:
        ValueError: a run is missing; the sentence names the first one and how to make it.
    """
    data, folder, study = fingerprint(specimens), runs_folder(output), []
    for row in rows:
        for seed in range(seeds):
            config = row.config(dataset=dataset, seed=seed, preset=preset)
            name = run_name(config, data, method=None if row.notebook else "unaligned")
            run = finished(folder / name)
            if run is None:
                raise ValueError(
                    f"The run {name} of {row.label}, seed {seed}, is not in {shown(folder)}: train"
                    " it with make paper, or name the folder that has it."
                )
            study.append(StudyRun(row, seed, run))
    return study
