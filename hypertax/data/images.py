"""Photographs as tensors: decoding to a square, the random view of training and the central one of
evaluation."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import get_worker_info
from torchvision.transforms import v2

from hypertax.data.photograph_files import UnreadablePhotograph, decoded, read_photograph
from hypertax.data.progress import progress_bar
from hypertax.files import shown

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
ROTATION = 45.0
"""Largest random rotation, degrees [B]."""
CACHED = 20_000
"""Up to this many photographs are decoded once and kept, reduced, in memory."""
LONGEST = 8
"""Largest ratio of a photograph's sides that is resized whole."""
MOST_UNREADABLE = 0.01
"""A larger share of unreadable files is an error: something is wrong with the folder or the disk,
not with a file."""
JUDGED_FROM = 1000
"""That share is judged once so many files were tried, or all there are, so that two bad files in a
first batch end nothing."""


class UnreadableImages(ValueError):
    """More of the photographs cannot be read than a training should do without; the message names
    the first of them."""


class Photographs:
    """The image files of a table, as (3, R, R) bytes with R = 256/224 of the encoder's image size [B].

    Args:
        paths: one per specimen, None where it has none (black).
        size: side S of the views given to the encoder, pixels.

    Attributes:
        present: (N,) bool, False without a path, and where `note` was told of a failed reading.
        tried: (N,) bool, the rows that `note` was told of.
    """

    def __init__(self, paths: list[str | None], size: int) -> None:
        self.paths, self.size = paths, size
        self.side = square_side(size)
        self.has_path = torch.tensor([path is not None for path in paths], dtype=torch.bool)
        self.present, self.tried = self.has_path.clone(), torch.zeros(len(paths), dtype=torch.bool)
        self.cache: Tensor | None = None

    def remember(self) -> None:
        """Decode every photograph once, in threads, unless there are too many to keep.

        Raises:
            UnreadableImages: more than `MOST_UNREADABLE` of them cannot be read; a smaller share is
            black and not `present`.
        """
        if self.cache is None and len(self.paths) <= CACHED:
            cache = torch.zeros(len(self.paths), 3, self.side, self.side, dtype=torch.uint8)
            with ThreadPoolExecutor() as pool:
                found = pool.map(self._read, cache, self.paths)
                bar = progress_bar(
                    found,
                    total=len(self.paths),
                    desc="reading images",
                    unit=" images",
                    leave=False,
                    mininterval=1,
                    delay=2,
                )
                read = torch.tensor(list(bar), dtype=torch.bool)
            self.note(torch.arange(len(read)), read)
            self.cache = cache

    def _read(self, square: Tensor, path: str | None) -> bool:
        """Decode a file into `square`, (3, R, R) bytes; whether there is one that can be read."""
        if path is None:
            return False
        try:
            square.copy_(middle_square(path, read_photograph(path), self.side))
        except UnreadablePhotograph:
            return False
        return True

    def note(self, rows: Tensor, read: Tensor) -> None:
        """Keep what a reading found, `read` (B,) bool, of some rows (B,): a loader's workers are
        copies, and know it for themselves only.

        Raises:
            UnreadableImages: more than `MOST_UNREADABLE` of the files tried so far (and more than
            one) cannot be read.
        """
        self.present[rows], self.tried[rows] = read, self.has_path[rows]
        tried = int(self.tried.sum())
        if tried >= JUDGED_FROM or tried == int(self.has_path.sum()):
            refuse_many_unreadable(tried, self.unreadable())

    def unreadable(self) -> list[str]:
        """The files that `note` was told cannot be read, in the table's order."""
        return [self.paths[i] for i in torch.nonzero(self.tried & ~self.present).flatten().tolist()]

    def view(self, rows: Tensor, *, augment: bool) -> tuple[Tensor, Tensor]:
        """Views of some rows: random ones for training, the central crop otherwise; black where no
        file can be read.

        Returns (B, 3, S, S), normalised floats or, of photographs that a loader's worker reads,
        bytes: a quarter to hand over, and `normalised` where they arrive; and (B,) bool, whether
        there is a photograph that could be read.
        """
        if self.cache is not None:
            squares, read = self.cache[rows], self.present[rows]
            return normalised(
                random_view(squares.float(), self.size)
                if augment
                else central_view(squares, self.size)
            ), read
        squares = torch.zeros(len(rows), self.side, self.side, 3, dtype=torch.uint8).permute(
            0, 3, 1, 2
        )
        read = torch.tensor(
            [
                self._read(square, self.paths[i])
                for square, i in zip(squares, rows.tolist(), strict=True)
            ],
            dtype=torch.bool,
        )
        view = random_bytes(squares, self.size) if augment else central_view(squares, self.size)
        return (view if get_worker_info() else normalised(view)), read


def square_side(size: int) -> int:
    """Side R = 256/224 S of the square that views of side S are cut from, pixels [B]."""
    return round(size * 256 / 224)


def middle_square(path: str, content: bytes, side: int) -> Tensor:
    """The middle of a photograph, resized: (3, R, R) bytes.

    Args:
        path: of its file, for the error. content: the file's bytes.
        side: R, pixels.

    Raises:
        UnreadablePhotograph: the content is no image, or a broken one.
    """
    # JPEG decodes at a reduced scale when the target is small: most of the time is saved there.
    picture = _not_too_long(decoded(path, content, least=2 * side))
    return _middle(picture, side) if min(picture.size) == side else _to_square(side)(picture)


