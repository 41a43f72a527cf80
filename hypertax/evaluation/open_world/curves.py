"""How far confidences can be trusted: precision against coverage, thresholds from validation
queries, and seen told from unseen species."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from hypertax.taxonomy import RANKS

GROUPS = ("all", "seen", "novel placeable", "novel")
"""Queries, with a name at the rank, that a number is about. "novel": of unseen species; where no
seen key carries the taxon every answer is wrong. "novel placeable": those whose taxon a seen key
carries, as in the novel protocol of `hypertax.evaluation.accuracy.evaluate`, hence none at species.
"all": seen and novel, each kind weighing one half whatever its number."""
PRECISION = 0.95
NO_RANK = "none"
_RUN = ("method", "run", "seed", "pairing")


def cells(answers: pd.DataFrame, *columns: str) -> Iterator[tuple[dict, pd.DataFrame]]:
    """Parts of the answers by run (where they have these columns), pairing and the given columns,
    with the values that name each."""
    by = [name for name in (*_RUN, *columns) if name in answers]
    for key, part in answers.groupby(by, sort=False, observed=True):
        yield dict(zip(by, key, strict=True)), part


def group_weights(
    group: str,
    counted: np.ndarray,
    unseen: np.ndarray,
    placeable: np.ndarray,
    times: np.ndarray | int = 1,
) -> np.ndarray:
    """Weights (..., Q) of the queries in a group, summing to 1; NaN where a kind of query that it
    needs is missing.

    counted, unseen, placeable: (Q,) bool, whether a query has a name at the rank, is of an unseen
    species, and has its taxon among the seen keys. times: (..., Q), how often each query was drawn.
    """
    seen, novel = counted & ~unseen, counted & unseen
    kinds = {
        "all": (seen, novel),
        "seen": (seen,),
        "novel placeable": (novel & placeable,),
        "novel": (novel,),
    }[group]
    parts = [times * kind.astype(float) for kind in kinds]
    totals = [part.sum(axis=-1, keepdims=True) for part in parts]
    return sum(
        part / np.where(total > 0, total, np.nan) for part, total in zip(parts, totals, strict=True)
    ) / len(parts)


def _weights(part: pd.DataFrame, group: str) -> np.ndarray:
    return group_weights(
        group,
        part["true"].notna().to_numpy(),
        (part["split"] == "unseen").to_numpy(),
        part["placeable"].to_numpy(),
    )


def descending(confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices (Q,) by falling confidence, and where among them each run of equal confidences
    ends."""
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    return order, np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))


