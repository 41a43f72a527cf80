"""Probabilities and thresholds, learned on the library itself and on nothing else.

References play queries: specimens held out alone (their species is known), and with all of their species (it is new).
Each species counts the same, and known and new weigh the same. A species held out leaves its genus without references
where it was the genus's only one, so new genera occur as often as the library says that they do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd
from scipy.stats import binom

from hypertax.taxonomy import RANKS

EVENTS = (*RANKS, "new")
"""What has a probability: that the answer is right at a rank, and that the species is new."""
LEAST_SPECIES = 20
"""Species that a library needs to be calibrated at all."""
RISK = 0.1
"""The probability, over libraries, that a threshold's precision is below the wanted one."""
BINS = 15
FOLDS = 5
_EDGE = 1e-4


@dataclass
class Calibration:
    """What `calibrate` learned; `None` instead of numbers where the library is too small.

    Args:
        events: by event the standardisation, coefficients and steps of its probability.
        held_out: per held-out specimen its kind, whether each answer was right, and the
            probabilities given by folds that did not hold its genus.
        note: why there are no numbers, "" where there are.
    """

    events: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    held_out: pd.DataFrame = field(default_factory=pd.DataFrame)
    note: str = ""

    @property
    def usable(self) -> bool:
        """Whether there are probabilities."""
        return bool(self.events)

    def probabilities(self, features: dict[str, np.ndarray]) -> np.ndarray:
        """Probabilities (Q, 5) of `EVENTS`, those of the ranks not increasing with depth and the species' not
        above that of being known.

        Args:
            features: by rank a matrix (Q, F).
        """
        count = len(features[RANKS[0]])
        if not self.usable:
            return np.full((count, len(EVENTS)), np.nan)
        return consistent(
            np.stack([_apply(self.events[e], features[_rank_of(e)]) for e in EVENTS], axis=1)
        )

    def thresholds(self, precision: float) -> tuple[dict[str, float], set[str]]:
        """By rank the least probability at which answers reach a precision, infinite without a calibration;
        and the ranks at which that is guaranteed.

        Learn then Test: thresholds are tried in falling order, and the last one before the first
        that fails a binomial test at `RISK` is taken. One specimen a species enters the test, so
        that the draws are independent. Where no threshold passes, as with few species, an answer's
        own probability must reach the precision, and nothing is guaranteed.

        Args:
            precision: the wanted share of right answers.
        """
        if not self.usable:
            return dict.fromkeys(RANKS, np.inf), set()
        drawn = self.held_out[self.held_out["drawn"]]
        allowed = np.ones(len(drawn), dtype=bool)
        least = int(np.ceil(np.log(RISK) / np.log(precision)))
        found, sure = {}, set()
        for rank in RANKS:
            p, right = drawn[f"p_{rank}"].to_numpy(), drawn[f"right_{rank}"].to_numpy(dtype=bool)
            found[rank] = _learn_then_test(p[allowed], right[allowed], precision, least)
            if found[rank] < np.inf:
                sure.add(rank)
            else:
                found[rank] = precision
            allowed &= p >= found[rank]
        return found, sure

    def to_dict(self) -> dict:
        """What JSON can hold, without `held_out`."""
        return {"events": self.events, "note": self.note}


def _rank_of(event: str) -> str:
    return RANKS[-1] if event == "new" else event


def consistent(p: np.ndarray) -> np.ndarray:
    """Probabilities (Q, 5) of `EVENTS` that do not contradict each other."""
    p = np.array(p, dtype=float)
    p[:, 3] = np.minimum(p[:, 3], 1 - p[:, 4])
    p[:, :4] = np.minimum.accumulate(p[:, :4], axis=1)
    return p


