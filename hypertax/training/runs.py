"""Run folders: their names, what is in them, and whether a finished one can be used again."""

from __future__ import annotations

import json
import platform
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
import torch
import yaml

from hypertax.config.run_config import RunConfig
from hypertax.embeddings import Embeddings
from hypertax.files import HOME, ROOT, note, remove_abandoned, resolve, shown, write_text
from hypertax.training.identity import behaviour, own_fingerprint, run_key
from hypertax.training.locks import training_alone
from hypertax.records import ENVIRONMENT, damage, file_records, is_recorded

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "geoopt",
    "accelerate",
    "numpy",
    "pandas",
)


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name, `hyperbolic-cl-sel-seed0-1a2b3c4d`."""
        return self.folder.name

    @property
    def config(self) -> RunConfig:
        """The configuration it was trained with."""
        description = yaml.safe_load((self.folder / "config.yaml").read_text(encoding="utf-8"))
        description.pop("modalities", None)
        return RunConfig.from_dict(description)

    @property
    def history(self) -> pd.DataFrame:
        """One row per epoch, epoch 0 before training."""
        return pd.read_csv(self.folder / "history.csv")

    @property
    def environment(self) -> dict:
        """Versions, commit, device, seconds."""
        return json.loads((self.folder / ENVIRONMENT).read_text(encoding="utf-8"))

    def embeddings(self) -> Embeddings:
        """Embeddings of the best epoch: every specimen outside `no_split`, and every taxon."""
        return Embeddings.load(self.folder / "embeddings.parquet")


def runs_folder(output: str | Path | None) -> Path:
    """Where runs are kept: `output` as the user gave it, or the repository's `runs`.

    Raises:
        ValueError: `output` is no path, or the path of a file.
    """
    if output is None or output == "":
        return ROOT / "runs"
    if not isinstance(output, str | Path):
        raise ValueError(  # noqa: TRY004
            f"output must be the path of a folder, such as './{output}', not {output!r}."
        )
    folder = resolve(output)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"output must be a folder, and {shown(folder)} is none.")
    return folder


def run_name(config: RunConfig, data_fingerprint: str, *, method: str | None = None) -> str:
    """Readable, and unique to configuration, data and the behaviour of the training code: equal
    names mean equal results."""
    key = run_key(config, data_fingerprint, behaviour(), method)
    return f"{method or config.method}-seed{config.seed}-{key}"


def finished(folder: Path) -> Run | None:
    """The run in a folder if it is finished and whole: its files are those that were written.

    A damaged one is warned of, and counts as none.
    """
    if not is_recorded(folder):
        return None
    if wrong := damage(folder):
        warnings.warn(
            f"The run {shown(folder)} is damaged ({wrong}) and is not used.", stacklevel=2
        )
        return None
    # Of whoever asked: what it makes is made from this.
    note(folder / ENVIRONMENT, made=False)
    return Run(folder)


@contextmanager
def finished_or_alone(folder: Path, tell: Callable[[str], object]) -> Iterator[Run | None]:
    """The finished run of a folder; without one None, and no other process trains it during the
    block.

    Where another process trains it now, it is waited for.

    Args:
        folder: of the run. tell: given a sentence where there is something to say.
    """
    there = f"{shown(folder)} is there already: the same configuration, data and code."
    if run := finished(folder):
        tell(there)
        yield run
        return
    with training_alone(folder, tell):
        if run := finished(folder):
            tell(there)
        yield run


def peak_memory(device: torch.device) -> int:
    """Most memory of this process so far, MiB: of the GPU where there is one, resident
    otherwise."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(
        peak / (2**20 if sys.platform == "darwin" else 2**10)
    )  # macOS counts bytes, Linux KiB


def write_environment(folder: Path, **facts) -> None:
    """Record what a run depended on, and which files belong to it: the run is complete with it.

    What a killed process of ours left behind half-written goes first.
    """
    remove_abandoned(folder)
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    record = {
        "python": platform.python_version(),
        "system": platform.system(),
        "versions": versions,
        "commit": _commit(),
        "behaviour": behaviour(),
        "sources": own_fingerprint(),
        **facts,
        "files": file_records(folder),
    }
    write_text(folder / ENVIRONMENT, json.dumps(record, indent=2) + "\n")


def _commit() -> str | None:
    if not (HOME / ".git").exists():
        return None  # Installed: a repository around it is somebody else's.
    try:
        git = ["git", "-C", str(HOME)]
        commit = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "hypertax"], capture_output=True, text=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit} with changes" if changed else commit
