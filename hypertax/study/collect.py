"""The runs of a study: found where they are finished, trained where they are not."""

from __future__ import annotations

import pandas as pd

from hypertax.study.rows import Row
from hypertax.study.runs import StudyRun
from hypertax.training.trainer import train_here, unaligned


def collect_runs(
    rows: list[Row],
    specimens: pd.DataFrame,
    *,
    dataset: str,
    preset: str = "tiny",
    seeds: int = 1,
    output: str | None = None,
    **parameters,
) -> list[StudyRun]:
    """The finished run of every row and seed; one that is not there yet is trained now, with
    progress.

    parameters: `RunConfig` fields given to every row (device, epochs ...); None leaves the row's
    own.
    """
    given = {name: value for name, value in parameters.items() if value is not None}
    study = []
    for row in rows:
        for seed in range(seeds):
            config = row.config(dataset=dataset, seed=seed, preset=preset, **given)
            make = train_here if row.notebook else unaligned
            study.append(StudyRun(row, seed, make(config, specimens, output=output)))
    return study
