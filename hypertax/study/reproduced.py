"""Are the tables of this machine those that are committed? Byte for byte on the same machine,
within the seeds' spread on another."""

from __future__ import annotations

import io
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hypertax.files import ROOT, shown

NOT_COMPARED = ("cost.csv", "runs.csv")
"""What is about the machine and the day: seconds, memory, versions, commits."""


@dataclass(frozen=True)
class Comparison:
    """Two versions of a data set's tables.

    same, different: names of the csv files that are the same to the byte, and that are not.
    numbers: how many means over seeds the different ones hold. beyond: those that differ by more
    than the spread of their seeds, a frame with the keys of each, `committed`, `here` and `spread`.
    """

    same: list[str]
    different: list[str]
    numbers: int
    beyond: pd.DataFrame

    def __str__(self) -> str:
        if not self.different:
            return f"The {len(self.same)} csv tables are those that are committed, byte for byte."
        said = (
            f"{len(self.same)} csv tables are those that are committed, byte for byte;"
            f" {', '.join(self.different)} differ"
        )
        if not self.numbers:
            return f"{said}."
        if self.beyond.empty:
            return f"{said}, all {self.numbers} means within the spread of their seeds."
        worst = (self.beyond["here"] - self.beyond["committed"]).abs().max()
        return (
            f"{said}: {len(self.beyond)} of {self.numbers} means by more than the spread of"
            f" their seeds, at most by {worst:.3g}."
        )


def against_committed(folder: Path) -> Comparison | None:
    """Compare the csv files below `folder` with git's last commit; None where there is no git or
    nothing is committed."""
    committed = {}
    for path in sorted(folder.rglob("*.csv")):
        if path.name in NOT_COMPARED:
            continue
        where = path.resolve().relative_to(ROOT).as_posix()
        try:
            found = subprocess.run(
                ["git", "-C", str(ROOT), "show", f"HEAD:{where}"],
                capture_output=True,
                timeout=20,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        if found.returncode == 0:
            committed[path] = found.stdout
    return compare(committed) if committed else None


def compare(committed: dict[Path, bytes]) -> Comparison:
    """Compare files on disk with other versions of their contents.

    A mean over seeds may differ by the larger of the two versions' standard deviations over the
    seeds, or by half a point where they are smaller.
    """
    same, different, numbers, beyond = [], [], 0, []
    for path, other in committed.items():
        if path.read_bytes() == other:
            same.append(shown(path))
            continue
        different.append(shown(path))
        here, there = pd.read_csv(path), pd.read_csv(io.BytesIO(other))
        if not {"mean", "sd", "n"} <= set(here.columns) & set(there.columns):
            continue
        keys = [
            name
            for name in here.columns
            if name in there.columns and name not in ("mean", "sd", "n", "runs")
        ]
        both = here.merge(there, on=keys, suffixes=("_here", "_committed"))
        spread = both[["sd_here", "sd_committed"]].max(axis=1).fillna(0.0).clip(lower=0.005)
        numbers += len(both)
        over = (both["mean_here"] - both["mean_committed"]).abs() > spread
        renamed = (
            both[over]
            .rename(columns={"mean_here": "here", "mean_committed": "committed"})
            .assign(spread=spread[over])
        )
        beyond.append(renamed[[*keys, "committed", "here", "spread"]])
    empty = pd.DataFrame(columns=["committed", "here", "spread"])
    return Comparison(
        same, different, numbers, pd.concat(beyond, ignore_index=True) if beyond else empty
    )
