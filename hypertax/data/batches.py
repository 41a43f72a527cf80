"""From a specimen table to what a training step takes: images, barcodes and lineages as tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from hypertax.data.barcodes.aligned import AlignedCodes
from hypertax.data.barcodes.codes import BEYOND, BarcodeCodes
from hypertax.data.features import FeatureViews
from hypertax.data.images import Photographs, normalised
from hypertax.data.taxon_index import TaxonIndex
from hypertax.files import shown, write_text

MASKED_BASES = 0.1
"""In training, up to twice this share of a read's codes (a share drawn per read) is hidden as
unknown."""
UNREADABLE = "unreadable_images.txt"


@dataclass(frozen=True)
class Batch:
    """Some specimens, B of them.

    A modality that the table does not have is None; one that a specimen lacks is False in `has_*`.

    index: (B,) rows of the table.
    image: (B, 3, S, S), bytes where a worker read them and normalised floats after `to`; or (B, F)
        features of a frozen encoder.
    has_image: (B,) bool, False also where the file could not be read.
    dna: (B, L) base codes or k-mer tokens. has_dna: (B,) bool.
    lineage: (B, 4) taxa of `TaxonIndex`, -1 unknown.
    full_text: (B,) texts of `TaxonIndex`, -1 without a label.
    """

    index: Tensor
    image: Tensor | None
    has_image: Tensor
    dna: Tensor | None
    has_dna: Tensor
    lineage: Tensor
    full_text: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device, the images as normalised floats.

        Bytes are moved and made floats there: they are a quarter of the size.
        """
        moved = self._each(lambda value: value.to(device, non_blocking=True))
        return (
            replace(moved, image=normalised(moved.image))
            if moved.image is not None and moved.image.dtype == torch.uint8
            else moved
        )

    def rows(self, which: slice) -> Batch:
        """Some of its specimens."""
        return self._each(lambda value: value[which])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        values = (getattr(self, field.name) for field in fields(self))
        return Batch(*(None if value is None else change(value) for value in values))

    def __len__(self) -> int:
        return len(self.index)


