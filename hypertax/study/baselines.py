"""The rows that need no training, beside the runs of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.data.views import views_of
from hypertax.embeddings import Embeddings
from hypertax.evaluation.answers import SEEDLESS, Answering
from hypertax.evaluation.baselines import BASELINES, run_baseline
from hypertax.evaluation.baselines.methods import BaselineResult
from hypertax.study.rows import BASELINE_ROWS, EXPERIMENTS, Row, load_section
from hypertax.training.runs import runs_folder

BESIDE = ("vsearch", "aligned-reads", "dna-start", "frozen-features")
"""The rows that trained ones are compared with."""


@dataclass(frozen=True)
class BaselineRun:
    """The one run of a row without training."""

    row: Row
    result: BaselineResult

    seed = SEEDLESS
    aperture = 0.1

    @property
    def method(self) -> str:
        """The row's label; it says where the row is not available."""
        missing = self.result.missing
        return f"{self.row.label} ({missing})" if missing else self.row.label

    @property
    def name(self) -> str:
        """The run's name."""
        return self.row.name if self.result.folder is None else self.result.folder.name

    @property
    def embeddings(self) -> Embeddings | Answering:
        """What answers the queries."""
        return self.result.source

    @property
    def available(self) -> bool:
        """Whether the row has answers."""
        return self.result.missing is None


def load_baselines(path: Path = EXPERIMENTS) -> list[Row]:
    """The rows of the section `baselines`, in the file's order.

    Raises:
        ValueError: one sentence, if a row is wrong, or there is no such baseline.
    """
    rows = load_section(path)
    for row in rows:
        if row.name not in BASELINES:
            raise ValueError(
                f"{path.name}, {BASELINE_ROWS}, {row.name}: there is no such baseline; the names"
                f" are {', '.join(BASELINES)}."
            )
    return rows


def run_baselines(
    specimens: pd.DataFrame, *, output: str | None = None, path: Path = EXPERIMENTS
) -> list[BaselineRun]:
    """The runs of all baselines that the data allow, in the file's order; those that are kept
    already are read.

    Args:
        specimens: the table. output: the runs folder; None is `runs/`. path: of the rows.
    """
    views = views_of(specimens)
    folder = runs_folder(output) / BASELINE_ROWS
    return [
        BaselineRun(row, run_baseline(row.name, specimens, folder))
        for row in load_baselines(path)
        if BASELINES[row.name].modality in views
    ]


def baseline_costs(baselines: Sequence[BaselineRun]) -> pd.DataFrame:
    """What each available baseline cost, as `hypertax.study.run_costs` has it for runs: nothing is
    trained, and the seconds are of all its answers."""
    rows = []
    for run in baselines:
        if not run.available:
            continue
        threads = run.result.environment["threads"]
        rows.append(
            {
                "method": run.method,
                "run": run.name,
                "seed": run.seed,
                "device": f"cpu, {threads} {'thread' if threads == 1 else 'threads'}",
                "parameters": 0,
                "seconds": run.result.environment["seconds"],
                "epochs": np.nan,
                "seconds_per_epoch": np.nan,
                "milliseconds_per_step": np.nan,
                "peak_memory": run.result.environment["peak_memory_mib"] or np.nan,
            }
        )
    return pd.DataFrame(rows)
