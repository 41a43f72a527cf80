"""What a step of the pipeline was made from and what it made: the stamps by which `make paper` knows
what is still there."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hypertax import sources
from hypertax.files import ROOT, WRITTEN, resolve, write_text
from hypertax.records import ENVIRONMENT, damage, digest, is_recorded

_PASSING = ("checkpoint", "best-", "broken-")
"""How the names of files begin that a run has only while it is trained."""


@dataclass
class Written:
    """What a step wrote.

    files: its published files and those in folders of runs. runs: the folders of the runs that it
    trained, True, or used, False.
    """

    files: list[Path] = field(default_factory=list)
    runs: dict[Path, bool] = field(default_factory=dict)


@contextmanager
def listing(path: Path) -> Iterator[Written]:
    """Find out what the block writes, in this process and in those that it starts: the object has
    it when the block has ended.

    Args:
        path: of a file for the list, which is removed afterwards.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("", encoding="utf-8")
    before = os.environ.get(WRITTEN)
    os.environ[WRITTEN] = str(path)
    written = Written()
    try:
        yield written
        for line in path.read_text(encoding="utf-8").splitlines():
            told = json.loads(line)
            _add(written, Path(told["path"]), told["made"])
    finally:
        path.unlink(missing_ok=True)
        if before is None:
            del os.environ[WRITTEN]
        else:
            os.environ[WRITTEN] = before


def _add(written: Written, path: Path, made: bool) -> None:
    if path.name == ENVIRONMENT:
        written.runs[path.parent] = written.runs.get(path.parent, False) or made
        return
    results = [ROOT / top for top in ("tables", "figures", "runs")]
    inside = next((top for top in results if path.is_relative_to(top)), None)
    hidden = inside and path.relative_to(inside).parts[0].startswith((".", "executed"))
    if inside and not hidden and not path.name.startswith(_PASSING) and path not in written.files:
        written.files.append(path)


def write_stamp(stamp: Path, told: str, written: Written) -> None:
    """Write a step's stamp: what is said of it, and what it made, each file with its digest."""
    content = {
        "told": told,
        "files": {_name(path): digest(path) for path in written.files if path.is_file()},
        "runs": [_name(path) for path in written.runs],
    }
    write_text(stamp, json.dumps(content, indent=1) + "\n")


def remove_stale(folder: Path) -> dict[str, str]:
    """Remove the stamps of steps whose results are gone or are not what was written.

    Where several steps write one file, only its absence counts.

    Returns:
        What is missing, by the names of the steps, to be told.
    """
    read = {path: _read(path) for path in sorted(folder.glob("*.done"))}
    claims = Counter(name for content in read.values() for name in (content or {}).get("files", ()))
    stale = {}
    for path, content in read.items():
        if reason := _missing(content, claims):
            stale[path.stem] = reason
            path.unlink()
    return stale


def _read(stamp: Path) -> dict | None:
    try:
        content = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(content, dict) and isinstance(content.get("files"), dict)
    return content if whole and isinstance(content.get("runs"), list) else None


def _missing(content: dict | None, claims: Counter) -> str | None:
    if content is None:
        return "its stamp does not say what it made"
    for name, expected in content["files"].items():
        path = ROOT / name
        if not path.is_file():
            return f"{name} is gone"
        if claims[name] == 1 and digest(path) != expected:
            return f"{name} was changed"
    for name in content["runs"]:
        folder = ROOT / name
        if not is_recorded(folder):
            return f"{name} is gone"
        if wrong := damage(folder):
            return f"{name} is damaged ({wrong})"
    return None


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def made_from(dataset: str) -> tuple[str, set[str] | None]:
    """What a data set's specimens are made from, and the views that they have.

    Args:
        dataset: its name or path.

    Returns:
        A digest of the code that reads it, of the table's bytes, and of all that the specimens are,
        photographs included; and the views, None where the specimens cannot be read, which the
        step that reads them says.
    """
    from hypertax.data import READERS, fingerprint, load_specimens, views_of

    path = resolve(dataset)
    parts = [sources.fingerprint("hypertax.data.specimens")]
    if dataset not in READERS and path.is_file():
        parts.append(digest(path))
    try:
        specimens = load_specimens(dataset)
        return _digest([*parts, fingerprint(specimens)]), views_of(specimens)
    except (ValueError, OSError):
        return _digest(parts), None


def _digest(parts: list[str]) -> str:
    # Not digits alone, which a command line would take for a number.
    return f"of-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"
