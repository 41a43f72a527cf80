"""Open-world measures of a study's runs, the score of confidence that validation chooses for each
method, and paired bootstrap differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from zlib import crc32

import numpy as np
import pandas as pd

from hypertax.evaluation.comparison import _judged, comparable, each_run
from hypertax.evaluation.open_world.answers import open_world_answers
from hypertax.evaluation.open_world.curves import (
    GROUPS,
    PRECISION,
    area,
    areas,
    at_thresholds,
    auroc,
    group_weights,
    novelty,
    thresholds,
)
from hypertax.evaluation.open_world.two_stage import accuracies, stages, two_stage
from hypertax.study.runs import StudyRun
from hypertax.taxonomy import RANKS

RESAMPLES = 1000
CHOSEN_BY = {"AUROC": "AUROC", "area": "area", "coverage": "coverage", "precision": "coverage"}
CHOSEN_BY |= {f"two-stage {name}": "two-stage H.M." for name in ("seen", "unseen", "H.M.")}
"""The measures, and that whose validation value chooses the score with which each is reported."""
COMPARED = ("AUROC", "area", "coverage", "two-stage H.M.")
_CELL = ["pairing", "measure", "rank", "group"]
_COLUMNS = [
    "method",
    "reference",
    *_CELL,
    "score",
    "reference_score",
    "difference",
    "low",
    "high",
    "verdict",
    "queries",
    "seeds",
    "seeds_agreeing",
]
_CHUNK = 2_000_000


def study_answers(
    study: Sequence[StudyRun], stage: str = "test", pairing: str = "DNA to DNA", **options
) -> pd.DataFrame:
    """`open_world_answers` of every run of a study, each with its own aperture, with columns
    `method`, `run` and `seed` in front."""

    def answers(member: StudyRun) -> pd.DataFrame:
        return open_world_answers(
            member.embeddings, stage, pairing, aperture=member.aperture, **options
        )

    return each_run(study, answers)


def open_world_scores(
    val: pd.DataFrame, test: pd.DataFrame, precision: float = PRECISION
) -> pd.DataFrame:
    """Every measure of every run, one number a row, for validation and test queries; thresholds are
    from the validation queries for both.

    Args:
        val, test: of `study_answers`, of the same runs; or of `open_world_answers`, of one run.
        precision: that the thresholds hold.

    Returns:
        columns naming the run, `stage`, `measure` (the keys of `CHOSEN_BY`), `rank`, `group` (of
        `hypertax.evaluation.open_world.curves.GROUPS`; AUROC and two-stage measures belong to "all"
        at species), `score`, `value` (0..1) and `queries`.

    Raises:
        ValueError: no answers of validation or of test queries.
    """
    for stage, answers in (("validation", val), ("test", test)):
        if answers.empty:
            raise ValueError(
                f"There are no answers to {stage} queries: the runs have no such queries, or no"
                " seen keys, of this pairing."
            )
    limits = thresholds(val, precision)
    species = {"rank": RANKS[-1], "group": "all"}
    pairs = two_stage(val, test)
    parts = []
    for stage, answers in (("val", val), ("test", test)):
        found = novelty(answers)
        parts.append(
            found.assign(
                stage=stage,
                measure="AUROC",
                value=found["auroc"],
                queries=found["seen"] + found["unseen"],
                **species,
            )
        )
        found = areas(answers)
        parts.append(found.assign(stage=stage, measure="area", value=found["area"]))
        found = at_thresholds(answers, limits)
        parts += [
            found.assign(stage=stage, measure=measure, value=found[measure])
            for measure in ("coverage", "precision")
        ]
        named = answers[(answers["rank"] == RANKS[-1]) & answers["true"].notna()]
        for name in ("seen", "unseen", "harmonic"):
            measure = f"two-stage {'H.M.' if name == 'harmonic' else name}"
            value = pairs[f"val_{name}" if stage == "val" else name]
            parts.append(
                pairs.assign(
                    stage=stage,
                    measure=measure,
                    value=value,
                    queries=named["query"].nunique(),
                    **species,
                )
            )
    frame = pd.concat(parts, ignore_index=True)
    about = [name for name in ("method", "run", "seed") if name in frame]
    return frame[[*about, "stage", *_CELL, "score", "value", "queries"]]


def choose_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """For each method and measure the score of confidence with the best validation value; test
    queries have no say.

    The value is the mean over the method's seeds, for the area at each rank and group. The coverage
    decides in the group "all" for all groups, and for the precision at the same threshold too: who
    calibrates does not know which queries are novel. Of equal scores the first of
    `hypertax.evaluation.open_world.answers.SCORES` is taken.

    scores: of `open_world_scores`.

    Returns:
        columns `method`, `pairing`, `measure`, `rank`, `group`, `score` and `value` (of
        validation); a cell without a number is left out.
    """
    rows = []
    val = scores[(scores["stage"] == "val") & scores["value"].notna()]
    for key, part in val.groupby(["method", *_CELL], sort=False):
        about = dict(zip(["method", *_CELL], key, strict=True))
        judge = val[
            (
                val[["method", "pairing", "rank"]]
                == [about[name] for name in ("method", "pairing", "rank")]
            ).all(axis=1)
        ]
        by = CHOSEN_BY[about["measure"]]
        judge = judge[
            (judge["measure"] == by)
            & (judge["group"] == ("all" if by == "coverage" else about["group"]))
        ]
        means = judge.groupby("score", sort=False)["value"].mean().round(12)
        if len(means):
            score = means.idxmax()
            rows.append(
                {**about, "score": score, "value": part.loc[part["score"] == score, "value"].mean()}
            )
    return pd.DataFrame(rows, columns=["method", *_CELL, "score", "value"])


def compare_open_world(
    val: pd.DataFrame,
    test: pd.DataFrame,
    reference: str,
    *,
    methods: Sequence[str] | None = None,
    precision: float = PRECISION,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Measures of each method minus the reference's, with 95 % percentile intervals of a paired
    bootstrap over the test queries.

    Each method is taken with the score that its own validation queries choose (`choose_scores`),
    and with thresholds from them, which the draws leave as they are. Queries are drawn with
    replacement within seen and within unseen species; one draw serves both methods, all seeds,
    ranks and measures. The difference is averaged over the seeds that both methods have. As in
    `hypertax.evaluation.comparison.compare` intervals are about the choice of queries, and not
    corrected for the number of cells.

    Args:
        val, test: of `study_answers`. reference: the method to compare with. methods: which to
        compare, by default all others. seed: of the draws; the same arguments give the same
        numbers.

    Returns:
        one row per method, pairing, measure (`COMPARED`), rank and group: `score` and
        `reference_score`, `difference`, `low`, `high` (shares), `verdict`, `queries`, `seeds`,
        `seeds_agreeing`. Left out are cells where either method has no number, and of "novel" the
        coverage and what is about species, where more is no better.

    Raises:
        ValueError: a method that is not there, no seed in common, or methods that answered
        different queries.
    """
    methods, _ = comparable(test, reference, methods, "answers")
    val, test = (frame[frame["method"].isin([reference, *methods])] for frame in (val, test))
    chosen = choose_scores(open_world_scores(val, test, precision))
    # Novel queries that nothing is right for: their area at species is 0, and more coverage of them
    # is no better.
    moot = (chosen["group"] == "novel") & (
        (chosen["measure"] == "coverage") | (chosen["rank"] == RANKS[-1])
    )
    chosen = (
        chosen[chosen["measure"].isin(COMPARED) & ~moot]
        .set_index(["method", *_CELL])["score"]
        .to_dict()
    )
    limits = (
        thresholds(val, precision)
        .set_index(["method", "seed", "pairing", "rank", "score"])["threshold"]
        .to_dict()
    )
    splits = (
        two_stage(val, test)
        .set_index(["method", "seed", "pairing", "score"])["threshold"]
        .to_dict()
    )
    rows = []
    for pairing, answers in test.groupby("pairing", sort=False, observed=True):
        wanted = {key for key in chosen if key[1] == pairing}
        values, counts = _values(answers, pairing, wanted, chosen, limits, splits, resamples, seed)
        for method in methods:
            for cell in dict.fromkeys(key[1:] for key in values if key[0] == method):
                own, other = (values.get((name, *cell), {}) for name in (method, reference))
                gaps = [
                    own[s] - other[s]
                    for s in sorted(own.keys() & other.keys())
                    if not np.isnan(own[s][0] - other[s][0])
                ]
                if gaps:
                    about = {
                        "method": method,
                        "reference": reference,
                        **dict(zip(_CELL, cell, strict=True)),
                    }
                    about |= {
                        "score": chosen[method, *cell],
                        "reference_score": chosen[reference, *cell],
                        "queries": counts[cell[2:]],
                    }
                    rows.append(about | _judged(np.stack(gaps)))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _values(
    answers: pd.DataFrame,
    pairing: str,
    wanted: set,
    chosen: dict,
    limits: dict,
    splits: dict,
    resamples: int,
    seed: int,
):
    """Values (1 + R,) by (method, cell) and seed, the first of the queries as they are; and how
    many queries count by (rank, group)."""
    shared, runs = _aligned(answers)
    unseen = shared["unseen"]
    values: dict[tuple, dict] = {key: {} for key in _ordered(wanted)}
    counts = {}
    for times in _draws(unseen, pairing, resamples, seed):
        weights = {}
        for rank, group in dict.fromkeys(key[3:] for key in values):
            weights[rank, group] = group_weights(
                group, shared["counted", rank], unseen, shared["placeable", rank], times
            )
            counts.setdefault((rank, group), int((weights[rank, group][0] > 0).sum()))
        for (method, _, measure, rank, group), found in values.items():
            score = chosen[method, pairing, measure, rank, group]
            for (name, of_seed), run in runs.items():
                if name != method:
                    continue
                own = run[rank, score]
                confidence, right = own["confidence"].to_numpy(), own["right"].to_numpy()
                if measure == "AUROC":
                    new = auroc(confidence, ~unseen, times)
                elif measure == "area":
                    new = area(confidence, right, weights[rank, group])
                elif measure == "coverage":
                    limit = limits[method, of_seed, pairing, rank, score]
                    new = (
                        weights[rank, group] @ (confidence >= limit)
                        if not np.isnan(limit)
                        else np.full(len(times), np.nan)
                    )
                else:
                    stage = stages(own, run[rank, "distance"].set_index("query")["right"])
                    named = own["true"].notna().to_numpy()
                    new = accuracies(
                        stage, splits[method, of_seed, pairing, score], times[:, named]
                    )["harmonic"]
                found.setdefault(of_seed, []).append(new)
    return {
        key: {s: np.concatenate(parts) for s, parts in found.items()}
        for key, found in values.items()
    }, counts


