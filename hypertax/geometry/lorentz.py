"""Hyperbolic space as pure functions: the Lorentz model with curvature -c.

A point is given by its space components x (..., D). Its time component is x_t = sqrt(1/c + |x|^2).
`c` is a float or a 0-d tensor above zero. Paired functions take two tensors of the same shape;
`pairwise_*` take (N, D) and (M, D) and give (N, M) by one matrix product. Paired functions go
through `torch.func.vmap`; pairwise ones refuse it. NaN in gives NaN out.

Everything is differentiable in the points and in `c`. float64 in, float64 out; float32 and narrower
types are computed in float32, with autocast and TF32 off. No value and no gradient is non-finite
for sqrt(c) * radius up to 12, at zero, coincident, collinear and opposite points included.

The page docs/numerics.md gives the error of every function. The tests hold it against arithmetic
with 50 digits. The cones and distances: Ganea et al. 2018, Desai et al. 2023 (MERU). geoopt serves
where it is as accurate and as cheap (`manifold`, `poincare`).
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from hypertax.geometry.autograd import (
    ORIGIN,
    Distance,
    ExteriorAngle,
    InnerProduct,
    Product,
    Separation,
    apply,
    distance_of_excess,
    full_precision,
)

MAX_RADIUS = 15.0
"""`exp0` stops at this sqrt(c) * radius: sinh(15) = 1.6e6, the products of which still fit
float32."""


def _norm(x: Tensor) -> Tensor:
    """|x| (..., 1) of x (..., D); its gradient at zero is zero."""
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True)


def _unit(x: Tensor, norm: Tensor) -> Tensor:
    """x / |x|, zero (with zero gradient) at the origin."""
    return x / torch.where(norm > ORIGIN, norm, torch.inf)


@full_precision
def time(x: Tensor, c) -> Tensor:
    """Time components sqrt(1/c + |x|^2), (...).

    Args:
        x: (..., D) points. c: curvature is -c.
    """
    return torch.sqrt(1 / c + x.square().sum(-1))


@full_precision
def inner(x: Tensor, y: Tensor, c) -> Tensor:
    """Lorentz inner products <x,y> = x.y - x_t y_t, paired, (...).

    Args:
        x, y: (..., D) points. c: curvature is -c.
    """
    return (x * y).sum(-1) - time(x, c) * time(y, c)


@full_precision
def pairwise_dot(x: Tensor, y: Tensor) -> Tensor:
    """Dot products x.y, (N, M), exact in float32 whatever the TF32 and autocast settings.

    Args:
        x: (N, D). y: (M, D).
    """
    return apply(Product, x, y)


@full_precision
def pairwise_inner(x: Tensor, y: Tensor, c) -> Tensor:
    """Lorentz inner products <x,y> = x.y - x_t y_t, (N, M).

    Args:
        x: (N, D) points. y: (M, D) points. c: curvature is -c.
    """
    return apply(InnerProduct, x, y, time(x, c)[:, None], time(y, c)[:, None])


@full_precision
def distance(x: Tensor, y: Tensor, c) -> Tensor:
    """Geodesic distances, paired, (...).

    2 asinh(sqrt(sinh^2((rx - ry)/2) + sinh(rx) sinh(ry) |x^ - y^|^2 / 4)) / sqrt(c), where rx, ry
    are sqrt(c) times the radii and x^, y^ the directions. Coincident points read 0, with zero
    gradient. Error in float32 at rx = 12: 2e-6.

    Args:
        x, y: (..., D) points. c: curvature is -c.
    """
    root = c**0.5
    x_norm, y_norm = _norm(x), _norm(y)
    radial = torch.sinh((torch.asinh(root * x_norm) - torch.asinh(root * y_norm)) / 2).square()
    chord = (_unit(x, x_norm) - _unit(y, y_norm)).square().sum(-1, keepdim=True)
    square = (radial + c * x_norm * y_norm * chord / 4)[..., 0]
    apart = ~(square <= 0)  # NaN counts as apart, and stays NaN.
    half = torch.asinh(torch.sqrt(torch.where(apart, square, 1)))
    return torch.where(apart, 2 * half, 0) / root


@full_precision
def distance_from_inner(inner: Tensor, c) -> Tensor:
    """Geodesic distances acosh(-c<x,y>) / sqrt(c) from Lorentz inner products.

    Computed as log(1 + t + sqrt(t (t + 2))) with t = max(-c<x,y> - 1, 1e-6): distances read at least
    1.4e-3 / sqrt(c), without gradient there. (log1p costs six times log on a CPU and would gain
    7e-8.) Error in float32: 5e-6 for unrelated directions. First derivatives only.

    Args:
        inner: Lorentz inner products, any shape. c: curvature is -c.
    """
    return apply(Distance, -c * inner, c**0.5)


@full_precision
def distance_and_slope(
    inner: Tensor, c, with_slope: bool = True
) -> tuple[Tensor, Tensor | None]:
    """`distance_from_inner` and, where asked for, its derivative by the inner product; no graph.

    The derivative by c is (slope inner - distance / 2) / c.

    Args:
        inner: Lorentz inner products, any shape. c: curvature is -c.
    """
    return distance_of_excess((inner * -c).sub_(1), c**0.5, with_slope)


@full_precision
def pairwise_distance(x: Tensor, y: Tensor, c) -> Tensor:
    """Geodesic distances, (N, M); floor, error and derivatives as in `distance_from_inner`.

    Args:
        x: (N, D) points. y: (M, D) points. c: curvature is -c.
    """
    return distance_from_inner(pairwise_inner(x, y, c), c)


@full_precision
def exp0(v: Tensor, c) -> Tensor:
    """Exponential map at the origin: sinh(r) v / r with r = sqrt(c)|v|, (..., D) points.

    r is held at `MAX_RADIUS`, where its radial gradient is zero, for any |v| below 1e18. Relative
    error: 2 eps (1 + r).

    Args:
        v: (..., D) tangent vectors at the origin; |v| is the point's radius. c: curvature is -c.
    """
    square = c * v.square().sum(-1, keepdim=True)
    near = square < 1e-8
    r = torch.sqrt(torch.where(near, 1, square))
    return v * torch.where(near, 1 + square / 6, torch.sinh(r.clamp(max=MAX_RADIUS)) / r)


@full_precision
def log0(x: Tensor, c) -> Tensor:
    """Logarithmic map at the origin, the inverse of `exp0`: asinh(s) x / s with s = sqrt(c)|x|, (..., D).

    Relative error: 3 eps.

    Args:
        x: (..., D) points. c: curvature is -c.
    """
    square = c * x.square().sum(-1, keepdim=True)
    near = square < 1e-8
    s = torch.sqrt(torch.where(near, 1, square))
    return x * torch.where(near, 1 - square / 6, torch.asinh(s) / s)


@full_precision
def radius(x: Tensor, c) -> Tensor:
    """Distances from the origin, asinh(sqrt(c)|x|) / sqrt(c), (...); zero gradient at the origin.

    Relative error: 3 eps.

    Args:
        x: (..., D) points. c: curvature is -c.
    """
    return torch.asinh(c**0.5 * _norm(x)[..., 0]) / c**0.5


@full_precision
def half_aperture(x: Tensor, c, K: float = 0.1) -> Tensor:
    """Half-apertures of the entailment cones at x, asin(min(1, 2K / (sqrt(c)|x|))), (...), radians.

    Where 2K >= sqrt(c)|x| the cone is saturated, a half-space: pi/2 with zero gradient. Relative
    error: 3 eps, off the edge of that region.

    Args:
        x: (..., D) apexes. c: curvature is -c. K: the constant of the cones, at least 0.
    """
    norm = c**0.5 * _norm(x)[..., 0]
    wide = ~(norm <= 2 * K)  # NaN too, which stays NaN.
    sine = 2 * K / torch.where(wide, norm, 4 * K)
    unsaturated = wide & ~(sine >= 1)
    return torch.where(unsaturated, torch.asin(torch.where(unsaturated, sine, 0)), math.pi / 2)


@full_precision
def exterior_angle(x: Tensor, y: Tensor, c) -> Tensor:
    """Exterior angles at x towards y, paired, (...), radians in 0..pi.

    0: y lies straight outwards of x; pi: straight inwards. y is in x's cone where the angle is at
    most `half_aperture(x)`. With theta the angle between the directions x^, y^ and rx, ry sqrt(c)
    times the radii, it is atan2(sinh(ry) sin(theta), sinh(ry - rx) - cosh(rx) sinh(ry) |x^ - y^|^2
    / 2). Undefined, hence pi/2 without gradient, for coincident points and for x at the origin.
    Error: 3 eps (1 + 1/sin(theta)).

    Args:
        x, y: (..., D) points. c: curvature is -c.
    """
    x_norm, y_norm = _norm(x), _norm(y)
    x_unit, y_unit = _unit(x, x_norm), _unit(y, y_norm)
    gap = y_unit - x_unit
    sine = _norm(gap - (gap * x_unit).sum(-1, keepdim=True) * x_unit)
    return _angle(x_norm, y_norm, sine, gap.square().sum(-1, keepdim=True), c)


def _angle(x_norm: Tensor, y_norm: Tensor, sine: Tensor, chord: Tensor, c) -> Tensor:
    """The formula of `exterior_angle` (...), from |x|, |y|, sin(theta) and |x^ - y^|^2, (..., 1)."""
    root = c**0.5
    across = root * y_norm * sine
    outwards = torch.sinh(torch.asinh(root * y_norm) - torch.asinh(root * x_norm))
    x_time = torch.sqrt(1 + (root * x_norm).square())
    along = outwards - x_time * root * y_norm * chord / 2
    along = torch.where(x_norm <= ORIGIN, 0, torch.where(y_norm <= ORIGIN, outwards, along))
    defined = ~(across.square() + along.square() <= 0)  # NaN stays NaN.
    angle = torch.atan2(torch.where(defined, across, 1), torch.where(defined, along, 0))
    return angle[..., 0]


@full_precision
def outside_cone(x: Tensor, y: Tensor, c, K: float = 0.1) -> Tensor:
    """max(0, exterior_angle(x, y) - half_aperture(x)), paired, (...), radians: how far y is outside
    of x's cone.

    Values and gradients are those of the two functions, at a fraction of the memory and time. First
    derivatives only.

    Args:
        x: (..., D) apexes. y: (..., D) points. c: curvature is -c. K: the constant of the cones.
    """
    x_norm, *others = apply(Separation, x, y)
    # A vector of one number has the norm of the point.
    return (_angle(x_norm, *others, c) - half_aperture(x_norm, c, K)).clamp(min=0)


@full_precision
def exterior_angle_from_dot(dot: Tensor, parent_square: Tensor, child_square: Tensor, c) -> Tensor:
    """Exterior angles, (N, M), radians, from dot products and squared norms.

    phi = atan2(|y_perp|, sqrt(c) (x_t y_par - |x| y_t)) with y_par = x.y / |x| and |y_perp|^2 =
    max(|y|^2 - y_par^2, eps |y|^2). pi/2 for a parent at the origin, about pi/2 for coincident
    points. Error in float32: 2e-6 for unrelated directions, at most 1.3e-3 exp(rx) for a child on
    its parent's axis. First derivatives only.

    Args:
        dot: (N, M) dot products of space components. parent_square: (N, 1) and child_square: (1, M)
        squared norms. c: curvature is -c.
    """
    present = ~(parent_square <= ORIGIN**2)  # NaN stays NaN.
    norm = torch.sqrt(torch.where(present, parent_square, 1))
    parallel = dot * torch.where(present, 1 / norm, 0)
    child_time, parent_time = torch.sqrt(1 + c * child_square), torch.sqrt(1 + c * parent_square)
    return apply(
        ExteriorAngle,
        parallel,
        child_square,
        child_time,
        parent_time,
        torch.where(present, norm, 0),
    )


@full_precision
def pairwise_exterior_angle(parents: Tensor, children: Tensor, c) -> Tensor:
    """Exterior angles at parents towards children, (N, M), radians in 0..pi.

    Error and derivatives as in `exterior_angle_from_dot`.

    Args:
        parents: (N, D) points. children: (M, D) points. c: curvature is -c.
    """
    squares = [points.square().sum(-1, keepdim=True) for points in (parents, children)]
    return exterior_angle_from_dot(pairwise_dot(parents, children), squares[0], squares[1].mT, c)


@full_precision
def to_geoopt(x: Tensor, c) -> Tensor:
    """geoopt's coordinates (..., D + 1), time first.

    Args:
        x: (..., D) points. c: curvature is -c.
    """
    return torch.cat([time(x, c)[..., None], x], -1)


def from_geoopt(points: Tensor) -> Tensor:
    """Space components (..., D) of geoopt's coordinates (..., D + 1)."""
    return points[..., 1:]


def _geoopt():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        import geoopt
    return geoopt


def manifold(c, *, dtype: torch.dtype = torch.float32):
    """geoopt's `Lorentz` manifold: geodesics, transport, Riemannian optimisers.

    Args:
        c: curvature is -c (geoopt's k is 1/c). dtype: of the points.
    """
    return _geoopt().Lorentz(k=torch.tensor(1 / float(c), dtype=dtype))


@full_precision
def poincare(x: Tensor, c) -> Tensor:
    """Coordinates sqrt(c) x / (1 + sqrt(1 + c|x|^2)) in the unit Poincare ball, (..., D). Error: 3 eps.

    Args:
        x: (..., D) points. c: curvature is -c.
    """
    points = to_geoopt(x, c)
    # Rows of one matrix: with other numbers of axes geoopt 0.5.1 takes the time from the wrong one.
    k = 1 / torch.as_tensor(c, dtype=points.dtype, device=points.device)
    flat = points.reshape(-1, points.shape[-1])
    return _geoopt().manifolds.lorentz.math.lorentz_to_poincare(flat, k=k).reshape(x.shape)
