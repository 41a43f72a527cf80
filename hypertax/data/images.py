"""Photographs as tensors: decoding to a square, the random view of training and the central one of evaluation."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import v2
from tqdm import tqdm

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
ROTATION = 45.0
"""Largest random rotation, degrees [B]."""
CACHED = 20_000
"""Up to this many photographs are decoded once and kept, reduced, in memory."""


class Photographs:
    """The image files of a table, as (3, R, R) bytes with R = 256/224 of the encoder's image size [B].

    paths: one per specimen, None where it has none (black). size: side S of the views given to the encoder, pixels.
    """

    def __init__(self, paths: list[str | None], size: int) -> None:
        self.paths, self.size = paths, size
        side = round(size * 256 / 224)
        self.to_square = v2.Compose([v2.Resize(side, antialias=True), v2.CenterCrop(side), v2.PILToTensor()])
        self.empty = torch.zeros(3, side, side, dtype=torch.uint8)
        self.cache: Tensor | None = None

    def remember(self) -> None:
        """Decode every photograph once, in threads, unless there are too many to keep."""
        if self.cache is None and len(self.paths) <= CACHED:
            with ThreadPoolExecutor() as pool:
                found = pool.map(self._read, self.paths)
                bar = tqdm(found, total=len(self.paths), desc="reading images", leave=False, mininterval=1, delay=2)
                self.cache = torch.stack(list(bar))

    def _read(self, path: str | None) -> Tensor:
        if path is None:
            return self.empty
        with Image.open(path) as image:
            # JPEG decodes at a reduced scale when the target is small: most of the time is saved there.
            image.draft("RGB", (2 * self.empty.shape[1],) * 2)
            return self.to_square(image.convert("RGB"))

    def view(self, rows: Tensor, *, augment: bool) -> Tensor:
        """(B, 3, S, S) normalised views of some rows: random ones for training, the central crop otherwise."""
        squares = self.cache[rows] if self.cache is not None else torch.stack([self._read(self.paths[i]) for i in rows.tolist()])
        if augment:
            pixels = random_view(squares.float(), self.size)
        else:
            margin = (squares.shape[-1] - self.size) // 2
            pixels = squares[..., margin : margin + self.size, margin : margin + self.size].float()
        mean, std = (255 * torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        return pixels.sub_(mean).div_(std).contiguous(memory_format=torch.channels_last)


def random_view(squares: Tensor, size: int) -> Tensor:
    """Rotated by up to 45 degrees, flipped both ways and cropped at random, each image by itself [B]: (B, 3, R, R) to (B, 3, S, S) floats.

    One resampling for the whole batch; where a rotated crop reaches over the edge the picture is mirrored.
    """
    count, side = len(squares), squares.shape[-1]
    angle = (2 * torch.rand(count) - 1) * math.radians(ROTATION)
    flips = 2.0 * torch.randint(2, (count, 2)) - 1
    shift = (2 * torch.rand(count, 2) - 1) * (side - size) / side
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)], -2)
    matrix = torch.cat([size / side * turn * flips[:, None, :], shift[..., None]], dim=-1)
    grid = F.affine_grid(matrix, [count, 3, size, size], align_corners=False)
    return F.grid_sample(squares, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
