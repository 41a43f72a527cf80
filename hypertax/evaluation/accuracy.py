"""Accuracy of label transfer from the nearest key, by CLIBD's protocol and for species that have no
key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hypertax.embeddings import Embeddings
from hypertax.evaluation.answers import Answering, Answers, answer
from hypertax.evaluation.protocol import query_splits, sides
from hypertax.taxonomy import RANKS


@dataclass(frozen=True)
class Metric:
    """A share of right answers, from counts per true class.

    Args:
        heading: how tables call it.
        value: of right answers, answers and class sizes, each (..., C), the share (...), 0..1. In a
            bootstrap answers are drawn queries and class sizes those of all queries; otherwise both
            are the same.
    """

    heading: str
    value: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


METRICS = {
    "micro": Metric(
        "Micro", lambda right, answers, sizes: right.sum(axis=-1) / answers.sum(axis=-1)
    ),
    "macro": Metric(
        "Macro",
        lambda right, answers, sizes: (right / sizes).sum(axis=-1) / (answers / sizes).sum(axis=-1),
    ),
}
"""The accuracies by name: "micro", the share of the queries, and "macro", the mean over the true
classes. This is their only definition: scores, comparisons and tables go through it. The column
`average` of scores and tables holds these names."""
COLUMNS = (
    "stage",
    "protocol",
    "ranking",
    "pairing",
    "rank",
    "k",
    "average",
    "split",
    "value",
    "queries",
    "classes",
)
"""The columns of the long table that `evaluate` returns. `average` is the name of the metric, a key
of `METRICS`."""


def accuracy(true, predicted, k: int = 1, average: str = "macro") -> float:
    """Share of queries whose true name is among the first k predicted ones.

    A query whose true name is missing does not count; a missing predicted name is wrong.

    Args:
        true: (Q,) names.
        predicted: (Q,) or (Q, K) names, nearest first.
        k: how many predicted names count; all K where K < k.
        average: the metric, a key of `METRICS`.

    Returns:
        0..1, NaN where no query counts.

    Raises:
        ValueError: a metric that does not exist, or names of different numbers of queries.
    """
    if average not in METRICS:
        known = " or ".join(map(repr, METRICS))
        raise ValueError(f"average must be {known}, not {average!r}.")
    true = np.asarray(true, dtype=object)
    predicted = np.asarray(predicted, dtype=object)
    if predicted.ndim == 1:
        predicted = predicted[:, None]
    if len(true) != len(predicted):
        raise ValueError(
            f"There are {len(true)} true names but predictions for {len(predicted)} queries."
        )
    codes, _ = pd.factorize(np.concatenate([true, predicted.ravel()]))
    return _score(codes[: len(true)], codes[len(true) :].reshape(predicted.shape), k)[average]


def _score(true: np.ndarray, predicted: np.ndarray, k: int) -> dict[str, float]:
    """Every metric, and how many queries and classes count, from integer names (Q,) and (Q, K); -1
    is a missing name."""
    known = true >= 0
    true, correct = true[known], (predicted[known, :k] == true[known, None]).any(axis=1)
    if not len(true):
        return {**dict.fromkeys(METRICS, np.nan), "queries": 0, "classes": 0}
    _, classes, sizes = np.unique(true, return_inverse=True, return_counts=True)
    right = np.bincount(classes, weights=correct)
    values = {name: float(metric.value(right, sizes, sizes)) for name, metric in METRICS.items()}
    return {**values, "queries": len(true), "classes": len(sizes)}


def harmonic_mean(seen, unseen):
    """2su / (s + u) of numbers or elementwise; 0 where both are 0, NaN where one is."""
    total = np.asarray(seen + unseen)
    return 2 * seen * unseen / np.where(total == 0, 1, total)


def evaluate(
    embeddings: Embeddings | Answering,
    stage: str = "test",
    *,
    ks: Sequence[int] = (1, 3, 5),
    rankings: Sequence[str] | None = None,
    device: str | None = None,
) -> pd.DataFrame:
    """Every accuracy of a run, one number a row, in the columns `COLUMNS`.

    `protocol` "standard": keys are the three key splits; `split` is "seen", "unseen" and "harmonic"
    (the harmonic mean of the two). `protocol` "novel": the unseen queries against `seen_keys`
    alone, so that the species has no key; a query counts at order, family and genus where its own
    taxon of that rank has a key. Pairings whose modalities are absent, and ranks at which no query
    has a name, leave no row; a split without queries is NaN.

    Args:
        embeddings: of specimens, or a method that answers without any.
        stage: "val" or "test", whose queries are used.
        ks: k of top-k. Those of which a method gives fewer answers leave no row.
        rankings: "distance", "angle"; by default both in Lorentz space, and in Euclidean space
            "distance" (there the cosine). Without embeddings it is "distance".
        device: where to look for the keys, the CPU by default.

    Raises:
        ValueError: a stage that does not exist.
    """
    splits = query_splits(stage)
    if rankings is None:
        space = getattr(embeddings, "space", None)
        rankings = ("distance", "angle") if space == "lorentz" else ("distance",)
    rows = []
    for pairing, queries, keys in sides(embeddings, list(splits.values())):
        for ranking in rankings:
            common = {"stage": stage, "protocol": "standard", "ranking": ranking}
            common["pairing"] = pairing
            rows += _standard(queries, keys, splits, ks, common, device)
            common["protocol"] = "novel"
            rows += _novel(queries, keys, splits["unseen"], ks, common, device)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _standard(
    queries: Embeddings | Answering,
    keys: Embeddings | Answering,
    splits: dict[str, str],
    ks: Sequence[int],
    common: dict,
    device: str | None,
) -> list[dict]:
    """The rows of the standard protocol for one pairing and ranking, both told by `common`."""
    query_split = queries.table["split"].to_numpy()
    found = answer(queries, keys, max(ks), by=common["ranking"], device=device)
    rows = []
    for rank in RANKS:
        true, _, predicted = _coded(queries, keys, found, rank)
        for k in _given(ks, found, keys):
            scores = {}
            for kind, name in splits.items():
                own = query_split == name
                scores[kind] = _score(true[own], predicted[own], k)
            rows += _standard_rows({**common, "rank": rank, "k": k}, scores)
    return rows


def _novel(
    queries: Embeddings | Answering,
    keys: Embeddings | Answering,
    unseen: str,
    ks: Sequence[int],
    common: dict,
    device: str | None,
) -> list[dict]:
    """The rows of the protocol for species without a key: queries of the split `unseen`, keys of
    seen species."""
    novel = (queries.table["split"] == unseen).to_numpy()
    known = (keys.table["split"] == "seen_keys").to_numpy()
    if not novel.any() or not known.any():
        return []
    keys = keys.where(known)
    found = answer(queries.where(novel), keys, max(ks), by=common["ranking"], device=device)
    rows = []
    for rank in RANKS[:-1]:
        true, names, predicted = _coded(queries, keys, found, rank)
        true = np.where(np.isin(true, names), true, -1)[novel]
        for k in _given(ks, found, keys):
            rows += _rows({**common, "rank": rank, "k": k}, "unseen", _score(true, predicted, k))
    return rows


def _given(ks: Sequence[int], found: Answers, keys: Embeddings | Answering) -> list[int]:
    """The k of which there are so many answers, or as many as keys."""
    return [k for k in ks if min(k, len(keys)) <= found.width]


def _coded(
    queries: Embeddings | Answering, keys: Embeddings | Answering, found: Answers, rank: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Names as integers that the queries (Q,), the keys (K,) and the answers (Q, W) share; -1 is a
    missing name."""
    sides = [side.table[rank].to_numpy(dtype=object) for side in (queries, keys)]
    codes = pd.factorize(np.concatenate([*sides, found.names[rank].ravel()]))[0]
    true, names, predicted = np.split(codes, np.cumsum([len(side) for side in sides]))
    return true, names, predicted.reshape(found.names[rank].shape)


