"""Corrected divergence of aligned reads against values worked out by hand and literal counting."""

import math

import numpy as np
import pytest
import torch

from hypertax.data.barcodes.codes import BEYOND, UNKNOWN
from hypertax.data.barcodes.divergence import (
    LEAST_OVERLAP,
    MOST_UNEQUAL,
    jukes_cantor,
    pairwise_divergence,
)


def test_known_values_of_the_correction():
    """p = 3/8 is d = 3/4 ln 2; small shares are hardly corrected; a tenth is 0.10732563."""
    found = jukes_cantor(torch.tensor([0.0, 0.001, 0.1, 0.375], dtype=torch.float64))
    want = [0.0, 0.00100066726, 0.1073256327, 0.75 * math.log(2)]
    assert found.tolist() == pytest.approx(want, rel=1e-7)


def test_the_correction_does_not_reach_infinity():
    most = jukes_cantor(torch.tensor(MOST_UNEQUAL, dtype=torch.float64))
    assert math.isfinite(most) and jukes_cantor(torch.tensor(0.75)) == pytest.approx(float(most))
    assert jukes_cantor(torch.tensor(1.0)) == pytest.approx(float(most))


def test_a_pair_is_compared_where_both_are_known():
    """Two reads of 200 columns: 20 unequal of the 160 that both have."""
    first = torch.zeros(1, 200, dtype=torch.uint8)
    second = first.clone()
    second[0, :20] = 2
    first[0, 160:180], second[0, 180:] = UNKNOWN, BEYOND
    found, usable = pairwise_divergence(first, second)
    assert usable.all() and found.shape == (1, 1)
    assert float(found) == pytest.approx(-0.75 * math.log(1 - 4 / 3 * 20 / 160), rel=1e-6)


def test_pairs_against_literal_counting():
    rng = np.random.default_rng(0)
    ancestor = rng.integers(0, 4, 300)
    reads = np.stack([ancestor] * 7)
    reads[rng.random(reads.shape) < 0.2] = 1
    reads[rng.random(reads.shape) < 0.1] = UNKNOWN
    reads[3, 150:] = BEYOND
    a, b = (torch.from_numpy(part.astype(np.uint8)) for part in (reads[:4], reads[3:]))
    found, usable = pairwise_divergence(a, b)
    assert found.shape == usable.shape == (4, 4) and usable.all()
    for i in range(4):
        for j in range(4):
            both = [(x, y) for x, y in zip(reads[i], reads[3 + j], strict=True) if max(x, y) < 4]
            p = sum(x != y for x, y in both) / len(both)
            assert float(found[i, j]) == pytest.approx(-0.75 * math.log(1 - 4 * p / 3), abs=1e-6)


def test_too_little_in_common_or_nothing_alike_is_no_divergence():
    reads = torch.full((3, 2 * LEAST_OVERLAP), BEYOND, dtype=torch.uint8)
    reads[0] = 0
    reads[1, : LEAST_OVERLAP - 1] = 0
    reads[2] = 3
    found, usable = pairwise_divergence(reads, reads)
    assert usable.diagonal().tolist() == [True, False, True]
    assert not usable[0, 1] and not usable[0, 2]
    assert torch.isfinite(found).all()
    reads[1, LEAST_OVERLAP - 1] = 0
    assert pairwise_divergence(reads, reads)[1][0, 1]
