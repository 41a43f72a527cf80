"""One training step over a global batch that no single pass, and no single process, could hold.

The losses are not sums over specimens: each needs the embeddings of the whole batch. So the
encoders first run without keeping what a gradient needs, in micro-batches and each process on its
own share; the tangent vectors, a few kilobytes a specimen, are gathered; the losses are computed
once over all of them; and the encoders run again, micro-batch by micro-batch, with the gradient of
the loss with respect to their output (gradient caching: Gao et al. 2021, "Scaling deep contrastive
learning batch size under memory limited setup"). A second forward pass is its price, memory set by
the micro-batch its gain. Random numbers are drawn alike in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from hypertax.data.batches import Batch
from hypertax.training.objective import Objective
from hypertax.training.processes import Processes


class LargeBatch:
    """The gradients of an objective over a global batch.

    Args:
        objective: the losses, over the whole batch.
        accelerator: of the processes, None for one alone.
        micro_batch: specimens (and as many names) that pass the encoders at a time, 0 for all.
    """

    def __init__(self, objective: Objective, accelerator=None, micro_batch: int = 0) -> None:
        self.objective, self.micro_batch = objective, micro_batch
        self.processes = Processes(accelerator)

    def backward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Give the parameters, which have none yet, the global batch's gradients, the same in every
        process.

        Returns the terms by name, 0-d, without a graph.

        Args:
            model: gives tangent vectors. It must not be wrapped by DDP, which would average over
                the processes; here gradients are summed.
            batch: this process's share of the global batch, on any device: a pass moves its part to
                the model's.
        """
        labels = self.processes.gather_labels(
            replace(batch, image=None, dna=None).to(model.log_logit_scale.device)
        )
        texts = self.objective.texts(labels)
        passes = self.passes(model, batch, self.processes.share(texts))
        outputs = self._embed(passes)
        vectors, begin = self._gather(model, outputs)
        terms = self.objective.terms(vectors, labels, texts)
        if not terms["loss"].requires_grad:
            # Nothing in the batch has a pair.
            return terms
        upstream = self._differentiate(model, terms["loss"], vectors)
        self._backpropagate(passes, outputs, upstream, begin)
        self.processes.sum_gradients(model)
        return {name: value.detach() for name, value in terms.items()}

    def passes(self, model: nn.Module, batch: Batch, texts: Tensor) -> list[Pass]:
        """The micro-batches: those of the specimens, then those of the texts; a single pass has
        both.

        Args:
            batch: this process's specimens. texts: (U,) ids of this process's texts.
        """
        tokens = self.objective.tokens_of
        if not self.micro_batch or max(len(batch), len(texts)) <= self.micro_batch:
            return [Pass(model, batch, tokens(texts))]
        parts = [
            slice(start, start + self.micro_batch)
            for start in range(0, max(len(batch), len(texts)), self.micro_batch)
        ]
        passes = [Pass(model, batch.rows(part), None) for part in parts if part.start < len(batch)]
        labels = replace(batch, image=None, dna=None)
        return passes + [
            Pass(model, labels, tokens(texts[part])) for part in parts if part.start < len(texts)
        ]

    def _embed(self, passes: list[Pass]) -> list[dict[str, Tensor]]:
        """Tangent vectors of every pass; with a graph if it is the only one."""
        if len(passes) == 1:
            return [passes[0].run()]
        with torch.no_grad():
            return [one.run() for one in passes]

    def _gather(
        self, model: nn.Module, outputs: list[dict[str, Tensor]]
    ) -> tuple[dict[str, Tensor], dict[str, int]]:
        """The global batch's vectors by modality, as leaves, and where this process's begin."""
        own = {
            m: torch.cat([out[m].detach() for out in outputs if m in out])
            for m in model.modalities
            if any(m in out for out in outputs)
        }
        gathered = {
            m: self.processes.gather(value) for m, value in self._complete(model, own).items()
        }
        vectors = {m: value.requires_grad_() for m, (value, _) in gathered.items() if len(value)}
        return vectors, {m: gathered[m][1] for m in vectors}

    def _differentiate(
        self, model: nn.Module, loss: Tensor, vectors: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """The loss's gradients with respect to the vectors; those of the scalars are added to the
        parameters."""
        # Curvature and temperature get the same gradient in every process: it counts once.
        scalars = [p for p in (model.log_logit_scale, *model.space.parameters()) if p.requires_grad]
        grads = torch.autograd.grad(loss, [*vectors.values(), *scalars], allow_unused=True)
        if self.processes.first:
            for parameter, grad in zip(scalars, grads[len(vectors) :], strict=True):
                _add_to_grad(parameter, grad)
        return {m: grad for m, grad in zip(vectors, grads, strict=False) if grad is not None}

    def _backpropagate(
        self,
        passes: list[Pass],
        outputs: list[dict[str, Tensor]],
        upstream: dict[str, Tensor],
        begin: dict[str, int],
    ) -> None:
        """From the gradients of the vectors to those of the encoders, pass by pass."""
        begin = dict(begin)
        for i, one in enumerate(passes):
            output = outputs[i] if len(passes) == 1 else one.again()
            own = [m for m in output if m in upstream]
            parts = [upstream[m][begin[m] : begin[m] + len(output[m])] for m in own]
            begin |= {m: begin[m] + len(output[m]) for m in own}
            if own:
                torch.autograd.backward([output[m] for m in own], parts)
            # Or the graph would live until the next pass has made its own.
            del output

    def _complete(self, model: nn.Module, own: dict[str, Tensor]) -> dict[str, Tensor]:
        """A process without a row of a modality still takes part in gathering it."""
        if self.processes.count == 1:
            return own
        empty = model.log_logit_scale.new_zeros((0, model.config.embed_dim))
        return {m: own.get(m, empty) for m in model.modalities}


@dataclass
class Pass:
    """Some inputs on their way through the encoders, twice with the same random numbers.

    model: gives tangent vectors. batch: on any device. tokens: (U, L) of texts, None without any.
    """

    model: nn.Module
    batch: Batch
    tokens: Tensor | None

    @property
    def device(self) -> torch.device:
        return self.model.log_logit_scale.device

    def run(self) -> dict[str, Tensor]:
        """Tangent vectors by modality, (B, D) and, of texts, (U, D)."""
        self.state = random_state(self.device)
        return self.model(self.batch.to(self.device), self.tokens)

    def again(self) -> dict[str, Tensor]:
        """The same once more; the random numbers of what follows are as without it."""
        with _as_at(self.state, self.device):
            return self.model(self.batch.to(self.device), self.tokens)


def random_state(device: torch.device) -> list[Tensor]:
    """The state of the CPU's generator and, where there is one, of the device's; uint8."""
    own = [] if device.type == "cpu" else [torch.get_device_module(device).get_rng_state()]
    return [torch.get_rng_state(), *own]


def set_random_state(state: list[Tensor], device: torch.device) -> None:
    """Continue from what `random_state` gave."""
    torch.set_rng_state(state[0])
    if len(state) > 1 and device.type != "cpu":
        torch.get_device_module(device).set_rng_state(state[1])


@contextmanager
def _as_at(state: list[Tensor], device: torch.device) -> Iterator[None]:
    now = random_state(device)
    set_random_state(state, device)
    try:
        yield
    finally:
        set_random_state(now, device)


def _add_to_grad(parameter: nn.Parameter, grad: Tensor | None) -> None:
    if grad is not None:
        parameter.grad = grad if parameter.grad is None else parameter.grad + grad
