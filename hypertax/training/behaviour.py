"""Whether the working tree trains as the commit does at which the constant was set, to the bit.

    make behaviour

runs both on this machine, with one thread: the cases of `hypertax.training.behaviour_cases`, and
compares history, weights and embeddings byte by byte. Where all are equal, the fingerprint of the
sources is added to `behaviour.json`, and runs keep their names. Commit that file.

Where training differs and is meant to, commit the change and set a new constant:

    make behaviour NEW=1

It names runs from then on, and runs that were made before are not used again. A bit may also differ
because of another version of PyTorch or another processor; here both sides have the same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from safetensors.torch import load_file

from hypertax.files import ROOT
from hypertax.training import behaviour_cases
from hypertax.training.identity import Listing, fingerprint


def compare(old: Path, new: Path, cases: Iterable[str] = behaviour_cases.CASES) -> str | None:
    """Run cases in two versions of the library; prints how far it is.

    Args:
        old: the folder that holds the one `hypertax`.
        new: the folder that holds the other.
        cases: names in `hypertax.training.behaviour_cases.CASES`.

    Returns:
        Where the two differ first, as a sentence; None where they do not.

    Raises:
        RuntimeError: a case cannot be run in the old version.
    """
    cases = list(cases)
    with tempfile.TemporaryDirectory(prefix="hypertax-behaviour-") as temporary:
        # The first process writes what both read.
        inputs = Path(temporary) / "inputs"
        before = dict(run_cases(old, inputs, Path(temporary) / "old", cases, "before"))
        try:
            for name, folder in run_cases(new, inputs, Path(temporary) / "new", cases, "now"):
                where = difference(before[name], folder)
                if where:
                    return f"{name}: {where}."
        except RuntimeError as error:
            return str(error)
    return None


def run_cases(
    tree: Path, inputs: Path, output: Path, cases: list[str], label: str
) -> Iterator[tuple[str, Path]]:
    """Run cases in one version of the library, in a process of its own.

    Args:
        tree: the folder that holds `hypertax`.
        inputs: the folder that the cases read; it is written if it is not there.
        output: a new folder for the runs.
        cases: names of cases.
        label: what the lines that say how far it is begin with.

    Yields:
        Each case's name and its run folder, as soon as it is finished.

    Raises:
        RuntimeError: a case stopped; names it and its last word.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree),
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        # What one version aligned, the other must not take over.
        "HYPERTAX_DATA": str(output / "data"),
    }
    output.mkdir()
    # -P: or this folder's own modules would be found before those of the standard library.
    command = [sys.executable, "-P", behaviour_cases.__file__, str(inputs), str(output), *cases]
    with open(output / "stderr", "w", encoding="utf-8") as words:
        process = subprocess.Popen(
            command, cwd=output, env=environment, stdout=subprocess.PIPE, stderr=words, text=True
        )
        done = 0
        try:
            for said in map(json.loads, process.stdout):
                if isinstance(said, str):
                    if Path(said).parent.resolve() != tree.resolve():
                        raise ValueError(f"The library in {tree} was to run, not {said}.")
                    continue
                done += 1
                name, folder, seconds = said
                print(f"{label}, {done} of {len(cases)}: {name} ({seconds:.0f} s)", flush=True)
                yield name, Path(folder)
        finally:
            process.kill()
            process.wait()
    if done < len(cases):
        last = (output / "stderr").read_text(encoding="utf-8").strip().splitlines()
        raise RuntimeError(f"{cases[done]}: the run stopped ({last[-1] if last else 'no words'}).")


def difference(one: Path, other: Path) -> str | None:
    """Where two run folders differ first in history (without seconds), weights or embeddings; None
    where they are equal byte by byte."""
    return _in_history(one, other) or _in_weights(one, other) or _in_embeddings(one, other)


def _in_history(one: Path, other: Path) -> str | None:
    a, b = (
        pd.read_csv(folder / "history.csv", dtype="str", keep_default_na=False).drop(
            columns="seconds"
        )
        for folder in (one, other)
    )
    if list(a) != list(b):
        return f"history.csv has the columns {', '.join(b)} instead of {', '.join(a)}"
    if len(a) != len(b):
        return f"history.csv has {len(b)} rows instead of {len(a)}"
    for (_, was), (_, now) in zip(a.iterrows(), b.iterrows(), strict=True):
        for name in a:
            if was[name] != now[name]:
                return (
                    f"history.csv, epoch {was['epoch']}, {name}:"
                    f" {now[name] or 'nothing'} instead of {was[name] or 'nothing'}"
                )
    return None


