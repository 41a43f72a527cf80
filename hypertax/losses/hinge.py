"""Entailment's negative pairs, in blocks of parents, forward and gradient together.

Most pairs are far outside the cone and cost nothing: a cheap test of the angle's cosine excludes
them, and angles and gradients are computed of the others alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.autograd import Function

from hypertax.geometry import lorentz as L
from hypertax.geometry.autograd import exact_products, first_derivatives_only
from hypertax.losses.blockwise import blocks, leaf
from hypertax.losses.inputs import Children, Parents

SCREEN_SLACK = 0.01
"""Radians by which the cheap test of a cone widens it: rounding never excludes an active pair."""

DENSE_SHARE = 0.2
"""Above this share of pairs that the test lets through, a block is computed as a whole."""


def hinge_over_pairs(
    parents: Parents,
    children: Children,
    c: Tensor,
    aperture: float,
    margin: float,
    inner: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Sum of max(0, omega(parent) - phi(parent, child) + margin) over the negative pairs, radians,
    and the number of these pairs; both 0-d, both weighted.

    A pair is negative where the child's taxon at the parent's rank and the parent's own are known
    and differ. The number carries no gradient. First derivatives only.

    Args:
        parents: U apexes. children: N points. c: 0-d; the curvature is -c. aperture: K of the
        half-aperture. margin: radians. inner: (U, N) Lorentz inner products where they are at hand;
        they carry their part of the gradient.
    """
    return _HingeOverPairs.apply(
        parents, children, parents.points, children.points, c, aperture, margin, inner
    )


def _negative(parents: Parents, children: Children, rows: slice) -> Tensor:
    """Which pairs of some parents with all children are negative, bool."""
    theirs = children.lineage.T[parents.rank[rows]]
    own = parents.taxon[rows, None]
    return (theirs >= 0) & (own >= 0) & (theirs != own)


def _count_negative(parents: Parents, children: Children) -> Tensor:
    """The weighted number of negative pairs, 0-d, in float64, without a (U, N) matrix."""
    weight = children.weight.double()
    total = torch.zeros_like(weight.sum())
    for rank in range(children.lineage.shape[1]):
        of_rank = parents.taxon[(parents.rank == rank) & (parents.taxon >= 0)]
        known = children.lineage[:, rank] >= 0
        taxon, index = torch.unique(
            torch.cat([of_rank, children.lineage[known, rank]]), return_inverse=True
        )
        apexes = torch.bincount(index[: len(of_rank)], minlength=len(taxon)).double()
        theirs = apexes[index[len(of_rank) :]]
        total = total + (weight[known] * (len(of_rank) - theirs)).sum()
    return total


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
        inner: Tensor | None,
    ):
        # Autograd follows tensors that are arguments, hence the points beside their owners.
        wanted = any(ctx.needs_input_grad)
        x, y = parent_points.detach(), child_points.detach()
        total = torch.zeros((), dtype=y.dtype, device=y.device)
        vectors = [leaf(t) for t in (x.square().sum(-1), y.square().sum(-1), c.to(y.dtype))]
        with torch.set_grad_enabled(wanted):
            # A vector of one number has the norm of the point.
            norm = vectors[0].clamp(min=L.ORIGIN**2).sqrt()[:, None]
            bound = L.half_aperture(norm, vectors[2], aperture) + margin
        limit = leaf(bound)
        sums: list[Tensor] | None = None
        by_inner = grad_x = grad_y = grad_c = None
        for rows in blocks(len(x), len(y)):
            with exact_products(y.device.type):
                products = x[rows] @ y.mT if inner is None else inner[rows]
            own = [vectors[0][rows], vectors[1], limit[rows], vectors[2]]
            which = _candidates(products, *(t.detach() for t in own), inner is not None)
            which &= _negative(parents, children, rows)
            found = which.nonzero(as_tuple=True)
            if not len(found[0]):
                continue
            value, grads, by_products = _hinges(
                products,
                found,
                which,
                [vectors[0], vectors[1], limit, vectors[2]],
                rows,
                children.weight,
                inner is not None,
                wanted,
            )
            total += value
            if not wanted:
                continue
            sums = grads if sums is None else [a + b for a, b in zip(sums, grads)]
            if grad_x is None:
                grad_x, grad_y = torch.zeros_like(x), torch.zeros_like(y)
                by_inner = None if inner is None else torch.zeros_like(inner)
            if inner is not None:
                by_inner[rows] = by_products
            else:
                with exact_products(y.device.type):
                    grad_x[rows] = by_products @ y
                    grad_y += by_products.mT @ x[rows]
        if sums is not None:
            by_square, by_c = torch.autograd.grad(
                bound, [vectors[0], vectors[2]], sums[2], allow_unused=True
            )
            grad_c = (sums[3] if by_c is None else sums[3] + by_c).to(c.dtype)
            grad_x.addcmul_(x, (sums[0] + by_square)[:, None], value=2)
            grad_y.addcmul_(y, sums[1][:, None], value=2)
        ctx.save_for_backward(grad_x, grad_y, grad_c, by_inner)
        pairs = _count_negative(parents, children).to(y.dtype)
        ctx.mark_non_differentiable(pairs)
        return total, pairs

    @staticmethod
    @first_derivatives_only
    def backward(ctx, upstream: Tensor, _):
        x, y, c, inner = (None if g is None else upstream * g for g in ctx.saved_tensors)
        return None, None, x, y, c, None, None, inner


