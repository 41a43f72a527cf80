"""The hyperboloid's values: against 50-digit arithmetic, against geoopt in float64, and by
invariance."""

import itertools
import subprocess
import sys
import warnings

import mpmath as mp
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from hypertax.geometry import lorentz as L

mp.mp.dps = 50
DTYPES = [torch.float32, torch.float64]
SETTINGS = [(0.1, 2), (1.0, 16), (4.0, 16), (10.0, 128)]
RADII = [3e-5, 1e-2, 0.3, 1, 3, 6, 12]


def directions(n, dim, generator):
    v = torch.randn(n, dim, generator=generator, dtype=torch.float64)
    return v / v.norm(dim=-1, keepdim=True)


def points(kind, c, dim, dtype):
    """One pair of points for each two of RADII: x, y (49, dim) and their r = sqrt(c) * radius."""
    generator = torch.Generator().manual_seed(dim)
    rx, ry = torch.tensor(list(itertools.product(RADII, RADII)), dtype=torch.float64).T
    x, other = directions(len(rx), dim, generator), directions(len(rx), dim, generator)
    y = {"generic": other, "opposite": -x, "near": x + 0.1 * other, "nearer": x + 1e-3 * other}[
        kind
    ]
    y = y / y.norm(dim=-1, keepdim=True)
    return (
        (x * (rx.sinh() / c**0.5)[:, None]).to(dtype),
        (y * (ry.sinh() / c**0.5)[:, None]).to(dtype),
        rx.tolist(),
        ry.tolist(),
    )


def mpf(vector):
    return [mp.mpf(float(v)) for v in vector]


def truth(x, y, c):
    """Inner product, sqrt(c) * distance, exterior angle at x and angle between the directions, by
    the textbook formulas in 50 digits."""
    c, x, y = mp.mpf(c), mpf(x), mpf(y)
    xx, yy, xy = mp.fdot(x, x), mp.fdot(y, y), mp.fdot(x, y)
    x_time, y_time = mp.sqrt(1 / c + xx), mp.sqrt(1 / c + yy)
    inner = xy - x_time * y_time
    angle = mp.acos(
        clip((y_time + x_time * c * inner) / (mp.sqrt(xx) * mp.sqrt((c * inner) ** 2 - 1)))
    )
    return inner, mp.acosh(-c * inner), angle, mp.acos(clip(xy / mp.sqrt(xx * yy)))


def clip(cosine):
    return max(mp.mpf(-1), min(mp.mpf(1), cosine))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["generic", "opposite", "near", "nearer"])
def test_pairs_of_points_within_the_stated_errors(kind, dtype):
    eps = torch.finfo(dtype).eps
    for c, dim in SETTINGS:
        x, y, rxs, rys = points(kind, c, dim, dtype)
        root = c**0.5
        paired = [f(x, y, c).tolist() for f in (L.inner, L.distance, L.exterior_angle)]
        pairwise = [
            f(x, y, c).diagonal().tolist()
            for f in (L.pairwise_inner, L.pairwise_distance, L.pairwise_exterior_angle)
        ]
        for i, (rx, ry) in enumerate(zip(rxs, rys)):
            inner, d, angle, theta = truth(x[i], y[i], c)
            where = f"c={c}, D={dim}, rx={rx}, ry={ry}"
            sine = max(abs(mp.sin(theta)), mp.mpf(10) ** -30)
            times = mp.cosh(rx) * mp.cosh(ry)
            assert abs(paired[0][i] - inner) <= 6 * eps * times / c, where
            assert abs(pairwise[0][i] - inner) <= 10 * eps * times / c, where
            assert abs(root * paired[1][i] - d) <= 2 * eps * (d * (1 + 1 / theta) + max(rx, ry)), (
                where
            )
            rounding = eps * times
            stated = 10 * (rounding / max(mp.sinh(d), mp.sqrt(rounding)) + eps * (1 + d))
            assert abs(root * pairwise[1][i] - d) <= max(0, 1.4143e-3 - d) + stated, where
            assert abs(paired[2][i] - angle) <= 3 * eps * (1 + 1 / sine), where
            bound = mp.sinh(ry) * min(1 / (2 * sine), 1 / mp.sqrt(eps)) * abs(
                mp.cos(angle)
            ) + times * mp.sin(angle)
            assert abs(pairwise[2][i] - angle) <= 10 * eps * (1 + bound / mp.sinh(d)), where


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("c, dim", SETTINGS)
def test_single_points_within_the_stated_errors(c, dim, dtype):
    eps, root = torch.finfo(dtype).eps, mp.sqrt(c)
    x, _, radii, _ = points("generic", c, dim, dtype)
    tangent = (
        x.double() / x.double().norm(dim=-1, keepdim=True) * torch.tensor(radii)[:, None] / c**0.5
    ).to(dtype)
    time, radius, aperture = (
        L.time(x, c).tolist(),
        L.radius(x, c).tolist(),
        L.half_aperture(x, c).tolist(),
    )
    log, ball, exp = L.log0(x, c), L.poincare(x, c), L.exp0(tangent, c)

    def error(found, factor, vector):
        expected = [factor * v for v in vector]
        return mp.norm([a - b for a, b in zip(mpf(found), expected)]), mp.norm(expected)

    for i, r in enumerate(radii):
        space, v = mpf(x[i]), mpf(tangent[i])
        s, t = root * mp.norm(space), root * mp.norm(v)
        assert abs(time[i] * root / mp.sqrt(1 + s**2) - 1) <= 3 * eps
        assert abs(radius[i] * root / mp.asinh(s) - 1) <= 3 * eps
        assert abs(aperture[i] / mp.asin(min(1, mp.mpf("0.2") / s)) - 1) <= 3 * eps
        off, size = error(log[i], mp.asinh(s) / s, space)
        assert off <= 3 * eps * size
        off, size = error(exp[i], mp.sinh(t) / t, v)
        assert off <= 2 * eps * (1 + r) * size
        off, _ = error(ball[i], root / (1 + mp.sqrt(1 + s**2)), space)
        assert off <= 3 * eps


