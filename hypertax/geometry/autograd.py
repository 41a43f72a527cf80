"""Operations with gradients written by hand, and matrix products in full precision.

`hypertax.geometry.lorentz` is built of them. They are the hot path of the losses: written with
autograd alone, each keeps three times as many N x M buffers.
"""

from __future__ import annotations

import contextlib
import functools
import math

import torch
from torch import Tensor
from torch.autograd import Function

MIN_EXCESS = 1e-6
"""The pairwise distance's floor on -c<x,y> - 1."""

ORIGIN = 1e-12
"""A point with |x| up to this has no direction: it counts as the origin."""

_BACKENDS = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)


def first_derivatives_only(backward):
    """Decorate the `backward` of a `Function` whose gradient has no graph: a second derivative
    raises instead of being silently wrong.

    PyTorch's `once_differentiable` raises only where the gradient that comes in needs a gradient
    itself. Without that, it drops what the saved tensors contribute.
    """

    @functools.wraps(backward)
    def wrapper(ctx, *grads):
        # Autograd turns gradients on during a backward pass only with create_graph=True.
        if torch.is_grad_enabled():
            raise RuntimeError(
                "Pairwise distances, exterior angles and the losses over pairs have first"
                " derivatives only: call autograd without create_graph=True, or use the paired"
                " functions hypertax.geometry.lorentz.distance and exterior_angle."
            )
        return backward(ctx, *grads)

    return wrapper


def apply(function: type[Function], *args):
    """`function.apply`, with a sentence where torch.func asks for it.

    Raises:
        RuntimeError: within `torch.func`'s transforms, `vmap` among them.
    """
    try:
        return function.apply(*args)
    except RuntimeError as error:
        if "functorch" not in str(error):
            raise
        raise RuntimeError(
            "Pairwise functions keep buffers that torch.func's transforms (vmap, grad) cannot see:"
            " give them all rows at once, or use the paired functions"
            " hypertax.geometry.lorentz.distance and exterior_angle."
        ) from error


@contextlib.contextmanager
def exact_products(device: str):
    """Autocast off, and float32 matrix products in float32.

    x.y and x_t y_t nearly cancel: TF32 and bfloat16 lose what is left.

    Args:
        device: a device's type, as `Tensor.device.type`.
    """
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


def full_precision(function):
    """Run in float64 where a point has it, else in float32: lift what is narrower, bring `c` to the
    points' dtype."""

    @functools.wraps(function)
    def wrapped(x, *args, **kwargs):
        tensors = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
        wide = x.dtype == torch.float64 or any(a.dtype == torch.float64 and a.ndim for a in tensors)
        dtype = torch.float64 if wide else torch.float32

        def cast(a):
            return a.to(dtype) if isinstance(a, Tensor) else a

        with exact_products(x.device.type):
            return function(
                cast(x), *map(cast, args), **{name: cast(a) for name, a in kwargs.items()}
            )

    return wrapped