def _in_weights(one: Path, other: Path) -> str | None:
    a, b = (load_file(folder / "model.safetensors") for folder in (one, other))
    if sorted(a) != sorted(b):
        return f"model.safetensors: {sorted(set(a) ^ set(b))[0]} is in one alone"
    for name in a:
        was, now = (np.ascontiguousarray(part[name].numpy()) for part in (a, b))
        if (was.dtype, was.shape) != (now.dtype, now.shape) or was.tobytes() != now.tobytes():
            return f"model.safetensors: {name} differs"
    return None


def _in_embeddings(one: Path, other: Path) -> str | None:
    a, b = (pq.read_table(folder / "embeddings.parquet") for folder in (one, other))
    if a.column_names != b.column_names or len(a) != len(b):
        return "embeddings.parquet: columns or rows differ"
    if a.schema.metadata != b.schema.metadata:
        return f"embeddings.parquet: {b.schema.metadata} instead of {a.schema.metadata}"
    for name in a.column_names:
        was, now = (table.column(name).combine_chunks() for table in (a, b))
        if name == "tangent":
            was, now = (column.flatten().to_numpy().tobytes() for column in (was, now))
        if was != now:
            return f"embeddings.parquet: {name} differs"
    return None


@contextmanager
def _checkout(root: Path, commit: str) -> Iterator[Path]:
    """A temporary folder with the files of a commit.

    Raises:
        ValueError: one sentence, where the commit is not there.
    """
    if _git(root, "cat-file", "-e", f"{commit}^{{commit}}").returncode:
        raise ValueError(
            f"Commit {commit[:7]}, which the working tree is compared with, is not in this clone:"
            " have the whole history (git fetch --unshallow) and run make behaviour again."
        )
    with tempfile.TemporaryDirectory(prefix="hypertax-commit-") as temporary:
        tree = Path(temporary) / "tree"
        made = _git(root, "worktree", "add", "--detach", str(tree), commit)
        try:
            if made.returncode:
                raise ValueError(f"git could not check out {commit[:7]}: {made.stderr.strip()}")
            yield tree
        finally:
            _git(root, "worktree", "remove", "--force", str(tree))


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], check=False, capture_output=True, text=True
        )
    except FileNotFoundError:
        raise ValueError("make behaviour needs git: install it, and run again.") from None


def set_new(root: Path = ROOT) -> None:
    """Make the present commit's sources the ones that others are compared with.

    Args:
        root: the repository.

    Raises:
        ValueError: one sentence, where the sources are not committed.
    """
    head = _git(root, "rev-parse", "HEAD").stdout.strip()
    if not head or _git(root, "status", "--porcelain", "hypertax").stdout.strip():
        raise ValueError(
            "A new constant belongs to a commit: commit the changes in hypertax/, and run make"
            " behaviour NEW=1 again."
        )
    found = fingerprint(root)
    Listing(found, head, (found,)).write(root)
    print(f"Runs are named by {found[:8]}, set at {head[:7]}. Commit behaviour.json.")


def prove(root: Path = ROOT) -> int:
    """Compare the working tree with the constant's commit, and list it where it is equal.

    Args:
        root: the repository.

    Returns:
        0 where it is, otherwise 1.

    Raises:
        ValueError: one sentence, where the two cannot be compared.
    """
    listing, found = Listing.read(root), fingerprint(root)
    print(f"Comparing the working tree with {listing.commit[:7]}: a few minutes.", flush=True)
    with _checkout(root, listing.commit) as tree:
        where = compare(tree, root)
    if where:
        print(
            f"Training behaves differently. First in {where}\nIf it should: commit, and set a new"
            " constant by make behaviour NEW=1; all runs then get new names."
        )
        return 1
    if fingerprint(root) != found:
        raise ValueError("The sources were changed while they ran: run make behaviour again.")
    if found in listing.fingerprints:
        print("Training behaves as before, and the sources are listed already.")
    else:
        Listing(listing.behaviour, listing.commit, (*listing.fingerprints, found)).write(root)
        print("Training behaves as before. The sources are listed now: commit behaviour.json.")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m hypertax.training.behaviour")
    parser.add_argument(
        "--new", action="store_true", help="name runs by the present commit from now on"
    )
    try:
        if parser.parse_args(arguments).new:
            set_new()
            return 0
        return prove()
    except (ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
