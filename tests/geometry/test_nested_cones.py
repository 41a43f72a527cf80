"""Radii and angles of cones against the cones of `lorentz` themselves, in fp64, and cones that fit
on random taxonomies."""

import math

import numpy as np
import pytest
import torch

from hypertax.geometry import lorentz as L
from hypertax.geometry.cone_angles import half_angle, widest_cone
from hypertax.geometry.nested_cones import (
    SLACK,
    STEPS,
    WIDEST,
    drawn_together,
    fit_cones,
    radius_of_cone,
)

CASES = [(K, R) for K in (0.02, 0.1, 0.3) for R in (2.0, 4.0, 8.0)]
SLACK_ANGLE = math.radians(SLACK)


def point(radius, angle=0.0, c=1.0):
    """In the plane, at sqrt(c) * radius and at an angle (radians) from the first axis."""
    return L.exp0(
        radius
        / math.sqrt(c)
        * torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64),
        c,
    )


def is_inside(apex_radius, radius, angle, K, c=1.0):
    apex = point(apex_radius, c=c)
    return bool(L.exterior_angle(apex, point(radius, angle, c), c) <= L.half_aperture(apex, c, K))


def seen(apex_radius, radius, K, c=1.0):
    """Half-angle of a cone as seen by points at a radius, by bisection of what is inside."""
    low, high = 0.0, math.pi
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if is_inside(apex_radius, radius, middle, K, c) else (low, middle)
        )
    return low


# One cone


@pytest.mark.parametrize("c", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("K", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("beyond", [1.0, 1.001, 1.5, 4.0, 10.0], ids=lambda beyond: f"{beyond} p")
def test_the_half_angle_is_where_what_is_inside_ends(beyond, K, c):
    apex = beyond * math.asinh(2 * K)
    radii = apex + (12 - apex) * np.array([0.001, 0.05, 0.4, 1.0])
    found = half_angle(apex, radii, K)
    assert found == pytest.approx([seen(apex, radius, K, c) for radius in radii], abs=1e-7)
    assert (np.diff(found) > 0).all() and half_angle(apex, apex, K) == pytest.approx(0, abs=1e-7), (
        "it opens outwards from its apex"
    )


@pytest.mark.parametrize("K", [0.02, 0.4])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_a_saturated_cone_is_the_half_space_beyond_its_apex(share, K):
    apex = share * math.asinh(2 * K)
    assert float(L.half_aperture(point(apex), 1.0, K)) == math.pi / 2
    radii = apex * np.array([1.01, 3.0, 40.0])
    want = [seen(apex, radius, K) for radius in radii]
    assert half_angle(apex, radii, K) == pytest.approx(want, abs=1e-7)
    # The plane across the axis at the apex: tanh(apex) = tanh(radius) cos(angle).
    assert np.cos(want) * np.tanh(radii) == pytest.approx(np.full(3, math.tanh(apex)), rel=1e-6)


def test_at_the_origin_a_cone_is_half_of_everything():
    assert half_angle(0.0, np.array([1e-3, 1.0, 9.0]), 0.1) == pytest.approx(
        np.full(3, math.pi / 2)
    )
    assert half_angle(np.array([0.0, 0.5, 0.15]), 3.0, 0.1) == pytest.approx(
        [half_angle(apex, 3.0, 0.1) for apex in (0.0, 0.5, 0.15)]
    )


@pytest.mark.parametrize("c", [0.3, 1.0, 5.0])
@pytest.mark.parametrize(("K", "R"), CASES)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
def test_a_cone_ends_at_the_angle_it_was_given(K, R, share, c):
    angle = share * widest_cone(R, K)
    apex = float(radius_of_cone(torch.tensor(angle, dtype=torch.float64), R, K))
    assert math.asinh(2 * K) < apex < R, "it has a half-aperture, and lies below the specimens"
    assert is_inside(apex, R, angle * (1 - 1e-6), K, c)
    assert not is_inside(apex, R, angle * (1 + 1e-6), K, c)


@pytest.mark.parametrize(("K", "R"), CASES)
def test_radius_is_the_inverse_of_the_angle_seen(K, R):
    nearest = math.asinh(2 * K)
    radii = nearest + (R - nearest) * np.array([0.001, 0.1, 0.4, 0.8])
    angles = half_angle(radii, R, K)
    assert (np.diff(angles) < 0).all(), "nearer to the origin a cone is wider"
    assert radius_of_cone(torch.from_numpy(angles), R, K).numpy() == pytest.approx(radii, rel=1e-9)
    at_the_most = WIDEST * widest_cone(R, K)
    for dtype in (torch.float32, torch.float64):
        angles = torch.linspace(at_the_most / 500, at_the_most, 50, dtype=dtype)
        again = half_angle(radius_of_cone(angles, R, K).double().numpy(), R, K)
        # In fp32 far less than the slack is lost, up to the widest cone of a taxonomy.
        assert again == pytest.approx(
            angles.double().numpy(), abs=1e-10 if dtype == torch.float64 else SLACK_ANGLE / 1000
        )


@pytest.mark.parametrize(("K", "R"), CASES)
def test_the_widest_cone_is_the_limit_and_never_reached(K, R):
    limit = widest_cone(R, K)
    assert float(radius_of_cone(torch.tensor(limit, dtype=torch.float64), R, K)) == pytest.approx(
        math.asinh(2 * K), rel=1e-12
    )
    missing = [limit - seen(math.asinh(2 * K) * (1 + near), R, K) for near in (1e-3, 1e-5, 1e-7)]
    # The gap falls as the square root of what the apex is beyond p.
    assert missing[0] > missing[1] > missing[2] > 0 and missing[2] < 1e-3
    assert missing[0] / missing[1] == pytest.approx(10, rel=0.05) and missing[1] / missing[
        2
    ] == pytest.approx(10, rel=0.05)


def test_specimens_nearer_than_p_see_no_cone():
    p = math.asinh(2 * 0.3)
    assert widest_cone(0.999 * p, 0.3) == 0 < widest_cone(1.001 * p, 0.3)


# Directions drawn together


def angle_between(a, b):
    """Radians between unit vectors (..., D); as exact for small as for wide angles."""
    return 2 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1))


