"""Distances of barcodes that follow how far the barcodes have diverged [O]. Pure functions."""

from __future__ import annotations

import torch
from torch import Tensor

SOFTENING = 0.02
"""Added to a divergence by which an error is divided, substitutions a site: within a species, where
divergences are smaller, single bases would otherwise count for everything."""


def divergence_loss(distance: Tensor, divergence: Tensor, usable: Tensor, scale: Tensor) -> Tensor:
    """Mean over the pairs i < j of ((d/s - J) / (J + 0.02))^2, 0-d; 0 without a pair.

    d is the distance of two specimens, J their divergence, s the distance of one substitution a
    site.

    Args:
        distance: (B, B) distances in the space. divergence: (B, B) substitutions a site.
        usable: (B, B) bool, pairs whose divergence is known. scale: 0-d, s.
    """
    pairs = usable.triu(1)
    distance, divergence = distance[pairs], divergence[pairs]
    error = (distance / scale - divergence) / (divergence + SOFTENING)
    return error.square().sum() / max(len(error), 1)


def best_scale(distance: Tensor, divergence: Tensor, usable: Tensor) -> Tensor:
    """The s at which `divergence_loss` is least, 0-d; 1 where no pair is apart.

    Args: as there.
    """
    pairs = usable.triu(1)
    distance, divergence = distance[pairs], divergence[pairs]
    weight = (divergence + SOFTENING).pow(-2)
    across = (weight * distance * divergence).sum()
    return torch.where(across > 0, (weight * distance.square()).sum() / across, 1.0)
