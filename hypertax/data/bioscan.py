"""BIOSCAN-1M (Gharaee et al., NeurIPS 2023) with CLIBD's partition, read through the PyPI package `bioscan-dataset`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hypertax.data.split import SPLITS
from hypertax.files import shown
from hypertax.taxonomy import RANKS

METADATA = "BIOSCAN_Insect_Dataset_metadata.tsv"
# The package's own label columns must all be there, whether we use them or not.
_USECOLS = ["sampleid", "uri", "phylum", "class", *RANKS, "subfamily", "tribe", "nucraw", "image_file", "chunk_number"]


@dataclass(frozen=True)
class Layout:
    """Where the parts of BIOSCAN-1M lie below the folder that `bioscan_dataset.BIOSCAN1M` calls `root`."""

    metadata: Path
    partition: Path
    images: Path

    @classmethod
    def of(cls, root: Path) -> Layout:
        base, metadata = root / "bioscan1m", root / "bioscan1m" / METADATA
        if not base.is_dir() and (root / METADATA).is_file() and (root / "bioscan").is_dir():
            # Downloaded by version 1.1 of the package or an earlier one.
            base, metadata = root / "bioscan", root / METADATA
        return cls(metadata, base / "CLIBD_partitioning", base / "images" / "cropped_256")

    def missing(self) -> list[str]:
        """The parts that are not on disk, for people."""
        parts = []
        if not self.metadata.is_file():
            parts.append(f"the metadata ({self.metadata.name}, about 1.2 GB)")
        absent = [split for split in SPLITS if not (self.partition / f"{split}.txt").is_file()]
        if absent:
            what = f"{self.partition.name}/{absent[0]}.txt" if self.partition.is_dir() else f"{self.partition.name}/"
            parts.append(f"CLIBD's partition ({what}, about 30 MB)")
        if not self.images.is_dir():
            parts.append("the images (images/cropped_256/, about 7 GB)")
        return parts


def read_bioscan1m(root: str | os.PathLike, *, download: bool = False) -> pd.DataFrame:
    """The specimens of BIOSCAN-1M, or of a data set in its layout, in CLIBD's splits.

    Placeholder labels are NA, a genus missing above a known species is the species' first word, and barcodes end after 660 bases (all
    three the package's doing). Images are not looked for one by one.

    root: the folder that holds `bioscan1m/`. download: let the package fetch and verify everything first (about 8 GB, and as much
    again on disk while it is unpacked).

    Returns a specimen table; see `hypertax.data.load_specimens`.

    Raises:
        ValueError: one sentence; something is missing on disk, with the call that fetches it, or the files contradict one another.
    """
    root = Path(root)
    if download:
        _download(root)
    layout = Layout.of(root)
    if parts := layout.missing():
        raise ValueError(
            f"BIOSCAN-1M is not complete in {shown(root)}, which lacks {_listed(parts)}: fetch it with "
            f"hypertax.data.load_specimens('bioscan-1m', download=True), or name in HYPERTAX_DATA the folder in which {root.name}/ lies."
        )
    return _specimens(_metadata(layout), layout)


def _download(root: Path) -> None:
    from bioscan_dataset import BIOSCAN1M

    try:
        # The smallest split: the package loads the metadata when it has fetched them.
        BIOSCAN1M(str(root), split="val_seen", partitioning_version="clibd", image_package="cropped_256", download=True)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ValueError(f"BIOSCAN-1M could not be downloaded to {shown(root)} ({reason}): check the network and the disk.") from error


def _metadata(layout: Layout) -> pd.DataFrame:
    # Imported here: it takes seconds, since it brings torch.
    from bioscan_dataset import load_bioscan1m_metadata

    try:
        table = load_bioscan1m_metadata(
            str(layout.metadata),
            partitioning_version="clibd",
            clibd_partitioning_path=str(layout.partition),
            usecols=_USECOLS,
            dtype={column: "str" for column in _USECOLS if column != "tribe"},
            # Where no row has a subfamily the package fails to fill in the tribes, which nothing here needs: give every row one.
            converters={"tribe": lambda _: "any"},
        )
    except RuntimeError:
        lists = shown(layout.partition)
        raise ValueError(f"Some specimens of {shown(layout.metadata)} are in no list of {lists}: add each to one.") from None
    except ValueError as error:
        raise ValueError(f"{shown(layout.metadata)} is not BIOSCAN-1M's metadata ({error}): download it again.") from None
    duplicated = table["sampleid"].duplicated()
    if duplicated.any():
        first = table["sampleid"][duplicated].iloc[0]
        raise ValueError(f"{first} is twice in {shown(layout.metadata)} or in the lists of {shown(layout.partition)}: keep one.")
    return table


def _specimens(table: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    image = f"{layout.images}/part" + table["chunk_number"] + "/" + table["image_file"]
    barcode = table["nucraw"].str.upper().str.replace("-", "", regex=False)
    columns = {"sampleid": table["sampleid"], "image": image, "barcode": barcode.mask(barcode == "")}
    columns |= {rank: table[rank] for rank in RANKS} | {"split": table["clibd_split"]}
    return pd.DataFrame({name: column.astype("str") for name, column in columns.items()}).reset_index(drop=True)


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
