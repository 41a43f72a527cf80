"""Is one method better than another? A paired bootstrap over the species of the queries that both
answered."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple
from zlib import crc32

import numpy as np
import pandas as pd

from hypertax.evaluation.accuracy import METRICS, harmonic_mean
from hypertax.evaluation.answers import seed_pairs
from hypertax.evaluation.bootstrap import (
    BETTER,
    FEW,
    FEWEST,
    NEITHER,
    WORSE,
    blocks_of_draws,
    judged,
    species_units,
)
from hypertax.taxonomy import RANKS

RESAMPLES = 2000
CLAIM = {"protocol": "standard", "pairing": "DNA to DNA", "split": "unseen", "rank": "species"}
"""The cell of the paper's claim: unseen species from DNA barcodes."""


class Cell(NamedTuple):
    """One accuracy that methods are compared in."""

    protocol: str
    pairing: str
    rank: str
    split: str
    average: str


_COLUMNS = (
    "method",
    "reference",
    *Cell._fields,
    "difference",
    "low",
    "high",
    "verdict",
    "queries",
    "species",
    "seeds",
    "seeds_agreeing",
)


def compare(
    answers: pd.DataFrame,
    reference: str | Sequence[str],
    *,
    methods: Sequence[str] | None = None,
    averages: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Top-1 accuracy of each method minus the reference's, with 95 % percentile intervals of a
    paired bootstrap (Efron & Tibshirani 1993).

    Species are drawn with replacement within a split, each with all its queries; a query without a
    species name is a species by itself. One draw serves both methods and all seeds. The difference
    is averaged over the seeds that both methods have; a method without a seed stands beside every
    seed of the other.

    In the macro average of a draw a query keeps its weight, one over the size of its class. A class
    that is not drawn leaves the mean.

    The intervals are about the choice of species. They do not say how training seeds vary:
    `seeds_agreeing` counts the seeds whose own difference has the sign of the mean one. They are
    not corrected for the number of cells. Cells of fewer than `FEWEST` species have no interval.

    Args:
        answers: of `hypertax.evaluation.study_predictions`.
        reference: the method to compare with, or several, each with the same draws.
        methods: which to compare, by default all others.
        averages: keys of `hypertax.evaluation.accuracy.METRICS`, by default all of them.
        resamples: number of draws.
        seed: of the draws; the same arguments give the same numbers.

    Returns:
        one row per method, protocol, pairing, rank, average and split ("seen", "unseen", in the
        standard protocol also "harmonic"): `method`, `reference`, the cell, `difference`, `low`,
        `high` (shares), `verdict` ("better" and "worse" only where the interval excludes zero, else
        "no difference shown"; "too few species" where there is no interval), `queries` and
        `species` (of "harmonic" the fewer of both splits), `seeds`, `seeds_agreeing`.

    Raises:
        ValueError: a method that is not there, no seed in common, or methods that answered
        different queries.
    """
    references = [reference] if isinstance(reference, str) else list(reference)
    if methods is None:
        methods = [name for name in answers["method"].unique() if name not in references]
    for name in references:
        methods, seeds_of = comparable(answers, name, methods, "predictions")
    seeds_of |= {name: set(answers.loc[answers["method"] == name, "seed"]) for name in references}
    rows = []
    used = answers[answers["method"].isin([*references, *methods])]
    for (protocol, pairing), group in used.groupby(["protocol", "pairing"], sort=False):
        # A run without one of the modalities has no answers in this pairing.
        present = set(zip(group["method"], group["seed"], strict=True))
        for rank in RANKS:
            drawn = _drawn(group, protocol, pairing, rank, resamples, seed)
            for name, method in product(references, methods):
                pairs = [
                    ((method, own), (name, other))
                    for own, other in seed_pairs(seeds_of[method], seeds_of[name])
                    if {(method, own), (name, other)} <= present
                ]
                for average in (averages or METRICS) if pairs else ():
                    for split, (queries, species, values) in drawn.items():
                        gaps = [values[average][a] - values[average][b] for a, b in pairs]
                        cell = Cell(protocol, pairing, rank, split, average)
                        about = {"method": method, "reference": name, **cell._asdict()}
                        verdict = judged(np.stack(gaps), species)
                        rows.append({**about, **verdict, "queries": queries})
    frame = pd.DataFrame(rows, columns=list(_COLUMNS))
    order = {name: i for i, name in enumerate((*references, *methods))}
    return frame.sort_values(
        ["reference", "method"], key=lambda names: names.map(order), kind="stable"
    ).reset_index(drop=True)


class _Drawn(NamedTuple):
    """Accuracies in the queries of one split: how many queries and species count, and by metric and
    (method, seed) the values (1 + R,), the first of the queries as they are."""

    queries: int
    species: int
    values: dict[str, dict[tuple[str, int], np.ndarray]]


def _drawn(
    group: pd.DataFrame, protocol: str, pairing: str, rank: str, resamples: int, seed: int
) -> dict[str, _Drawn]:
    """The drawn accuracies of all runs at one rank by split, with their harmonic mean in the
    standard protocol."""
    found = {}
    for split, part in group.groupby("split", sort=True):
        classes, units, correct = _aligned(part, rank)
        if not len(classes):
            continue
        cell = "/".join((protocol, pairing, rank, split))
        rng = np.random.default_rng([seed, crc32(cell.encode())])
        drawn = _resampled(classes, units, np.stack(list(correct.values())), rng, resamples)
        values = {
            metric: dict(zip(correct, of_runs, strict=True)) for metric, of_runs in drawn.items()
        }
        found[split] = _Drawn(len(classes), len(np.unique(units)), values)
    if protocol == "standard" and len(found) == 2:
        seen, unseen = found["seen"], found["unseen"]
        values = {
            metric: {
                run: harmonic_mean(seen.values[metric][run], unseen.values[metric][run])
                for run in of_runs
            }
            for metric, of_runs in seen.values.items()
        }
        queries, species = seen.queries + unseen.queries, min(seen.species, unseen.species)
        found["harmonic"] = _Drawn(queries, species, values)
    return found


def comparable(
    answers: pd.DataFrame, reference: str, methods: Sequence[str] | None, what: str
) -> tuple[list[str], dict[str, set[int]]]:
    """The methods to compare, by default all but the reference, and the seeds of each and of the
    reference.

    answers: with columns `method` and `seed`. what: what they are, in words.

    Raises:
        ValueError: a method that is not there, or without a seed in common with the reference.
    """
    known = list(answers["method"].unique())
    methods = [name for name in known if name != reference] if methods is None else list(methods)
    for name in (reference, *methods):
        if name not in known:
            raise ValueError(
                f"There are no {what} of {name!r}; the methods are {', '.join(map(repr, known))}."
            )
    seeds_of = {
        name: set(answers.loc[answers["method"] == name, "seed"]) for name in (reference, *methods)
    }
    for name in methods:
        if not any(seed_pairs(seeds_of[name], seeds_of[reference])):
            raise ValueError(
                f"{name!r} and {reference!r} have no seed in common: train both with the same"
                " seeds."
            )
    return methods, seeds_of


def _aligned(
    part: pd.DataFrame, rank: str
) -> tuple[np.ndarray, np.ndarray, dict[tuple, np.ndarray]]:
    """The classes (Q,) of the queries that count at a rank, sorted, their species (Q,) as numbers,
    and per (method, seed) whether each is answered correctly (Q,)."""
    classes, units, correct, first = None, None, {}, None
    for run, own in part.groupby(["method", "seed"], sort=False):
        own = own[own[f"gt_{rank}"].notna()].sort_values([f"gt_{rank}", "query"], kind="stable")
        asked = own[["query", f"gt_{rank}"]].to_numpy(dtype=object)
        if classes is None:
            first, classes, units = run, asked, species_units(own["species"])
        elif not np.array_equal(classes, asked):
            raise ValueError(
                f"{run[0]!r} (seed {run[1]}) and {first[0]!r} (seed {first[1]}) did not answer"
                " the same queries once each."
            )
        predicted = own[f"pred_{rank}"].to_numpy(dtype=object)
        correct[run] = np.where(pd.notna(predicted), predicted, None) == asked[:, 1]
    return pd.factorize(classes[:, 1])[0], units, correct


def _resampled(
    classes: np.ndarray,
    units: np.ndarray,
    correct: np.ndarray,
    rng: np.random.Generator,
    resamples: int,
) -> dict[str, np.ndarray]:
    """Accuracies (M, 1 + R) of M runs by metric, first without drawing, then of R draws; classes
    (Q,) sorted, units (Q,), correct (M, Q)."""
    starts, sizes = np.flatnonzero(np.diff(classes, prepend=-1)), np.bincount(classes)
    values = {name: np.empty((len(correct), 1 + resamples)) for name in METRICS}
    start = 0
    for times in blocks_of_draws(units, [np.ones(len(units), dtype=bool)], resamples, rng):
        rows = slice(start, start := start + len(times))
        answers = np.add.reduceat(times, starts, axis=1)
        for run, own in enumerate(correct.astype(np.int32)):
            right = np.add.reduceat(times * own, starts, axis=1)
            for name, metric in METRICS.items():
                values[name][run, rows] = metric.value(right, answers, sizes)
    return values


def sentences(differences: pd.DataFrame, average: str = "macro") -> list[str]:
    """What the rows of `compare` say: how the intervals were made, then per method where it is
    better, worse or neither, and the claim's cell.

    "better" stands only where an interval excludes zero. Harmonic means are left out, as they
    repeat what seen and unseen say.
    """
    chosen = differences[(differences["average"] == average) & (differences["split"] != "harmonic")]
    texts = []
    for reference, others in chosen.groupby("reference", sort=False):
        count = others.groupby("method").size().max()
        texts.append(
            f"Against {reference}, {average} top-1, {_plural(others['seeds'].max(), 'seed')},"
            f" {_plural(count, 'cell')} (pairing, species seen,"
            " unseen or novel, rank): 95 % intervals from a paired bootstrap over the species,"
            " each with all its queries, not corrected for the number of cells:"
            f" of {count}, about {count / 20:.1f} would exclude zero by chance alone."
        )
        for method, cells in others.groupby("method", sort=False):
            held = {
                verdict: cells[cells["verdict"] == verdict]
                for verdict in (BETTER, WORSE, NEITHER, FEW)
            }
            counts = [f"{verdict} in {len(part)}" for verdict, part in held.items() if len(part)]
            said = [f"{method}: {', '.join(counts)}."]
            for verdict in (BETTER, WORSE):
                part = held[verdict]
                if len(part):
                    where = "all" if len(part) == len(cells) and len(cells) > 1 else _listed(part)
                    said.append(f"{verdict.capitalize()} in {where}.")
            said += [
                _claim(row)
                for row in cells[(cells[list(CLAIM)] == pd.Series(CLAIM)).all(axis=1)].to_dict(
                    "records"
                )
            ]
            texts.append(" ".join(said))
    return texts


def _listed(cells: pd.DataFrame) -> str:
    """Cells in few words: ranks by pairing and kind of species."""
    kind = np.where(cells["protocol"] == "novel", "novel", cells["split"])
    parts = cells.assign(kind=kind).groupby(["pairing", "kind"], sort=False)["rank"].agg(", ".join)
    return "; ".join(f"{pairing}, {kind} ({ranks})" for (pairing, kind), ranks in parts.items())


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _interval(row: dict) -> str:
    if row["verdict"] == FEW:
        return f"{100 * row['difference']:+.1f} points, fewer than {FEWEST} species: no interval"
    return (
        f"{100 * row['difference']:+.1f} points, {100 * row['low']:+.1f} to"
        f" {100 * row['high']:+.1f}"
    )


def _claim(row: dict) -> str:
    finding = {
        BETTER: f"better than {row['reference']}",
        WORSE: f"worse than {row['reference']}",
        NEITHER: f"no difference to {row['reference']} is shown",
        FEW: f"too few species to compare with {row['reference']}",
    }[row["verdict"]]
    agreeing = f"{row['seeds_agreeing']} of {_plural(row['seeds'], 'seed')} the same way"
    return (
        f"Unseen species from DNA, the claim of the abstract: {finding} ({_interval(row)};"
        f" {agreeing})."
    )
