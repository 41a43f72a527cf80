"""How many barcodes a second are aligned, how many photographs a second give features, and the hours
that BIOSCAN-1M would take at these rates.

    python -m benchmarks.data_rates

Rates are those of one core: specimens over the processor's seconds, so that other work on the
machine changes them little. Hours are arithmetic: 1,128,313 specimens over the rate, and over 16
times the rate for 16 cores, as if all of them were used fully.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.images import photographs
from benchmarks.losses import extra_memory
from hypertax.data import load_specimens
from hypertax.data.barcodes.alignment import align_cached
from hypertax.files import ROOT
from hypertax.model.image_features import frozen_features
from hypertax.model.starts import profile_of
from hypertax.tables.table import frame_table, write_table

SPECIMENS = 1_128_313
CORES = 16
SIZE, VIEWS = 128, 4
"""Pixels and views of the preset `laptop`."""
BASES = np.array(list("ACGT"))


def distinct_reads(barcodes: list[str], count: int) -> list[str]:
    """`count` reads of which no two are equal: given ones, each with six bases drawn anew."""
    rng = np.random.default_rng(0)
    found: dict[str, None] = {}
    while len(found) < count:
        read = np.array(list(barcodes[len(found) % len(barcodes)]))
        read[rng.integers(0, len(read), 6)] = rng.choice(BASES, 6)
        found.setdefault("".join(read))
    return list(found)


def rate_row(what: str, count: int, work: Callable[[], None]) -> dict[str, float | str]:
    """What `count` specimens cost by the processor's seconds, and the hours of all."""
    seconds: list[float] = []

    def timed() -> None:
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)

    memory = extra_memory(timed)
    rate = count / seconds[0]
    hours = SPECIMENS / rate / 3600
    return {
        "step": what,
        "specimens": count,
        "per second and core": rate,
        "hours, 1 core": hours,
        f"hours, {CORES} cores": hours / CORES,
        "extra MiB": memory,
    }


def alignment_rows(barcodes: list[str], species: list[str], count: int) -> list[dict]:
    """The rates of aligning `count` distinct reads, and of reading them back from the cache."""
    torch.set_num_threads(1)
    profile = profile_of(barcodes, species)
    reads = distinct_reads(barcodes, count)
    with tempfile.TemporaryDirectory() as folder:

        def work() -> None:
            assert align_cached(profile, reads, folder=Path(folder)).aligned.any()

        return [
            rate_row("alignment", count, work),
            rate_row("alignment, kept before", count, work),
        ]


def feature_rows(count: int, encoder: str) -> list[dict]:
    """The rates of computing features of `count` photographs, and of reading them back."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        files, _ = photographs(Path(folder) / "images", count, None)
        paths = [str(path) for path in files]

        def work(views: int) -> Callable[[], None]:
            def features() -> None:
                kept = Path(folder) / f"kept-{views}"
                assert frozen_features(paths, encoder, SIZE, views, folder=kept).present.all()

            return features

        name = f"features, {VIEWS} views of {SIZE} pixels"
        return [
            rate_row(f"features, 1 view of {SIZE} pixels", count, work(1)),
            rate_row(name, count, work(VIEWS)),
            rate_row(f"{name}, kept before", count, work(VIEWS)),
        ]


def data_rates(reads: int, images: int, encoder: str = "efficientnet_lite0") -> pd.DataFrame:
    """Both, each in a process of its own, whose memory is then its own too.

    Args:
        reads, images: how many are measured. encoder: of `frozen_features`.
    """
    table = load_specimens("simulated")
    named = table[table["barcode"].notna() & table["species"].notna()]
    named = named.drop_duplicates("barcode").head(2000)
    rows = _apart(alignment_rows, named["barcode"].tolist(), named["species"].tolist(), reads)
    return pd.DataFrame(rows + _apart(feature_rows, images, encoder))


def _apart(work: Callable[..., list[dict]], *arguments) -> list[dict]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work, *arguments).result()


def main(arguments: list[str] | None = None) -> None:
    """Print the table and write it to `tables/benchmarks`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reads", type=int, default=2000)
    parser.add_argument("--images", type=int, default=512)
    given = parser.parse_args(arguments)
    rates = data_rates(given.reads, given.images)
    print(rates.round(2).to_string(index=False))
    note = (
        f"Measured by the seconds of the processor, one thread, PyTorch {torch.__version__}. Hours"
        f" are those of {SPECIMENS:,} specimens at this rate, {CORES} cores as if each were"
        " used fully: an estimate. Reads and photographs are distinct."
    )
    write_table(
        frame_table(rates),
        "data_rates",
        ROOT / "tables" / "benchmarks",
        caption="Alignment and image features at the size of BIOSCAN-1M",
        note=note,
        dataset="simulated",
    )


if __name__ == "__main__":
    main()
