"""What is no number stays none, derivatives that are not there are refused, and the widest range of
curvatures draws its cones."""

import itertools
import math

import numpy as np
import pytest
import torch

from hypertax.geometry import lorentz as L
from hypertax.geometry.poincare import cone_margin, cone_outline, disk_radius

NAN = math.nan
PAIRED = ("distance", "exterior_angle", "inner")
PAIRWISE = ("pairwise_distance", "pairwise_exterior_angle", "pairwise_inner")
GOOD = ([0.3, 0.4], [0.0, 0.0], [1e6, 0.0])
BAD = ([NAN, 1.0], [NAN, NAN], [0.0, NAN])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", [*PAIRED, *PAIRWISE])
def test_nan_in_either_point_gives_nan(name, dtype):
    for bad, other in itertools.product(BAD, [*GOOD, *BAD]):
        x, y = (torch.tensor([point], dtype=dtype) for point in (bad, other))
        for pair in ((x, y), (y, x)):
            assert getattr(L, name)(*pair, 1.0).isnan().all(), (name, pair)


@pytest.mark.parametrize("name", ["half_aperture", "radius", "time", "exp0", "log0", "poincare"])
def test_nan_in_a_point_gives_nan(name):
    for bad in BAD:
        assert getattr(L, name)(torch.tensor([bad]), 1.0).isnan().any(), (name, bad)


def test_numbers_beside_nan_are_as_without_it():
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(50, 3, generator=generator) for _ in range(2))
    y[7] = x[7]
    x[3] = 0
    broken = x.clone()
    broken[11, 1] = NAN
    kept = torch.arange(50) != 11
    for function in (L.distance, L.exterior_angle):
        assert torch.equal(function(broken, y, 1.0)[kept], function(x, y, 1.0)[kept])
    assert torch.equal(L.half_aperture(broken, 1.0)[kept], L.half_aperture(x, 1.0)[kept])


@pytest.mark.parametrize("function", [L.distance, L.exterior_angle])
def test_second_derivatives_of_paired_functions_are_right(function):
    generator = torch.Generator().manual_seed(1)
    x, y = (
        torch.randn(3, 4, generator=generator, dtype=torch.float64).requires_grad_()
        for _ in range(2)
    )
    c = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(function, (x, y, c))


@pytest.mark.parametrize("function", [L.pairwise_distance, L.pairwise_exterior_angle])
@pytest.mark.parametrize("inner", ["x", "c"])
def test_second_derivatives_of_pairwise_functions_raise(function, inner):
    x, y = torch.randn(3, 4).requires_grad_(), torch.randn(5, 4)
    c = torch.tensor(1.0, requires_grad=True)
    with pytest.raises(RuntimeError, match="have first derivatives only"):
        torch.autograd.grad(
            function(x, y, c).sum(), x if inner == "x" else c, create_graph=True
        )[0].sum().backward()


def test_vmap_goes_through_paired_functions_and_pairwise_ones_say_why_not():
    x, y = torch.randn(6, 3, 4), torch.randn(6, 3, 4)
    for function in (L.distance, L.exterior_angle):
        mapped = torch.func.vmap(lambda a, b, function=function: function(a, b, 1.3))(x, y)
        assert torch.equal(mapped, function(x, y, 1.3))
    for function in (L.pairwise_distance, L.pairwise_exterior_angle, L.pairwise_inner):
        with pytest.raises(RuntimeError, match="give them all rows at once") as error:
            torch.func.vmap(lambda a, b, function=function: function(a, b, 1.3))(x, y)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("c", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("radius", [0.0, 1e-6, 0.1, 0.5, 1.0, 3.0, 15.0])
def test_a_cone_has_an_outline_at_every_curvature(c, radius):
    apex = np.array([0.0, float(disk_radius(radius, c))])
    outline = cone_outline(apex, c)
    lengths = np.linalg.norm(outline, axis=1)
    assert len(outline) > 3 and np.isfinite(outline).all() and lengths.max() < 1
    if 1e-3 < apex[1] < 0.99:
        inside = outline.mean(axis=0)
        inside *= min(1, 0.98 / np.linalg.norm(inside))
        assert cone_margin(apex, np.array([0.0, 0.995]), c) > 0
        assert (cone_margin(apex, outline, c) > -1e-2).all()