def calibrate(
    held_out: dict[str, pd.DataFrame], features: dict[str, dict[str, np.ndarray]]
) -> Calibration:
    """Learn from held-out references.

    Args:
        held_out: by kind ("specimen", "species", "genus") a row per reference: `species` (its
            own, as codes), `genus` (codes), and `right_<rank>`. The kind "genus" is
            judged, not learned from.
        features: by kind and rank a matrix of the same rows.
    """
    kinds = [kind for kind in held_out if len(held_out[kind])]
    species = held_out["species"]["species"].nunique() if "species" in kinds else 0
    if species < LEAST_SPECIES or "specimen" not in kinds:
        return Calibration(
            note=f"The library has {species} species with references to hold out; probabilities"
            f" need {LEAST_SPECIES}."
        )
    table = pd.concat([held_out[k].assign(kind=k) for k in kinds], ignore_index=True)
    stacked = {r: np.concatenate([features[k][r] for k in kinds]) for r in RANKS}
    table["right_new"] = table["kind"] != "specimen"
    weight = _weights(table)
    genus = table["genus"].to_numpy()
    order = np.random.default_rng(0).permutation(genus.max() + 1)
    fold = order[genus] % FOLDS
    events, outside = {}, np.zeros((len(table), len(EVENTS)))
    for column, event in enumerate(EVENTS):
        x, y = stacked[_rank_of(event)], table[f"right_{event}"].to_numpy(dtype=float)
        events[event], outside[:, column] = _cross_fitted(x, y, weight, fold)
    outside = consistent(outside)
    for column, event in enumerate(EVENTS):
        table[f"p_{event}"] = outside[:, column]
    table["weight"], table["drawn"] = weight, _drawn(table)
    return Calibration(events, table)


def _weights(table: pd.DataFrame) -> np.ndarray:
    """Weights (N,): each species the same within its kind, known and new a half each, genera none."""
    per_species = table.groupby(["kind", "species"])["kind"].transform("size").to_numpy()
    weight = 1.0 / per_species
    for kind in table["kind"].unique():
        rows = (table["kind"] == kind).to_numpy()
        weight[rows] *= (0.5 if kind != "genus" else 0.0) / weight[rows].sum()
    return weight * len(table)