def test_float32_figures_of_the_docstrings():
    """The readable figures: coincident points and children on their parent's axis, in float32."""
    generator = torch.Generator().manual_seed(0)
    u = directions(200, 128, generator)
    for r, reading in [(1, 1.5e-3), (3, 0.02), (5, 0.12)]:
        x = (u * torch.tensor(float(r)).sinh()).float()
        assert L.distance(x, x, 1.0).max() == 0
        assert L.pairwise_distance(x, x, 1.0).diagonal().max() <= reading
        child = (u * torch.tensor(r + 1.0).sinh()).float()
        assert (
            L.pairwise_exterior_angle(x, child, 1.0).diagonal().max()
            <= 2e-3 * torch.tensor(float(r)).exp()
        )


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_geoopt_agrees_in_float64(c):
    geoopt = L.manifold(c, dtype=torch.float64)
    x, y, _, _ = points("generic", c, 16, torch.float64)
    outer = L.radius(x, c) * c**0.5
    keep = (
        (outer > 0.1)
        & (outer < 7)
        & (L.radius(y, c) * c**0.5 < 7)
        & (L.distance(x, y, c) * c**0.5 > 0.1)
    )
    x, y = x[keep], y[keep]
    X, Y = L.to_geoopt(x, c), L.to_geoopt(y, c)
    torch.testing.assert_close(geoopt.dist(X, Y), L.distance(x, y, c), rtol=1e-6, atol=0)
    torch.testing.assert_close(geoopt.inner(None, X, Y), L.inner(x, y, c), rtol=1e-8, atol=1e-9)
    tangent = L.log0(x, c)
    lifted = geoopt.expmap0(torch.nn.functional.pad(tangent, (1, 0)))
    torch.testing.assert_close(L.from_geoopt(lifted), L.exp0(tangent, c), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(L.from_geoopt(geoopt.logmap0(X)), L.log0(x, c), rtol=1e-6, atol=1e-9)
    k = torch.tensor(1 / c, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from geoopt.manifolds.lorentz.math import lorentz_to_poincare
    torch.testing.assert_close(lorentz_to_poincare(X, k), L.poincare(x, c), rtol=1e-12, atol=0)
    assert geoopt.check_point_on_manifold(X, atol=1e-6 / c)


def test_poincare_takes_any_number_of_axes():
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(L.poincare(x, 2.0)[1, 2], L.poincare(x[1, 2], 2.0))


def test_importing_geoopt_through_lorentz_does_not_warn():
    code = (
        "import sys, hypertax.geometry.lorentz as L; assert 'geoopt' not in sys.modules;"
        " L.manifold(2.0)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", code], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0 and "torch.jit" not in done.stderr, done.stderr


def test_exactly_special_points():
    zero, near, far = (
        torch.tensor([[0.0, 0.0]]),
        torch.tensor([[0.5, 0.0]]),
        torch.tensor([[2.0, 0.0]]),
    )
    half = torch.pi / 2
    for angle in (L.exterior_angle, L.pairwise_exterior_angle):
        tolerance = 1e-6 if angle is L.exterior_angle else 2e-3
        inwards = [(far, near, torch.pi), (near, -far, torch.pi), (far, zero, torch.pi)]
        for x, y, expected in [(near, far, 0), *inwards, (zero, far, half), (zero, zero, half)]:
            assert angle(x, y, 2.0).item() == pytest.approx(expected, abs=tolerance), (angle, x, y)
        assert angle(near, near, 2.0).item() == pytest.approx(half, abs=tolerance)
    assert L.distance(zero, far, 2.0).item() == pytest.approx(L.radius(far, 2.0).item(), rel=1e-6)
    assert (
        L.half_aperture(zero, 2.0).item()
        == L.half_aperture(torch.tensor([0.2, 0.0]), 1.0).item()
        == pytest.approx(half)
    )
    assert torch.equal(L.exp0(zero, 2.0), zero) and torch.equal(L.log0(zero, 2.0), zero)
    huge = L.exp0(torch.tensor([[3e17, 4e17]]), 4.0)
    assert L.radius(huge, 4.0).item() * 2 == pytest.approx(L.MAX_RADIUS, rel=1e-6)


CALLS = {
    "time": lambda x, y, c: L.time(x, c),
    "inner": L.inner,
    "pairwise_inner": L.pairwise_inner,
    "distance": L.distance,
    "pairwise_distance": L.pairwise_distance,
    "exp0": lambda x, y, c: L.exp0(x, c),
    "log0": lambda x, y, c: L.log0(x, c),
    "radius": lambda x, y, c: L.radius(x, c),
    "half_aperture": lambda x, y, c: L.half_aperture(x, c),
    "exterior_angle": L.exterior_angle,
    "pairwise_exterior_angle": L.pairwise_exterior_angle,
    "poincare": lambda x, y, c: L.poincare(x, c),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_autocast_changes_nothing_and_dtypes_follow_the_points(call):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 6, 8, generator=generator)
    c = torch.tensor(1.5)

    def value_and_gradient(autocast):
        leaf = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            value = call(leaf, y, c)
            (gradient,) = torch.autograd.grad(value.sum(), leaf)
        return value, gradient

    for plain, cast in zip(value_and_gradient(False), value_and_gradient(True)):
        assert cast.dtype == torch.float32 and torch.equal(plain, cast)
    assert call(x.bfloat16(), y.bfloat16(), c.bfloat16()).dtype == torch.float32
    double = call(x.double(), y.double(), c)
    assert double.dtype == torch.float64
    torch.testing.assert_close(double, call(x.double(), y.double(), 1.5), rtol=1e-12, atol=0)
    assert call(x, y, c.double()).dtype == torch.float32
    torch.testing.assert_close(call(x, y, c), double.float(), rtol=1e-4, atol=1e-5)


def test_products_are_exact_under_tf32_and_the_setting_is_kept():
    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function.name() in ("aten::mm", "aten::matmul"):
                seen.append(torch.backends.cuda.matmul.fp32_precision)
            return function(*args, **(kwargs or {}))

    before = torch.get_float32_matmul_precision()
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    try:
        torch.set_float32_matmul_precision("high")
        with Watch():
            (L.pairwise_distance(x, x, 1.0) + L.pairwise_exterior_angle(x, x, 1.0)).sum().backward()
        assert (
            torch.backends.cuda.matmul.fp32_precision == "tf32"
            and torch.get_float32_matmul_precision() == "high"
        )
    finally:
        torch.set_float32_matmul_precision(before)
    assert len(seen) >= 6 and set(seen) == {"ieee"}


def test_pairwise_functions_make_no_tensor_of_all_pairs_and_dimensions():
    n, m, dim = 30, 40, 50
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            out = function(*args, **(kwargs or {}))
            largest = max(
                [
                    largest,
                    *(
                        t.numel()
                        for t in (out if isinstance(out, tuple) else (out,))
                        if isinstance(t, torch.Tensor)
                    ),
                ]
            )
            return out

    x, y = torch.randn(n, dim).requires_grad_(), torch.randn(m, dim).requires_grad_()
    with Watch():
        (L.pairwise_distance(x, y, 1.0) + L.pairwise_exterior_angle(x, y, 1.0)).sum().backward()
    assert largest <= m * (dim + 1)


# Invariances, in float64 with points of sqrt(c) * radius up to 5.

curvatures = st.sampled_from([0.1, 0.5, 1.0, 4.0, 10.0])
seeds = st.integers(0, 2**31 - 1)
fast = settings(max_examples=40, deadline=None, derandomize=True)


def cloud(seed, n, c, dim=4, reach=5.0):
    generator = torch.Generator().manual_seed(seed)
    r = reach * torch.rand(n, 1, generator=generator, dtype=torch.float64)
    return L.exp0(directions(n, dim, generator) * r / c**0.5, c), generator


@fast
@given(seeds, curvatures)
def test_distance_is_a_metric(seed, c):
    x, _ = cloud(seed, 6, c)
    d = L.pairwise_distance(x, x, c)
    torch.testing.assert_close(d, d.T, rtol=1e-9, atol=1e-9)
    assert (d[:, None, :] <= d[:, :, None] + d[None] + 1e-9).all()
    torch.testing.assert_close(
        L.distance(x[:1], x[1:], c), L.distance(x[1:], x[:1], c), rtol=1e-13, atol=0
    )
    torch.testing.assert_close(
        L.distance(torch.zeros_like(x), x, c), L.log0(x, c).norm(dim=-1), rtol=1e-13, atol=0
    )


@fast
@given(seeds, curvatures, curvatures)
def test_rotation_and_scale_invariance(seed, c, other):
    x, generator = cloud(seed, 5, c)
    y, _ = cloud(seed + 1, 5, c)
    turn = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64))[0]
    scale = (c / other) ** 0.5
    tolerance = {"rtol": 1e-7, "atol": 1e-9}
    for distance in (L.distance, L.pairwise_distance):
        torch.testing.assert_close(distance(x @ turn, y @ turn, c), distance(x, y, c), **tolerance)
        torch.testing.assert_close(
            distance(x * scale, y * scale, other) * other**0.5,
            distance(x, y, c) * c**0.5,
            **tolerance,
        )
    for angle in (L.exterior_angle, L.pairwise_exterior_angle):
        torch.testing.assert_close(angle(x @ turn, y @ turn, c), angle(x, y, c), **tolerance)
        torch.testing.assert_close(angle(x * scale, y * scale, other), angle(x, y, c), **tolerance)