def _ordered(wanted: set) -> list[tuple]:
    order = [list(names) for names in (COMPARED, RANKS, GROUPS)]
    return sorted(
        wanted,
        key=lambda key: (
            key[0],
            *(names.index(value) for names, value in zip(order, key[2:], strict=True)),
        ),
    )


def _draws(unseen: np.ndarray, pairing: str, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each query counts (B, Q), block by block, 1 + R rows in all: first once each, then
    drawn within seen and within unseen."""
    rng = np.random.default_rng([seed, crc32(pairing.encode())])
    step = max(1, _CHUNK // max(1, len(unseen)))
    for start in range(0, 1 + resamples, step):
        times = np.ones((min(step, 1 + resamples - start), len(unseen)), dtype=np.int32)
        for row in times[start == 0 :]:
            for kind in (unseen, ~unseen):
                row[kind] = (
                    np.bincount(rng.integers(kind.sum(), size=kind.sum()), minlength=kind.sum())
                    if kind.any()
                    else 0
                )
        yield times


def _aligned(answers: pd.DataFrame) -> tuple[dict, dict[tuple, dict]]:
    """What all runs share, (Q,) arrays by name and rank, and per (method, seed) the rows of each
    (rank, score), all in the queries' order."""
    shared, runs, first = {}, {}, None
    for run, rows in answers.groupby(["method", "seed"], sort=False):
        parts = runs[run] = {}
        for (rank, score), part in rows.groupby(["rank", "score"], sort=False, observed=True):
            part = parts[rank, score] = part.sort_values("query", kind="stable")
            asked = (
                part[["query", "split", "true", "placeable"]]
                .astype(object)
                .where(lambda frame: frame.notna(), None)
                .to_numpy()
            )
            if first is None:
                first = run
            if not np.array_equal(shared.setdefault(rank, asked), asked):
                raise ValueError(
                    f"{run[0]!r} (seed {run[1]}) and {first[0]!r} (seed {first[1]}) did not"
                    " answer the same queries once each."
                )
    ranks = list(shared)
    arrays = {"unseen": shared[ranks[0]][:, 1] == "unseen"}
    for rank in ranks:
        arrays["counted", rank] = np.array([name is not None for name in shared[rank][:, 2]])
        arrays["placeable", rank] = shared[rank][:, 3].astype(bool)
    return arrays, runs
