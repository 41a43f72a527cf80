"""What answers are worth against the true labels: precision and coverage, calibration, new species."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from benchmarks.identify.asking import Answered
from hypertax.identify.calibration import EVENTS, reliability
from hypertax.taxonomy import RANKS

DRAWS = 1000
SURE = 0.9
"""Probability from which a specimen counts as flagged new."""


def weights(known: np.ndarray) -> np.ndarray:
    """(Q,) weights by which known and new species weigh the same, 1 in all."""
    if known.all() or not known.any():
        return np.full(len(known), 1 / len(known))
    return np.where(known, 0.5 / known.sum(), 0.5 / (~known).sum())


def right_names(answered: Answered, truth: pd.DataFrame) -> np.ndarray:
    """(Q, 4) bool: whether a method's name at each rank is the true one."""
    return answered.names == truth[list(RANKS)].to_numpy(dtype=object)


def cells(answered: Answered, truth: pd.DataFrame, known: np.ndarray) -> Iterator[dict]:
    """Coverage and precision by rank, and the share of best names that are right, of known species, of
    new ones, and of both."""
    right = right_names(answered, truth)
    groups = {"known species": known, "new species": ~known}
    if known.any() and not known.all():
        groups["both alike"] = np.ones(len(known), dtype=bool)
    for group, rows in groups.items():
        if not rows.any():
            continue
        weight = weights(known) * rows
        for depth, rank in enumerate(RANKS):
            said = answered.given[:, depth] & (answered.names[:, depth] != None)  # noqa: E711
            low, high = _interval(said, said & right[:, depth], weight, truth["species"])
            total = (weight * said).sum()
            yield {
                "queries": group,
                "rank": rank,
                "right": (weight * right[:, depth]).sum() / weight.sum(),
                "coverage": total / weight.sum(),
                "precision": (weight * said * right[:, depth]).sum() / total if total else np.nan,
                "low": low,
                "high": high,
                "answers": int((said & rows).sum()),
            }


def _interval(
    said: np.ndarray, right: np.ndarray, weight: np.ndarray, species: pd.Series
) -> tuple[float, float]:
    """95 % of the precisions that species drawn with replacement give."""
    codes = pd.factorize(species)[0]
    said, right = (np.bincount(codes, weight * x) for x in (said, right))
    drawn = np.random.default_rng(0).integers(len(said), size=(DRAWS, len(said)))
    with np.errstate(invalid="ignore"):
        values = right[drawn].sum(axis=1) / said[drawn].sum(axis=1)
    if np.isnan(values).all():
        return np.nan, np.nan
    return tuple(np.nanquantile(values, [0.025, 0.975]))


def curve(score: np.ndarray, right: np.ndarray, weight: np.ndarray):
    """Coverage and precision at every threshold, two arrays in rising coverage.

    Args:
        score, right, weight: (Q,); only queries with a positive score are answered.
    """
    order = np.argsort(-score, kind="stable")
    score, right, weight = score[order], right[order], weight[order]
    ends = np.append(score[1:] < score[:-1], True) & (score > 0)
    said, good = np.cumsum(weight), np.cumsum(weight * right)
    return said[ends] / weight.sum(), good[ends] / said[ends]


def coverage_at(precision: float, answered: Answered, truth, known: np.ndarray, depth: int):
    """The largest coverage at which a method still has a precision, at a rank, both kinds alike."""
    right = right_names(answered, truth)[:, depth]
    covered, reached = curve(answered.score[:, depth], right, weights(known))
    good = covered[reached >= precision - 1e-12]
    return good.max() if len(good) else 0.0


def calibration(answered: Answered, truth: pd.DataFrame, known: np.ndarray) -> Iterator[dict]:
    """Calibration errors by rank, and beside each what true probabilities would show."""
    right, weight = right_names(answered, truth), weights(known)
    for depth, rank in enumerate(RANKS):
        p = answered.score[:, depth]
        yield {
            "measure": f"calibration error, {rank}",
            "value": reliability(p, right[:, depth].astype(float), weight).error,
        }
        yield {
            "measure": f"true probabilities would have, {rank}",
            "value": chance_error(p, weight, truth["species"]),
        }


def chance_error(p: np.ndarray, weight: np.ndarray, species: pd.Series) -> float:
    """The mean calibration error of true probabilities, where a species' specimens are right or wrong
    together."""
    codes = pd.factorize(species)[0]
    rng = np.random.default_rng(0)
    drawn = [rng.random(codes.max() + 1)[codes] < p for _ in range(200)]
    return float(np.mean([reliability(p, one.astype(float), weight).error for one in drawn]))


def novelty(answered: Answered, known: np.ndarray) -> Iterator[dict]:
    """How well a method tells new species; of probabilities also what those at `SURE` are."""
    yield {"measure": "new told from known, AUROC", "value": roc_auc_score(~known, answered.new)}
    if answered.table is None:
        return
    share = answered.table["nearestDifference"].fillna(1)
    yield {"measure": "by the aligned share, AUROC", "value": roc_auc_score(~known, share)}
    weight, sure = weights(known), answered.new >= SURE
    if sure.any():
        yield {"measure": "new of those flagged at 90 %", "value": (~known)[sure].mean()}
        both = (weight * ~known * sure).sum() / (weight * sure).sum()
        yield {"measure": "the same, both alike", "value": both}
    yield {"measure": "of the new ones, flagged at 90 %", "value": sure[~known].mean()}
    error = reliability(answered.new, (~known).astype(float), weight).error
    yield {"measure": "calibration error, new", "value": error}


def reliabilities(answered: Answered, truth: pd.DataFrame, known: np.ndarray) -> dict:
    """By event its `Reliability` on the queries."""
    right, weight = right_names(answered, truth), weights(known)
    found = {r: (answered.score[:, d], right[:, d]) for d, r in enumerate(RANKS)}
    if not known.all():
        found["new"] = answered.new, ~known
    return {
        event: reliability(found[event][0], found[event][1].astype(float), weight)
        for event in EVENTS
        if event in found
    }
