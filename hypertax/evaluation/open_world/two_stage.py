"""First decide whether a species is seen, then look for it among the seen or the unseen keys:
CLIBD's two stages."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hypertax.evaluation.accuracy import harmonic_mean
from hypertax.evaluation.open_world.curves import cells, descending
from hypertax.taxonomy import RANKS


def two_stage(val: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """Species accuracy with two stages, the threshold between them chosen on the validation
    queries; for every score of confidence.

    A query whose confidence reaches the threshold gets the species of its nearest seen key, any
    other the species of its nearest unseen key. The threshold is the one with the best harmonic
    mean of the macro accuracies of seen and unseen queries, the lowest of equally good ones.

    The protocol is CLIBD's (Gong et al., ICLR 2025; `scripts/method_nn.py` of their repository).
    Theirs asks image queries, of seen keys that are images and of unseen keys that are DNA: here
    `open_world_answers(..., pairing="image to image", unseen_modality="dna")`. It thresholds the
    cosine at 1,000 values from 0 to 1 and takes the best harmonic mean of *micro* accuracies. Ours
    differs: any validation query's confidence may be the threshold (or inf: no query passes), by
    any score, in every pairing, for macro accuracies.

    Args:
        val, test: answers of `hypertax.evaluation.open_world.answers.open_world_answers` of the
        same runs, the score "distance" among them.

    Returns:
        columns naming the run, `score`, `threshold`, `val_seen`, `val_unseen`, `val_harmonic`,
        `seen`, `unseen`, `harmonic` (macro top-1 at species, 0..1) and `accepted_seen`,
        `accepted_unseen`, the shares of the queries that count as seen. NaN where a kind is
        missing.
    """
    tested = {tuple(about.items()): stage for about, stage in _stages(test)}
    rows = []
    for about, stage in _stages(val):
        threshold = best_threshold(stage)
        after = tested.get(tuple(about.items()))
        row = {**about, "threshold": threshold}
        row |= {
            f"val_{name}": value
            for name, value in accuracies(stage, threshold).items()
            if name in ("seen", "unseen", "harmonic")
        }
        rows.append(row | (accuracies(after, threshold) if after is not None else {}))
    return pd.DataFrame(rows)


def _stages(answers: pd.DataFrame):
    for about, run in cells(answers[answers["rank"] == RANKS[-1]]):
        nearest = run[run["score"] == "distance"].set_index("query")["right"]
        for own, part in cells(run, "score"):
            yield own, stages(part, nearest)


def stages(part: pd.DataFrame, nearest: pd.Series) -> dict[str, np.ndarray]:
    """What both stages would answer, for one run and score, of the queries with a species.

    nearest: whether the nearest seen key has a query's species, by query; `part["right"]` may be
    about another answer.

    Returns:
        (Q,) arrays: `confidence`, `seen` (bool), `first` and `second` (whether the seen and the
        unseen key are right), and `weight`, one over the queries of the species.
    """
    part = part[part["true"].notna()]
    true = part["true"].to_numpy(dtype=object)
    return {
        "confidence": part["confidence"].to_numpy(),
        "seen": (part["split"] == "seen").to_numpy(),
        "first": nearest.loc[part["query"]].to_numpy(dtype=bool),
        "second": part["unseen_predicted"].to_numpy(dtype=object) == true,
        "weight": 1
        / part.groupby(["split", "true"], observed=True)["query"].transform("size").to_numpy(),
    }


def best_threshold(stage: dict[str, np.ndarray]) -> float:
    """The threshold of the best harmonic mean of both macro accuracies, the lowest of equally good
    ones; NaN where a kind is missing."""
    confidence, kinds = stage["confidence"], [stage["seen"], ~stage["seen"]]
    if not all(kind.any() for kind in kinds):
        return np.nan
    order, last = descending(confidence)
    sides = []
    for kind in kinds:
        weight = kind * stage["weight"] / (kind * stage["weight"]).sum()
        gain = np.cumsum((weight * (stage["first"].astype(float) - stage["second"]))[order])[last]
        sides.append((weight * stage["second"]).sum() + np.append(0, gain))
    values = harmonic_mean(*sides).round(12)
    candidates = np.append(np.inf, confidence[order[last]])
    return float(candidates[np.flatnonzero(values == values.max())[-1]])


def accuracies(
    stage: dict[str, np.ndarray], threshold: float, times: np.ndarray | int = 1
) -> dict[str, np.ndarray]:
    """Macro species accuracy (...) of seen and unseen queries and their harmonic mean, and the
    shares accepted as seen, at a threshold.

    times: (..., Q), how often each query was drawn; a query keeps the weight that it has undrawn,
    as in `hypertax.evaluation.comparison.compare`.
    """
    accepted = stage["confidence"] >= threshold
    right = np.where(accepted, stage["first"], stage["second"])
    result = {}
    for name, kind in (("seen", stage["seen"]), ("unseen", ~stage["seen"])):
        weight = times * (kind * stage["weight"])
        total = weight.sum(axis=-1)
        total = np.where((total > 0) & ~np.isnan(threshold), total, np.nan)
        count = np.sum(times * kind, axis=-1)
        result[name] = (weight * right).sum(axis=-1) / total
        result[f"accepted_{name}"] = (times * (kind & accepted)).sum(axis=-1) / np.where(
            np.isnan(total), np.nan, np.maximum(count, 1)
        )
    result["harmonic"] = harmonic_mean(result["seen"], result["unseen"])
    return {
        name: result[name]
        for name in ("seen", "unseen", "harmonic", "accepted_seen", "accepted_unseen")
    }