def _rows(common: dict, split: str, score: dict) -> list[dict]:
    if not score["queries"]:
        return []
    counts = {"queries": score["queries"], "classes": score["classes"]}
    return [
        {**common, "average": average, "split": split, "value": score[average], **counts}
        for average in METRICS
    ]


def _standard_rows(common: dict, scores: dict[str, dict]) -> list[dict]:
    """Seen, unseen and their harmonic mean; nothing where neither has a query."""
    seen, unseen = scores["seen"], scores["unseen"]
    harmonic = {average: harmonic_mean(seen[average], unseen[average]) for average in METRICS}
    harmonic.update({count: seen[count] + unseen[count] for count in ("queries", "classes")})
    if not harmonic["queries"]:
        return []
    return [
        {
            **common,
            "average": average,
            "split": split,
            "value": score[average],
            "queries": score["queries"],
            "classes": score["classes"],
        }
        for average in METRICS
        for split, score in {**scores, "harmonic": harmonic}.items()
    ]


def query_counts(scores: pd.DataFrame) -> pd.DataFrame:
    """How many queries with a species, and of how many species, each pairing and split has.

    scores: of `evaluate`, of one run or several.

    Returns:
        columns `pairing`, `split` ("seen", "unseen"), `queries`, `classes`.
    """
    wanted = {"protocol": "standard", "rank": "species", "ranking": "distance"}
    used = scores[(scores[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    used = used[used["split"] != "harmonic"].drop_duplicates(["pairing", "split"])
    return used[["pairing", "split", "queries", "classes"]].reset_index(drop=True)
