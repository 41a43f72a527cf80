"""The scores of all runs of a study in one frame."""

from __future__ import annotations

import pandas as pd

from hypertax.evaluation import study_scores
from hypertax.study.runs import StudyRun


def score(study: list[StudyRun], stage: str) -> pd.DataFrame:
    """The scores of `hypertax.evaluation.accuracy.evaluate` of every run, with columns `method`,
    `run` and `seed` in front."""
    return study_scores(study, stage)
