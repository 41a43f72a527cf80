"""The contrastive loss over all pairs of a batch in blocks of rows, forward and gradient together.

Written with autograd alone, a pairwise loss keeps a dozen (B, B) intermediates until the backward
pass: that, not the encoders, is what limits the batch. Here each block of rows is computed,
differentiated and dropped while it is in cache; what stays are the gradients of the inputs. Up to
`KEPT_ELEMENTS` two more (B, B) matrices live while the loss is computed.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd import Function

from hypertax.geometry.autograd import exact_products, first_derivatives_only
from hypertax.geometry.spaces import Space

BLOCK_ELEMENTS = 2**20
"""Elements of one block, 4 MiB in fp32."""

KEPT_ELEMENTS = 2**26
"""Up to so many pairs the contrastive loss keeps similarities and slopes, 256 MiB each in fp32, and
does not compute them twice."""

FEWEST = 1e-25
"""The smallest sum that the columns' softmax takes from the rows' exponentials."""


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows that have about `BLOCK_ELEMENTS` elements each."""
    step = max(1, BLOCK_ELEMENTS // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))


def leaf(tensor: Tensor | None) -> Tensor | None:
    """The same values without their graph, to be differentiated by."""
    return (
        None if tensor is None else tensor.detach().requires_grad_(tensor.dtype.is_floating_point)
    )


def symmetric_cross_entropy(
    space: Space, a: Tensor, b: Tensor, logit_scale: Tensor, gram: Tensor | None = None
) -> Tensor:
    """Mean of the two cross-entropies (rows, columns) of `logit_scale * similarity(a_i, b_j)` with
    the diagonal as target; 0-d. First derivatives only.

    Args:
        space: gives `gram` and `similarity`. a, b: (B, D) points of it. logit_scale: 0-d, the
        inverse temperature. gram: (B, B), `space.gram` of a and b where it is at hand; the gradient
        goes through it, and a and b are not read.
    """
    if gram is not None:
        return _CrossEntropyOfGram.apply(space, gram, logit_scale, space.curvature)
    return _SymmetricCrossEntropy.apply(space, a, b, logit_scale, space.curvature)


class _SymmetricCrossEntropy(Function):
    """From points: no (B, B) matrix outlives the forward pass."""

    @staticmethod
    def forward(
        ctx, space: Space, a: Tensor, b: Tensor, logit_scale: Tensor, c: Tensor | None
    ) -> Tensor:
        wanted = any(ctx.needs_input_grad)
        leaf_a, leaf_b, leaf_c = leaf(a), leaf(b), leaf(c)
        with torch.set_grad_enabled(wanted):
            gram = space.gram(leaf_a, leaf_b, leaf_c)
        values = gram.detach()
        with exact_products(a.device.type):
            loss, grad_scale, grad_c = _cross_entropy(
                space, values, logit_scale, c, into=values if wanted else None
            )
        if wanted:
            inputs = [leaf_a, leaf_b] if c is None else [leaf_a, leaf_b, leaf_c]
            grads = torch.autograd.grad(gram, inputs, values)
            if c is not None:
                grad_c = grad_c + grads[2]
            ctx.save_for_backward(grads[0], grads[1], grad_scale, grad_c)
        return loss

    @staticmethod
    @first_derivatives_only
    def backward(ctx, upstream: Tensor):
        return (None, *(None if g is None else upstream * g for g in ctx.saved_tensors))


class _CrossEntropyOfGram(Function):
    """From inner products, which other terms read too: their gradients meet before the points."""

    @staticmethod
    def forward(ctx, space: Space, gram: Tensor, logit_scale: Tensor, c: Tensor | None) -> Tensor:
        into = torch.empty_like(gram) if any(ctx.needs_input_grad) else None
        with exact_products(gram.device.type):
            loss, grad_scale, grad_c = _cross_entropy(space, gram, logit_scale, c, into)
        if into is not None:
            ctx.save_for_backward(into, grad_scale, grad_c)
        return loss

    @staticmethod
    @first_derivatives_only
    def backward(ctx, upstream: Tensor):
        return (None, *(None if g is None else upstream * g for g in ctx.saved_tensors))


def _cross_entropy(
    space: Space, gram: Tensor, logit_scale: Tensor, c: Tensor | None, into: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The loss, and its derivatives by the scale and by c at given inner products.

    One exponential serves both softmaxes: that of a row's logits less their largest. Columns sum it
    with weights; where such a sum underflows, they take exponentials of their own.

    Args:
        gram: (B, B). into: takes the derivative by it; may be `gram` itself. None: no derivatives.
    """
    size = len(gram)
    kept: list[tuple[Tensor, Tensor | None]] = []
    keep = into is not None and size * size <= KEPT_ELEMENTS
    row_max, row_sum, diagonal = (torch.empty_like(gram[:, 0]) for _ in range(3))
    top = torch.full_like(gram[0, 0], -torch.inf)
    column_sum = torch.zeros_like(gram[0])
    own_max, own_sum = torch.full_like(column_sum, -torch.inf), column_sum.clone()
    for rows in blocks(size, size):
        similarity, slope = space.similarity_and_slope(gram[rows], c, keep)
        if keep:
            kept.append((similarity, slope))
        logits = similarity * logit_scale
        diagonal[rows] = logits.diagonal(rows.start)
        largest = logits.amax(dim=1)
        above = torch.maximum(top, largest.amax())
        exps = logits.sub_(largest[:, None]).exp_()
        row_max[rows], row_sum[rows] = largest, exps.sum(dim=1)
        column_sum = column_sum * (top - above).exp() + (largest - above).exp() @ exps
        top = above
    shared = bool(column_sum.amin() > FEWEST)
    if shared:
        column_lse = column_sum.log() + top
    else:
        for rows in blocks(size, size):
            logits = logit_scale * space.similarity_and_slope(gram[rows], c, False)[0]
            largest = torch.maximum(own_max, logits.amax(dim=0))
            own_sum = own_sum * (own_max - largest).exp() + (logits - largest).exp_().sum(dim=0)
            own_max = largest
        column_lse = own_max + own_sum.log()
    loss = (0.5 * (row_max + row_sum.log() + column_lse) - diagonal).mean()
    if into is None:
        return loss, None, None
    by_similarity, by_gram = torch.zeros_like(top), torch.zeros_like(top)
    of_row = 0.5 / size / row_sum
    of_column = ((row_max - top).exp(), 0.5 / size / column_sum)
    for index, rows in enumerate(blocks(size, size)):
        similarity, slope = (
            kept[index] if keep else space.similarity_and_slope(gram[rows], c, True)
        )
        logits = similarity * logit_scale
        if shared:
            weight = logits.sub_(row_max[rows, None]).exp_()
            weight *= torch.addcmul(of_row[rows, None], of_column[0][rows, None], of_column[1])
        else:
            weight = (logits - column_lse).exp_().mul_(0.5 / size)
            weight += logits.sub_(row_max[rows, None]).exp_().mul_(of_row[rows, None])
        weight.diagonal(rows.start).sub_(1 / size)
        by_similarity += torch.dot(weight.reshape(-1), similarity.reshape(-1))
        weight *= logit_scale
        if slope is not None:
            weight *= slope
            by_gram += torch.dot(weight.reshape(-1), gram[rows].reshape(-1))
        into[rows] = weight
        if keep:
            kept[index] = None
    # d(similarity)/dc = slope inner / c - similarity / (2 c): see `distance_from_inner`.
    grad_c = None if c is None else (by_gram - logit_scale * by_similarity / 2) / c
    return loss, by_similarity, grad_c