class Specimens(Dataset):
    """A specimen table as tensors.

    Args:
        table: the specimens.
        index: the lineages and texts of the same rows.
        codes: how barcodes are read, None without them.
        image_size: side in pixels, 0 without images.
        augment: random views of the images (`hypertax.data.images`) and of the barcodes [O]. A read
            that is not aligned begins up to `SHIFT` bases earlier or later, so that it is not known
            by where it begins. Some of its codes are hidden, so that it is not known by a few of
            its bases.
        features: of the photographs of the same rows, in the place of their pixels.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        index: TaxonIndex,
        codes: BarcodeCodes | AlignedCodes | None,
        image_size: int,
        augment: bool = False,
        features: FeatureViews | None = None,
    ) -> None:
        self.table = table
        self.lineage = torch.from_numpy(index.lineage)
        self.full_text = torch.from_numpy(index.full_text)
        self.augment, self.codes = augment, codes
        self.bases, self.has_dna = None, torch.zeros(len(table), dtype=torch.bool)
        if codes is not None:
            self.bases, self.has_dna = map(torch.from_numpy, codes.read(table["barcode"]))
        self.photographs: Photographs | FeatureViews | None = features
        if features is None and image_size:
            paths = [path if isinstance(path, str) else None for path in table["image"]]
            if any(path is not None for path in paths):
                self.photographs = Photographs(paths, image_size)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def has_image(self) -> Tensor:
        """(N,) bool: which specimens have a photograph that can be read, as far as `note` was
        told."""
        return (
            torch.zeros(len(self), dtype=torch.bool)
            if self.photographs is None
            else self.photographs.present
        )

    def note(self, batch: Batch) -> None:
        """Keep which photographs of a batch could be read; `photographs.unreadable()` lists the
        files of those that could not.

        Raises:
            UnreadableImages: they are too many of those tried so far; see `hypertax.data.images`.
        """
        if self.photographs is not None:
            self.photographs.note(batch.index.cpu(), batch.has_image.cpu())

    def _barcodes(self, rows: Tensor) -> Tensor:
        bases = self.bases[rows]
        if not self.augment:
            return self.codes(bases)
        if shift := self.codes.shift:
            bases = shifted(bases, torch.randint(-shift, shift + 1, (len(bases),)))
        codes = self.codes(bases)
        hidden = torch.rand(codes.shape) < 2 * MASKED_BASES * torch.rand(len(codes), 1)
        # What is beyond the read stays so; of bases, the encoder sees neither.
        return torch.where(hidden & (codes >= 0), torch.full_like(codes, self.codes.unknown), codes)

    def __getitems__(self, indices: list[int]) -> Batch:
        rows = torch.as_tensor(indices)
        if worker := get_worker_info():
            # A worker's own stream would make a view depend on how many workers there are, and on
            # the batches that it made before.
            torch.manual_seed(worker.seed - worker.id + int(indices[0]))
        image, has_image = (
            (None, self.has_image[rows])
            if self.photographs is None
            else self.photographs.view(rows, augment=self.augment)
        )
        return Batch(
            index=rows,
            image=image,
            has_image=has_image,
            dna=None if self.bases is None else self._barcodes(rows),
            has_dna=self.has_dna[rows],
            lineage=self.lineage[rows],
            full_text=self.full_text[rows],
        )

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])


def list_unreadable(tried: Iterable[Specimens], folder: Path) -> None:
    """List the photographs that could not be read in a file `unreadable_images.txt`, one a line; no
    file without any.

    Args:
        tried: the specimens whose photographs this process read. folder: of the list.
    """
    files = {
        file
        for specimens in tried
        if specimens.photographs
        for file in specimens.photographs.unreadable()
    }
    if files:
        path = folder / UNREADABLE
        write_text(path, "\n".join(sorted(files)) + "\n")
        print(f"{len(files)} images could not be read and were left out: {shown(path)}.")


def shifted(bases: Tensor, by: Tensor) -> Tensor:
    """Reads that begin later or earlier: what leaves is lost, what is not there is `BEYOND`.

    Args:
        bases: (N, L) base codes. by: (N,) bases by which each begins later; earlier if negative.
    """
    place = torch.arange(bases.shape[1]) + by[:, None]
    inside = (place >= 0) & (place < bases.shape[1])
    return torch.where(
        inside, bases.gather(1, place.clamp(0, bases.shape[1] - 1)), torch.full_like(bases, BEYOND)
    )


def loader(
    specimens: Specimens,
    batch_size: int,
    *,
    shuffle_seed: int | None = None,
    start: int = 0,
    share: tuple[int, int] = (0, 1),
    workers: int = 0,
) -> DataLoader:
    """Batches in the table's order, or shuffled by a seed.

    When shuffled, a last batch of less than half the size is dropped.

    Args:
        specimens: the table.
        batch_size: specimens of a batch, over all processes.
        shuffle_seed: None for the table's order.
        start: batches to leave out at the beginning.
        share: (i, n), the i-th of n parts of every batch, for one of n processes; together they are
            the whole batch, in its order.
        workers: processes that prepare batches, 0 for this one.
    """
    generator = None if shuffle_seed is None else torch.Generator().manual_seed(shuffle_seed)
    return DataLoader(
        specimens,
        batch_sampler=_Rows(len(specimens), batch_size, generator, start, share),
        generator=generator,
        collate_fn=_already_a_batch,
        num_workers=workers,
        # A batch of photographs is large; one waiting for each worker is enough.
        prefetch_factor=1 if workers else None,
        pin_memory=torch.cuda.is_available() and workers > 0,
    )


class _Rows(Sampler):
    """The rows of each batch, as `loader` describes them."""

    def __init__(
        self,
        count: int,
        batch_size: int,
        generator: torch.Generator | None,
        start: int,
        share: tuple[int, int],
    ) -> None:
        self.count, self.batch_size, self.generator = count, batch_size, generator
        self.start, self.share = start, share
        drop = generator is not None and count > batch_size and count % batch_size < batch_size / 2
        self.batches = count // batch_size if drop else -(-count // batch_size)

    def __len__(self) -> int:
        return self.batches - self.start

    def __iter__(self) -> Iterator[list[int]]:
        order = (
            torch.arange(self.count)
            if self.generator is None
            else torch.randperm(self.count, generator=self.generator)
        )
        part, parts = self.share
        for rows in order.split(self.batch_size)[self.start : self.batches]:
            yield rows.tensor_split(parts)[part].tolist()


def _already_a_batch(batch: Batch) -> Batch:
    return batch
