"""Planning the paper's experiment: what a step of the `paper` preset's models costs, and how the
losses grow with the global batch.

    python -m benchmarks.paper            # of the machine's GPU, or a scaled-down step on the CPU
    python -m benchmarks.paper growth     # the losses alone, global batches up to 16,384

The models have the true shapes and random weights; images, barcodes and names are random. Nothing
is read from a disk.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from benchmarks.broadcast import BroadcastObjective
from benchmarks.losses import LossBatch, extra_memory
from hypertax.config.run_config import RunConfig
from hypertax.data.barcodes.codes import BARCODE_LENGTH
from hypertax.data.batches import Batch
from hypertax.data.taxon_index import TaxonIndex
from hypertax.files import ROOT
from hypertax.model.lineage_vectors import TaxonTokens
from hypertax.model.model import assemble_model
from hypertax.model.tokens import TextTokens
from hypertax.tables.table import frame_table, write_table
from hypertax.training.large_batch import LargeBatch
from hypertax.training.objective import Objective
from hypertax.training.runs import peak_memory

# BERT-base for the barcodes and bert-small for the names [B].
BARCODE_SHAPE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "vocab_size": 4**5 + 2,
}
TEXT_SHAPE = {
    "hidden_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "intermediate_size": 2048,
    "vocab_size": 30522,
}
PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""bf16 without sparsity, of the makers' data sheets."""
METHODS = {
    "Euclidean CL": {"space": "euclidean", "entailment": "none"},
    "hyperbolic CL": {"space": "lorentz", "entailment": "none"},
    "hyperbolic CL + SEL": {"space": "lorentz", "entailment": "stacked"},
}
BROADCAST = "hyperbolic CL + SEL, broadcast"
NESTED = "hyperbolic, nested"
SETTINGS = {
    **METHODS,
    BROADCAST: METHODS["hyperbolic CL + SEL"],
    NESTED: {"space": "lorentz", "recipe": "nested"},
}
MiB = 2**20


