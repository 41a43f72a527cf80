"""Hyperbolic space as pure functions: the Lorentz model with curvature -c, points by their space
components.

A point is x (..., D); its time component is x_t = sqrt(1/c + |x|^2). `c` is a float or a 0-d
tensor; everything is differentiable in the points and in `c`. float64 in, float64 out; float32 and
narrower types are computed in float32, with autocast and TF32 off. No value and no gradient is
non-finite for sqrt(c) * radius up to 12, at zero, coincident, collinear and opposite points
included.

Below, r is sqrt(c) * radius, theta the angle between the directions of two points seen from the
origin, and eps the dtype's rounding (1.2e-7, 2.2e-16). Errors are bounds that the tests hold
against 50-digit arithmetic, for r from 1e-4 to 12, c from 0.1 to 10, D up to 128.

geoopt serves where it is as accurate and as cheap (`manifold`, `poincare`). It has no cones, its
`dist` makes an N x M x D tensor, and its float32 distances of near points turn negative or NaN.
Cones and distances: Ganea et al. 2018, Desai et al. 2023 (MERU).
"""

from __future__ import annotations

import contextlib
import functools
import math
import warnings

import torch
from torch import Tensor

MAX_RADIUS = 15.0
"""`exp0` stops at this sqrt(c) * radius: sinh(15) = 1.6e6, the products of which still fit
float32."""

MIN_EXCESS = 1e-6
"""The pairwise distance's floor on -c<x,y> - 1."""

ORIGIN = 1e-12
"""A point with |x| up to this has no direction: it counts as the origin."""

_BACKENDS = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)


@contextlib.contextmanager
def _exact_products(device: str):
    """Autocast off, and float32 matrix products in float32: x.y and x_t y_t nearly cancel, TF32 and
    bfloat16 lose what is left."""
    reduced = [b for b in _BACKENDS if getattr(b, "fp32_precision", "ieee") not in ("ieee", "none")]
    before = [backend.fp32_precision for backend in reduced]
    try:
        for backend in reduced:
            backend.fp32_precision = "ieee"
        with (
            torch.autocast(device, enabled=False)
            if torch.is_autocast_enabled(device)
            else contextlib.nullcontext()
        ):
            yield
    finally:
        for backend, precision in zip(reduced, before):
            backend.fp32_precision = precision


def _full_precision(function):
    """Run in float64 where a point has it, else in float32: lift what is narrower, bring `c` to the
    points' dtype."""

    @functools.wraps(function)
    def wrapped(x, *args, **kwargs):
        tensors = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
        wide = x.dtype == torch.float64 or any(a.dtype == torch.float64 and a.ndim for a in tensors)
        dtype = torch.float64 if wide else torch.float32

        def cast(a):
            return a.to(dtype) if isinstance(a, Tensor) else a

        with _exact_products(x.device.type):
            return function(
                cast(x), *map(cast, args), **{name: cast(a) for name, a in kwargs.items()}
            )

    return wrapped