class Product(Function):
    """x y^T, its gradients as exact as itself: backward may run inside someone's autocast."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x @ y.mT

    @staticmethod
    def backward(ctx, grad):
        x, y = ctx.saved_tensors
        with exact_products(x.device.type):
            by_x = grad @ y if ctx.needs_input_grad[0] else None
            by_y = grad.mT @ x if ctx.needs_input_grad[1] else None
            return by_x, by_y


class InnerProduct(Function):
    """x y^T - x_t y_t^T, (N, M), as `Product`, from points and times (N, 1) and (M, 1).

    Times as a column more of the points would make the rows' length odd: the products take a fifth
    longer.
    """

    @staticmethod
    def forward(ctx, x, y, x_time, y_time):
        ctx.save_for_backward(x, y, x_time, y_time)
        return (x @ y.mT).addcmul_(x_time, y_time.mT, value=-1)

    @staticmethod
    def backward(ctx, grad):
        x, y, x_time, y_time = ctx.saved_tensors
        with exact_products(grad.device.type):
            return grad @ y, grad.mT @ x, -(grad @ y_time), -(grad.mT @ x_time)


def distance_of_excess(
    excess: Tensor, root, with_slope: bool
) -> tuple[Tensor, Tensor | None]:
    """acosh(1 + excess) / root, elementwise, and -root / sinh of it, the derivative by the inner
    product; zero where the excess is held at `MIN_EXCESS`. Overwrites `excess`."""
    t = excess.clamp_(min=MIN_EXCESS)
    sine = (t + 2).mul_(t).sqrt_()
    distance = t.add_(sine).add_(1).log_().div_(root)
    if not with_slope:
        return distance, None
    floor = math.sqrt(MIN_EXCESS * (MIN_EXCESS + 2)) * (1 + 1e-5)
    slope = torch.nn.functional.threshold_(sine, floor, math.inf).reciprocal_().mul_(-root)
    return distance, slope


class Distance(Function):
    """acosh(z) / root, elementwise, from z >= 1 held off 1; two N x M buffers where autograd keeps
    six."""

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
    @first_derivatives_only
    def backward(ctx, grad):
        slope, distance = ctx.saved_tensors
        root_grad = None if distance is None else -(grad * distance).sum() / ctx.root
        return grad.div(slope).div_(ctx.root), root_grad


class ExteriorAngle(Function):
    """atan2(|y_perp|, x_t y_par - |x| y_t), (N, M), from y_par (N, M), |y|^2 and y_t (1, M), x_t
    and |x| (N, 1)."""

    @staticmethod
    def forward(ctx, parallel, child_square, child_time, parent_time, parent_norm):
        # Below eps |y|^2 the subtraction leaves only rounding.
        floor = torch.finfo(parallel.dtype).eps * child_square + 1e-30
        across = torch.addcmul(child_square, parallel, parallel, value=-1).clamp_(min=floor).sqrt_()
        along = torch.mul(parallel, parent_time).addcmul_(parent_norm, child_time, value=-1)
        ctx.save_for_backward(parallel, across, along, floor, child_time, parent_time, parent_norm)
        return torch.atan2(across, along)

    @staticmethod
    @first_derivatives_only
    def backward(ctx, grad):
        parallel, across, along, floor, child_time, parent_time, parent_norm = ctx.saved_tensors
        square = across.square()
        clamped = square <= floor * (1 + 1e-6)
        weight = grad / square.addcmul_(along, along)
        by_along = torch.mul(across, weight).neg_()
        by_square = weight.mul_(along).div_(across).masked_fill_(clamped, 0)
        by_parent_time = (by_along * parallel).sum(1, keepdim=True)
        with exact_products(grad.device.type):
            by_child_time = -(parent_norm.mT @ by_along)
            by_parent_norm = -(by_along @ child_time.mT)
        by_parallel = by_along.mul_(parent_time).addcmul_(by_square, parallel, value=-1)
        return (
            by_parallel,
            by_square.sum(0, keepdim=True) / 2,
            by_child_time,
            by_parent_time,
            by_parent_norm,
        )


class Separation(Function):
    """|x|, |y|, sin(theta) and |x^ - y^|^2, (..., 1) each, of paired points (..., D).

    Autograd would keep and pass a dozen (..., D) tensors; this keeps one, the direction of y seen
    across x.
    """

    @staticmethod
    def forward(ctx, x, y):
        norms = [torch.linalg.vector_norm(p, dim=-1, keepdim=True) for p in (x, y)]
        inverses = [1 / torch.where(norm > ORIGIN, norm, math.inf) for norm in norms]
        x_unit = x * inverses[0]
        gap = (y * inverses[1]).sub_(x_unit)
        outwards = torch.linalg.vecdot(gap, x_unit)[..., None]
        chord = gap.square().sum(-1, keepdim=True)
        across = gap.sub_(x_unit.mul_(outwards))
        sine = torch.linalg.vector_norm(across, dim=-1, keepdim=True)
        across /= torch.where(sine == 0, math.inf, sine)
        ctx.save_for_backward(x, y, across, *inverses, 1 + outwards, sine)
        return *norms, sine, chord

    @staticmethod
    @first_derivatives_only
    def backward(ctx, by_x_norm, by_y_norm, by_sine, by_chord):
        x, y, across, x_inverse, y_inverse, cosine, sine = ctx.saved_tensors
        # d(theta)/dx = -across / |x|, d(theta)/dy = (cos(theta) across - sin(theta) x^) / |y|.
        by_angle = by_sine * cosine + 2 * by_chord * sine
        by_x = by_y = None
        if ctx.needs_input_grad[0]:
            by_x = (by_x_norm * x_inverse * x).addcmul_(across, -by_angle * x_inverse)
        if ctx.needs_input_grad[1]:
            by_y = (by_y_norm * y_inverse * y).addcmul_(across, by_angle * cosine * y_inverse)
            by_y.addcmul_(x, -by_angle * sine * x_inverse * y_inverse)
        return by_x, by_y
