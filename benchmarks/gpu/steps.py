"""Seconds, images/s, memory and the losses' share of a training step of the paper's models, as one
JSON line a measurement.

    python -m benchmarks.gpu.steps --method "Euclidean CL" --batch 2000 --output lines.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.paper import SETTINGS, PaperStep, Shapes, peak_flops
from hypertax.training.runs import peak_memory

TOY_BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
TOY = Shapes(
    "test_vit", {**TOY_BERT, "vocab_size": 4**5 + 2}, {**TOY_BERT, "vocab_size": 30522}
)
"""Encoders of one or a few thin layers, for a rehearsal."""
TOY_PARAMETERS = {"embed_dim": 16}
GiB = 2**30


def measure(
    method: str,
    batch: int,
    micro_batch: int,
    device: torch.device,
    *,
    rounds: int,
    toy: bool = False,
    compiled: bool = False,
) -> dict[str, float | int | str | bool]:
    """A row of the table: medians of `rounds` steps after one that is not timed.

    `loss share` is the time of the losses alone, forward and backward, on vectors of the same
    sizes, over that of the step. FLOPs count what is computed, the second forward pass of gradient
    caching too.

    Args:
        method: of `benchmarks.paper.SETTINGS`. batch: global. micro_batch: specimens a pass.
        device: where. rounds: timed steps. toy: tiny encoders, images of 160 pixels. compiled:
        compile the encoders.
    """
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    began = time.perf_counter()
    parameters = {**(TOY_PARAMETERS if toy else {}), "compile": compiled}
    size, shapes = (160, TOY) if toy else (224, Shapes())
    step = PaperStep(method, batch, micro_batch, size, device, shapes, **parameters)
    losses = _recorded(step)
    prepared = time.perf_counter()
    # Counting FLOPs looks at every operation, which a compiled model does not show.
    flops = None
    if compiled:
        step()
    else:
        with FlopCounterMode(display=False) as counter:
            step()
        flops = counter.get_total_flops()
    first = _seconds(lambda: None, device) + time.perf_counter() - prepared
    seconds = median(_seconds(step, device) for _ in range(rounds))
    work = losses()
    work()
    of_losses = median(_seconds(work, device) for _ in range(max(2, rounds)))
    row = {
        "method": method,
        "batch": batch,
        "micro-batch": micro_batch,
        "compiled": compiled,
        "s/step": seconds,
        "images/s": batch / seconds,
        "losses, s": of_losses,
        "loss share": of_losses / seconds,
        "peak GiB": float(peak_memory(device)) * 2**20 / GiB,
        "first step, s": first,
        "preparation, s": prepared - began,
    }
    if flops:
        row["TFLOP/s"] = flops / seconds / 1e12
        peak = peak_flops(device)
        row |= {"share of peak": flops / seconds / peak} if peak else {}
    return row


def _seconds(work: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _recorded(step: PaperStep) -> Callable[[], Callable[[], None]]:
    """After a step: gives a function that computes its losses, and their gradients, alone."""
    objective = step.large.objective
    terms, last = objective.terms, {}

    def keep(vectors, labels, texts):
        last["arguments"] = ({m: v.detach() for m, v in vectors.items()}, labels, texts)
        return terms(vectors, labels, texts)

    objective.terms = keep

    def losses() -> Callable[[], None]:
        vectors, labels, texts = last["arguments"]
        leaves = {m: v.clone().requires_grad_() for m, v in vectors.items()}
        return lambda: terms(leaves, labels, texts)["loss"].backward()

    return losses


def main() -> None:
    """Measure once and append the row, or why there is none, to the output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", choices=list(SETTINGS), required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--micro-batch", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        row = measure(
            given.method,
            given.batch,
            given.micro_batch,
            device,
            rounds=given.rounds,
            toy=given.toy,
            compiled=given.compile,
        )
    except torch.OutOfMemoryError:
        row = {"method": given.method, "batch": given.batch, "failed": "out of memory"}
    with given.output.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
