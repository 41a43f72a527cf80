"""How many photographs a second the loader makes, beside what everyone would write first:
torchvision's ImageFolder, and JPEGs in HDF5.

python -m benchmarks.images --photographs folder/with/jpegs
"""

from __future__ import annotations

import argparse
import io
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageEnhance
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2
from tqdm import tqdm

from hypertax.data.batches import Specimens, loader
from hypertax.data.images import MEAN, ROTATION, STD
from hypertax.data.taxon_index import TaxonIndex
from hypertax.files import ROOT
from hypertax.tables.table import frame_table, write_table
from hypertax.taxonomy import RANKS

SIZE, BATCH = 224, 64
OURS = "hypertax"


def bench_images(
    count: int = 2000,
    workers: tuple[int, ...] = (0, 1, 2),
    rounds: int = 5,
    source: Path | None = None,
) -> tuple[pd.DataFrame, str]:
    """Training views a second, normalised floats in the main process, of each way to read the same
    `count` files.

    workers: processes that read, 0 for the main one. rounds: measured passes over the files; the
    ways take turns in each. source: a folder of JPEGs that the files are varied from; the simulated
    photographs by default.

    Returns the figures and a note on what was compared. "x hypertax" is the median over the rounds
    of a way's seconds over ours.
    """
    with tempfile.TemporaryDirectory() as folder:
        files, origin = photographs(Path(folder) / "images", count, source)
        bilinear = torchvision_views(v2.InterpolationMode.BILINEAR)
        ways: dict[str, Callable[[int], Iterator[Tensor]]] = {
            OURS: lambda n: _ours(files, n),
            "ImageFolder, bilinear rotation": lambda n: _images(
                ImageFolder(Path(folder) / "images", bilinear), n
            ),
            "ImageFolder, nearest rotation": lambda n: _images(
                ImageFolder(
                    Path(folder) / "images", torchvision_views(v2.InterpolationMode.NEAREST)
                ),
                n,
            ),
        }
        try:
            import h5py  # noqa: F401
        except ImportError:
            absent = " HDF5 was not measured: h5py is not installed."
        else:
            absent = ""
            padded = write_hdf5(files, Path(folder) / "images.h5")
            ways["JPEGs in HDF5, bilinear rotation"] = lambda n: _images(
                PaddedJpegs(padded, bilinear), n
            )
        seconds = _measured(ways, workers, rounds, count)
    rows = []
    for (n, way), values in seconds.items():
        ratios = [theirs / ours for theirs, ours in zip(values, seconds[n, OURS], strict=True)]
        row = {
            "workers": str(n),
            "reader": way,
            "images/s": round(count / statistics.median(values)),
            "seconds, x hypertax": statistics.median(ratios),
        }
        rows.append(row | {"least x": min(ratios), "largest x": max(ratios)})
    note = (
        f"{count:,} JPEGs, {origin}, read from the page cache into {SIZE} px training views (256"
        f" px, rotated by up to {ROTATION:.0f} degrees, "
        f"cropped, flipped, normalised floats), batches of {BATCH}; {rounds} rounds in"
        f" turns.{absent}"
    )
    return pd.DataFrame(rows), note


def _measured(
    ways: dict[str, Callable], workers: tuple[int, ...], rounds: int, count: int
) -> dict[tuple[int, str], list[float]]:
    """Seconds of every pass, by workers and way; the way that begins changes from round to
    round."""
    seconds: dict[tuple[int, str], list[float]] = {(n, way): [] for n in workers for way in ways}
    threads = torch.get_num_threads()
    # As with workers, where each process has one thread.
    torch.set_num_threads(1)
    order = list(ways)
    for turn in tqdm(range(rounds), desc="images"):
        for n in workers:
            for way in order[turn % len(order) :] + order[: turn % len(order)]:
                started = time.perf_counter()
                made = sum(len(batch) for batch in ways[way](n))
                seconds[n, way].append(time.perf_counter() - started)
                assert made == count
    torch.set_num_threads(threads)
    return seconds


