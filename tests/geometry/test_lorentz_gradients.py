"""The hyperboloid's gradients: exact where they exist, finite everywhere."""

import itertools

import mpmath as mp
import pytest
import torch

from hypertax.geometry import lorentz as L

mp.mp.dps = 50
SMOOTH = {
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
every_function = pytest.mark.parametrize("call", SMOOTH.values(), ids=SMOOTH)


def at_radius(n, dim, r, c, seed, dtype=torch.float64):
    v = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (
        v / v.norm(dim=-1, keepdim=True) * torch.tensor(r, dtype=torch.float64).sinh() / c**0.5
    ).to(dtype)


@every_function
@pytest.mark.parametrize("curvature", [0.1, 1.0, 10.0])
def test_gradcheck_in_points_and_curvature(call, curvature):
    x, y = (
        at_radius(3, 4, 1.2, curvature, 0).requires_grad_(),
        at_radius(3, 4, 1.9, curvature, 1).requires_grad_(),
    )
    c = torch.tensor(curvature, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        call, (x, y, c), eps=1e-6 * min(1, curvature), atol=1e-6, rtol=1e-5
    )


def mp_distance(x, y, c):
    x_time, y_time = mp.sqrt(1 / c + mp.fdot(x, x)), mp.sqrt(1 / c + mp.fdot(y, y))
    return mp.acosh(-c * (mp.fdot(x, y) - x_time * y_time)) / mp.sqrt(c)


def mp_angle(x, y, c):
    x_time, y_time = mp.sqrt(1 / c + mp.fdot(x, x)), mp.sqrt(1 / c + mp.fdot(y, y))
    inner = c * (mp.fdot(x, y) - x_time * y_time)
    return mp.acos((y_time + x_time * inner) / (mp.norm(x) * mp.sqrt(inner**2 - 1)))


PAIRS = [
    (L.distance, L.pairwise_distance, mp_distance),
    (L.exterior_angle, L.pairwise_exterior_angle, mp_angle),
]


@pytest.mark.parametrize("paired, pairwise, oracle", PAIRS, ids=["distance", "exterior angle"])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_directional_derivatives_against_50_digits(paired, pairwise, oracle, dtype, tolerance):
    """Points, and c, moved along one line: relative error of the derivative, at radii from 0.01 to
    8 and unrelated directions."""
    for curvature, (rx, ry) in itertools.product(
        [0.1, 1.0, 10.0], [(0.01, 1.0), (1.0, 0.3), (2.0, 3.0), (3.0, 3.0), (8.0, 5.0)]
    ):
        x, y = (
            at_radius(1, 4, rx, curvature, 0, dtype).requires_grad_(),
            at_radius(1, 4, ry, curvature, 1, dtype).requires_grad_(),
        )
        c = torch.tensor(curvature, dtype=dtype, requires_grad=True)
        steps = [
            at_radius(1, 4, rx, curvature, 2, dtype),
            at_radius(1, 4, ry, curvature, 3, dtype),
            c.detach() / 4,
        ]
        exact = [[mp.mpf(float(v)) for v in t.detach().flatten()] for t in (x, y, c, *steps)]

        def moved(s, exact=exact):
            at = [
                [a + s * b for a, b in zip(start, step)]
                for start, step in zip(exact[:3], exact[3:])
            ]
            return oracle(at[0], at[1], at[2][0])

        expected = mp.diff(moved, 0)
        for function, allowed in [(paired, tolerance), (pairwise, 10 * tolerance)]:
            gradients = torch.autograd.grad(function(x, y, c).sum(), (x, y, c))
            parts = [float((g.double() * s.double()).sum()) for g, s in zip(gradients, steps)]
            assert abs(sum(parts) - expected) <= allowed * max(1, *map(abs, parts)), (
                function,
                curvature,
                rx,
                ry,
            )


@every_function
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_finite_everywhere(call, dtype):
    """Zero vectors and radii from 1e-30 to 12; coincident, collinear, opposite, almost coincident
    and unrelated points; all pairs."""
    for curvature, dim in [(0.1, 2), (1.0, 16), (10.0, 2)]:
        u, w = at_radius(2, dim, 1.0, 1.0, 0)
        axis = torch.eye(dim, dtype=torch.float64)[0]
        radii = torch.tensor(
            [1e-30, 1e-20, 1e-12, 1e-10, 1e-4, 0.01, 0.2, 1, 5, 8, 12], dtype=torch.float64
        )
        lengths = radii.sinh() / curvature**0.5
        rows = [
            d * length for length in lengths for d in (u, -u, u + 1e-3 * w, u + 1e-7 * w, w, axis)
        ]
        edge = 0.2 / curvature**0.5 * axis
        x = torch.stack([torch.zeros(dim, dtype=torch.float64), edge, edge * (1 + 1e-7), *rows]).to(
            dtype
        )
        index = torch.cartesian_prod(torch.arange(len(x)), torch.arange(len(x)))
        paired = call in (L.inner, L.distance, L.exterior_angle)
        left, right = (x[index[:, 0]], x[index[:, 1]]) if paired else (x.clone(), x.clone())
        leaves = [
            left.requires_grad_(),
            right.requires_grad_(),
            torch.tensor(curvature, dtype=dtype, requires_grad=True),
        ]
        value = call(*leaves)
        assert value.isfinite().all()
        # One gradient per value: a sum over all pairs could hide or lose one, so random signs are
        # tried too.
        for seed in range(2):
            noise = torch.randn(
                value.shape, generator=torch.Generator().manual_seed(seed), dtype=dtype
            )
            weight = noise if seed else torch.ones_like(value)
            gradients = torch.autograd.grad(
                value, leaves, weight, retain_graph=True, allow_unused=True
            )
            assert all(g is None or g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tangent_vectors_of_any_length_lift_with_finite_gradients(dtype):
    for curvature in (0.1, 1.0, 10.0):
        lengths = torch.tensor([0, 1e-30, 1e-10, 1e-4, 1, 12, 14, 16, 100, 1e6, 1e17], dtype=dtype)
        v = (lengths[:, None] * at_radius(1, 8, 1.0, 1.0, 0, dtype)).requires_grad_()
        c = torch.tensor(curvature, dtype=dtype, requires_grad=True)
        x = L.exp0(v, c)
        both = (
            L.pairwise_distance(x, x, c).sum()
            + L.distance(x, x.flip(0), c).sum()
            + L.pairwise_exterior_angle(x, x, c).sum()
        )
        both = (
            both
            + L.exterior_angle(x, x.flip(0), c).sum()
            + L.log0(x, c).sum()
            + L.half_aperture(x, c).sum()
        )
        assert both.isfinite() and all(
            g.isfinite().all() for g in torch.autograd.grad(both, (v, c))
        )
        assert (L.radius(x, c) * curvature**0.5 <= L.MAX_RADIUS * (1 + 1e-5)).all()


def test_gradients_at_singular_points_are_zero_or_the_limit():
    zero, x = (
        torch.zeros(1, 3, dtype=torch.float64),
        torch.tensor([[0.6, 0.0, 0.8]], dtype=torch.float64),
    )

    def gradient(function, *points):
        leaves = [p.clone().requires_grad_() for p in points]
        return torch.autograd.grad(function(*leaves, 2.0).sum(), leaves)

    for function in (L.distance, L.pairwise_distance, L.exterior_angle):
        assert all((g == 0).all() for g in gradient(function, x, x))
    for function in (L.radius, L.half_aperture):
        assert (gradient(function, zero)[0] == 0).all()
    for function in (L.exp0, L.log0):
        jacobian = torch.autograd.functional.jacobian(
            lambda v, function=function: function(v, 2.0), zero[0]
        )
        torch.testing.assert_close(jacobian, torch.eye(3, dtype=torch.float64))
    # Straight outwards the angle has a kink at zero: its gradient is zero, not the 1/0 of an arc
    # cosine.
    assert all(g.abs().max() < 1e-12 for g in gradient(L.exterior_angle, x, 2 * x))
    # Below the rounding of |y|^2 - y_par^2 the matrix form holds |y_perp|, where the bare formula's
    # slope reaches 1e8.
    dot, squares = (
        torch.tensor([[2.0]], dtype=torch.float64, requires_grad=True),
        torch.tensor([[1.0, 4.0]], dtype=torch.float64),
    )
    (slope,) = torch.autograd.grad(
        L.exterior_angle_from_dot(dot, squares[:, :1], squares[:, 1:], 2.0).sum(), dot
    )
    assert abs(slope.item()) < 1e-6


def test_second_derivatives_are_right_or_refused():
    """Each is compared with differences of first derivatives; where it would be wrong, it
    raises."""
    c = 1.3
    x = at_radius(1, 4, 0.7, c, 0)
    y = at_radius(1, 4, 1.9, c, 1)
    step = at_radius(1, 4, 0.5, c, 2)

    def slope(function, t, **options):
        s = torch.tensor(t, dtype=torch.float64, requires_grad=True)
        (first,) = torch.autograd.grad(function(x + s * step, y, c).sum(), s, **options)
        return s, first

    for function in (L.distance, L.exterior_angle, L.inner, L.pairwise_inner):
        s, first = slope(function, 0.0, create_graph=True)
        (second,) = torch.autograd.grad(first, s)
        after, before = (slope(function, t)[1] for t in (1e-5, -1e-5))
        assert abs(second - (after - before) / 2e-5) < 1e-6 < abs(second), function
    for function in (L.pairwise_distance, L.pairwise_exterior_angle, L.outside_cone):
        with pytest.raises(RuntimeError, match="first derivatives only") as error:
            slope(function, 0.0, create_graph=True)
        assert "\n" not in str(error.value)
        assert slope(function, 0.0)[1].abs() > 1e-3


def outside_cone_by_autograd(x, y, c, K):
    return (L.exterior_angle(x, y, c) - L.half_aperture(x, c, K)).clamp(min=0)


@pytest.mark.parametrize("radius", [1e-13, 1e-3, 0.5, 2.0, 11.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_angle_outside_a_cone_is_that_of_its_two_functions(dtype, radius):
    """Values and gradients by the points and c; children on the axis, at the apex, opposite, near
    the axis and at the origin among them. On the axis a gradient's direction is that of
    rounding."""
    units = torch.nn.functional.normalize(at_radius(30, 6, 1.0, 1.0, 3), dim=-1)
    directions = units.roll(1, 0)
    directions[:5], directions[5:10] = units[:5], -units[5:10]
    directions[10:15] = units[10:15] + 1e-3 * units[:5]
    further = torch.tensor([1.0, 0.5, 2.0]).repeat(10)[:, None]
    y = L.exp0(radius * further * directions, 1.0).to(dtype)
    x = L.exp0(radius * units, 1.0).to(dtype)
    y[0], x[1], x[2] = x[0], 0, y[2]
    y[3] = 0

    def value_and_gradients(function):
        c = torch.tensor(1.3, dtype=dtype, requires_grad=True)
        inputs = [x.clone().requires_grad_(), y.clone().requires_grad_(), c]
        value = function(*inputs, 0.15)
        return [value.detach(), *torch.autograd.grad(value.sin().sum(), inputs)]

    got, want = map(value_and_gradients, (L.outside_cone, outside_cone_by_autograd))
    eps = torch.finfo(dtype).eps
    for name, one, other in zip(("value", "x", "y", "c"), got, want, strict=True):
        assert one.isfinite().all()
        if name in ("x", "y"):
            assert one.norm(dim=1).max() <= 2 * other.norm(dim=1).max() + 1e-3
            one, other = one[10:], other[10:]
        scale = max(1.0, float(other.abs().max()))
        torch.testing.assert_close(one, other, rtol=0, atol=1e4 * eps * scale, msg=name)
