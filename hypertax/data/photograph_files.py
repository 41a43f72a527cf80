"""Photographs' files: their bytes and their content's digest, of regular files only."""

from __future__ import annotations

import hashlib
import os
import stat

MOST_BYTES = 256 * 2**20
"""A larger file is refused: a photograph of 100 million pixels takes less."""

_DIGESTS: dict[tuple[str, int, int, int], str] = {}


def read_photograph(path: str | os.PathLike) -> bytes:
    """The bytes of a photograph's file.

    Args:
        path: of a regular file, or a link to one.

    Raises:
        OSError: the file is not there or cannot be read.
        ValueError: it is a folder, a pipe or a device, or larger than `MOST_BYTES`.
    """
    # Not blocking: opening a named pipe would otherwise wait for somebody who writes to it.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    with open(handle, "rb") as file:
        return _whole(file, path)


def content_digest(path: str | os.PathLike) -> str | None:
    """SHA-256 of a photograph's bytes, 64 hexadecimal digits; None where it cannot be read.

    A file whose place, size, date and inode are as they were is read once in a process.
    """
    try:
        found = os.stat(path)
        key = (os.fspath(path), found.st_size, found.st_mtime_ns, found.st_ino)
        if key not in _DIGESTS:
            _DIGESTS[key] = hashlib.sha256(read_photograph(path)).hexdigest()
    except (OSError, ValueError):
        return None
    return _DIGESTS[key]


def _whole(file, path: str | os.PathLike) -> bytes:
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{os.fspath(path)} is no regular file: name the file of a photograph.")
    content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(
            f"{os.fspath(path)} has more than {MOST_BYTES // 2**20} MiB, which no photograph"
            " needs: replace it by a smaller one."
        )
    return content
