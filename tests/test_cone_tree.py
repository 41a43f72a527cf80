"""Radii and angles of cones against the cones of `lorentz` themselves, in fp64, and on random taxonomies."""

import math

import numpy as np
import pytest
import torch

from hypertax import lorentz as L
from hypertax.cone_tree import ONLY_CHILD, SLACK, radius_of_cone, turns_and_angles, widest_cone

CASES = [(K, R) for K in (0.02, 0.1, 0.3) for R in (2.0, 4.0, 8.0)]
WIDEST = (87.0, 67.0, 50.0, 32.0)


def point(radius, angle=0.0, c=1.0):
    """In the plane, at sqrt(c) * radius and at an angle (radians) from the first axis."""
    return L.exp0(radius / math.sqrt(c) * torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64), c)


def is_inside(apex_radius, specimen_radius, angle, K, c=1.0):
    apex = point(apex_radius, c=c)
    return bool(L.exterior_angle(apex, point(specimen_radius, angle, c), c) <= L.half_aperture(apex, c, K))


def seen(apex_radius, specimen_radius, K):
    """Half-angle of a cone as seen by points at the specimens' radius, by bisection of what is inside."""
    low, high = 0.0, math.pi
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if is_inside(apex_radius, specimen_radius, middle, K) else (low, middle)
    return low


@pytest.mark.parametrize("c", [0.3, 1.0, 5.0])
@pytest.mark.parametrize(("K", "R"), CASES)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
def test_a_cone_ends_at_the_angle_it_was_given(K, R, share, c):
    angle = share * math.radians(widest_cone(R, K))
    apex = float(radius_of_cone(np.array(angle), R, K))
    assert math.asinh(2 * K) < apex < R, "it has a half-aperture, and lies below the specimens"
    assert is_inside(apex, R, angle * (1 - 1e-6), K, c)
    assert not is_inside(apex, R, angle * (1 + 1e-6), K, c)


@pytest.mark.parametrize(("K", "R"), CASES)
def test_radius_is_the_inverse_of_the_angle_seen(K, R):
    nearest = math.asinh(2 * K)
    radii = nearest + (R - nearest) * np.array([0.001, 0.1, 0.4, 0.8])
    angles = np.array([seen(radius, R, K) for radius in radii])
    assert (np.diff(angles) < 0).all(), "nearer to the origin a cone is wider"
    assert radius_of_cone(angles, R, K) == pytest.approx(radii, rel=1e-9)


@pytest.mark.parametrize(("K", "R"), CASES)
def test_the_widest_cone_is_the_limit_and_never_reached(K, R):
    limit = widest_cone(R, K)
    assert float(radius_of_cone(np.deg2rad(limit), R, K)) == pytest.approx(math.asinh(2 * K), rel=1e-12)
    missing = [limit - math.degrees(seen(math.asinh(2 * K) * (1 + near), R, K)) for near in (1e-3, 1e-5, 1e-7)]
    # The gap falls as the square root of what the apex is beyond p.
    assert missing[0] > missing[1] > missing[2] > 0 and missing[2] < 0.05
    assert missing[0] / missing[1] == pytest.approx(10, rel=0.05) and missing[1] / missing[2] == pytest.approx(10, rel=0.05)


def test_specimens_nearer_than_p_see_no_cone():
    p = math.asinh(2 * 0.3)
    assert widest_cone(0.999 * p, 0.3) == 0 < widest_cone(1.001 * p, 0.3)


def taxonomy(seed):
    """Ranks and parents (T,), rows in any order: every taxon below order hangs from any taxon above it, or from none."""
    rng = np.random.default_rng(seed)
    ranks = np.sort(np.concatenate([np.arange(4), rng.integers(0, 4, rng.integers(4, 30))]))
    parents = np.full(len(ranks), -1)
    for row, rank in enumerate(ranks):
        above = np.flatnonzero(ranks < rank)
        if len(above) and rng.random() > 0.1:
            parents[row] = rng.choice(above)
    place = rng.permutation(len(ranks))
    shuffled = np.empty_like(ranks), np.empty_like(parents)
    shuffled[0][place] = ranks
    shuffled[1][place] = np.where(parents >= 0, place[parents], -1)
    return shuffled


@pytest.mark.parametrize("widest", [WIDEST, (60.0, 59.0, 21.5, 1.0)])
def test_angles_and_turns_add_up_along_every_edge(widest):
    kinds = set()
    for seed in range(200):
        ranks, parents = taxonomy(seed)
        turn, angle = turns_and_angles(ranks, parents, widest)
        for row, above in enumerate(parents):
            children = np.flatnonzero(parents == row)
            if len(children):
                needs = [turn[child] + angle[child] + SLACK for child in children]
                assert all(need <= angle[row] + 1e-9 for need in needs), "every child's cone stays inside by the slack"
                assert angle[row] == pytest.approx(max(needs)), "no wider than the widest child needs"
                assert angle[row] <= widest[ranks[row]] + 1e-9
            else:
                assert angle[row] == widest[ranks[row]]
            if above < 0:
                assert turn[row] == 0
                kinds.add("root below order" if ranks[row] else "order")
                continue
            only = np.sum(parents == above) == 1
            most = widest[ranks[above]] - widest[ranks[row]] - SLACK
            assert turn[row] == pytest.approx(0.1 * most if only else most) and turn[row] > 0
            kinds |= {"only child" if only else "sibling", "skips a rank" if ranks[row] - ranks[above] > 1 else "next rank"}
            kinds.add("childless" if not len(children) and ranks[row] < 3 else "has children or is a species")
    assert kinds >= {"root below order", "only child", "sibling", "skips a rank", "next rank", "childless"}
    assert ONLY_CHILD == 0.1 and SLACK > 0


def test_angles_of_a_taxonomy_by_hand():
    # An order of two families; the first has a genus alone, with two species; the second a species that has no genus.
    ranks, parents = np.array([0, 1, 1, 2, 3, 3, 3]), np.array([-1, 0, 0, 1, 3, 3, 2])
    turn, angle = turns_and_angles(ranks, parents, WIDEST)
    genus = 32 + 17.5 + 0.5
    families = (genus + 1.65 + 0.5, 32 + 3.45 + 0.5)
    assert turn == pytest.approx([0, 19.5, 19.5, 1.65, 17.5, 17.5, 3.45])
    assert angle == pytest.approx([families[0] + 19.5 + 0.5, *families, genus, 32, 32, 32])