@fast
@given(seeds, curvatures)
def test_angles_of_a_triangle_with_the_origin_sum_to_less_than_pi(seed, c):
    """The exterior angle at x is pi minus the triangle's angle at x."""
    x, y = cloud(seed, 40, c)[0].chunk(2)
    at_origin = torch.acos((x * y).sum(-1) / (x.norm(dim=-1) * y.norm(dim=-1)))
    total = at_origin + 2 * torch.pi - L.exterior_angle(x, y, c) - L.exterior_angle(y, x, c)
    assert (total < torch.pi + 1e-9).all() and (total > 0).all()


@fast
@given(seeds, curvatures)
def test_unsaturated_cones_are_transitive(seed, c):
    """If b is in a's cone and d in b's, then d is in a's."""
    generator = torch.Generator().manual_seed(seed)

    def descend(x):
        """Points in the cones of x: out along its direction, aside by up to half-apertures."""
        step = 0.2 + 2 * torch.rand(len(x), 1, generator=generator, dtype=torch.float64)
        share = torch.rand(len(x), 1, generator=generator, dtype=torch.float64)
        aside = directions(len(x), 3, generator) * L.half_aperture(x, c)[:, None] * share
        tangent = L.log0(x, c)
        unit = tangent / tangent.norm(dim=-1, keepdim=True)
        return L.exp0((unit + aside / 2) * (tangent.norm(dim=-1, keepdim=True) + step / c**0.5), c)

    a = L.exp0(
        directions(500, 3, generator)
        * (0.21 + torch.rand(500, 1, generator=generator, dtype=torch.float64))
        / c**0.5,
        c,
    )
    b = descend(a)
    d = descend(b)
    linked = (L.exterior_angle(a, b, c) <= L.half_aperture(a, c)) & (
        L.exterior_angle(b, d, c) <= L.half_aperture(b, c)
    )
    assert linked.sum() > 50
    assert (L.exterior_angle(a, d, c) <= L.half_aperture(a, c) + 1e-12)[linked].all()
