"""Numbers that stopped being numbers: a training that diverged is stopped where that shows first."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TrainingDiverged(RuntimeError):
    """The loss, a gradient or a weight stopped being a number."""


def require_finite(value: Tensor, what: str, epoch: int, run: str) -> None:
    """Stop a training whose numbers are no numbers any more.

    Args:
        value: 0-d. what: it is, "loss", "gradient". epoch, run: where it came up.

    Raises:
        TrainingDiverged: one sentence that names the epoch and the run.
    """
    if not torch.isfinite(value):
        raise TrainingDiverged(
            f"The {what} is not finite in epoch {epoch} of {run}: lower learning_rate and start"
            " again."
        )


@torch.no_grad()
def require_finite_weights(model: nn.Module, epoch: int, run: str) -> None:
    """Stop before weights that are no numbers are kept; arguments and errors as above."""
    for name, value in model.named_parameters():
        require_finite(value.abs().max() if value.numel() else value.sum(), name, epoch, run)
