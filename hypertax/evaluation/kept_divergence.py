"""How well distances of barcodes keep divergences: errors and rank correlations by kind of species, with
intervals from draws of species [O]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from torch import Tensor

from hypertax.data.barcodes.alignment import align_cached
from hypertax.data.split import TRAINING_SPLITS
from hypertax.embeddings import Embeddings
from hypertax.evaluation.bootstrap import FEWEST, draws, judged
from hypertax.evaluation.fidelity import METRICS, Pairs, pairs_between, pairs_within
from hypertax.evaluation.protocol import query_splits
from hypertax.model.starts import profile_of

MEASURES = ("relative error", "rank correlation")
"""The mean of |s d - J| / J, s one factor on all distances d, and Spearman's of d with J."""
FITTED_ON = {"test": ("val_seen", "val_unseen"), "val": ("seen_keys",)}
"""By stage the splits on whose pairs the factor s is fitted; no query that is asked is among them."""
MOST = 3_000
"""Specimens of a split whose pairs count at most, evenly spread over them."""
_COLUMNS = ["split", "metric", "measure", "value", "low", "high", "pairs", "species", "scale"]


@dataclass(frozen=True)
class AlignedSpecimens:
    """Aligned base codes by specimen.

    rows: the row of each `sampleid`. codes: (N, L) uint8; a read that cannot be aligned has no known
    base.
    """

    rows: pd.Series
    codes: Tensor

    @classmethod
    def of(cls, specimens: pd.DataFrame) -> AlignedSpecimens:
        """Align a table's barcodes to the profile of its training barcodes, which is kept on disk.

        Raises:
            ValueError: no training specimen has a barcode.
        """
        own = specimens[specimens["barcode"].notna()].reset_index(drop=True)
        training = own[own["split"].isin(TRAINING_SPLITS)]
        if training.empty:
            raise ValueError(
                "No training specimen has a barcode, so that no specimen has a divergence."
            )
        named = [None if pd.isna(name) else name for name in training["species"]]
        profile = profile_of(training["barcode"].tolist(), named)
        kept = own[own["split"] != "no_split"].reset_index(drop=True)
        found = align_cached(profile, kept["barcode"].tolist(), progress=True)
        rows = pd.Series(np.arange(len(kept)), index=kept["sampleid"])
        return cls(rows, torch.from_numpy(found.codes))

    def __call__(self, ids: pd.Series) -> Tensor:
        """(N, L) codes of specimens."""
        return self.codes[torch.from_numpy(self.rows.loc[ids].to_numpy(copy=True))]


@dataclass(frozen=True)
class Fidelity:
    """What distances keep.

    cells: one row per split ("seen", "unseen", "novel": unseen queries with the keys of seen
    species), metric and measure: `value`, its 95 % interval `low` and `high`, the number of `pairs`
    and of the queries' `species`, and `scale`, substitutions a site of one unit of distance.
    draws: (rows, 1 + R) the values in each draw of species, the first of the species as they are.
    """

    cells: pd.DataFrame
    draws: np.ndarray


def fidelity_scores(
    embeddings: Embeddings,
    reads: AlignedSpecimens,
    stage: str = "test",
    *,
    metrics: Sequence[str] = METRICS,
    resamples: int = 1000,
    seed: int = 0,
) -> Fidelity:
    """Errors and rank correlations of the distances between specimens.

    In a draw, a pair of two species counts as often as both were drawn, one within a species as
    often as that was. Ranks are those among all pairs.

    Args:
        embeddings: of specimens with barcodes. reads: of the same specimens.
        stage: "val" or "test", whose queries are asked; see `FITTED_ON`.
        metrics: of `hypertax.evaluation.fidelity.METRICS`.
        resamples: R. seed: of the draws; with the same one, all methods get the same draws.

    Raises:
        ValueError: a stage that does not exist.
    """
    splits = query_splits(stage)
    sides = {kind: _side(embeddings, reads, [name]) for kind, name in splits.items()}
    keys = _side(embeddings, reads, ["seen_keys"])
    parts = [_side(embeddings, reads, [name]) for name in FITTED_ON[stage]]
    cells, drawn = [], []
    for metric in metrics:
        scale = _joined([pairs_within(*part, metric) for part in parts]).best_scale()
        for kind in ("seen", "unseen", "novel"):
            asked = sides["unseen" if kind == "novel" else kind]
            if kind == "novel":
                pairs = pairs_between(*asked, *keys, metric)
            else:
                pairs = pairs_within(*asked, metric)
            species = _species(asked[0].table)
            found = _in_draws(pairs, species, scale, kind != "novel", resamples, seed)
            for measure, values in zip(MEASURES, found, strict=True):
                low, high = np.nan, np.nan
                if species.max(initial=-1) + 1 >= FEWEST and np.isfinite(values[0]):
                    low, high = np.nanquantile(values[1:], [0.025, 0.975])
                numbers = (values[0], low, high, len(pairs.distance), species.max(initial=-1) + 1)
                cells.append((kind, metric, measure, *numbers, scale))
                drawn.append(values)
    return Fidelity(pd.DataFrame(cells, columns=_COLUMNS), np.array(drawn))


