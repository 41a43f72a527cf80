"""Losses over all pairs of a batch in blocks of rows, forward and gradient together.

Written with autograd alone, a pairwise loss keeps a dozen (B, B) intermediates until the backward
pass: that, not the encoders, is what limits the batch. Here each block of rows is computed,
differentiated and dropped while it is in cache; what stays are the gradients of the inputs. One (B,
B) matrix of inner products lives during the contrastive loss, none during entailment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.autograd import Function

from hypertax.geometry import lorentz as L
from hypertax.geometry.spaces import Space

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
    the diagonal as target.

    a, b: (B, D) points of `space`. logit_scale: 0-d. First derivatives only.
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
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream: Tensor):
        return (None, *(None if g is None else upstream * g for g in ctx.saved_tensors))


def hinge_over_pairs(
    parents: Tensor,
    children: Tensor,
    parent_rank: Tensor,
    parent_taxon: Tensor,
    lineage: Tensor,
    weight: Tensor,
    c: Tensor,
    aperture: float,
    margin: float,
) -> tuple[Tensor, Tensor]:
    """Sum of max(0, omega(parent) - phi(parent, child) + margin) over the negative pairs, and their
    number.

    parents: (U, D). children: (N, D). parent_rank, parent_taxon: (U,). lineage: (N, 4). weight:
    (N,) specimens a child stands for. A pair is negative where the child's taxon at the parent's
    rank and the parent's own are known and differ. Returns two 0-d tensors; the second carries no
    gradient. First derivatives only.
    """

    def negative(rows: slice) -> Tensor:
        theirs = lineage.T[parent_rank[rows]]
        own = parent_taxon[rows, None]
        return (theirs >= 0) & (own >= 0) & (theirs != own)

    return _HingeOverPairs.apply(negative, parents, children, weight, c, aperture, margin)


class _HingeOverPairs(Function):
    @staticmethod
    def forward(
        ctx,
        negative: Callable[[slice], Tensor],
        parents: Tensor,
        children: Tensor,
        weight: Tensor,
        c: Tensor,
        aperture: float,
        margin: float,
    ):
        wanted = any(ctx.needs_input_grad)
        total = torch.zeros((), dtype=children.dtype, device=children.device)
        pairs = torch.zeros((), dtype=children.dtype, device=children.device)
        leaf_children, leaf_c = _leaf(children), _leaf(c)
        grad_parents = torch.zeros_like(parents)
        grad_children = torch.zeros_like(children)
        grad_c = torch.zeros_like(c)
        for rows in _blocks(len(parents), len(children)):
            mask = negative(rows) * weight
            pairs += mask.sum()
            block = _leaf(parents[rows])
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
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream: Tensor, _):
        parents, children, c = ctx.saved_tensors
        return None, upstream * parents, upstream * children, None, upstream * c, None, None
