"""Several runs side by side: what evaluation asks of each, and one frame of what all of them
give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from hypertax.embeddings import Embeddings
from hypertax.evaluation.accuracy import evaluate
from hypertax.evaluation.answers import Answering
from hypertax.evaluation.label_transfer import TRUE, predictions


class EmbeddedRun(Protocol):
    """One run of a method; `hypertax.study.StudyRun` and `hypertax.study.BaselineRun` are such, and
    anything with these attributes."""

    @property
    def method(self) -> str:
        """Label of the method, the same for all its seeds."""

    @property
    def name(self) -> str:
        """The run's own name."""

    @property
    def seed(self) -> int:
        """The training seed; `hypertax.evaluation.answers.SEEDLESS` without any."""

    @property
    def embeddings(self) -> Embeddings | Answering:
        """The run's specimens, and its taxa where it has them; or a method that answers without
        embeddings."""

    @property
    def aperture(self) -> float:
        """K of the cones of `embeddings`."""


def available(member: EmbeddedRun) -> bool:
    """Whether a run has answers: a method whose program is not installed has none."""
    return getattr(member.embeddings, "available", True)


def each_run(
    study: Sequence[EmbeddedRun], measure: Callable[[EmbeddedRun], pd.DataFrame]
) -> pd.DataFrame:
    """The frames that `measure` makes of every run, one below the other, with columns `method`,
    `run` and `seed` in front."""
    frames = []
    for member in study:
        frame = measure(member)
        about = {"method": member.method, "run": member.name, "seed": member.seed}
        frames.append(frame.assign(**about)[[*about, *frame.columns]])
    return pd.concat(frames, ignore_index=True)


def study_scores(study: Sequence[EmbeddedRun], stage: str = "test") -> pd.DataFrame:
    """`hypertax.evaluation.evaluate` of every run, with columns `method`, `run` and `seed` in front;
    the values of a run that is not available are NaN."""

    def scores(member: EmbeddedRun) -> pd.DataFrame:
        frame = evaluate(member.embeddings, stage)
        return frame if available(member) else frame.assign(value=np.nan)

    return each_run(study, scores)


def study_predictions(
    study: Sequence[EmbeddedRun], stage: str = "test", *, device: str | None = None
) -> pd.DataFrame:
    """`hypertax.evaluation.predictions` of every run that is available, with columns `method`, `run`
    and `seed` in front."""
    study = [member for member in study if available(member)]
    frame = each_run(study, lambda member: predictions(member.embeddings, stage, device=device))
    return answered_by_all(frame)


def answered_by_all(frame: pd.DataFrame) -> pd.DataFrame:
    """The queries that every run of a pairing answered: one may lack a barcode that cannot be
    aligned, or a photograph that another cannot read. A name counts where it counts for all."""
    cell = ["protocol", "pairing", "query"]
    runs = frame.groupby(cell[:2])["run"].transform("nunique")
    kept = frame[runs == frame.groupby(cell)["run"].transform("nunique")]
    counts = kept.groupby(cell)[list(TRUE)].transform("count")
    partly = (counts > 0) & counts.lt(runs[kept.index], axis=0)
    if partly.any(axis=None):
        kept = kept.assign(**{name: kept[name].where(~partly[name], None) for name in TRUE})
    return kept.reset_index(drop=True)