def _drawn(table: pd.DataFrame) -> np.ndarray:
    """One row of each species, half of the species as known ones and half as new ones."""
    rng = np.random.default_rng(1)
    shuffled = table[table["kind"].isin(["specimen", "species"])]
    shuffled = shuffled.iloc[rng.permutation(len(shuffled))]
    known = set(shuffled.loc[shuffled["kind"] == "specimen", "species"])
    codes = rng.permutation(np.sort(shuffled["species"].unique()))
    as_known = [code for code in codes if code in known][: len(codes) // 2]
    wanted = np.where(shuffled["species"].isin(as_known), "specimen", "species")
    chosen = shuffled[shuffled["kind"] == wanted].drop_duplicates("species").index
    drawn = np.zeros(len(table), dtype=bool)
    drawn[chosen] = True
    return drawn


def _cross_fitted(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, fold: np.ndarray
) -> tuple[dict[str, list[float]], np.ndarray]:
    """What gives an event's probability, and the probabilities (N,) of rows that had no part in it.

    The isotonic steps are learned on what the logistic regressions say of folds that they did not
    see, so that they correct what a regression does on new genera, not on its own.
    """
    outside = np.zeros(len(y))
    for one in range(FOLDS):
        rest = fold != one
        outside[~rest] = _raw(_regression(x[rest], y[rest], weight[rest]), x[~rest])
    probability = np.zeros(len(y))
    for one in range(FOLDS):
        rest = fold != one
        steps = _steps(outside[rest], y[rest], weight[rest])
        probability[~rest] = _stepped(steps, outside[~rest])
    return {**_regression(x, y, weight), **_steps(outside, y, weight)}, probability


def _regression(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> dict[str, list[float]]:
    from sklearn.linear_model import LogisticRegression

    use = weight > 0
    x, y, weight = x[use], y[use], weight[use]
    centre, spread = np.average(x, axis=0, weights=weight), x.std(axis=0) + 1e-9
    if y.min() == y.max():
        # Rule of succession: no event seen is not an event that cannot happen.
        n = len(np.unique(weight)) + len(y) ** 0.5
        value = (y[0] * n + 1) / (n + 2)
        coefficients, intercept = np.zeros(x.shape[1]), float(np.log(value / (1 - value)))
    else:
        model = LogisticRegression(C=1.0, max_iter=500)
        model.fit((x - centre) / spread, y, sample_weight=weight / weight.mean())
        coefficients, intercept = model.coef_[0], float(model.intercept_[0])
    return {
        "centre": centre.tolist(),
        "spread": spread.tolist(),
        "coefficients": np.asarray(coefficients).tolist(),
        "intercept": [intercept],
    }


def _steps(p: np.ndarray, y: np.ndarray, weight: np.ndarray) -> dict[str, list[float]]:
    from sklearn.isotonic import IsotonicRegression

    use = weight > 0
    if y[use].min() == y[use].max():
        return {"from": [0.0, 1.0], "to": [0.0, 1.0]}
    isotonic = IsotonicRegression(y_min=_EDGE, y_max=1 - _EDGE, out_of_bounds="clip")
    isotonic.fit(p[use], y[use], sample_weight=weight[use])
    return {"from": isotonic.X_thresholds_.tolist(), "to": isotonic.y_thresholds_.tolist()}


def _apply(fitted: dict[str, list[float]], x: np.ndarray) -> np.ndarray:
    return _stepped(fitted, _raw(fitted, x))


def _raw(fitted: dict[str, list[float]], x: np.ndarray) -> np.ndarray:
    z = (x - np.array(fitted["centre"])) / np.array(fitted["spread"])
    return _logistic(z @ np.array(fitted["coefficients"]) + fitted["intercept"][0])


def _stepped(fitted: dict[str, list[float]], raw: np.ndarray) -> np.ndarray:
    # A little of the logistic curve stays, so that equal steps keep their order.
    return 0.98 * np.interp(raw, fitted["from"], fitted["to"]) + 0.02 * raw


def _logistic(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(z, -40, 40)))


def _learn_then_test(p: np.ndarray, right: np.ndarray, precision: float, least: int) -> float:
    order = np.argsort(-p, kind="stable")
    p, wrong = p[order], np.cumsum(~right[order])
    # A threshold ends only where the next probability is lower. The first one tried keeps a quarter
    # of the draws, so that one mistake among the surest does not end the trial.
    ends = np.flatnonzero(np.append(p[1:] < p[:-1], True))
    threshold = np.inf
    for end in ends[ends + 1 >= max(least, len(p) // 4)]:
        if binom.cdf(wrong[end], end + 1, 1 - precision) > RISK:
            break
        threshold = p[end]
    return float(threshold)


@dataclass(frozen=True)
class Reliability:
    """How true a calibration's probabilities are at one event: expected calibration error, and per bin of
    probability its mean, the share that was right and the weight."""

    error: float
    mean: list[float]
    right: list[float]
    weight: list[float]

    def to_dict(self) -> dict:
        """What JSON can hold."""
        return asdict(self)


def reliability(p: np.ndarray, right: np.ndarray, weight: np.ndarray | None = None) -> Reliability:
    """Bins of equal width, `BINS` of them.

    Args:
        p: (N,) probabilities. right: (N,) bool. weight: (N,), the same for all by default.
    """
    weight = np.ones(len(p)) if weight is None else weight
    place = np.minimum((p * BINS).astype(int), BINS - 1)
    total = np.bincount(place, weight, BINS)
    safe = np.where(total > 0, total, 1)
    mean = np.bincount(place, weight * p, BINS) / safe
    share = np.bincount(place, weight * right, BINS) / safe
    error = float((total * np.abs(mean - share)).sum() / max(total.sum(), 1e-12))
    used = total > 0
    shares = total[used] / total.sum()
    return Reliability(error, mean[used].tolist(), share[used].tolist(), shares.tolist())
