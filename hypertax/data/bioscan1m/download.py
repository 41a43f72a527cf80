"""Fetching BIOSCAN-1M by the package `bioscan-dataset`, in as many runs as the network needs."""

from __future__ import annotations

import os
import socket
import zipfile
from http.client import HTTPException
from pathlib import Path

import pandas as pd
from bioscan_dataset import BIOSCAN1M
from torchvision.datasets.utils import download_url

from hypertax.data.progress import progress_bar
from hypertax.files import shown, write_text

SILENCE = 60
"""Seconds without a byte after which a connection counts as broken; the package would wait for
ever."""


class _Download(BIOSCAN1M):
    """The package's download, which checks the MD5 of metadata, lists and archive.

    The package looks at four images only, and so takes an interrupted folder for a whole one. Here
    every name in the metadata is looked for, and unpacking goes on where it stopped.
    """

    def _check_integrity_images(self, verbose: int = 1) -> bool:
        return super()._check_integrity_images(verbose=verbose) and not self._absent_images()

    def _absent_images(self) -> list[str]:
        """Images that the metadata name and that are not on disk, except those that the archive is
        known not to hold."""
        names = pd.read_csv(
            self.metadata_path, sep="\t", usecols=["image_file", "chunk_number"], dtype="str"
        ).dropna()
        excused = (
            set(self._excuse.read_text(encoding="utf-8").splitlines())
            if self._excuse.is_file()
            else set()
        )
        absent = []
        for chunk, files in progress_bar(
            names.groupby("chunk_number")["image_file"], desc="looking for images", unit=" parts"
        ):
            folder = Path(self.image_dir) / f"part{chunk}"
            present = set(os.listdir(folder)) if folder.is_dir() else set()
            absent += [f"part{chunk}/{file}" for file in sorted(set(files) - present)]
        return [name for name in absent if name not in excused]

    @property
    def _excuse(self) -> Path:
        return Path(self.image_dir).parent / "not_in_archive.txt"

    def _download_images(self, remove_finished: bool = False, verbose: int = 1) -> None:
        if self._check_integrity_images(verbose=verbose):
            return
        data = self.zip_files[self.image_package]
        # The package's own name, so that an archive it fetched is not fetched again.
        archive = Path(self.root) / f"BIOSCAN_1M_{os.path.basename(data['url'])}"
        download_url(data["url"], self.root, filename=archive.name, md5=data["md5"])
        self._excuse.unlink(missing_ok=True)
        unpack(archive, Path(self.root) / self.base_folder, drop_prefix="bioscan/")
        # What a verified archive does not hold cannot be fetched: asking for it each time would
        # fetch 7 GB in vain.
        if absent := self._absent_images():
            write_text(self._excuse, "\n".join(absent) + "\n")

    def _load_metadata(self) -> None:
        """Do nothing: the package would read the table only to drop it."""


def unpack(archive: Path, folder: Path, *, drop_prefix: str = "") -> None:
    """Unpack an archive whose bytes are known to be right. Files that are there in full stay, and
    an interruption leaves no part of one."""
    with zipfile.ZipFile(archive) as source:
        for member in progress_bar(source.infolist(), desc="unpacking", unit=" files"):
            target = folder / member.filename.removeprefix(drop_prefix)
            if member.is_dir() or (target.is_file() and target.stat().st_size == member.file_size):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            # One name for all, so that what an interruption leaves is overwritten by the next run.
            partial = folder / ".unpacking"
            partial.write_bytes(source.read(member))
            os.replace(partial, target)


def download_bioscan1m(root: Path) -> None:
    """Fetch and verify what is missing of BIOSCAN-1M, with progress; see
    `hypertax.data.bioscan1m.reader.read_bioscan1m`.

    Raises:
        ValueError: one sentence; it could not be fetched. What is complete is kept.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        _Download(
            str(root),
            split="val_seen",
            partitioning_version="clibd",
            image_package="cropped_256",
            download=True,
        )
    except (OSError, RuntimeError, HTTPException, zipfile.BadZipFile) as error:
        # The package's "File not found or corrupted." is an MD5 that does not match.
        reason = (
            "a file arrived incomplete"
            if isinstance(error, RuntimeError)
            else " ".join(str(error).split()).rstrip(".")
        )
        raise ValueError(
            f"BIOSCAN-1M could not be downloaded to {shown(root)} ({reason}): check the network"
            " and the disk and run the same command "
            "again, which goes on from there, since all that is complete is kept."
        ) from error
    finally:
        socket.setdefaulttimeout(before)
