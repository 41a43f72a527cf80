"""Run folders: their names, what is in them, and whether a finished one can be used again."""

from __future__ import annotations

import json
import platform
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
import torch
import yaml

from hypertax.config.run_config import RunConfig
from hypertax.embeddings import Embeddings
from hypertax.files import HOME, ROOT, resolve, write_text
from hypertax.training.identity import behaviour, own_fingerprint, run_key

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
        return json.loads((self.folder / "environment.json").read_text(encoding="utf-8"))

    def embeddings(self) -> Embeddings:
        """Embeddings of the best epoch: every specimen outside `no_split`, and every taxon."""
        return Embeddings.load(self.folder / "embeddings.parquet")


def runs_folder(output: str | Path | None) -> Path:
    """Where runs are kept: `output` as the user gave it, or the repository's `runs`."""
    return ROOT / "runs" if not output else resolve(output)


def run_name(config: RunConfig, data_fingerprint: str, *, method: str | None = None) -> str:
    """Readable, and unique to configuration, data and the behaviour of the training code: equal
    names mean equal results."""
    key = run_key(config, data_fingerprint, behaviour(), method)
    return f"{method or config.method}-seed{config.seed}-{key}"


def finished(folder: Path) -> Run | None:
    """The run in a folder if it is complete: `environment.json` is written last."""
    return Run(folder) if (folder / "environment.json").is_file() else None


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
    """Record what a run depended on; its presence says that the run is complete.

    What a killed process left behind half-written goes first.
    """
    for leftover in folder.glob(".*"):
        shutil.rmtree(leftover, ignore_errors=True)
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
    }
    write_text(folder / "environment.json", json.dumps(record, indent=2) + "\n")


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
