"""BIOSCAN-1M (Gharaee et al., NeurIPS 2023) with CLIBD's partition, read through the PyPI package
`bioscan-dataset`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hypertax.data.bioscan1m import cache as bioscan_cache
from hypertax.data.split import SPLITS
from hypertax.files import shown
from hypertax.taxonomy import RANKS

METADATA = "BIOSCAN_Insect_Dataset_metadata.tsv"
# The package's own label columns must all be there, whether we use them or not.
_USECOLS = [
    "sampleid",
    "uri",
    "phylum",
    "class",
    *RANKS,
    "subfamily",
    "tribe",
    "nucraw",
    "image_file",
    "chunk_number",
]

_SHOWN = 5  # Missing parts of the images that a message names.


@dataclass(frozen=True)
class Layout:
    """Where the parts of BIOSCAN-1M lie below the folder that `bioscan_dataset.BIOSCAN1M` calls
    `root`."""

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
            what = (
                f"{self.partition.name}/{absent[0]}.txt"
                if self.partition.is_dir()
                else f"{self.partition.name}/"
            )
            parts.append(f"CLIBD's partition ({what}, about 30 MB)")
        if not _folders(self.images):
            state = " is empty" if self.images.is_dir() else ""
            parts.append(f"the images (images/cropped_256/{state}, about 7 GB)")
        return parts

    def missing_images(self, specimens: pd.DataFrame) -> list[str]:
        """The parts of the images that specimens name and that are not on disk or empty, for
        people.

        specimens: a column `image` of paths below `images`. A million files are not looked for: the
        folders that hold them are listed.
        """
        named = set(specimens["image"].dropna().str.replace(r"/.*", "", regex=True).unique())
        absent = sorted(named - _folders(self.images), key=lambda name: (len(name), name))
        if not absent:
            return []
        names = [
            *absent[:_SHOWN],
            *([f"{len(absent) - _SHOWN} more"] if len(absent) > _SHOWN else []),
        ]
        return [
            f"{len(absent)} of the {len(named)} parts of the images (images/cropped_256/:"
            f" {_listed(names)}; all are 7 GB)"
        ]


def read_bioscan1m(root: str | os.PathLike, *, download: bool = False) -> pd.DataFrame:
    """The specimens of BIOSCAN-1M, or of a data set in its layout, in CLIBD's splits.

    The package makes placeholder labels NA, cuts barcodes after 660 bases, and takes a genus that
    is missing above a known species from the species' first word. Images are not looked for one by
    one. A table of `bioscan_cache.MANY` specimens is kept as Parquet beside the data. It is read
    from there as long as the files are the same.

    Args:
        root: the folder that holds `bioscan1m/`.
        download: let the package fetch and verify everything first. It fetches about 8 GB and needs
            as much again on disk, since the archive of the images stays.

    Returns:
        A specimen table; see `hypertax.data.load_specimens`.

    Raises:
        ValueError: one sentence. Something is missing on disk, with the call that fetches it, or
            the files contradict one another.
    """
    root = Path(root)
    if download:
        from hypertax.data.bioscan1m.download import download_bioscan1m

        download_bioscan1m(root)
    layout = Layout.of(root)
    _require(layout.missing(), root)
    lists = [layout.partition / f"{split}.txt" for split in SPLITS]
    key = bioscan_cache.key_of([layout.metadata, *lists], sources=[Path(__file__)])
    specimens = bioscan_cache.read(root, key)
    if specimens is None:
        specimens = _specimens(_metadata(layout))
        bioscan_cache.write(specimens, root, key)
    _require(layout.missing_images(specimens), root)
    # Only now, so that a folder may be moved with what is kept in it.
    specimens["image"] = (f"{layout.images}/" + specimens["image"]).astype("str")
    return specimens


def _require(missing: list[str], root: Path) -> None:
    if missing:
        raise ValueError(
            f"BIOSCAN-1M is not complete in {shown(root)}, which lacks {_listed(missing)}: fetch"
            " it with "
            "hypertax.data.load_specimens('bioscan-1m', download=True), or name in"
            f" HYPERTAX_DATA the folder in which {root.name}/ lies."
        )


def _metadata(layout: Layout) -> pd.DataFrame:
    # Only a download checks the MD5: half a file is otherwise a smaller data set, which nobody
    # would notice.
    if _is_cut_off(layout.metadata):
        raise ValueError(
            f"{shown(layout.metadata)} is cut off within its last line: "
            "fetch it again with hypertax.data.load_specimens('bioscan-1m', download=True)."
        )
    # Imported here: it takes seconds, since it brings torch.
    from bioscan_dataset import load_bioscan1m_metadata

    try:
        table = load_bioscan1m_metadata(
            str(layout.metadata),
            partitioning_version="clibd",
            clibd_partitioning_path=str(layout.partition),
            usecols=_USECOLS,
            dtype={column: "str" for column in _USECOLS if column != "tribe"},
            # Where no row has a subfamily the package fails to fill in the tribes, which nothing
            # here needs: give every row one.
            converters={"tribe": lambda _: "any"},
        )
    except RuntimeError:
        lists = shown(layout.partition)
        raise ValueError(
            f"Some specimens of {shown(layout.metadata)} are in no list of {lists}: add each to"
            " one."
        ) from None
    except ValueError as error:
        raise ValueError(
            f"{shown(layout.metadata)} is not BIOSCAN-1M's metadata ({error}): download it again."
        ) from None
    duplicated = table["sampleid"].duplicated()
    if duplicated.any():
        first = table["sampleid"][duplicated].iloc[0]
        raise ValueError(
            f"{first} is twice in {shown(layout.metadata)} or in the lists of"
            f" {shown(layout.partition)}: keep one."
        )
    return table


def _specimens(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of a specimen table, but with images relative to the folder of all images."""
    image = "part" + table["chunk_number"] + "/" + table["image_file"]
    # Taken out, since a million barcodes are most of the table, and each of these steps holds them
    # once more.
    barcode = table.pop("nucraw")
    barcode = barcode.str.upper()
    barcode = barcode.str.replace("-", "", regex=False)
    columns = {
        "sampleid": table["sampleid"],
        "image": image,
        "barcode": barcode.mask(barcode == ""),
    }
    columns |= {rank: table[rank] for rank in RANKS} | {"split": table["clibd_split"]}
    return pd.DataFrame(
        {name: column.astype("str") for name, column in columns.items()}
    ).reset_index(drop=True)


def _is_cut_off(path: Path) -> bool:
    """Whether the last line of a tab-separated file has fewer fields than its header."""
    with path.open("rb") as file:
        header = file.readline()
        file.seek(max(0, path.stat().st_size - 2**16))
        last = file.read().rstrip(b"\r\n").rpartition(b"\n")[2]
    return last.count(b"\t") < header.count(b"\t")


def _folders(path: Path) -> set[str]:
    """Names of the folders in a folder that hold something; none where it does not exist."""
    if not path.is_dir():
        return set()
    return {
        entry.name
        for entry in os.scandir(path)
        if entry.is_dir() and next(os.scandir(entry.path), None)
    }


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
