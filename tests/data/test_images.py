"""Photographs as tensors: torchvision's pixels, views that no number of workers changes, and files
that cannot be read."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from torchvision.transforms import v2

from benchmarks.images import bench_images
from hypertax.data import images
from hypertax.data.barcodes.codes import BarcodeCodes
from hypertax.data.batches import Specimens, loader
from hypertax.data.images import (
    MEAN,
    STD,
    Photographs,
    UnreadableImages,
    normalised,
    random_bytes,
    random_view,
)
from hypertax.data.taxon_index import TaxonIndex
from hypertax.taxonomy import RANKS


def photograph(path, width, height, seed=0):
    """A smooth picture, as a JPEG."""
    coarse = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(seed))
    pixels = (
        F.interpolate(255 * coarse, (height, width), mode="bicubic")
        .clamp(0, 255)[0]
        .permute(1, 2, 0)
    )
    Image.fromarray(pixels.numpy().astype(np.uint8)).save(path, quality=80)
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Twelve pictures of BIOSCAN's size."""
    folder = tmp_path_factory.mktemp("photographs")
    return [photograph(folder / f"p{n:02d}.jpg", 256 + 17 * n, 256, seed=n) for n in range(12)]


def specimens(files, size=224, *, augment=True, codes=None):
    reads = ["".join(np.random.default_rng(n).choice(list("ACGT"), 60)) for n in range(len(files))]
    table = pd.DataFrame({"image": files, "barcode": reads} | dict.fromkeys(RANKS))
    return Specimens(table, TaxonIndex(table), codes, size, augment=augment)


def broken(folder, kind):
    path = folder / f"{kind}.jpg"
    if kind == "cut":
        whole = photograph(path, 300, 256)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        return whole
    if kind == "text":
        path.write_text("not an image")
    if kind == "empty":
        path.touch()
    return str(path)


@pytest.mark.parametrize(
    ("width", "height", "rounding"),
    [(341, 256, 0), (256, 279, 0), (375, 256, 0), (500, 400, 0), (200, 150, 0), (1600, 1200, 6)],
    ids=["BIOSCAN", "upright", "half a pixel", "reduced", "enlarged", "decoded at half its size"],
)
def test_the_central_view_is_that_of_torchvision(tmp_path, width, height, rounding):
    """To the bit, unless JPEG decodes at a reduced scale: then to a few of 255 levels."""
    path = photograph(tmp_path / "p.jpg", width, height)
    usual = v2.Compose(
        [v2.Resize(256, antialias=True), v2.CenterCrop(256), v2.CenterCrop(224), v2.PILToTensor()]
    )
    with Image.open(path) as image:
        expected = usual(image.convert("RGB"))
    scaled = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])(expected)
    view, read = Photographs([path], 224).view(torch.tensor([0]), augment=False)
    assert read.item() and view.is_contiguous(memory_format=torch.channels_last)
    levels = ((view[0] - scaled) * torch.tensor(STD)[:, None, None] * 255).abs().max().item()
    assert levels <= rounding + 1e-3


def test_grey_and_other_formats_are_read_too(tmp_path):
    grey, png = tmp_path / "grey.jpg", tmp_path / "p.png"
    Image.new("L", (300, 256), 77).save(grey)
    Image.new("RGBA", (256, 256), (77, 77, 77, 255)).save(png)
    view, read = Photographs([str(grey), str(png)], 224).view(torch.arange(2), augment=False)
    assert read.all() and (view[0] - view[1]).abs().max() < 0.02