def curve(
    confidence: np.ndarray, right: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence, coverage and precision (..., P) of answering all queries of at least that
    confidence, for each that occurs, falling.

    Equal confidences enter together, so that the order of the queries decides nothing. weights:
    (..., Q).
    """
    order, last = descending(confidence)
    weights = weights[..., order]
    coverage = np.cumsum(weights, axis=-1)[..., last]
    hits = np.cumsum(weights * right[order], axis=-1)[..., last]
    return confidence[order[last]], coverage, hits / np.where(coverage > 0, coverage, np.nan)


def area(confidence: np.ndarray, right: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean precision over coverage 0..1 (...): each query counts with the precision at which it
    enters.

    This is 1 - AURC, the area under the risk-coverage curve of selective classification (Geifman et
    al., ICLR 2019). Where all confidences are equal it is the accuracy. weights: (..., Q) that sum
    to 1.
    """
    if not len(confidence):
        return np.full(weights.shape[:-1], np.nan)
    _, coverage, precision = curve(confidence, right, weights)
    steps = np.diff(coverage, axis=-1, prepend=0)
    return np.where(steps > 0, steps * precision, 0).sum(axis=-1) + 0 * coverage[..., -1]


def auroc(confidence: np.ndarray, positive: np.ndarray, times: np.ndarray | int = 1) -> np.ndarray:
    """Probability (...) that a positive has a higher confidence than a negative, equal ones
    counting one half; NaN without either.

    By ranks (Mann & Whitney 1947), written out because scikit-learn is not among the dependencies
    and because bootstrap draws need it for queries that count several times.

    Args:
        confidence: (Q,). positive: (Q,) bool. times: (..., Q), how often each query counts.
    """
    order, last = descending(confidence)
    times = np.broadcast_to(times, (*np.shape(times)[:-1], len(confidence)))[..., order]
    starts = np.append(0, last[:-1] + 1).astype(int)
    if not len(confidence):
        return np.full(times.shape[:-1], np.nan)
    positives, negatives = (
        np.add.reduceat(times * kind[order].astype(float), starts, axis=-1)
        for kind in (positive, ~positive)
    )
    total = positives.sum(axis=-1) * negatives.sum(axis=-1)
    below = negatives.sum(axis=-1, keepdims=True) - np.cumsum(negatives, axis=-1)
    return (positives * (below + negatives / 2)).sum(axis=-1) / np.where(total > 0, total, np.nan)


def precision_coverage(answers: pd.DataFrame, groups: tuple[str, ...] = GROUPS) -> pd.DataFrame:
    """The curve of each run, rank, score and group: columns naming them, `group`, `confidence`,
    `coverage`, `precision`.

    answers: of `hypertax.evaluation.open_world.answers.open_world_answers`, also of several runs
    with `method`, `run`, `seed` in front; so in all functions here. A point answers every query of
    at least its `confidence`; micro, each query weighing the same within seen and within novel.
    """
    frames = []
    for about, part in cells(answers, "rank", "score"):
        for group in groups:
            weights = _weights(part, group)
            used = weights > 0  # False where it is NaN
            points = (
                curve(
                    part["confidence"].to_numpy()[used],
                    part["right"].to_numpy()[used],
                    weights[used],
                )
                if used.any()
                else ([],) * 3
            )
            frames.append(
                pd.DataFrame(
                    {
                        **about,
                        "group": group,
                        **dict(zip(("confidence", "coverage", "precision"), points, strict=True)),
                    }
                )
            )
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def areas(answers: pd.DataFrame, groups: tuple[str, ...] = GROUPS) -> pd.DataFrame:
    """`area` of each run, rank, score and group: columns naming them, `group`, `area` (NaN without
    queries), `queries`."""
    rows = []
    for about, part in cells(answers, "rank", "score"):
        for group in groups:
            weights = _weights(part, group)
            value = area(part["confidence"].to_numpy(), part["right"].to_numpy(), weights)
            rows.append(
                {**about, "group": group, "area": float(value), "queries": int((weights > 0).sum())}
            )
    return pd.DataFrame(rows)


def thresholds(answers: pd.DataFrame, precision: float = PRECISION) -> pd.DataFrame:
    """The lowest confidence above which the answers are right often enough, per run, rank and
    score.

    Of all confidences at or above which the precision in the group "all" is at least the wanted
    one, the lowest: it gives the largest coverage. The precision need not fall steadily, so a
    higher threshold may miss what this one meets; what is promised is the share right among all
    that pass. "all" weighs seen and novel queries one half each, lest the threshold depend on the
    share of novel ones. The precision holds for the validation queries; what it is on others,
    `at_thresholds` measures.

    Args:
        answers: to validation queries. precision: 0..1.

    Returns:
        columns naming the cell, `threshold` (inf where none will do, NaN where the answers lack
        seen or novel queries), `coverage` and `precision` of the validation queries at it.
    """
    rows = []
    for about, part in cells(answers, "rank", "score"):
        weights = _weights(part, "all")
        chosen = dict.fromkeys(("threshold", "coverage", "precision"), np.nan)
        used = weights > 0
        if used.any():
            points = curve(
                part["confidence"].to_numpy()[used], part["right"].to_numpy()[used], weights[used]
            )
            # The weights' rounding must not lose a precision that is met exactly.
            enough = np.flatnonzero((points[2] >= precision - 1e-9) & (points[0] > -np.inf))
            chosen = {"threshold": np.inf, "coverage": 0.0, "precision": np.nan}
            if len(enough):
                chosen = dict(
                    zip(chosen, (float(values[enough[-1]]) for values in points), strict=True)
                )
        rows.append({**about, **chosen})
    return pd.DataFrame(rows)


def _with_thresholds(
    answers: pd.DataFrame, limits: pd.DataFrame, *columns: str
) -> Iterator[tuple[dict, pd.DataFrame, pd.DataFrame]]:
    """Cells of the answers with the thresholds of the same run and columns."""
    for about, part in cells(answers, *columns):
        mask = np.logical_and.reduce([limits[name] == value for name, value in about.items()])
        yield about, part, limits[mask]


def at_thresholds(
    answers: pd.DataFrame, limits: pd.DataFrame, groups: tuple[str, ...] = GROUPS
) -> pd.DataFrame:
    """Coverage and precision of the answers whose confidence reaches the threshold, per run, rank,
    score and group.

    Args:
        answers: to test queries. limits: of `thresholds`, of the same runs.

    Returns:
        columns naming the cell, `group`, `threshold`, `coverage` (share answered), `precision`
        (share right of those, NaN where nothing is answered), `queries`, `answered` (counts). NaN
        where the threshold is, or a group has no queries.
    """
    rows = []
    for about, part, limit in _with_thresholds(answers, limits, "rank", "score"):
        threshold = float(limit["threshold"].iloc[0]) if len(limit) else np.nan
        passes = part["confidence"].to_numpy() >= threshold
        for group in groups:
            weights = _weights(part, group)
            coverage = np.nan if np.isnan(threshold) else float((weights * passes).sum())
            right = float((weights * passes * part["right"].to_numpy()).sum())
            row = {**about, "group": group, "threshold": threshold, "coverage": coverage}
            row["precision"] = right / coverage if coverage > 0 else np.nan
            rows.append(
                row
                | {
                    "queries": int((weights > 0).sum()),
                    "answered": int(((weights > 0) & passes).sum()),
                }
            )
    return pd.DataFrame(rows)


def deepest_ranks(answers: pd.DataFrame, limits: pd.DataFrame) -> pd.DataFrame:
    """How deep the answers go that can be trusted: per run, score and kind of query ("seen",
    "novel") the share answered at each rank.

    A query is answered at the deepest rank whose confidence reaches the threshold of `thresholds`,
    whatever the ranks above it do.

    Returns:
        columns naming the cell, `group`, `answered` (a rank, or "none"), `share` of the queries
        (NaN without thresholds), `right`, the share right among those answered there that have a
        name at that rank, and `queries`.
    """
    rows = []
    for about, part, limit in _with_thresholds(answers, limits, "score"):
        threshold = (
            part["rank"]
            .astype(object)
            .map(dict(zip(limit["rank"], limit["threshold"], strict=True)))
            .to_numpy(dtype=float)
        )
        passing = part[part["confidence"].to_numpy() >= threshold]
        depth = passing["rank"].astype(object).map(RANKS.index)
        deepest = (
            passing.assign(depth=depth)
            .sort_values("depth", kind="stable")
            .drop_duplicates("query", keep="last")
        )
        for group, split in (("seen", "seen"), ("novel", "unseen")):
            queries = part.loc[part["split"] == split, "query"].nunique()
            own = deepest[deepest["split"] == split]
            known = queries and not np.isnan(threshold).all()
            for rank in (*RANKS, NO_RANK):
                there = own[own["rank"] == rank]
                count = len(there) if rank != NO_RANK else queries - len(own)
                named = there[there["true"].notna()]
                row = {
                    **about,
                    "group": group,
                    "answered": rank,
                    "share": count / queries if known else np.nan,
                }
                rows.append(
                    row
                    | {
                        "right": float(named["right"].mean()) if len(named) else np.nan,
                        "queries": queries,
                    }
                )
    return pd.DataFrame(rows)


def novelty(answers: pd.DataFrame) -> pd.DataFrame:
    """How well each score at species tells queries of seen from those of unseen species: `auroc` of
    being seen, `seen`, `unseen` (counts)."""
    rows = []
    for about, part in cells(answers[answers["rank"] == RANKS[-1]], "score"):
        seen = (part["split"] == "seen").to_numpy()
        value = float(auroc(part["confidence"].to_numpy(), seen))
        rows.append(
            {**about, "auroc": value, "seen": int(seen.sum()), "unseen": int((~seen).sum())}
        )
    return pd.DataFrame(rows)
