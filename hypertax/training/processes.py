"""The processes of a run: which there are, and what they exchange."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn

from hypertax.config.run_config import RunConfig
from hypertax.data.batches import Batch

LONGEST_VALIDATION = 4 * 3600
"""Seconds that the other processes wait for the first one."""
BUCKET_ELEMENTS = 2**24
"""Elements of one sum over processes, 64 MiB in fp32."""


def accelerator_of(config: RunConfig):
    """The device and the processes that a configuration trains with, an
    `accelerate.Accelerator`."""
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    timeout = InitProcessGroupKwargs(timeout=timedelta(seconds=LONGEST_VALIDATION))
    return Accelerator(
        cpu=config.device == "cpu" or not torch.accelerator.is_available(),
        kwargs_handlers=[timeout],
    )


def made_by_first(accelerator, make: Callable[[], Any]) -> Any:
    """What the first of the processes makes, for all of them; its error, too."""
    if accelerator.num_processes == 1:
        return make()
    from accelerate.utils import broadcast_object_list

    told: list = [None, None]
    if accelerator.is_main_process:
        try:
            told[0] = make()
        except Exception as error:  # noqa: BLE001
            # The others would wait for something that never comes.
            told[1] = error
    broadcast_object_list(told)
    if told[1] is not None:
        raise told[1]
    return told[0]


class Processes:
    """The exchange between the processes of a run; with one process there is none.

    Args:
        accelerator: of the processes, None for one alone.
    """

    def __init__(self, accelerator) -> None:
        self.accelerator = accelerator
        self.count = 1 if accelerator is None else accelerator.num_processes
        self.index = 0 if accelerator is None else accelerator.process_index
        self.first = self.index == 0

    def share(self, values: Tensor) -> Tensor:
        """This process's part of what all of them have."""
        return values.tensor_split(self.count)[self.index]

    def gather(self, own: Tensor) -> tuple[Tensor, int]:
        """The rows of all processes in their order, and the place at which this process's begin.

        Args:
            own: (n, ...); n may differ between processes.
        """
        if self.count == 1:
            return own, 0
        counts = self.accelerator.gather(torch.tensor([len(own)], device=own.device)).tolist()
        padded = own.new_zeros((max(counts), *own.shape[1:]))
        padded[: len(own)] = own
        parts = self.accelerator.gather(padded).split(max(counts)) if max(counts) else []
        whole = (
            torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])
            if len(parts)
            else own
        )
        return whole, sum(counts[: self.index])

    def gather_labels(self, batch: Batch) -> Batch:
        """The global batch without its images and barcodes."""
        if self.count == 1:
            return replace(batch, image=None, dna=None)
        columns = [
            batch.index[:, None],
            batch.has_image[:, None],
            batch.has_dna[:, None],
            batch.full_text[:, None],
            batch.lineage,
        ]
        index, has_image, has_dna, full_text, *lineage = self.gather(
            torch.cat([c.long() for c in columns], dim=1)
        )[0].unbind(1)
        return Batch(
            index,
            None,
            has_image.bool(),
            None,
            has_dna.bool(),
            torch.stack(lineage, dim=1),
            full_text,
        )

    @torch.no_grad()
    def sum_gradients(self, model: nn.Module) -> None:
        """Each parameter's gradient becomes the sum over the processes; one that no process has
        stays away."""
        if self.count == 1:
            return
        parameters = [p for p in model.parameters() if p.requires_grad]
        has = torch.tensor(
            [p.grad is not None for p in parameters], device=parameters[0].device
        ).long()
        used = [
            p
            for p, n in zip(parameters, self.accelerator.reduce(has, "sum").tolist(), strict=True)
            if n
        ]
        bucket: list[nn.Parameter] = []
        for parameter in [*used, None]:
            if bucket and (
                parameter is None
                or sum(p.numel() for p in bucket) + parameter.numel() > BUCKET_ELEMENTS
            ):
                self._sum(bucket)
                bucket = []
            if parameter is not None:
                bucket.append(parameter)

    def _sum(self, parameters: list[nn.Parameter]) -> None:
        flat = torch.cat(
            [p.new_zeros(p.numel()) if p.grad is None else p.grad.reshape(-1) for p in parameters]
        )
        flat = self.accelerator.reduce(flat, "sum")
        for parameter, part in zip(
            parameters, flat.split([p.numel() for p in parameters]), strict=True
        ):
            parameter.grad = torch.empty_like(parameter).copy_(part.view_as(parameter))
