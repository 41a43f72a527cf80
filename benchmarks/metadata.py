"""What it costs to read BIOSCAN-1M's metadata: seconds and memory of the first reading and of the
next ones, on a file of the true size.

    python -m benchmarks.metadata

The file is made up (about 1.2 GB, in the system's temporary folder, deleted at the end): the true
columns, barcodes of 658 bases, and labels that stop where BIOSCAN-1M's do. Each reading is a
process of its own, whose memory is the most it ever held.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from hypertax.data.bioscan1m.reader import Layout, read_bioscan1m
from hypertax.data.simulation.dataset import METADATA_COLUMNS as COLUMNS
from hypertax.files import ROOT, resolve
from hypertax.tables.table import frame_table, write_table

SPLIT_SIZES = {
    "no_split": 1_043_864,
    "train_seen": 36_279,
    "seen_keys": 6_350,
    "val_seen": 4_878,
    "test_seen": 4_878,
    "val_unseen": 6_952,
    "val_unseen_keys": 7_645,
    "test_unseen": 6_448,
    "test_unseen_keys": 7_123,
    "single_species": 3_896,
}
"""CLIBD's split of BIOSCAN-1M's 1,128,313 specimens."""
KNOWN = {"family": 0.986, "genus": 0.225}
"""Share of the specimens that have a label of this rank; the order is always known, the species
outside `no_split`."""
BASES, CHUNK = 658, 10_000  # A folder of images holds 10,000.
SPECIES, GENERA, FAMILIES, ORDERS = 8_355, 3_441, 491, 16
_REST = {
    "copyright_license": "CreativeCommons - Attribution",
    "copyright_holder": "CBG Photography Group",
    "copyright_institution": "Centre for Biodiversity Genomics",
    "copyright_contact": "collectionsBIO@gmail.com",
    "photographer": "CBG Robotic Imager",
    "author": "CBG Robotic Imager",
}


def write_layout(root: Path, sizes: dict[str, int] = SPLIT_SIZES, *, seed: int = 0) -> Layout:
    """Write metadata and partition lists in BIOSCAN-1M's layout, with folders for the images' parts
    that hold no image.

    root: the folder to fill, as `hypertax.data.bioscan1m.reader.read_bioscan1m` takes it. sizes:
    specimens of each split.
    """
    rng = np.random.default_rng(seed)
    splits = rng.permutation(np.repeat(list(sizes), list(sizes.values())))
    layout = Layout.of(root)
    layout.partition.mkdir(parents=True)
    lists = {
        split: (layout.partition / f"{split}.txt").open("w", encoding="utf-8") for split in sizes
    }
    parents = rng.choice(np.frombuffer(b"ACGT", dtype=np.uint8), size=(5_000, BASES))
    with (
        layout.metadata.open("w", encoding="utf-8") as file,
        tqdm(total=len(splits), desc="writing", unit=" specimens") as progress,
    ):
        file.write("\t".join(COLUMNS) + "\n")
        for part, start in enumerate(range(0, len(splits), CHUNK), start=1):
            (layout.images / f"part{part}").mkdir(parents=True)
            (layout.images / f"part{part}" / ".keep").touch()  # An empty folder counts as missing.
            records = _records(splits[start : start + CHUNK], start, part, parents, rng)
            file.writelines(
                "\t".join(record) + "\n"
                for record in zip(*(records[name] for name in COLUMNS), strict=True)
            )
            for sampleid, split in zip(
                records["sampleid"], splits[start : start + CHUNK], strict=True
            ):
                lists[split].write(f"{sampleid}\n")
            progress.update(len(records["sampleid"]))
    for file in lists.values():
        file.close()
    return layout


def _records(
    splits: np.ndarray, start: int, part: int, parents: np.ndarray, rng: np.random.Generator
) -> dict[str, list[str]]:
    """The columns of one part's specimens, as text."""
    n = len(splits)
    species = rng.integers(SPECIES, size=n)
    labelled = splits != "no_split"
    family_known = labelled | (rng.random(n) < KNOWN["family"])
    # What is known beyond the species' own share makes up the rest of the genera.
    genus_known = labelled | (family_known & (rng.random(n) < KNOWN["genus"] - 0.075))
    barcodes = parents[species % len(parents)]
    rows = np.repeat(np.arange(n), 8)
    barcodes[rows, rng.integers(BASES, size=len(rows))] = rng.choice(
        np.frombuffer(b"ACGTN", dtype=np.uint8), size=len(rows)
    )
    sampleid = [
        f"BIOUG{plate:05d}-{'ABCDEFGH'[well // 12]}{well % 12 + 1:02d}"
        for plate, well in (divmod(start + i, 95) for i in range(n))
    ]
    columns = {name: ["not_classified"] * n for name in COLUMNS} | {
        name: [text] * n for name, text in _REST.items()
    }
    columns |= {
        name: ["no_split"] * n
        for name in COLUMNS
        if name.endswith(("_diptera_family", "_insect_order"))
    }
    columns |= {
        "sampleid": sampleid,
        "processid": [f"CRTOB{start + i:07d}-21" for i in range(n)],
        "uri": [f"BOLD:AAA{i:04d}" for i in species],
        "phylum": ["Arthropoda"] * n,
        "class": ["Insecta"] * n,
        "order": [f"Order{i % ORDERS:02d}ptera" for i in species],
        "family": _labels(species % FAMILIES, "Familia{:03d}idae", family_known),
        "subfamily": _labels(species % FAMILIES, "Familia{:03d}inae", genus_known),
        "genus": _labels(species % GENERA, "Genus{:04d}", genus_known & (rng.random(n) < 0.99)),
        "species": [
            f"Genus{i % GENERA:04d} species{i:04d}" if known else "not_classified"
            for i, known in zip(species, labelled, strict=True)
        ],
        "nucraw": [row.tobytes().decode() for row in barcodes],
        "image_file": [f"{name}.jpg" for name in sampleid],
        "chunk_number": [str(part)] * n,
    }
    return columns