class _Product(torch.autograd.Function):
    """x y^T, its gradients as exact as itself: backward may run inside someone's autocast."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x @ y.mT

    @staticmethod
    def backward(ctx, grad):
        x, y = ctx.saved_tensors
        with _exact_products(x.device.type):
            return grad @ y if ctx.needs_input_grad[
                0
            ] else None, grad.mT @ x if ctx.needs_input_grad[1] else None


class _Distance(torch.autograd.Function):
    """acosh(z) / root from z >= 1 held off 1. By hand, because this is the hot path: two N x M
    buffers where autograd keeps six."""

    @staticmethod
    def forward(ctx, z, root):
        t = (z - 1).clamp_(min=MIN_EXCESS)
        slope = (t + 2).mul_(t).sqrt_()
        distance = t.add_(slope).add_(1).log_().div_(root)
        # An infinite slope stands for a clamped z, where the gradient is zero.
        floor = math.sqrt(MIN_EXCESS * (MIN_EXCESS + 2)) * (1 + 1e-5)
        ctx.root = root
        slope = torch.nn.functional.threshold_(slope, floor, math.inf)
        ctx.save_for_backward(slope, distance if ctx.needs_input_grad[1] else None)
        return distance

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        slope, distance = ctx.saved_tensors
        root_grad = None if distance is None else -(grad * distance).sum() / ctx.root
        return grad.div(slope).div_(ctx.root), root_grad


class _ExteriorAngle(torch.autograd.Function):
    """atan2(|y_perp|, x_t y_par - |x| y_t) from y_par (N, M), |y|^2, y_t (1, M) and x_t, |x| (N,
    1); by hand as `_Distance` is."""

    @staticmethod
    def forward(ctx, parallel, child_square, child_time, parent_time, parent_norm):
        # Below eps |y|^2 the subtraction leaves only rounding.
        floor = torch.finfo(parallel.dtype).eps * child_square + 1e-30
        across = torch.addcmul(child_square, parallel, parallel, value=-1).clamp_(min=floor).sqrt_()
        along = torch.mul(parallel, parent_time).addcmul_(parent_norm, child_time, value=-1)
        ctx.save_for_backward(parallel, across, along, floor, child_time, parent_time, parent_norm)
        return torch.atan2(across, along)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        parallel, across, along, floor, child_time, parent_time, parent_norm = ctx.saved_tensors
        square = across.square()
        clamped = square <= floor * (1 + 1e-6)
        weight = grad / square.addcmul_(along, along)
        by_along = torch.mul(across, weight).neg_()
        by_square = weight.mul_(along).div_(across).masked_fill_(clamped, 0)
        by_parent_time = (by_along * parallel).sum(1, keepdim=True)
        with _exact_products(grad.device.type):
            by_child_time, by_parent_norm = (
                -(parent_norm.mT @ by_along),
                -(by_along @ child_time.mT),
            )
        by_parallel = by_along.mul_(parent_time).addcmul_(by_square, parallel, value=-1)
        return (
            by_parallel,
            by_square.sum(0, keepdim=True) / 2,
            by_child_time,
            by_parent_time,
            by_parent_norm,
        )


def _norm(x: Tensor) -> Tensor:
    """|x| (..., 1); its gradient at zero is zero."""
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True)


def _unit(x: Tensor, norm: Tensor) -> Tensor:
    """x / |x|, zero (with zero gradient) at the origin."""
    return x / torch.where(norm > ORIGIN, norm, torch.inf)


@_full_precision
def time(x: Tensor, c) -> Tensor:
    """Time component sqrt(1/c + |x|^2) (...), of x (..., D)."""
    return torch.sqrt(1 / c + x.square().sum(-1))


@_full_precision
def inner(x: Tensor, y: Tensor, c) -> Tensor:
    """Lorentz inner product <x,y> = x.y - x_t y_t (...), paired: x and y (..., D). Error: 6 eps x_t
    y_t."""
    return (x * y).sum(-1) - time(x, c) * time(y, c)


@_full_precision
def pairwise_dot(x: Tensor, y: Tensor) -> Tensor:
    """Dot products (N, M) of x (N, D) and y (M, D), exact in float32 whatever the TF32 and autocast
    settings."""
    return _Product.apply(x, y)


@_full_precision
def pairwise_inner(x: Tensor, y: Tensor, c) -> Tensor:
    """Lorentz inner products (N, M) of x (N, D) and y (M, D), by one matrix product. Error: 10 eps
    x_t y_t."""
    return pairwise_dot(
        torch.cat([x, -time(x, c)[..., None]], -1), torch.cat([y, time(y, c)[..., None]], -1)
    )


@_full_precision
def distance(x: Tensor, y: Tensor, c) -> Tensor:
    """Geodesic distance (...), paired: x and y (..., D).

    2 asinh sqrt(sinh^2((rx - ry)/2) + sinh rx sinh ry |x^ - y^|^2 / 4) / sqrt(c), x^ the direction
    of x; the gradient at coincident points is zero. Error of sqrt(c) d: 2 eps (sqrt(c) d (1 +
    1/theta) + max(rx, ry)); in float32 2e-6 at r = 12, and coincident points read 0.
    """
    root = c**0.5
    x_norm, y_norm = _norm(x), _norm(y)
    radial = torch.sinh((torch.asinh(root * x_norm) - torch.asinh(root * y_norm)) / 2).square()
    chord = (_unit(x, x_norm) - _unit(y, y_norm)).square().sum(-1, keepdim=True)
    square = (radial + c * x_norm * y_norm * chord / 4)[..., 0]
    apart = square > 0
    half = torch.asinh(torch.sqrt(torch.where(apart, square, 1)))
    return torch.where(apart, 2 * half, 0) / root


@_full_precision
def distance_from_inner(inner: Tensor, c) -> Tensor:
    """Geodesic distance acosh(-c<x,y>) / sqrt(c) from Lorentz inner products of any shape,
    differentiable once.

    As log(1 + t + sqrt(t (t + 2))) with t = max(-c<x,y> - 1, 1e-6), so distances read at least
    1.4e-3 / sqrt(c), without gradient there. (log1p costs six times log on a CPU and would gain
    7e-8.) From `pairwise_inner`, the error of sqrt(c) d beyond that floor is 10 (E /
    max(sinh(sqrt(c) d), sqrt(E)) + eps (1 + sqrt(c) d)), E = eps cosh rx cosh ry. In float32: 5e-6
    for unrelated directions at any radius, 4e-4 for theta = 0.1; but coincident points read up to
    1.4e-3 to r = 1, 0.012 at 3, 0.08 at 5, 1.5 at 8.
    """
    return _Distance.apply(-c * inner, c**0.5)


@_full_precision
def pairwise_distance(x: Tensor, y: Tensor, c) -> Tensor:
    """Geodesic distances (N, M) of x (N, D) and y (M, D), by one matrix product. Floor and error:
    `distance_from_inner`."""
    return distance_from_inner(pairwise_inner(x, y, c), c)


@_full_precision
def exp0(v: Tensor, c) -> Tensor:
    """The point (..., D) at the end of a tangent vector v (..., D) at the origin: sinh(r) v / r, r
    = sqrt(c)|v|.

    r is held at MAX_RADIUS (its radial gradient is zero there), for any |v| below 1e18. Relative
    error: 2 eps (1 + r).
    """
    square = c * v.square().sum(-1, keepdim=True)
    near = square < 1e-8
    r = torch.sqrt(torch.where(near, 1, square))
    return v * torch.where(near, 1 + square / 6, torch.sinh(r.clamp(max=MAX_RADIUS)) / r)


@_full_precision
def log0(x: Tensor, c) -> Tensor:
    """The tangent vector (..., D) at the origin that leads to x (..., D): asinh(s) x / s, s =
    sqrt(c)|x|.

    The inverse of `exp0`. Relative error: 3 eps.
    """
    square = c * x.square().sum(-1, keepdim=True)
    near = square < 1e-8
    s = torch.sqrt(torch.where(near, 1, square))
    return x * torch.where(near, 1 - square / 6, torch.asinh(s) / s)


@_full_precision
def radius(x: Tensor, c) -> Tensor:
    """Distance from the origin (...) of x (..., D): asinh(sqrt(c)|x|) / sqrt(c).

    Its gradient at the origin is zero. Relative error: 3 eps.
    """
    return torch.asinh(c**0.5 * _norm(x)[..., 0]) / c**0.5


@_full_precision
def half_aperture(x: Tensor, c, K: float = 0.1) -> Tensor:
    """Half-aperture (...), radians, of the entailment cone at x (..., D): asin(min(1, 2K /
    (sqrt(c)|x|))).

    Where 2K >= sqrt(c)|x| the cone is a half-space: pi/2 with zero gradient. Relative error: 3 eps,
    off the edge of that region.
    """
    norm = c**0.5 * _norm(x)[..., 0]
    sine = 2 * K / torch.where(norm > 2 * K, norm, 4 * K)
    unsaturated = (norm > 2 * K) & (sine < 1)
    return torch.where(unsaturated, torch.asin(torch.where(unsaturated, sine, 0)), math.pi / 2)


@_full_precision
def exterior_angle(x: Tensor, y: Tensor, c) -> Tensor:
    """Exterior angle (...), radians in 0..pi, at x towards y, paired: x and y (..., D).

    0: y lies straight outwards of x; pi: straight inwards; y is in x's cone when the angle is at
    most `half_aperture(x)`. Computed as atan2(sinh ry sin(theta), sinh(ry - rx) - cosh rx sinh ry
    |x^ - y^|^2 / 2). Undefined, hence pi/2 without gradient, for coincident points and for x at the
    origin. Error: 3 eps (1 + 1/sin(theta)), at any radius; exact for exactly collinear points.
    """
    root = c**0.5
    x_norm, y_norm = _norm(x), _norm(y)
    x_unit, y_unit = _unit(x, x_norm), _unit(y, y_norm)
    gap = y_unit - x_unit
    across = root * y_norm * _norm(gap - (gap * x_unit).sum(-1, keepdim=True) * x_unit)
    outwards = torch.sinh(torch.asinh(root * y_norm) - torch.asinh(root * x_norm))
    x_time = torch.sqrt(1 + (root * x_norm).square())
    along = outwards - x_time * root * y_norm * gap.square().sum(-1, keepdim=True) / 2
    along = torch.where(x_norm <= ORIGIN, 0, torch.where(y_norm <= ORIGIN, outwards, along))
    defined = across.square() + along.square() > 0
    angle = torch.atan2(torch.where(defined, across, 1), torch.where(defined, along, 0))
    return angle[..., 0]


@_full_precision
def exterior_angle_from_dot(dot: Tensor, parent_square: Tensor, child_square: Tensor, c) -> Tensor:
    """Exterior angles (N, M), radians, from dot products (N, M) of space components and squared
    norms (N, 1) and (1, M).

    phi = atan2(|y_perp|, sqrt(c) (x_t y_par - |x| y_t)), y_par = x.y/|x|, |y_perp|^2 = max(|y|^2 -
    y_par^2, eps |y|^2); pi/2 at the origin, about pi/2 for coincident points. Differentiable once.
    Error: 10 eps (1 + B / sinh(sqrt(c) d)), with B = sinh ry min(1/(2 sin theta), 1/sqrt(eps)) |cos
    phi| + cosh rx cosh ry sin phi. In float32 2e-6 for unrelated directions and 1e-4 for theta =
    0.1 at any radius; for a child on its parent's axis 4e-4 exp(rx), at most 1.3e-3 exp(rx): 1e-3
    at rx = 1, 0.01 at 3 (where the half-aperture is 0.02), 0.2 at 6. Deeper cones want float64.
    """
    present = parent_square > ORIGIN**2
    norm = torch.sqrt(torch.where(present, parent_square, 1))
    parallel = dot * torch.where(present, 1 / norm, 0)
    child_time, parent_time = torch.sqrt(1 + c * child_square), torch.sqrt(1 + c * parent_square)
    return _ExteriorAngle.apply(
        parallel, child_square, child_time, parent_time, torch.where(present, norm, 0)
    )


@_full_precision
def pairwise_exterior_angle(parents: Tensor, children: Tensor, c) -> Tensor:
    """Exterior angles (N, M), radians in 0..pi, at parents (N, D) towards children (M, D), by one
    matrix product.

    Error: `exterior_angle_from_dot`.
    """
    squares = [points.square().sum(-1, keepdim=True) for points in (parents, children)]
    return exterior_angle_from_dot(pairwise_dot(parents, children), squares[0], squares[1].mT, c)


@_full_precision
def to_geoopt(x: Tensor, c) -> Tensor:
    """geoopt's coordinates (..., D + 1), time first, of x (..., D)."""
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
    """geoopt's `Lorentz` manifold of curvature -c (its k is 1/c) for points of `dtype`: geodesics,
    transport, Riemannian optimisers."""
    return _geoopt().Lorentz(k=torch.tensor(1 / float(c), dtype=dtype))


@_full_precision
def poincare(x: Tensor, c) -> Tensor:
    """Coordinates (..., D) in the unit Poincare ball of x (..., D): sqrt(c) x / (1 + sqrt(1 +
    c|x|^2)). Error: 3 eps."""
    points = to_geoopt(x, c)
    # Rows of one matrix: with other numbers of axes geoopt 0.5.1 takes the time from the wrong one.
    k = 1 / torch.as_tensor(c, dtype=points.dtype, device=points.device)
    flat = points.reshape(-1, points.shape[-1])
    return _geoopt().manifolds.lorentz.math.lorentz_to_poincare(flat, k=k).reshape(x.shape)
