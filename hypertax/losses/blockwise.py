"""Losses over all pairs of a batch in blocks of rows, forward and gradient together.

Written with autograd alone, a pairwise loss keeps a dozen (B, B) intermediates until the backward
pass: that, not the encoders, is what limits the batch. Here each block of rows is computed,
differentiated and dropped while it is in cache; what stays are the gradients of the inputs. One (B,
B) matrix of inner products lives during the contrastive loss, none during entailment.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd import Function

from hypertax.geometry import lorentz as L
from hypertax.geometry.autograd import first_derivatives_only
from hypertax.geometry.spaces import Space
from hypertax.losses.inputs import Children, Parents

BLOCK_ELEMENTS = 2**22
"""Elements of one block, 16 MiB in fp32: a small part of the matrix at large batches, and a batch
of up to 2,048 is one block. Of 2**19 to 2**23, this was the fastest on two cores (`make bench`)."""


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    step = max(1, BLOCK_ELEMENTS // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))


def _leaf(tensor: Tensor | None) -> Tensor | None:
    return (
        None if tensor is None else tensor.detach().requires_grad_(tensor.dtype.is_floating_point)
    )


def _add(total: Tensor | None, part: Tensor | None) -> Tensor | None:
    if part is None:
        return total
    return part if total is None else total + part


def symmetric_cross_entropy(space: Space, a: Tensor, b: Tensor, logit_scale: Tensor) -> Tensor:
    """Mean of the two cross-entropies (rows, columns) of `logit_scale * similarity(a_i, b_j)` with
    the diagonal as target; 0-d. First derivatives only.

    Args:
        space: gives `gram` and `similarity`. a, b: (B, D) points of it. logit_scale: 0-d, the
        inverse temperature.
    """
    return _SymmetricCrossEntropy.apply(space, a, b, logit_scale, space.curvature)


class _SymmetricCrossEntropy(Function):
    @staticmethod
    def forward(
        ctx, space: Space, a: Tensor, b: Tensor, logit_scale: Tensor, c: Tensor | None
    ) -> Tensor:
        size = len(a)
        wanted = any(ctx.needs_input_grad)
        leaf_a, leaf_b, leaf_scale, leaf_c = _leaf(a), _leaf(b), _leaf(logit_scale), _leaf(c)
        with torch.set_grad_enabled(wanted):
            gram = space.gram(leaf_a, leaf_b, leaf_c)
        values = gram.detach()
        row_lse = torch.empty_like(values[:, 0])
        column_max = torch.full_like(values[0], -torch.inf)
        column_sum = torch.zeros_like(values[0])
        diagonal = torch.empty_like(row_lse)
        for rows in _blocks(size, size):
            logits = logit_scale * space.similarity(values[rows], c)
            diagonal[rows] = logits.diagonal(rows.start)
            row_lse[rows] = logits.logsumexp(dim=1)
            largest = torch.maximum(column_max, logits.amax(dim=0))
            column_sum = column_sum * (column_max - largest).exp() + (logits - largest).exp_().sum(
                dim=0
            )
            column_max = largest
        column_lse = column_max + column_sum.log()
        loss = (0.5 * (row_lse + column_lse) - diagonal).mean()
        if wanted:
            grad_scale = grad_c = None
            parameters = [leaf_scale] if c is None else [leaf_scale, leaf_c]
            for rows in _blocks(size, size):
                block = values[rows].clone().requires_grad_()
                with torch.enable_grad():
                    logits = leaf_scale * space.similarity(block, leaf_c)
                with torch.no_grad():
                    weight = (logits - row_lse[rows, None]).exp_() + (logits - column_lse).exp_()
                    weight.diagonal(rows.start).sub_(2)
                    weight /= 2 * size
                grads = torch.autograd.grad(logits, [block, *parameters], weight)
                values[rows] = grads[0]
                grad_scale = _add(grad_scale, grads[1])
                grad_c = _add(grad_c, grads[2] if c is not None else None)
            inputs = [leaf_a, leaf_b] if c is None else [leaf_a, leaf_b, leaf_c]
            grads = torch.autograd.grad(gram, inputs, values)
            if c is not None:
                grad_c = _add(grad_c, grads[2])
            ctx.save_for_backward(grads[0], grads[1], grad_scale, grad_c)
        return loss

    @staticmethod
    @first_derivatives_only
    def backward(ctx, upstream: Tensor):
        return (None, *(None if g is None else upstream * g for g in ctx.saved_tensors))


def hinge_over_pairs(
    parents: Parents, children: Children, c: Tensor, aperture: float, margin: float
) -> tuple[Tensor, Tensor]:
    """Sum of max(0, omega(parent) - phi(parent, child) + margin) over the negative pairs, radians,
    and the number of these pairs; both 0-d, both weighted.

    A pair is negative where the child's taxon at the parent's rank and the parent's own are known
    and differ. The number carries no gradient. First derivatives only.

    Args:
        parents: U apexes. children: N points. c: 0-d; the curvature is -c. aperture: K of the
        half-aperture. margin: radians.
    """
    return _HingeOverPairs.apply(
        parents, children, parents.points, children.points, c, aperture, margin
    )


def _negative(parents: Parents, children: Children, rows: slice) -> Tensor:
    """Which pairs of some parents with all children are negative, bool."""
    theirs = children.lineage.T[parents.rank[rows]]
    own = parents.taxon[rows, None]
    return (theirs >= 0) & (own >= 0) & (theirs != own)


class _HingeOverPairs(Function):
    @staticmethod
    def forward(
        ctx,
        parents: Parents,
        children: Children,
        parent_points: Tensor,
        child_points: Tensor,
        c: Tensor,
        aperture: float,
        margin: float,
    ):
        # Autograd follows tensors that are arguments, hence the points beside their owners.
        wanted = any(ctx.needs_input_grad)
        total = torch.zeros((), dtype=child_points.dtype, device=child_points.device)
        pairs = torch.zeros((), dtype=child_points.dtype, device=child_points.device)
        leaf_children, leaf_c = _leaf(child_points), _leaf(c)
        grad_parents = torch.zeros_like(parent_points)
        grad_children = torch.zeros_like(child_points)
        grad_c = torch.zeros_like(c)
        for rows in _blocks(len(parent_points), len(child_points)):
            mask = _negative(parents, children, rows) * children.weight
            pairs += mask.sum()
            block = _leaf(parent_points[rows])
            with torch.set_grad_enabled(wanted):
                angle = L.pairwise_exterior_angle(block, leaf_children, leaf_c)
                omega = L.half_aperture(block, leaf_c, aperture)
                hinge = (omega[:, None] - angle + margin).clamp(min=0)
            part = (hinge.detach() * mask).sum()
            total += part
            if wanted:
                grads = torch.autograd.grad(hinge, [block, leaf_children, leaf_c], mask)
                grad_parents[rows] = grads[0]
                grad_children += grads[1]
                grad_c += grads[2]
        ctx.save_for_backward(grad_parents, grad_children, grad_c)
        ctx.mark_non_differentiable(pairs)
        return total, pairs

    @staticmethod
    @first_derivatives_only
    def backward(ctx, upstream: Tensor, _):
        parents, children, c = ctx.saved_tensors
        return None, None, upstream * parents, upstream * children, upstream * c, None, None