def photographs(folder: Path, count: int, source: Path | None = None) -> tuple[list[str], str]:
    """Files of BIOSCAN's size in `folder/all`, varied from those of `source` or from simulated
    ones; and which."""
    if source:
        paths, origin = (
            sorted(source.glob("*.jpg")),
            f"varied from the photographs in {source.name}",
        )
        if not paths:
            raise ValueError(f"There is no .jpg in {source}.")
    else:
        from hypertax.data import load_specimens

        paths, origin = (
            [Path(path) for path in load_specimens("simulated")["image"].dropna()[:200]],
            "varied from simulated photographs",
        )
    pictures = [Image.open(path).convert("RGB") for path in paths]
    (folder / "all").mkdir(parents=True)
    draw = random.Random(0)
    files = []
    for n in range(count):
        picture = pictures[n % len(pictures)]
        width, height = picture.size
        left, top = (0.1 * draw.random() * side for side in picture.size)
        turned = picture.rotate(draw.uniform(-4, 4), Image.Resampling.BICUBIC)
        cut = turned.resize(
            picture.size,
            Image.Resampling.BICUBIC,
            box=(left, top, left + 0.9 * width, top + 0.9 * height),
        )
        files.append(str(folder / "all" / f"{n:06d}.jpg"))
        ImageEnhance.Color(cut).enhance(draw.uniform(0.8, 1.2)).save(files[-1], quality=75)
    return files, origin


def specimens_of(files: list[str], *, augment: bool) -> Specimens:
    """Specimens of which only the photographs are known, read anew each time."""
    table = pd.DataFrame({"image": files, "barcode": None} | dict.fromkeys(RANKS))
    return Specimens(table, TaxonIndex(table), None, SIZE, augment=augment)


def _ours(files: list[str], workers: int) -> Iterator[Tensor]:
    data = specimens_of(files, augment=True)
    for batch in loader(data, BATCH, workers=workers):
        yield batch.to(torch.device("cpu")).image
        data.note(batch)


def torchvision_views(interpolation: v2.InterpolationMode) -> Callable[[Image.Image], Tensor]:
    """The same views in torchvision's own words, image by image."""
    return v2.Compose(
        [
            v2.Resize(256),
            v2.RandomRotation(ROTATION, interpolation=interpolation),
            v2.RandomCrop(SIZE),
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )


def _images(data: Dataset, workers: int) -> Iterator[Tensor]:
    return (images for images, _ in DataLoader(data, BATCH, num_workers=workers))


class PaddedJpegs(Dataset):
    """CLIBD's way: the files' bytes as rows of one HDF5 array, padded to the longest."""

    def __init__(self, path: Path, transform: Callable[[Image.Image], Tensor]) -> None:
        import h5py

        self.path, self.transform = path, transform
        with h5py.File(path) as file:
            self.sizes = file["size"][:]
        self.rows = None

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        import h5py

        if self.rows is None:
            # An open HDF5 file cannot be shared with the workers.
            self.rows = h5py.File(self.path)["image"]
        with Image.open(io.BytesIO(self.rows[index][: self.sizes[index]])) as image:
            return self.transform(image.convert("RGB")), 0


def write_hdf5(files: list[str], path: Path) -> Path:
    """Files as rows of bytes (`image`, padded) with their lengths (`size`)."""
    import h5py

    contents = [np.frombuffer(Path(file).read_bytes(), dtype=np.uint8) for file in files]
    with h5py.File(path, "w") as file:
        rows = file.create_dataset("image", (len(files), max(map(len, contents))), dtype=np.uint8)
        for n, content in enumerate(contents):
            rows[n, : len(content)] = content
        file["size"] = [len(content) for content in contents]
    return path


def main(arguments: list[str] | None = None) -> None:
    """Print the table `images` and write it to `tables/benchmarks`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--photographs", type=Path, help="folder of JPEGs to vary; the simulated ones by default"
    )
    parser.add_argument("--count", type=int, default=2000, help="files")
    parser.add_argument("--rounds", type=int, default=5, help="passes over the files")
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[0, 1, 2], help="numbers of reading processes"
    )
    given = parser.parse_args(arguments)
    frame, note = bench_images(given.count, tuple(given.workers), given.rounds, given.photographs)
    print(frame.round(2).to_string(index=False))
    note += (
        f" PyTorch {torch.__version__}, {os.cpu_count()} cores. Images a second depend on"
        " the machine; ratios are medians over the rounds."
    )
    table = frame_table(frame)
    caption = "Reading photographs for training"
    write_table(
        table,
        "images",
        ROOT / "tables" / "benchmarks",
        caption=caption,
        note=note,
        dataset="JPEGs of BIOSCAN's size",
    )


if __name__ == "__main__":
    main()
