"""Paired bootstrap intervals whose draws are of species: all queries of a species are drawn together.

Queries of one species are answered alike, right or wrong together. Draws of single queries take
them for independent, and give intervals two to three times too narrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

BETTER, WORSE, NEITHER = "better", "worse", "no difference shown"
FEW = "too few species"
FEWEST = 6
"""Species from which on there is an interval: with fewer, most draws repeat one another."""


def species_units(species: pd.Series | np.ndarray) -> np.ndarray:
    """The number (Q,) of each query's species; a query without a species name is one by itself."""
    codes, names = pd.factorize(np.asarray(species, dtype=object))
    unnamed = codes < 0
    codes[unnamed] = len(names) + np.arange(unnamed.sum())
    return codes


def draws(
    units: np.ndarray, groups: Sequence[np.ndarray], rows: int, rng: np.random.Generator
) -> np.ndarray:
    """How often each query counts in each draw, (rows, Q) int32: of each group as many species as
    it has, with replacement, each with all its queries in the group.

    Args:
        units: (Q,) int, the species of each query.
        groups: (Q,) bool each, together all queries.
        rows: number of draws.
    """
    times = np.zeros((rows, len(units)), dtype=np.int32)
    for group in groups:
        own, code = np.unique(units[group], return_inverse=True)
        count = len(own)
        if count:
            drawn = rng.multinomial(count, np.full(count, 1 / count), size=rows)
            times[:, group] = drawn[:, code]
    return times


def blocks_of_draws(
    units: np.ndarray,
    groups: Sequence[np.ndarray],
    resamples: int,
    rng: np.random.Generator,
    numbers: int = 2_000_000,
) -> Iterator[np.ndarray]:
    """`draws` block by block, at most so many `numbers` at a time: 1 + `resamples` rows in all, in
    the first of which every query counts once."""
    step, rows = max(1, numbers // max(1, len(units))), 1 + resamples
    for start in range(0, rows, step):
        times = draws(units, groups, min(step, rows - start), rng)
        if start == 0:
            times[0] = 1
        yield times


def judged(gaps: np.ndarray, species: int) -> dict:
    """Difference, interval and verdict from (S, 1 + R) differences per seed, the first of each from
    the queries as they are.

    species: that the queries are of; below `FEWEST` there is neither an interval nor a verdict.
    """
    # Sums of the same shares in another order differ in the last bits: that is no difference.
    mean = gaps.mean(axis=0).round(12) + 0.0
    if species < FEWEST:
        low = high = np.nan
        verdict = FEW
    else:
        low, high = np.quantile(mean[1:], [0.025, 0.975])
        verdict = BETTER if low > 0 else WORSE if high < 0 else NEITHER
    agreeing = int((np.sign(gaps[:, 0].round(12)) == np.sign(mean[0])).sum())
    numbers = {"difference": float(mean[0]), "low": float(low), "high": float(high)}
    about = {"verdict": verdict, "species": species}
    return {**numbers, **about, "seeds": len(gaps), "seeds_agreeing": agreeing}
