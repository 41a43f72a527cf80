"""Open-world measures of a study's runs, the score of confidence that validation chooses for each
method, and paired bootstrap differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np
import pandas as pd

from hypertax.evaluation.answers import seed_pairs
from hypertax.evaluation.bootstrap import blocks_of_draws, judged, species_units
from hypertax.evaluation.comparison import comparable
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
from hypertax.taxonomy import RANKS

RESAMPLES = 1000
CHOSEN_BY = {"AUROC": "AUROC", "area": "area", "coverage": "coverage", "precision": "coverage"}
CHOSEN_BY |= {f"two-stage {name}": "two-stage H.M." for name in ("seen", "unseen", "H.M.")}
"""The measures, and that whose validation value chooses the score with which each is reported."""
COMPARED = ("AUROC", "area", "coverage", "two-stage H.M.")


class Cell(NamedTuple):
    """One number that methods are compared in."""

    pairing: str
    measure: str
    rank: str
    group: str


_COLUMNS = (
    "method",
    "reference",
    *Cell._fields,
    "score",
    "reference_score",
    "difference",
    "low",
    "high",
    "verdict",
    "queries",
    "species",
    "seeds",
    "seeds_agreeing",
)
_CHUNK = 2_000_000


def open_world_scores(
    val: pd.DataFrame, test: pd.DataFrame, precision: float = PRECISION
) -> pd.DataFrame:
    """Every measure of every run, one number a row, for validation and test queries; thresholds are
    from the validation queries for both.

    Args:
        val, test: of `hypertax.evaluation.open_world.study_answers`, of the same runs; or of
            `open_world_answers`, of one run.
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
    pairs = two_stage(val, test)
    parts = []
    for stage, answers in (("val", val), ("test", test)):
        parts += [part.assign(stage=stage) for part in _measured(answers, limits, pairs, stage)]
    frame = pd.concat(parts, ignore_index=True)
    about = [name for name in ("method", "run", "seed") if name in frame]
    return frame[[*about, "stage", *Cell._fields, "score", "value", "queries"]]


def _measured(
    answers: pd.DataFrame, limits: pd.DataFrame, pairs: pd.DataFrame, stage: str
) -> Iterator[pd.DataFrame]:
    """A frame per measure, with `measure`, `value` and `queries`, of the answers of one stage."""
    species = {"rank": RANKS[-1], "group": "all"}
    found = novelty(answers)
    queries = found["seen"] + found["unseen"]
    yield found.assign(measure="AUROC", value=found["auroc"], queries=queries, **species)
    found = areas(answers)
    yield found.assign(measure="area", value=found["area"])
    found = at_thresholds(answers, limits)
    for measure in ("coverage", "precision"):
        yield found.assign(measure=measure, value=found[measure])
    named = answers[(answers["rank"] == RANKS[-1]) & answers["true"].notna()]
    queries = named["query"].nunique()
    prefix = "val_" if stage == "val" else ""
    for name, heading in (("seen", "seen"), ("unseen", "unseen"), ("harmonic", "H.M.")):
        value = pairs[f"{prefix}{name}"]
        yield pairs.assign(measure=f"two-stage {heading}", value=value, queries=queries, **species)


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
    keys = ["method", *Cell._fields]
    val = scores[(scores["stage"] == "val") & scores["value"].notna()]
    for (method, *values), part in val.groupby(keys, sort=False):
        cell = Cell(*values)
        by = CHOSEN_BY[cell.measure]
        judge = val[
            (val["method"] == method)
            & (val["pairing"] == cell.pairing)
            & (val["rank"] == cell.rank)
            & (val["measure"] == by)
            & (val["group"] == ("all" if by == "coverage" else cell.group))
        ]
        means = judge.groupby("score", sort=False)["value"].mean().round(12)
        if len(means):
            score = means.idxmax()
            value = part.loc[part["score"] == score, "value"].mean()
            rows.append({"method": method, **cell._asdict(), "score": score, "value": value})
    return pd.DataFrame(rows, columns=[*keys, "score", "value"])


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
    bootstrap over the species of the test queries.

    Each method is taken with the score that its own validation queries choose (`choose_scores`),
    and with thresholds from them, which the draws leave as they are. Species are drawn with
    replacement, within the seen and within the unseen ones, each with all its queries; one draw
    serves both methods, all seeds, ranks and measures. What the intervals say and do not say is as in
    `hypertax.evaluation.comparison.compare`.

    Args:
        val, test: of `hypertax.evaluation.open_world.study_answers`.
        reference: the method to compare with.
        methods: which to compare, by default all others.
        precision: that the thresholds hold on validation queries.
        resamples: number of draws.
        seed: of the draws; the same arguments give the same numbers.

    Returns:
        one row per method, pairing, measure (`COMPARED`), rank and group: `score` and
        `reference_score`, `difference`, `low`, `high` (shares), `verdict`, `queries`,
        `species` (of "all" the fewer of both kinds), `seeds`, `seeds_agreeing`. Left out are cells
        where either method has no number, and of "novel" the coverage and what is about species,
        where more is no better.

    Raises:
        ValueError: a method that is not there, no seed in common, or methods that answered
        different queries.
    """
    methods, _ = comparable(test, reference, methods, "answers")
    val, test = (frame[frame["method"].isin([reference, *methods])] for frame in (val, test))
    chosen = _compared(choose_scores(open_world_scores(val, test, precision)))
    limits = thresholds(val, precision).set_index(["method", "seed", "pairing", "rank", "score"])
    splits = two_stage(val, test).set_index(["method", "seed", "pairing", "score"])
    limits, splits = limits["threshold"].to_dict(), splits["threshold"].to_dict()
    rows = []
    for pairing, answers in test.groupby("pairing", sort=False, observed=True):
        wanted = {key: score for key, score in chosen.items() if key.cell.pairing == pairing}
        values, counts = _values(
            answers, wanted, limits, splits, _Setting(pairing, resamples, seed)
        )
        for method in methods:
            for cell in [key.cell for key in values if key.method == method]:
                own, other = (values.get(_Key(m, cell), {}) for m in (method, reference))
                gaps = [own[a] - other[b] for a, b in seed_pairs(own, other)]
                gaps = [gap for gap in gaps if not np.isnan(gap[0])]
                if gaps:
                    queries, species = counts[cell.rank, cell.group]
                    about = {"method": method, "reference": reference, **cell._asdict()}
                    about |= {
                        "score": chosen[_Key(method, cell)],
                        "reference_score": chosen[_Key(reference, cell)],
                        "queries": queries,
                    }
                    rows.append(about | judged(np.stack(gaps), species))
    return pd.DataFrame(rows, columns=list(_COLUMNS))


class _Key(NamedTuple):
    """A method's number in a cell."""

    method: str
    cell: Cell


