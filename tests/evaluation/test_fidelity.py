"""Fidelity of distances to divergences: known values by hand, literal loops over draws, and spaces."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from hypertax.embeddings import COLUMNS, Embeddings
from hypertax.evaluation.bootstrap import draws
from hypertax.evaluation.fidelity import LEAST_DIVERGENCE, Pairs, distances, pairs_within
from hypertax.evaluation.kept_divergence import (
    AlignedSpecimens,
    fidelity_gains,
    fidelity_scores,
)
from hypertax.taxonomy import RANKS

SPLITS = ("train_seen", "val_seen", "val_unseen", "seen_keys", "test_seen", "test_unseen")
BASES = 200


def corrected(differences, bases=BASES):
    return -0.75 * math.log(1 - 4 / 3 * differences / bases)


def reads_with(*differing):
    """Reads of As, of which the n-th has so many Cs where no other one has."""
    reads = torch.zeros(len(differing), BASES, dtype=torch.uint8)
    at = 0
    for row, count in enumerate(differing):
        reads[row, at : at + count] = 1
        at += count
    return reads


def embedded(vectors, species=None, split="test_unseen", space="euclidean", curvature=None):
    rows = [
        (f"{split}-{i}", "dna", None, split, "O", "F", "G", species[i] if species else f"s{i}")
        for i in range(len(vectors))
    ]
    table = pd.DataFrame(rows, columns=["id", "modality", "rank", "split", *RANKS])[list(COLUMNS)]
    return Embeddings(table, np.asarray(vectors, np.float32), space, curvature)


def test_known_values_by_hand():
    """Three reads that differ in 20, 30 and 30 of 200 bases, at places on a line that are 1, 3 and 2
    apart."""
    pairs = pairs_within(embedded([[0, 0], [1, 0], [3, 0]]), reads_with(10, 10, 20))
    assert (pairs.first.tolist(), pairs.second.tolist()) == ([0, 0, 1], [1, 2, 2])
    assert pairs.distance.tolist() == pytest.approx([1, 3, 2])
    want = [corrected(20), corrected(30), corrected(30)]
    assert pairs.divergence.tolist() == pytest.approx(want, rel=1e-6)
    errors = [abs(0.1 * d - J) / J for d, J in zip((1, 3, 2), want, strict=True)]
    assert pairs.errors(0.1).tolist() == pytest.approx(errors, rel=1e-4)


def test_the_best_scale_has_the_least_error():
    rng = np.random.default_rng(0)
    divergence = rng.uniform(0.02, 0.3, 400)
    distance = divergence * rng.lognormal(1.0, 0.5, 400)
    pairs = Pairs(np.zeros(400, int), np.ones(400, int), distance, divergence)
    best = pairs.best_scale()
    tried = [pairs.errors(scale).mean() for scale in best * np.linspace(0.5, 1.5, 201)]
    assert pairs.errors(best).mean() <= min(tried) + 1e-12
    exact = Pairs(pairs.first, pairs.second, 7 * divergence, divergence)
    assert exact.best_scale() == pytest.approx(1 / 7) and exact.errors(1 / 7).max() < 1e-12
    nothing = Pairs(pairs.first, pairs.second, 0 * divergence, divergence)
    assert math.isnan(nothing.best_scale())


def test_pairs_that_hardly_differ_do_not_count():
    reads = reads_with(0, 0, 1, 30)
    pairs = pairs_within(embedded(np.eye(4)), reads)
    assert corrected(1) < LEAST_DIVERGENCE
    counted = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert counted == {(0, 3), (1, 3), (2, 3)}


def test_distances_are_those_of_the_space():
    vectors = [[3.0, 0], [0, 4], [0, 0.5]]
    flat = distances(embedded(vectors), embedded(vectors))
    assert flat[0].tolist() == pytest.approx([0, 5, math.hypot(3, 0.5)])
    cosine = distances(embedded(vectors), embedded(vectors), "cosine")
    assert cosine[1].tolist() == pytest.approx([1, 0, 0], abs=1e-12)
    curved = embedded(vectors, space="lorentz", curvature=4.0)
    found = distances(curved, curved)
    # At a right angle at the origin: Pythagoras' theorem in the hyperbolic plane, sqrt(c) = 2.
    right = math.acosh(math.cosh(2 * 3) * math.cosh(2 * 4)) / 2
    assert found[0, 1] == pytest.approx(right) and found[1, 2] == pytest.approx(3.5)
    with pytest.raises(ValueError, match="metric must be 'distance' or 'cosine', not 'angle'"):
        distances(curved, curved, "angle")


def study(seed=0, noise=0.1, space="euclidean", scale=3.0):
    """Specimens of every split, whose vectors are at about their divergences from one another times
    `scale`: unit vectors of the bases that they have."""
    rng = np.random.default_rng(1)
    codes, rows, vectors = [], [], []
    noisy = np.random.default_rng(seed)
    for split in SPLITS:
        for i in range(14):
            own = (rng.random(BASES) < 0.15).astype(np.uint8)
            name = f"{split}{i // 2}" if i else None
            rows.append((f"{split}-{i}", "dna", None, split, "O", "F", "G", name))
            codes.append(own)
            vectors.append(scale * own + noise * noisy.normal(size=BASES))
    table = pd.DataFrame(rows, columns=["id", "modality", "rank", "split", *RANKS])[list(COLUMNS)]
    curvature = 1e-3 if space == "lorentz" else None
    places = pd.Series(np.arange(len(rows)), table["id"])
    reads = AlignedSpecimens(places, torch.tensor(np.array(codes)))
    return Embeddings(table, np.asarray(vectors, np.float32), space, curvature), reads


@pytest.mark.parametrize("space", ["euclidean", "lorentz"])
@pytest.mark.parametrize("stage", ["val", "test"])
def test_cells_against_literal_loops(space, stage):
    embeddings, reads = study(space=space)
    found = fidelity_scores(embeddings, reads, stage, resamples=20, seed=3)
    assert found.draws.shape == (3 * 2 * 2, 21)
    fitted = {"val": ["seen_keys"], "test": ["val_seen", "val_unseen"]}[stage]
    parts = []
    for split in fitted:
        own = embeddings.select("dna", [split])
        parts.append(pairs_within(own, reads(own.table["id"])))
    joined = Pairs(*(np.concatenate([getattr(p, n) for p in parts]) for n in vars(parts[0])))
    scale = joined.best_scale()
    assert found.cells["scale"].iloc[0] == pytest.approx(scale)
    own = embeddings.select("dna", [f"{stage}_unseen"])
    pairs = pairs_within(own, reads(own.table["id"]))
    names = own.table["species"].fillna("\0" + own.table["id"])
    order = sorted(set(names))
    times = draws(
        np.arange(len(order)),
        [np.ones(len(order), bool)],
        21,
        np.random.default_rng(3),
    )
    times[0] = 1
    cells = found.cells
    row = cells.index[
        (cells["split"] == "unseen")
        & (cells["metric"] == "distance")
        & (cells["measure"] == "relative error")
    ][0]
    for draw in (0, 1, 7):
        errors, weights = [], []
        for i, j, error in zip(pairs.first, pairs.second, pairs.errors(scale), strict=True):
            a, b = order.index(names[i]), order.index(names[j])
            weights.append(times[draw, a] if a == b else times[draw, a] * times[draw, b])
            errors.append(error)
        want = np.average(errors, weights=weights)
        assert found.draws[row, draw] == pytest.approx(want, rel=1e-9)
    assert cells.loc[row, "value"] == found.draws[row, 0]
    assert cells.loc[row, "low"] <= cells.loc[row, "value"] <= cells.loc[row, "high"] * 1.2
    assert cells.loc[row, "pairs"] == len(pairs.distance)
    assert cells.loc[row, "species"] == len(order)
    spearman = spearmanr(pairs.distance, pairs.divergence)[0]
    assert found.draws[row + 1, 0] == pytest.approx(spearman, rel=1e-9)


def test_novel_pairs_are_queries_with_the_keys_of_seen_species():
    embeddings, reads = study()
    cells = fidelity_scores(embeddings, reads, resamples=5).cells
    novel = cells[cells["split"] == "novel"]
    assert set(novel["pairs"]) == {14 * 14} and set(cells["metric"]) == {"distance", "cosine"}


def test_less_noise_is_a_gain_and_equal_methods_have_none():
    plain = [study(seed)[0] for seed in (0, 1)]
    noisy, reads = study(0, noise=0.6)
    better = [fidelity_scores(one, reads, resamples=100) for one in plain]
    worse = [fidelity_scores(noisy, reads, resamples=100)] * 2
    gains = fidelity_gains(better, worse)
    assert len(gains) == 6 and (gains["difference"] > 0).all() and (gains["seeds"] == 2).all()
    assert (gains.loc[gains["measure"] == "relative error", "verdict"] == "better").all()
    none = fidelity_gains(better, better)
    assert (none["difference"] == 0).all() and set(none["verdict"]) == {"no difference shown"}


def test_points_that_are_all_equal_keep_nothing():
    embeddings, reads = study()
    flat = Embeddings(embeddings.table, 0 * embeddings.tangent, "euclidean")
    cells = fidelity_scores(flat, reads, resamples=5, metrics=["distance"]).cells
    assert cells["value"].isna().all() and cells["low"].isna().all()
    # One distance for all pairs has an error, and no order.
    cells = fidelity_scores(flat, reads, resamples=5, metrics=["cosine"]).cells
    assert (cells["value"].notna() == (cells["measure"] == "relative error")).all()