def invented(count: int, seed: int = 0) -> pd.DataFrame:
    """Specimens with random barcodes and lineages, of which every other one stops above species:
    (count) rows without photographs."""
    rng = np.random.default_rng(seed)
    species = rng.integers(0, max(8, count // 4), count)
    known = rng.integers(1, 7, count)
    names = {
        "order": species // 72,
        "family": species // 12,
        "genus": species // 3,
        "species": species,
    }
    table = pd.DataFrame({"sampleid": [f"s{i}" for i in range(count)], "image": None})
    table["barcode"] = ["".join(read) for read in rng.choice(list("ACGT"), (count, BARCODE_LENGTH))]
    for depth, (rank, code) in enumerate(names.items()):
        table[rank] = np.where(known > depth, [f"{rank}{i}" for i in code], None)
    return table.assign(split="train_seen").astype("str").replace("None", np.nan)


@dataclass(frozen=True)
class Shapes:
    """The encoders' shapes. image: a timm model's name. dna, text: entries of a BERT's
    `config.json`."""

    image: str = "vit_base_patch16_224"
    dna: dict[str, int] = field(default_factory=lambda: BARCODE_SHAPE)
    text: dict[str, int] = field(default_factory=lambda: TEXT_SHAPE)


class PaperStep:
    """One training step of a method on one batch of invented specimens, which stay on the device.

    method: of `SETTINGS`. shapes: of the encoders. parameters: of `RunConfig`, on top.
    """

    def __init__(
        self,
        method: str,
        batch: int,
        micro_batch: int,
        image_size: int,
        device: torch.device,
        shapes: Shapes | None = None,
        **parameters,
    ) -> None:
        self.images = batch
        shapes = shapes or Shapes()
        given = {"image_encoder": shapes.image, "image_size": image_size}
        # Few CPUs multiply in bf16.
        given["precision"] = "bf16" if device.type == "cuda" else "no"
        with tempfile.TemporaryDirectory() as folder:
            for name, shape in (("dna", shapes.dna), ("text", shapes.text)):
                path = Path(folder) / name
                path.mkdir()
                (path / "config.json").write_text(json.dumps({"model_type": "bert", **shape}))
                given[f"{name}_encoder"] = str(path)
            if method == NESTED:
                del given["text_encoder"]
            config = RunConfig.create("paper", **{**given, **SETTINGS[method], **parameters})
            table = invented(batch)
            names = TaxonIndex(table)
            tokens = (
                TaxonTokens.train(names, np.ones(batch, dtype=bool))
                if method == NESTED
                else TextTokens.train(names.texts)
            )
            torch.manual_seed(0)
            self.model = (
                assemble_model(config, ("image", "dna", "text"), tokens, pretrained=False)
                .to(device)
                .train()
            )
        self.model.fit_cones()
        objective = Objective(config, names, self.model, device)
        if method == BROADCAST:
            taxon_text = torch.from_numpy(names.taxon_text).to(device)
            objective = BroadcastObjective(objective, self.model, taxon_text)
        self.large = LargeBatch(objective, micro_batch=micro_batch)
        rows = self.model.tensors(table, names).__getitems__(list(range(batch)))
        everyone = torch.ones(batch, dtype=torch.bool)
        self.batch: Batch = replace(
            rows, image=torch.randn(batch, 3, image_size, image_size), has_image=everyone
        ).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-6)

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        self.large.backward(self.model, self.batch)
        self.optimizer.step()
        self.model.clamp_()


def step_costs(
    batches: list[int], micro_batch: int, image_size: int, device: torch.device, rounds: int = 3
) -> pd.DataFrame:
    """Seconds, images/s, peak memory and FLOP/s of a step of each method at each batch; on a GPU
    the share of its peak FLOP/s too.

    On a CPU the memory is the process's, so that each measurement gets a process of its own.
    """
    measure = _measured if device.type == "cuda" else _measured_apart
    rows = []
    for batch in batches:
        reference = np.nan
        for method in tqdm([*METHODS, BROADCAST], desc=f"batch {batch}"):
            try:
                row = measure(method, batch, micro_batch, image_size, device, rounds)
            except torch.OutOfMemoryError:
                row = {"seconds": np.nan, "images/s": np.nan}
            reference = row["seconds"] if method == "Euclidean CL" else reference
            row = {
                "method": method,
                "batch": str(batch),
                **row,
                "ratio": row["seconds"] / reference,
            }
            rows.append(row)
            _forget(device)
    return pd.DataFrame(rows)


def _measured(
    method: str, batch: int, micro_batch: int, image_size: int, device: torch.device, rounds: int
) -> dict[str, float]:
    step = PaperStep(method, batch, micro_batch, image_size, device)
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    counter = FlopCounterMode(display=False)
    with counter:
        step()
    seconds = []
    for _ in range(rounds):
        _wait(device)
        started = time.perf_counter()
        step()
        _wait(device)
        seconds.append(time.perf_counter() - started)
    took = float(np.median(seconds))
    row = {"seconds": took, "images/s": batch / took, "peak MiB": float(peak_memory(device))}
    row["TFLOP/s"] = counter.get_total_flops() / took / 1e12
    peak = peak_flops(device)
    return row | ({"share of peak": row["TFLOP/s"] * 1e12 / peak} if peak else {})


def peak_flops(device: torch.device) -> float | None:
    """FLOP/s that a GPU's data sheet promises in bf16; None of a device that is not listed."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((value for known, value in PEAK_FLOPS.items() if known in name), None)


def _measured_apart(*arguments) -> dict[str, float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_measured, *arguments).result()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _forget(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def loss_growth(sizes: tuple[int, ...] = (2048, 4096, 8192, 16384)) -> pd.DataFrame:
    """Contrastive + stacked entailment in the Lorentz space alone, D = 768, forward and backward,
    as the global batch grows."""
    rows = []
    for size in tqdm(sizes, desc="losses"):
        batch = LossBatch(size)
        # What the process holds besides is not the batch's.
        gc.collect()
        seconds: list[float] = []

        def work(batch: LossBatch = batch, seconds: list[float] = seconds) -> None:
            started = time.perf_counter()
            batch.stacked()
            seconds.append(time.perf_counter() - started)

        memory = extra_memory(work)
        rows.append(
            {
                "batch": str(size),
                "seconds": seconds[0],
                "extra MiB": memory,
                "of which one B x B matrix": 4 * size**2 / MiB,
            }
        )
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    """Print a table and write it to `tables/benchmarks`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=("steps", "growth"), default="steps")
    parser.add_argument("--batches", type=int, nargs="*", help="global batches")
    parser.add_argument(
        "--micro-batch", type=int, help="specimens that pass the encoders at a time"
    )
    parser.add_argument(
        "--image-size", type=int, help="pixels; smaller than 224 only to scale down"
    )
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    folder = ROOT / "tables" / "benchmarks"
    versions = f"PyTorch {torch.__version__}"
    if given.what == "growth":
        table = loss_growth(tuple(given.batches or (2048, 4096, 8192, 16384)))
        note = (
            f"{versions}, CPU, {torch.get_num_threads()} threads, fp32. Resident memory above"
            " what the embeddings and their gradients take."
        )
        caption = "Contrastive and stacked loss over a global batch, forward and backward, D = 768"
        print(table.round(1).to_string(index=False))
        write_table(
            frame_table(table),
            "loss_growth",
            folder,
            caption=caption,
            note=note,
            dataset="random embeddings",
        )
        return
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    image_size = given.image_size or (224 if on_gpu else 32)
    batches = given.batches or ([512, 1024, 2000] if on_gpu else [4, 8, 16])
    micro_batch = given.micro_batch if given.micro_batch is not None else (250 if on_gpu else 4)
    table = step_costs(batches, micro_batch, image_size, device, given.rounds)
    print(table.round(3).to_string(index=False))
    machine = (
        torch.cuda.get_device_name(device) if on_gpu else f"CPU, {torch.get_num_threads()} threads"
    )
    note = (
        f"{versions}, {machine}, encoders in {'bf16' if on_gpu else 'fp32'}, micro-batches of"
        f" {micro_batch}, images of {image_size} pixels, full fine-tuning."
    )
    note += (
        " FLOP/s count all that is computed, with micro-batches a second forward pass of the"
        " encoders. Broadcast: the same losses written with"
    )
    note += " geoopt's distance, and cones, over expanded pairs."
    if not on_gpu:
        note += (
            " Peak memory: of the process, weights, gradients and optimiser state included."
            " Each row is a process of its own: on a machine that"
        )
        note += (
            " others use too, ratios differ by up to a fifth from one measurement to the"
            " next, more than the losses of so small a batch take."
        )
    name = "paper_steps_gpu" if on_gpu else "paper_steps_cpu"
    caption = "One training step of the paper's models (random weights)" + (
        "" if on_gpu else ", scaled down"
    )
    write_table(frame_table(table), name, folder, caption=caption, note=note, dataset="random")


if __name__ == "__main__":
    main()
