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
