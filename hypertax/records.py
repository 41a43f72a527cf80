"""Whether a run is whole: the sizes and digests of its files, kept in `environment.json`. No torch
is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

ENVIRONMENT = "environment.json"
NEEDED = ("config.yaml", "tokenizer.json", "model.safetensors", "history.csv", "embeddings.parquet")
"""What every run has."""
_LONGEST = 2**22
"""Bytes of the longest record."""
_LATER = ("environment.json", "notebook.ipynb", "unreadable_images.txt")
"""What is written after the record, or anew by those who read the run."""
_WORKING = ("checkpoint", "best", "broken-")
"""How the names begin of what is there only while a run is trained."""


def file_records(folder: Path) -> dict[str, dict]:
    """Bytes and SHA-256 of a run's files, by name; of those alone that stay as they are."""
    return {
        path.name: {"bytes": path.stat().st_size, "sha256": digest(path)}
        for path in sorted(folder.iterdir())
        if path.is_file()
        and path.name not in _LATER
        and not path.name.startswith((".", *_WORKING))
    }


def digest(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits; found once while the file stays as it is."""
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


@lru_cache(maxsize=4096)
def _digest(path: Path, *_version: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_recorded(folder: Path) -> bool:
    """Whether a folder says that its run is finished; `damage` tells whether that is so."""
    return (folder / ENVIRONMENT).is_file()


def damage(folder: Path, names: Iterable[str] | None = None) -> str | None:
    """What is wrong with a finished run, in a few words; None where it is whole.

    Args:
        folder: of a run whose `environment.json` is there.
        names: of the files that count; all that belong to the run by default.
    """
    path = folder / ENVIRONMENT
    try:
        if path.stat().st_size > _LONGEST:
            return f"{ENVIRONMENT} is too long"
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return f"{ENVIRONMENT} cannot be read"
    files = record.get("files") if isinstance(record, dict) else None
    if not isinstance(files, dict):
        return f"{ENVIRONMENT} does not say which files belong to it"
    for name in names or dict.fromkeys([*NEEDED, *files]):
        told = files.get(name)
        if not isinstance(told, dict) or Path(name).name != name:
            return f"{ENVIRONMENT} does not describe {name[:80]!r}"
        path = folder / name
        try:
            if path.stat().st_size != told.get("bytes") or digest(path) != told.get("sha256"):
                return f"{name} is not what was written"
        except OSError:
            return f"{name} is missing"
    return None
