"""The closed-form projection of aligned barcodes, against its formula written as loops."""

import numpy as np
import pytest

from hypertax.data.barcodes import start as module
from hypertax.data.barcodes.start import fit_start


def aligned(count=40, columns=12, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (count, columns)).astype(np.uint8)
    codes[rng.random(codes.shape) < 0.1] = 4
    codes[rng.random(codes.shape) < 0.1] = 5
    return codes


def by_loops(codes, genera):
    count, columns = codes.shape
    x = np.zeros((count, columns, 4))
    for column in range(columns):
        known = [code for code in codes[:, column] if code < 4]
        for base in range(4):
            share = known.count(base) / len(known)
            for row in range(count):
                if codes[row, column] < 4:
                    x[row, column, base] = (codes[row, column] == base) - share
    x = x.reshape(count, -1)
    squares, labelled = np.zeros(x.shape[1]), 0
    for genus in {g for g in genera if g is not None}:
        own = x[[i for i, g in enumerate(genera) if g == genus]]
        squares += ((own - own.mean(axis=0)) ** 2).sum(axis=0)
        labelled += len(own)
    x = x * (squares / labelled + 1e-3) ** -0.25
    return x - x.mean(axis=0)


def test_it_is_the_formula():
    codes = aligned()
    genera = [None if i % 7 == 0 else f"g{i % 5}" for i in range(len(codes))]
    expected = by_loops(codes, genera)
    start = fit_start(codes, genera, width=6)
    values, vectors = np.linalg.eigh(expected.T @ expected / len(codes))
    projected = expected @ vectors[:, ::-1][:, :6]
    projected /= np.sqrt((projected**2).sum(axis=1).mean())
    found = start(codes)
    # The sign of a component is free; ours is settled.
    assert np.allclose(np.abs(found), np.abs(projected), atol=2e-4)
    assert (found**2).sum(axis=1).mean() == pytest.approx(1, abs=1e-4)
    assert np.allclose(found @ found.T, projected @ projected.T, atol=1e-3)


def test_without_genera_all_bases_weigh_the_same():
    start = fit_start(aligned(), [None] * 40, width=4)
    assert (start.weights == 1).all()
    singles = fit_start(aligned(), [f"g{i}" for i in range(40)], width=4)
    assert (singles.weights == 1).all()


def test_what_never_varies_within_a_genus_weighs_most():
    codes = aligned()
    genera = [f"g{i % 4}" for i in range(40)]
    codes[:, 0] = [i % 4 for i in range(40)]
    weights = fit_start(codes, genera, width=4).weights
    assert weights[0] == pytest.approx(1e-3**-0.25, rel=1e-4)
    assert weights[1:].max() < weights[0].min()


def test_fewer_components_than_asked_are_followed_by_zeros():
    codes = aligned(5)
    start = fit_start(codes, [None] * 5, width=30)
    assert start.projection.shape == (48, 30)
    assert (start.projection[:, 4:] == 0).all() and (start(codes)[:, 4:] == 0).all()


def test_equal_barcodes_are_one_point():
    codes = np.tile(aligned(1), (6, 1))
    start = fit_start(codes, [None] * 6, width=3)
    assert np.isfinite(start(codes)).all() and start.scale == 1


def test_many_barcodes_are_read_in_parts_and_fitted_on_some(monkeypatch):
    codes = aligned(300)
    genera = [f"g{i % 5}" for i in range(300)]
    monkeypatch.setattr(module, "MOST_READS", 100)
    kept = np.linspace(0, 299, 100).round().astype(int)
    few = fit_start(codes[kept], [genera[i] for i in kept], width=4)
    found = fit_start(codes, genera, width=4)
    assert np.array_equal(found.projection, few.projection)
    whole = found(codes)
    monkeypatch.setattr(module, "PART", 7)
    assert np.allclose(found(codes), whole, atol=1e-6)