class _Setting(NamedTuple):
    """How species are drawn: R `resamples`, by a generator of `seed` and `pairing`."""

    pairing: str
    resamples: int
    seed: int


def _compared(chosen: pd.DataFrame) -> dict[_Key, str]:
    """The scores of `choose_scores` in the cells that are compared."""
    # Novel queries that nothing is right for: their area at species is 0, and more coverage of them
    # is no better.
    moot = (chosen["group"] == "novel") & (
        (chosen["measure"] == "coverage") | (chosen["rank"] == RANKS[-1])
    )
    chosen = chosen[chosen["measure"].isin(COMPARED) & ~moot]
    cells = chosen[list(Cell._fields)].itertuples(index=False, name=None)
    return {
        _Key(method, Cell(*cell)): score
        for method, cell, score in zip(chosen["method"], cells, chosen["score"], strict=True)
    }


def _values(
    answers: pd.DataFrame, chosen: dict[_Key, str], limits: dict, splits: dict, setting: _Setting
) -> tuple[dict[_Key, dict[int, np.ndarray]], dict[tuple[str, str], tuple[int, int]]]:
    """Values (1 + R,) by method and cell, and then seed, the first of the queries as they are; and
    how many queries and species count by (rank, group).

    Args:
        answers: of one pairing. chosen: the score of each method and cell.
        limits: thresholds by method, seed, pairing, rank and score.
        splits: those of two stages by method, seed, pairing and score.
    """
    shared, runs = _aligned(answers)
    unseen, species = shared["unseen"], shared["species"]
    values = {key: {} for key in sorted(chosen, key=_order)}
    groups = dict.fromkeys((key.cell.rank, key.cell.group) for key in values)
    counts = {}
    rng = np.random.default_rng([setting.seed, crc32(setting.pairing.encode())])
    kinds = (unseen, ~unseen)
    for times in blocks_of_draws(species, kinds, setting.resamples, rng, _CHUNK):
        weights = {}
        for rank, group in groups:
            weights[rank, group] = group_weights(
                group, shared["counted", rank], unseen, shared["placeable", rank], times
            )
            if (rank, group) not in counts:
                used = weights[rank, group][0] > 0
                of_kinds = (len(np.unique(species[used & kind])) for kind in kinds)
                counts[rank, group] = int(used.sum()), min(filter(None, of_kinds), default=0)
        for key, found in values.items():
            cell, score = key.cell, chosen[key]
            for (method, seed), run in runs.items():
                if method != key.method:
                    continue
                own = run[cell.rank, score]
                confidence, right = own["confidence"].to_numpy(), own["right"].to_numpy()
                if cell.measure == "AUROC":
                    new = auroc(confidence, ~unseen, times)
                elif cell.measure == "area":
                    new = area(confidence, right, weights[cell.rank, cell.group])
                elif cell.measure == "coverage":
                    limit = limits[method, seed, cell.pairing, cell.rank, score]
                    new = np.full(len(times), np.nan)
                    if not np.isnan(limit):
                        new = weights[cell.rank, cell.group] @ (confidence >= limit)
                else:
                    stage = stages(own, run[cell.rank, "distance"].set_index("query")["right"])
                    named = own["true"].notna().to_numpy()
                    split = splits[method, seed, cell.pairing, score]
                    new = accuracies(stage, split, times[:, named])["harmonic"]
                found.setdefault(seed, []).append(new)
    joined = {
        key: {seed: np.concatenate(parts) for seed, parts in found.items()}
        for key, found in values.items()
    }
    return joined, counts


def _order(key: _Key) -> tuple:
    """Sorts by method, and cells as tables have them."""
    cell = key.cell
    places = zip((COMPARED, RANKS, GROUPS), (cell.measure, cell.rank, cell.group), strict=True)
    return key.method, *(names.index(value) for names, value in places)


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
    arrays["species"] = species_units(shared[RANKS[-1]][:, 2])
    for rank in ranks:
        arrays["counted", rank] = np.array([name is not None for name in shared[rank][:, 2]])
        arrays["placeable", rank] = shared[rank][:, 3].astype(bool)
    return arrays, runs