@pytest.mark.parametrize("s", [1 / STEPS, 0.3, 0.77, 1.0])
def test_drawn_together_all_chords_shrink_by_s(s):
    generator = torch.Generator().manual_seed(0)
    u = torch.nn.functional.normalize(
        torch.randn(40, 5, generator=generator, dtype=torch.float64), dim=1
    )
    u = torch.cat([u, -u[:3], u[:3]])
    near = torch.cat(
        [torch.full((len(u), 1), math.sqrt(1 - s**2), dtype=torch.float64), s * u], dim=1
    )
    before, after = angle_between(u[:, None], u), angle_between(near[:, None], near)
    torch.testing.assert_close(
        drawn_together(before, torch.tensor(s, dtype=torch.float64)), after, rtol=1e-9, atol=1e-9
    )
    torch.testing.assert_close(
        torch.sin(after / 2), s * torch.sin(before / 2), rtol=1e-9, atol=1e-12
    )
    assert before.max() == pytest.approx(math.pi) and before.min() == 0, (
        "opposite and equal ones are among them"
    )


# Taxonomies


def taxonomy(seed):
    """Ranks and parents (T,), rows in any order: every taxon below order hangs from any taxon above
    it, or from none."""
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


def directions(seed, parents):
    """(T, D) unit vectors: unrelated, or near their parents' in two of three taxonomies; among them
    one that is opposite its parent's."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(len(parents), rng.integers(2, 12)))
    found = own.copy()
    for _ in range(3):
        found = np.where((parents >= 0)[:, None], (0, 0.5, 3)[seed % 3] * found[parents], 0) + own
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    if seed % 10 == 0 and (parents >= 0).any():
        row = np.flatnonzero(parents >= 0)[0]
        found[row] = -found[parents[row]]
    return torch.from_numpy(found)


def needed(u, parents, own, s):
    """(T,) half-angles, from children to parents by recursion, and (T,) turns from the parent, in
    the directions drawn together by s."""
    near = torch.cat(
        [torch.full((len(u), 1), math.sqrt(max(0.0, 1 - s**2)), dtype=u.dtype), s * u], dim=1
    )
    turn = angle_between(near, near[parents]).numpy()
    least = 2 * math.asin(s * math.sin(own / 2))

    def angle(row):
        return max(
            [
                least,
                *(
                    turn[child] + angle(child) + SLACK_ANGLE
                    for child in np.flatnonzero(parents == row)
                ),
            ]
        )

    return np.array([angle(row) for row in range(len(parents))]), turn


def fitted(seed, own, widest):
    ranks, parents = taxonomy(seed)
    u = directions(seed, parents)
    s, angle = fit_cones(u, torch.from_numpy(ranks), torch.from_numpy(parents), own, widest)
    return ranks, parents, u, float(s), angle.numpy()


@pytest.mark.parametrize(("own", "widest"), [(36, 80), (5, 80), (90, 40)], ids=str)
def test_cones_are_as_wide_as_needed_and_directions_as_far_apart_as_fits(own, widest):
    own, widest = math.radians(own), math.radians(widest)
    kinds, shares = set(), set()
    for seed in range(200):
        ranks, parents, u, s, angle = fitted(seed, own, widest)
        want, turn = needed(u, parents, own, s)
        for row, above in enumerate(parents):
            children = np.flatnonzero(parents == row)
            needs = [turn[child] + angle[child] + SLACK_ANGLE for child in children]
            assert all(need <= angle[row] + 1e-9 for need in needs), (
                "every child's cone stays inside by the slack"
            )
            if len(children):
                assert angle[row] == pytest.approx(max(needs), abs=1e-9), (
                    "no wider than the widest child needs"
                )
            else:
                assert angle[row] == pytest.approx(2 * math.asin(s * math.sin(own / 2)), abs=1e-9)
            if above < 0:
                kinds.add("root below order" if ranks[row] else "order")
            else:
                kinds.add("only child" if np.sum(parents == above) == 1 else "sibling")
                kinds.add("skips a rank" if ranks[row] - ranks[above] > 1 else "next rank")
            kinds.add(
                "childless"
                if not len(children) and ranks[row] < 3
                else "has children or is a species"
            )
        assert angle == pytest.approx(want, abs=1e-9)
        assert angle.max() <= widest
        step = s * STEPS
        assert step == round(step) and 1 <= step <= STEPS
        assert s == 1 or needed(u, parents, own, (step + 1) / STEPS)[0].max() > widest, (
            "farther apart they would not fit"
        )
        shares.add(s)
    assert kinds >= {
        "root below order",
        "only child",
        "sibling",
        "skips a rank",
        "next rank",
        "childless",
    }
    assert len(shares) > 15 and (1 in shares) == (own < widest) and SLACK > 0


def test_rows_may_come_in_any_order():
    own, widest = math.radians(36), math.radians(80)
    for seed in range(20):
        ranks, parents, u, s, angle = fitted(seed, own, widest)
        order = np.random.default_rng(seed).permutation(len(ranks))
        back = np.argsort(order)
        again = fit_cones(
            u[order],
            torch.from_numpy(ranks[order]),
            torch.from_numpy(np.where(parents[order] >= 0, back[parents[order]], -1)),
            own,
            widest,
        )
        assert float(again[0]) == s and again[1].numpy() == pytest.approx(angle[order], abs=1e-12)


def test_the_cones_of_a_taxonomy_by_hand():
    # An order, a family a sixth of a turn from it, a genus another one from that, and a species a
    # right angle from the genus. A species that has no genus lies opposite the order, and one that
    # has nothing above it is all by itself.
    def towards(degrees):
        return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]

    u = torch.tensor([towards(turn) for turn in (0, 60, 120, 210, 180, 77)], dtype=torch.float64)
    ranks, parents = torch.tensor([0, 1, 2, 3, 3, 3]), torch.tensor([-1, 0, 1, 2, 0, -1])

    def twice(sine):
        return 2 * math.degrees(math.asin(sine))

    # Drawn together by 1/4, half the chords of 60, 90 and 180 degrees are an eighth, 1/sqrt(32) and
    # a quarter.
    own, right, opposite = twice(1 / 8), twice(1 / math.sqrt(32)), twice(1 / 4)
    assert (own, right, opposite) == pytest.approx((14.36, 20.36, 28.96), abs=0.005)
    genus = own + right + 0.5
    family = genus + own + 0.5
    order = family + own + 0.5
    assert order == pytest.approx(64.95, abs=0.01) and opposite + own + 0.5 < order
    s, angle = fit_cones(u, ranks, parents, math.radians(60), math.radians(66))
    assert float(s) == 1 / 4 and np.degrees(angle.numpy()) == pytest.approx(
        [order, family, genus, own, own, own]
    )
    # A little less room than that, and they are drawn together by a step more; a little more, and
    # by a step less.
    assert float(fit_cones(u, ranks, parents, math.radians(60), math.radians(64.9))[0]) == 31 / 128
    assert float(fit_cones(u, ranks, parents, math.radians(60), math.radians(67.5))[0]) == 33 / 128
    # With all the room there is, they stay where they are: two sixths of a turn and a right angle,
    # and 60 degrees around the last one.
    s, angle = fit_cones(u, ranks, parents, math.radians(60), math.radians(272))
    assert float(s) == 1 and np.degrees(angle.numpy()) == pytest.approx(
        [271.5, 211, 150.5, 60, 60, 60]
    )


def test_where_nothing_fits_the_smallest_step_is_taken_and_said_truthfully():
    own, widest = math.radians(36), math.radians(1)
    ranks, parents, u, s, angle = fitted(1, own, widest)
    assert (
        s == 1 / STEPS
        and angle == pytest.approx(needed(u, parents, own, s)[0], abs=1e-9)
        and angle.max() > widest
    )


def test_without_taxa_there_is_nothing_to_fit():
    nothing = torch.zeros(0, dtype=torch.int64)
    s, angle = fit_cones(torch.zeros(0, 3), nothing, nothing, 0.5, 1.0)
    assert float(s) == 1 and len(angle) == 0
    # The row of taxa without a name: no direction, no parent.
    s, angle = fit_cones(
        torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64), torch.tensor([-1]), 0.5, 1.0
    )
    assert float(s) == 1 and float(angle[0]) == pytest.approx(0.5)
