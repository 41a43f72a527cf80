"""Photographs' files: bytes and pixels of regular files, of known formats and up to stated limits.

What cannot be read is said by one exception, whatever is wrong with it.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import time
import warnings
from typing import BinaryIO

from PIL import Image

from hypertax.data.pixels import as_rgb
from hypertax.files import shown

FORMATS = ("JPEG", "MPO", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")
"""Pillow's names of the formats that are read, whatever a file is called. Others are refused: some
run a program, such as PostScript."""
MOST_BYTES = 512 * 2**20
"""Larger files are refused: it is what a photograph of the most pixels takes as it is."""
MOST_PIXELS = 120_000_000
"""Photographs of more pixels are refused: the largest sensors have 102 million."""
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_SETTLED = 2.0
"""A file that was changed less than so many seconds ago may change again without a new date."""
_DIGESTS: dict[tuple, str] = {}

# MOST_PIXELS is refused instead of Pillow's warning of a somewhat lower number.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class UnreadablePhotograph(ValueError):
    """A file that is no photograph, or a broken one.

    Attributes:
        reason: what is wrong with it, in a few words.
        missing: whether there is no such file.
    """

    def __init__(self, path: str | os.PathLike, reason: str, *, missing: bool = False) -> None:
        super().__init__(f"{shown(path)} cannot be read as a photograph: {reason}.")
        self.reason, self.missing = reason, missing


def read_photograph(path: str | os.PathLike) -> bytes:
    """The bytes of a photograph's file.

    Args:
        path: of a regular file, or a link to one.

    Raises:
        UnreadablePhotograph: it is not there, is no regular file, cannot be read, is empty or has
            more than `MOST_BYTES`.
    """
    with _regular(path) as file:
        try:
            content = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise _refusal(path, error) from error
    if not content:
        raise UnreadablePhotograph(path, "it is empty")
    if len(content) > MOST_BYTES:
        raise UnreadablePhotograph(path, f"it has more than {MOST_BYTES // 2**20} MiB")
    return content


def content_digest(path: str | os.PathLike) -> str | None:
    """SHA-256 of a photograph's bytes, 64 hexadecimal digits; None where it cannot be read.

    A file whose place, size, dates and inode are as they were is read once in a process.
    """
    try:
        found = os.stat(path)
        key = (os.fspath(path), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        if key not in _DIGESTS:
            digest = hashlib.sha256(read_photograph(path)).hexdigest()
            if time.time() - max(found.st_mtime, found.st_ctime) < _SETTLED:
                return digest
            _DIGESTS[key] = digest
    except (OSError, ValueError):
        return None
    return _DIGESTS[key]


def check_photograph(path: str | os.PathLike) -> None:
    """See whether a file begins as a photograph does, without decoding it.

    Raises:
        UnreadablePhotograph: it does not, or `read_photograph` would refuse it.
    """
    with _regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise UnreadablePhotograph(path, f"it has more than {MOST_BYTES // 2**20} MiB")
        if not size:
            raise UnreadablePhotograph(path, "it is empty")
        try:
            with _opened(path, file) as image:
                image.verify()
        except Exception as error:
            raise _refusal(path, error) from error


def decoded(path: str | os.PathLike, content: bytes, least: int | None = None) -> Image.Image:
    """A photograph as people see it: upright, in colours of 8 bits, on a white background.

    Args:
        path: of its file, for the error.
        content: the file's bytes.
        least: sides of at least so many pixels suffice; a JPEG is then decoded at a reduced scale.

    Raises:
        UnreadablePhotograph: the content is in none of `FORMATS`, broken, or has more than
            `MOST_PIXELS`.
    """
    try:
        with _opened(path, io.BytesIO(content)) as image:
            if least:
                image.draft("RGB", (least, least))
            return as_rgb(image)
    # Pillow's decoders raise whatever a broken file leads them to.
    except Exception as error:
        raise _refusal(path, error) from error


def _opened(path: str | os.PathLike, file: BinaryIO) -> Image.Image:
    image = Image.open(file, formats=_available())
    if image.width * image.height > MOST_PIXELS:
        raise UnreadablePhotograph(path, f"it has more than {MOST_PIXELS // 10**6} million pixels")
    return image


def _available() -> list[str]:
    """Those of `FORMATS` that this build of Pillow has."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _regular(path: str | os.PathLike) -> BinaryIO:
    try:
        # Seen before it is opened, which has effects on some devices, and afterwards, as it may
        # have been replaced.
        kind = stat.S_IFMT(os.stat(path).st_mode)
        if kind == stat.S_IFREG:
            # Not blocking: opening a pipe waits for somebody who writes to it.
            file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
            kind = stat.S_IFMT(os.fstat(file.fileno()).st_mode)
            if kind == stat.S_IFREG:
                return file
            file.close()
    except (OSError, ValueError) as error:
        raise _refusal(path, error) from error
    raise UnreadablePhotograph(path, f"it is {_KINDS.get(kind, 'no regular file')}")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _refusal(path: str | os.PathLike, error: Exception) -> UnreadablePhotograph:
    if isinstance(error, UnreadablePhotograph):
        return error
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return UnreadablePhotograph(path, "there is no such file", missing=True)
    if isinstance(error, OSError) and error.errno:
        return UnreadablePhotograph(path, os.strerror(error.errno).lower())
    if isinstance(error, Image.DecompressionBombError):
        return UnreadablePhotograph(path, f"it has more than {MOST_PIXELS // 10**6} million pixels")
    if isinstance(error, Image.UnidentifiedImageError):
        return UnreadablePhotograph(path, "it is in no known format of images")
    return UnreadablePhotograph(path, "it is broken")
