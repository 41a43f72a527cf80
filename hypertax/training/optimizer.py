"""The optimiser and the schedule of the learning rate."""

from __future__ import annotations

import torch

from hypertax.config.run_config import RunConfig
from hypertax.model.model import HypertaxModel


def build_optimizer(model: HypertaxModel, config: RunConfig) -> torch.optim.Optimizer:
    """AdamW or Adam, without decay on scalars, norms and biases.

    Decay would pull curvature and temperature towards one. The encoders of images and of texts have
    rates of their own.

    Args:
        model: whose parameters are trained. config: rates, decay and the kind of optimiser.
    """
    rates = {"encoders.image.": config.image_rate, "encoders.text.": config.text_rate}
    if config.dna_rate != 1:
        # The projection begins with the encoder's start, too.
        rates |= dict.fromkeys(("encoders.dna.", "projections.dna."), config.dna_rate)
    groups = []
    for part in ("", *rates):
        own = [
            p
            for name, p in model.named_parameters()
            if p.requires_grad and next(filter(name.startswith, rates), "") == part
        ]
        rate = rates.get(part, 1.0)
        for matrices, decay in ((True, config.weight_decay), (False, 0.0)):
            groups.append(
                {
                    "params": [p for p in own if (p.ndim >= 2) == matrices],
                    "weight_decay": decay,
                    "lr": config.learning_rate * rate,
                }
            )
    groups = [group for group in groups if group["params"]]
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(groups)


def build_schedule(
    optimizer: torch.optim.Optimizer, steps: int, warmup: float
) -> torch.optim.lr_scheduler.LRScheduler:
    """One cycle up to each group's own rate and down to nearly zero.

    Args:
        optimizer: its rates are the peaks. steps: of the whole training. warmup: share of the steps
        in which rates rise.
    """
    peaks = [group["lr"] for group in optimizer.param_groups]
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peaks, total_steps=steps + 1, pct_start=warmup
    )
