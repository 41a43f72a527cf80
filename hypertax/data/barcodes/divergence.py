"""Divergence of aligned barcodes: substitutions a site, corrected for those that hid earlier ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from hypertax.data.barcodes.codes import BASES, UNKNOWN

LEAST_OVERLAP = 100
"""Columns that two reads must share: the share of unequal bases among fewer says little."""
MOST_UNEQUAL = 0.7
"""Share of unequal bases from which a pair is left out: the correction goes to infinity at 0.75, where
two reads are as unlike as chance makes them."""


def jukes_cantor(unequal: Tensor) -> Tensor:
    """Substitutions a site, -3/4 ln(1 - 4p/3), of shares p of unequal bases, any shape.

    Jukes and Cantor's model, in which all substitutions are equally likely (Jukes & Cantor 1969,
    "Evolution of protein molecules"). p counts as `MOST_UNEQUAL` where it is larger.
    """
    return -0.75 * torch.log1p(-4 / 3 * unequal.clamp(max=MOST_UNEQUAL))


def pairwise_divergence(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Corrected divergence of all pairs of aligned reads, and which pairs have one.

    A column counts for a pair where both reads have a known base (pairwise deletion).

    Args:
        a: (N, L) aligned base codes. b: (M, L).

    Returns:
        (N, M) fp32 substitutions a site, and (N, M) bool: False where fewer than `LEAST_OVERLAP`
        columns count, or at least `MOST_UNEQUAL` of them are unequal.
    """
    first, second = _onehot(a), _onehot(b)
    equal = first.flatten(1) @ second.flatten(1).T
    both = first.sum(dim=2) @ second.sum(dim=2).T
    unequal = 1 - equal / both.clamp(min=1)
    usable = (both >= LEAST_OVERLAP) & (unequal < MOST_UNEQUAL)
    return jukes_cantor(unequal), usable


def _onehot(codes: Tensor) -> Tensor:
    """(N, L) codes to (N, L, 4) fp32, all zero where the base is unknown."""
    padded = F.one_hot(codes.long().clamp(max=UNKNOWN), UNKNOWN + 1)
    return padded[..., : len(BASES)].float()
