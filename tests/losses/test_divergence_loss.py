"""The loss of distances that follow divergence: literal loops in fp64, finite differences, and the
scale at which it is least."""

import math

import pytest
import torch

from hypertax.geometry.spaces import EuclideanSpace, LorentzSpace
from hypertax.losses.divergence import SOFTENING, best_scale, divergence_loss

SIZE, DIM = 7, 3
SPACES = {
    "euclidean": EuclideanSpace(("dna",), DIM),
    "lorentz": LorentzSpace(("dna",), DIM, 1.7).double(),
}


def tangents(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(SIZE, DIM, generator=generator, dtype=torch.float64)


def divergences(seed=1):
    """Symmetric, for all pairs; some are unknown, and of those some are no numbers."""
    generator = torch.Generator().manual_seed(seed)
    half = 0.3 * torch.rand(SIZE, SIZE, generator=generator, dtype=torch.float64).triu(1)
    usable = torch.rand(SIZE, SIZE, generator=generator).triu(1) > 0.3
    usable = usable | usable.T
    divergence = half + half.T
    divergence[~usable & (divergence > 0.15)] = torch.nan
    return divergence, usable


def literal_distance(space, a, b):
    if space.name == "euclidean":
        return math.dist(a, b)
    c = float(space.curvature)

    def point(v):
        norm = math.sqrt(c) * math.hypot(*v)
        return [math.cosh(norm) / math.sqrt(c), *(math.sinh(norm) * x / norm for x in v)]

    x, y = point(a), point(b)
    inner = sum(p * q for p, q in zip(x[1:], y[1:], strict=True)) - x[0] * y[0]
    return math.acosh(-c * inner) / math.sqrt(c)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_the_loss_against_literal_loops(space):
    vectors, (divergence, usable), scale = tangents(), divergences(), 4.2
    terms = []
    for i in range(SIZE):
        for j in range(i + 1, SIZE):
            if usable[i, j]:
                distance = literal_distance(space, vectors[i].tolist(), vectors[j].tolist())
                J = float(divergence[i, j])
                terms.append(((distance / scale - J) / (J + SOFTENING)) ** 2)
    assert 5 < len(terms) < SIZE * (SIZE - 1) / 2
    found = divergence_loss(space.distances(vectors), divergence, usable, torch.tensor(scale))
    assert float(found.detach()) == pytest.approx(sum(terms) / len(terms), rel=1e-6)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_gradients_are_finite_differences(space):
    divergence, usable = divergences()

    def loss(vectors, log_scale):
        return divergence_loss(space.distances(vectors), divergence, usable, log_scale.exp())

    inputs = [tangents().requires_grad_(), torch.tensor(1.3, dtype=torch.float64).requires_grad_()]
    assert torch.autograd.gradcheck(loss, inputs, eps=1e-6, atol=1e-5)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_equal_points_and_a_batch_without_pairs_have_finite_gradients(space):
    vectors = tangents()
    vectors[1] = vectors[0]
    vectors[2] = 0
    for usable in (torch.ones(SIZE, SIZE), torch.zeros(SIZE, SIZE)):
        leaf, scale = vectors.float().requires_grad_(), torch.ones((), requires_grad=True)
        moved = space.float() if space.name == "lorentz" else space
        divergence = torch.zeros(SIZE, SIZE)
        loss = divergence_loss(moved.distances(leaf), divergence, usable.bool(), scale)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(leaf.grad).all()
        assert torch.isfinite(scale.grad) and (usable.any() or float(loss) == 0)
    space.double()


def test_distances_that_are_the_divergence_times_the_scale_cost_nothing():
    """Points on a line have the divergences 0.1, 0.2 and 0.3; a base substituted is 10."""
    vectors = torch.tensor([[0.0, 0], [1, 0], [3, 0]], dtype=torch.float64)
    divergence = torch.tensor([[0, 0.1, 0.3], [0.1, 0, 0.2], [0.3, 0.2, 0]], dtype=torch.float64)
    usable = torch.ones(3, 3, dtype=torch.bool)
    distance = SPACES["euclidean"].distances(vectors)
    loss = divergence_loss(distance, divergence, usable, torch.tensor(10.0))
    assert float(loss) == pytest.approx(0, abs=1e-12)
    assert float(best_scale(distance, divergence, usable)) == pytest.approx(10)
    # Twice as far as they should be: an error of J / (J + 0.02) each.
    twice = divergence_loss(distance, divergence, usable, torch.tensor(5.0))
    want = sum((J / (J + 0.02)) ** 2 for J in (0.1, 0.2, 0.3)) / 3
    assert float(twice) == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_the_best_scale_is_where_the_loss_is_least(space):
    distance, (divergence, usable) = space.distances(tangents()).detach(), divergences()
    best = best_scale(distance, divergence, usable)
    least = divergence_loss(distance, divergence, usable, best)
    for factor in (0.9, 0.99, 1.01, 1.1):
        assert divergence_loss(distance, divergence, usable, factor * best) > least


def test_points_that_are_all_equal_have_the_scale_one():
    zeros, usable = torch.zeros(3, 3), torch.ones(3, 3, dtype=torch.bool)
    assert float(best_scale(zeros, zeros, usable)) == 1