def _labels(numbers: np.ndarray, form: str, known: np.ndarray) -> list[str]:
    return [form.format(i) if k else "not_classified" for i, k in zip(numbers, known, strict=True)]


def _measured(root: Path) -> dict[str, float]:
    """Read once, in this process: seconds, and the most memory that the process ever held, in
    GiB."""
    started = time.perf_counter()
    table = read_bioscan1m(root)
    seconds = time.perf_counter() - started
    # Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if platform.system() == "Darwin" else 2**10
    )
    return {"specimens": len(table), "seconds": seconds, "peak memory, GiB": peak / 2**30}


def reading_costs(root: Path) -> pd.DataFrame:
    """First and second reading of a data set in BIOSCAN-1M's layout, each in its own process."""
    rows = []
    for reading in tqdm(["first", "second"], desc="reading"):
        command = [sys.executable, "-m", "benchmarks.metadata", "--read", str(root)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append({"reading": reading, **json.loads(done.stdout.splitlines()[-1])})
    return pd.DataFrame(rows)


def main() -> None:
    """Print the table and write it to `tables/benchmarks`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--output", type=Path, default=ROOT / "tables" / "benchmarks", help="folder of the table"
    )
    options = parser.parse_args()
    if options.read:
        print(json.dumps(_measured(options.read)))
        return
    with tempfile.TemporaryDirectory(prefix="hypertax-metadata-") as folder:
        layout = write_layout(Path(folder))
        size = layout.metadata.stat().st_size / 1e9
        costs = reading_costs(Path(folder))
    print(costs.round(2).to_string(index=False))
    note = (
        f"A made-up metadata file of {size:.2f} GB. Each reading is a process of its own;"
        " memory is the most that it held."
    )
    note += (
        " The first one also writes the copy; the system has just written the text and may"
        " still hold it in memory."
    )
    note += (
        f" pandas {version('pandas')}, bioscan-dataset {version('bioscan-dataset')}, CPU."
        " Seconds depend on the machine."
    )
    caption = "Reading metadata of BIOSCAN-1M's size: from the text, then from the Parquet copy"
    write_table(
        frame_table(costs),
        "metadata",
        resolve(options.output),
        caption=caption,
        note=note,
        dataset="made-up metadata",
    )


if __name__ == "__main__":
    main()