def _candidates(
    products: Tensor,
    parent_square: Tensor,
    child_square: Tensor,
    bound: Tensor,
    c: Tensor,
    lorentzian: bool,
) -> Tensor:
    """Which pairs may have an exterior angle below the parent's bound, bool (U, N): all that have,
    and NaN.

    The angle's cosine is along / hypot(along, across), as in `exterior_angle_from_dot`.
    """
    parent_time, child_time = (1 + c * parent_square).sqrt(), (1 + c * child_square).sqrt()
    norm = parent_square.sqrt()
    inverse = torch.where(norm > L.ORIGIN, 1 / norm, 0)[:, None]
    if lorentzian:
        parallel = torch.addcmul(products, parent_time[:, None] / c, child_time).mul_(inverse)
    else:
        parallel = products * inverse
    floor = torch.finfo(products.dtype).eps * child_square + 1e-30
    square = torch.addcmul(child_square, parallel, parallel, value=-1).clamp_(min=floor)
    along = parallel.mul_(parent_time[:, None]).addcmul_(norm[:, None], child_time, value=-1)
    hypotenuse = square.addcmul_(along, along).sqrt_()
    wide = bound + SCREEN_SLACK
    cosine = torch.where(wide < math.pi, wide.cos(), -2)[:, None]
    return (along <= hypotenuse.mul_(cosine)).logical_not_()


def _hinges(
    products: Tensor,
    found: tuple[Tensor, Tensor],
    which: Tensor,
    vectors: list[Tensor],
    rows: slice,
    weight: Tensor,
    lorentzian: bool,
    wanted: bool,
) -> tuple[Tensor, list[Tensor], Tensor | None]:
    """The weighted sum of a block's hinges, 0-d, its derivatives by `vectors`, and by the products
    (U, N), where few count and none is given on, a sparse matrix.

    Args:
        products: (U, N) of the block. found, which: the pairs that count, as indices and as a mask.
        vectors: leaves: squared norms of all parents and children, bounds, c. lorentzian: whether
        the products are Lorentz inner products, and not dot products.
    """
    parent_square, child_square, bound, c = vectors
    few = len(found[0]) <= DENSE_SHARE * which.numel()
    i, j = found
    with torch.set_grad_enabled(wanted):
        if few:
            product = leaf(products[i, j])
            parent, child, limit = parent_square[rows][i], child_square[j], bound[rows][i]
        else:
            product = leaf(products.clone())
            parent, child = parent_square[rows, None], child_square[None]
            limit = bound[rows, None]
        dot = product
        if lorentzian:
            dot = product + (1 / c + parent).sqrt() * (1 / c + child).sqrt()
        angle = (_angles if few else L.exterior_angle_from_dot)(dot, parent, child, c)
        hinge = (limit - angle).clamp(min=0) * (weight[j] if few else which * weight)
        value = hinge.sum()
    if not wanted:
        return value, [], None
    *grads, by_product = torch.autograd.grad(value, [*vectors, product])
    if few:
        by_product = torch.sparse_coo_tensor(
            torch.stack(found),
            by_product,
            products.shape,
            is_coalesced=True,
            check_invariants=False,
        )
        # On a GPU a sparse product's order of summation varies.
        if lorentzian or by_product.device.type != "cpu":
            by_product = by_product.to_dense()
    return value.detach(), grads, by_product


def _angles(dot: Tensor, parent_square: Tensor, child_square: Tensor, c: Tensor) -> Tensor:
    """`exterior_angle_from_dot` of pairs one by one, (P,) each, by autograd's own derivatives."""
    present = ~(parent_square <= L.ORIGIN**2)  # NaN stays NaN.
    norm = torch.where(present, parent_square, 1).sqrt()
    parallel = torch.where(present, dot / norm, 0)
    floor = (torch.finfo(dot.dtype).eps * child_square + 1e-30).detach()
    across = (child_square - parallel.square()).clamp(min=floor).sqrt()
    child_time, parent_time = (1 + c * child_square).sqrt(), (1 + c * parent_square).sqrt()
    along = parallel * parent_time - torch.where(present, norm, 0) * child_time
    return torch.atan2(across, along)