def _not_too_long(picture: Image.Image) -> Image.Image:
    """A strip is cut to its middle first: resized whole, it would fill the memory."""
    width, height = picture.size
    most = LONGEST * min(width, height)
    if max(width, height) <= most:
        return picture
    left, top = max(0, width - most) // 2, max(0, height - most) // 2
    return picture.crop((left, top, left + min(width, most), top + min(height, most)))


@cache
def _to_square(side: int) -> v2.Compose:
    return v2.Compose([v2.Resize(side, antialias=True), v2.CenterCrop(side), v2.PILToTensor()])


def _middle(picture: Image.Image, side: int) -> Tensor:
    """What `_to_square` makes of a picture that is not to be resized, as BIOSCAN's at 224 px are
    not, without its copies."""
    left, top = (round((length - side) / 2) for length in picture.size)
    pixels = np.asarray(picture)[top : top + side, left : left + side]
    # Without a warning that the picture's own pixels are not to be written to.
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


def refuse_many_unreadable(tried: int, files: list[str]) -> None:
    """Refuse to go on where too many photographs cannot be read.

    Args:
        tried: photographs, read or not.
        files: those that cannot be read.

    Raises:
        UnreadableImages: they are more than `MOST_UNREADABLE` of those tried, and more than one.
    """
    if len(files) > max(1, MOST_UNREADABLE * tried):
        first = ", ".join(map(shown, files[:3])) + (", ..." if len(files) > 3 else "")
        raise UnreadableImages(
            f"{len(files):,} of the {tried:,} images tried cannot be read, which is more than"
            f" {MOST_UNREADABLE:.0%}: "
            f"check that these files are there and whole: {first}"
        )


def normalised(view: Tensor) -> Tensor:
    """(B, 3, S, S) of 0 to 255, bytes or floats, as floats by ImageNet's mean and deviation, the
    channels last in memory."""
    count, channels, height, width = view.shape
    # Whole rows of pixels at a time: three channels in the innermost loop would take several times
    # as long.
    mean, std = (
        (255 * torch.tensor(values, device=view.device)).repeat(width) for values in (MEAN, STD)
    )
    lines = view.permute(0, 2, 3, 1).reshape(count, height, width * channels)
    return (
        lines.to(torch.float32, copy=True)
        .sub_(mean)
        .div_(std)
        .view(count, height, width, channels)
        .permute(0, 3, 1, 2)
    )


def central_view(squares: Tensor, size: int) -> Tensor:
    """The middle of squares, (B, 3, R, R) to (B, 3, S, S)."""
    margin = (squares.shape[-1] - size) // 2
    return squares[..., margin : margin + size, margin : margin + size].contiguous(
        memory_format=torch.channels_last
    )


def random_affine(
    count: int, side: int, size: int, generator: torch.Generator | None = None
) -> Tensor:
    """(count, 2, 3) maps from a view's coordinates to those of its square: turns by up to 45
    degrees, flips both ways, and shifts [B].

    Args:
        count: of the maps.
        side: R of the squares, pixels.
        size: S of the views, pixels.
        generator: draws them; PyTorch's global one by default.
    """
    angle = (2 * torch.rand(count, generator=generator) - 1) * math.radians(ROTATION)
    flips = 2.0 * torch.randint(2, (count, 2), generator=generator) - 1
    shift = (2 * torch.rand(count, 2, generator=generator) - 1) * (side - size) / side
    turn = torch.stack(
        [torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)],
        -2,
    )
    return torch.cat([size / side * turn * flips[:, None, :], shift[..., None]], dim=-1)


def random_view(squares: Tensor, size: int) -> Tensor:
    """Rotated by up to 45 degrees, flipped both ways and cropped at random, each image by itself
    [B]: (B, 3, R, R) to (B, 3, S, S) floats."""
    return mapped_view(squares, random_affine(len(squares), squares.shape[-1], size), size)


def mapped_view(squares: Tensor, maps: Tensor, size: int) -> Tensor:
    """Views by the maps of `random_affine`: (B, 3, R, R) and (B, 2, 3) to (B, 3, S, S) floats.

    One resampling for the whole batch; where a rotated crop reaches over the edge the picture is
    mirrored.
    """
    grid = F.affine_grid(maps, [len(squares), 3, size, size], align_corners=False)
    return F.grid_sample(
        squares, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def random_bytes(squares: Tensor, size: int) -> Tensor:
    """`random_view` of bytes, rounded to bytes: (B, 3, R, R) to (B, 3, S, S), the channels last in
    memory.

    Three times as fast for large pictures: a few at a time stay in the processor's cache, and a
    grid that is a sum of a row and a column costs less than `affine_grid`'s matrix product. That
    rounds otherwise in the last digit, so what is in memory keeps `random_view`.
    """
    maps = random_affine(len(squares), squares.shape[-1], size)
    centres = (2 * torch.arange(size) + 1) / size - 1
    across, down = maps[:, :, :1] * centres, maps[:, :, 1:2] * centres + maps[:, :, 2:]
    views = torch.empty(
        len(squares), 3, size, size, dtype=torch.uint8, memory_format=torch.channels_last
    )
    at_once = torch.get_num_threads()
    for start in range(0, len(squares), at_once):
        part = slice(start, start + at_once)
        grid = (across[part, :, None, :] + down[part, :, :, None]).permute(0, 2, 3, 1)
        floats = squares[part].to(torch.float32, memory_format=torch.contiguous_format)
        sampled = F.grid_sample(
            floats, grid, mode="bilinear", padding_mode="reflection", align_corners=False
        )
        views[part] = sampled.round_()
    return views