def test_a_remembered_view_is_what_earlier_runs_drew(files):
    """To the bit, with the same random numbers: written out once more, as the committed runs were
    made with it."""
    photographs = Photographs(files, 48)
    photographs.remember()
    rows = torch.tensor([3, 1, 4, 1, 5])
    torch.manual_seed(5)
    view, _ = photographs.view(rows, augment=True)
    after = torch.rand(3)
    torch.manual_seed(5)
    angle = (2 * torch.rand(5) - 1) * math.radians(45)
    flips = 2.0 * torch.randint(2, (5, 2)) - 1
    shift = (2 * torch.rand(5, 2) - 1) * (55 - 48) / 55
    turn = torch.stack(
        [torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)],
        -2,
    )
    grid = F.affine_grid(
        torch.cat([48 / 55 * turn * flips[:, None, :], shift[..., None]], dim=-1),
        [5, 3, 48, 48],
        align_corners=False,
    )
    drawn = F.grid_sample(
        photographs.cache[rows].float(),
        grid,
        mode="bilinear",
        padding_mode="reflection",
        align_corners=False,
    )
    mean, std = (255 * torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    assert torch.equal(view, drawn.sub_(mean).div_(std))
    assert torch.equal(after, torch.rand(3))


def test_bytes_are_the_random_view_rounded():
    squares = torch.randint(
        0, 256, (5, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    torch.manual_seed(1)
    exact = random_view(squares.float(), 56)
    torch.manual_seed(1)
    rounded = random_bytes(squares, 56)
    assert rounded.dtype == torch.uint8
    assert (rounded.float() - exact).abs().max() < 0.502


def test_normalised_bytes_have_mean_and_deviation_of_imagenet():
    pixels = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    torch.testing.assert_close(normalised(pixels), (pixels / 255 - mean) / std)


def batches(data, workers, seed=3):
    return [
        batch.to(torch.device("cpu"))
        for batch in loader(data, 4, shuffle_seed=seed, workers=workers)
    ]


def test_a_batch_does_not_depend_on_the_number_of_workers(files):
    """Neither its views nor its barcodes; another epoch's are others."""
    data = specimens(files, 32, codes=BarcodeCodes())
    one, two, other = batches(data, 1), batches(data, 2), batches(data, 2, seed=4)
    for a, b in zip(one, two, strict=True):
        assert (
            torch.equal(a.index, b.index)
            and torch.equal(a.image, b.image)
            and torch.equal(a.dna, b.dna)
        )
    again = {int(i): batch.image[n] for batch in other for n, i in enumerate(batch.index)}
    same = [
        torch.equal(batch.image[n], again[int(i)])
        for batch in one
        for n, i in enumerate(batch.index)
    ]
    assert len(same) == len(files) and not any(same)


def test_the_batches_of_an_epoch_are_turned_differently(files):
    """Each from its own seed, not all from the epoch's."""
    data = specimens(files[:1] * 8, 32)
    first, second = batches(data, 2)
    assert not torch.equal(first.image, second.image)


def test_workers_hand_over_bytes_and_the_batch_makes_them_floats(files):
    data = specimens(files, 32, augment=False)
    whole = next(iter(loader(data, 12)))
    handed = next(iter(loader(data, 12, workers=1)))
    assert whole.image.dtype == torch.float32 and handed.image.dtype == torch.uint8
    assert torch.equal(handed.to(torch.device("cpu")).image, whole.image)
    assert torch.equal(whole.to(torch.device("cpu")).image, whole.image)


@pytest.mark.parametrize("kind", ["cut", "text", "empty", "missing"])
@pytest.mark.parametrize("size", [48, 224], ids=["reduced", "as it is"])
def test_an_unreadable_file_is_no_error_by_itself(files, tmp_path, kind, size):
    bad = broken(tmp_path, kind)
    photographs = Photographs([files[0], bad, None], size)
    view, read = photographs.view(torch.arange(3), augment=False)
    assert read.tolist() == [True, False, False]
    black = normalised(torch.zeros(1, 3, size, size))[0]
    assert (
        torch.equal(view[1], black)
        and torch.equal(view[2], black)
        and not torch.equal(view[0], black)
    )


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("remembered", [False, True], ids=["read anew", "remembered"])
def test_unreadable_files_are_masked_and_listed(files, tmp_path, workers, remembered):
    bad = broken(tmp_path, "cut")
    data = specimens([*files[:5], bad, *files[5:], None], 32)
    if remembered:
        data.photographs.remember()
        assert data.photographs.unreadable() == [bad]
    expected = [row not in (5, 13) for row in range(14)]
    seen = {}
    for batch in loader(data, 4, shuffle_seed=0, workers=workers):
        data.note(batch)
        seen |= dict(zip(batch.index.tolist(), batch.has_image.tolist(), strict=True))
    for batch in loader(data, 4, workers=workers):
        data.note(batch)
    assert all(expected[row] == has for row, has in seen.items())
    # In the process that trains, too, where only the batches tell.
    assert data.has_image.tolist() == expected and data.photographs.unreadable() == [bad]


def test_a_file_that_comes_back_is_used_again(files, tmp_path):
    path = tmp_path / "late.jpg"
    data = specimens([*files, str(path)], 32)
    data.note(data.__getitems__(list(range(13))))
    assert not data.has_image[12]
    photograph(path, 300, 256)
    data.note(data.__getitems__([12]))
    assert data.has_image.all() and data.photographs.unreadable() == []


def test_too_many_unreadable_files_end_a_run_with_their_names(files, tmp_path, monkeypatch):
    bad = [str(tmp_path / f"gone{n}.jpg") for n in range(4)]
    message = (
        r"^4 of the 16 images tried cannot be read, which is more than 1%: check that"
        r" .*gone0\.jpg, .*gone1\.jpg, .*gone2\.jpg, \.\.\.$"
    )
    with pytest.raises(UnreadableImages, match=message):
        specimens([*bad, *files], 32).photographs.remember()
    data = specimens([*bad, *files], 32)
    # Not judged by its first batch, but by all of the table, or by many.
    data.note(data.__getitems__([0, 1, 2, 3, 4, 5]))
    with pytest.raises(UnreadableImages, match=message):
        data.note(data.__getitems__(list(range(6, 16))))
    monkeypatch.setattr(images, "JUDGED_FROM", 6)
    data = specimens([*bad, *files], 32)
    with pytest.raises(UnreadableImages, match="^4 of the 6 images"):
        data.note(data.__getitems__([0, 1, 2, 3, 4, 5]))


def test_one_in_a_hundred_is_not_too_many():
    photographs = Photographs([f"{n}.jpg" for n in range(1000)], 32)
    read = torch.ones(1000, dtype=torch.bool)
    read[:10] = False
    photographs.note(torch.arange(1000), read)
    assert len(photographs.unreadable()) == 10
    read[10] = False
    with pytest.raises(UnreadableImages, match="^11 of the 1,000"):
        photographs.note(torch.arange(1000), read)


@pytest.mark.slow
def test_the_benchmark_measures_every_reader_on_the_same_files():
    frame, note = bench_images(8, (0, 1), 1)
    readers = frame.groupby("workers")["reader"].agg(list)
    assert readers["0"] == readers["1"] and readers["0"][0] == "hypertax"
    assert (frame["images/s"] > 0).all() and (
        frame.loc[frame["reader"] == "hypertax", "seconds, x hypertax"] == 1
    ).all()
    assert any("HDF5" in reader for reader in readers["0"]) != ("h5py is not installed" in note)
