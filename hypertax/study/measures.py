"""The scores of all runs of a study in one frame."""

from __future__ import annotations

import pandas as pd

from hypertax.evaluation.accuracy import evaluate
from hypertax.study.runs import StudyRun


def score(study: list[StudyRun], stage: str) -> pd.DataFrame:
    """The scores of `hypertax.evaluation.accuracy.evaluate` of every run, with columns `method`,
    `run` and `seed` in front."""
    frames = []
    for member in study:
        frame = evaluate(member.embeddings, stage)
        frame.insert(0, "seed", member.seed)
        frame.insert(0, "run", member.run.name)
        frame.insert(0, "method", member.row.label)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)