def fidelity_gains(
    methods: Sequence[Fidelity], references: Sequence[Fidelity], metric: str = "distance"
) -> pd.DataFrame:
    """What a method's distances keep better than a reference's, mean over the seeds, with 95 %
    intervals from paired draws: by how much the relative error is lower, the correlation higher.

    Args:
        methods, references: of `fidelity_scores`, one per seed, of the same queries and draws.
        metric: of the reference; the method's is "distance".

    Returns:
        `split`, `measure` and the columns of `hypertax.evaluation.bootstrap.judged`.
    """
    rows = []
    for kind in ("seen", "unseen", "novel"):
        for measure in MEASURES:
            own, species = _values(methods, kind, "distance", measure)
            other, _ = _values(references, kind, metric, measure)
            gaps = other - own if measure == MEASURES[0] else own - other
            if np.isfinite(gaps[:, 0]).all():
                rows.append({"split": kind, "measure": measure, **judged(gaps, species)})
    return pd.DataFrame(rows)


def _values(
    found: Sequence[Fidelity], kind: str, metric: str, measure: str
) -> tuple[np.ndarray, int]:
    """(seeds, 1 + R) values, and the species."""
    wanted = pd.Series({"split": kind, "metric": metric, "measure": measure})
    rows = [
        np.flatnonzero((one.cells[list(wanted.index)] == wanted).all(axis=1))[0] for one in found
    ]
    values = np.stack([one.draws[row] for one, row in zip(found, rows, strict=True)])
    return values, int(found[0].cells["species"].iloc[rows[0]])


def _side(
    embeddings: Embeddings, reads: AlignedSpecimens, splits: list[str]
) -> tuple[Embeddings, Tensor]:
    """Barcodes of some splits, at most `MOST`, and their reads."""
    own = embeddings.select("dna", splits)
    if len(own) > MOST:
        kept = np.zeros(len(own), dtype=bool)
        kept[np.linspace(0, len(own) - 1, MOST).round().astype(int)] = True
        own = own.where(kept)
    return own, reads(own.table["id"])


def _joined(parts: list[Pairs]) -> Pairs:
    """The pairs within several splits, of which the distances and divergences are read."""
    names = ("first", "second", "distance", "divergence")
    return Pairs(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _species(table: pd.DataFrame) -> np.ndarray:
    """The number (N,) of each specimen's species, in the names' order; one without is by itself."""
    names = table["species"].where(table["species"].notna(), "\0" + table["id"])
    return np.unique(names.to_numpy(str), return_inverse=True)[1]


def _in_draws(
    pairs: Pairs, species: np.ndarray, scale: float, within: bool, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean relative error and rank correlation in each draw, (1 + R,) each; NaN without a pair."""
    count = int(species.max(initial=-1)) + 1
    if not len(pairs.distance) or np.isnan(scale):
        nothing = np.full(1 + resamples, np.nan)
        return nothing, nothing
    groups = [np.ones(count, dtype=bool)]
    times = draws(np.arange(count), groups, 1 + resamples, np.random.default_rng(seed))
    times[0] = 1
    times = times.astype(float)
    first = species[pairs.first]
    second = species[pairs.second] if within else first

    def summed(values: np.ndarray) -> np.ndarray:
        """The sum over the pairs of a draw, (1 + R,)."""
        place = first * count + second
        sums = np.bincount(place, weights=values, minlength=count * count).reshape(count, count)
        own = np.diag(sums).copy()
        np.fill_diagonal(sums, 0)
        return ((times @ sums) * times).sum(axis=1) + times @ own

    x, y = (rankdata(values) for values in (pairs.distance, pairs.divergence))
    x, y = x / len(x) - 0.5, y / len(y) - 0.5
    with np.errstate(invalid="ignore", divide="ignore"):
        total = summed(np.ones_like(x))
        error = summed(pairs.errors(scale)) / total
        mean_x, mean_y = summed(x) / total, summed(y) / total
        spread_x = summed(x * x) / total - mean_x**2
        spread_y = summed(y * y) / total - mean_y**2
        both = summed(x * y) / total - mean_x * mean_y
        # Equal distances everywhere have no order.
        flat = (spread_x <= 1e-12) | (spread_y <= 1e-12)
        correlation = np.where(flat, np.nan, both / np.sqrt(spread_x * spread_y))
    return error, correlation
