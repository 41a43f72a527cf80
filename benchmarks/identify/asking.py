"""The same specimens asked of the command, of VSEARCH with fixed thresholds and of SINTAX: each in a process of
its own, on one core, with its seconds and its memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.files import ROOT
from hypertax.taxonomy import RANKS

IDENTITIES = {"species": 97.0, "genus": 95.0, "family": 90.0, "order": 85.0}
"""VSEARCH's thresholds in % identity: those that eDNA pipelines use."""
SINTAX_CUTOFF = 0.8
OURS, NEAREST, SINTAX = "hypertax", "VSEARCH 97/95/90/85", "SINTAX 0.8"
MAXRSS = 1024 if sys.platform != "darwin" else 1
"""Bytes in the unit of `ru_maxrss`."""


@dataclass
class Answered:
    """What a method said of Q queries.

    Args:
        names: (Q, 4) the names it would give, None without one.
        score: (Q, 4) how sure it is of each, larger is surer.
        given: (Q, 4) bool, which of them it gives.
        new: (Q,) how sure it is that the species is new.
        seconds, cpu_seconds: of the whole process. mebibytes: its largest memory.
        table: the answers of the command, None of the others.
    """

    names: np.ndarray
    score: np.ndarray
    given: np.ndarray
    new: np.ndarray
    seconds: float
    cpu_seconds: float
    mebibytes: float
    table: pd.DataFrame | None = None


def run(command: list[str], folder: Path, **environment: str) -> tuple[float, float, float]:
    """Run a command on one core; its seconds, those of the processor, and its largest memory in MiB.

    Raises:
        RuntimeError: it fails; its last words are told.
    """
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    said = folder / "said.txt"
    started = time.perf_counter()
    with said.open("w") as file:
        process = subprocess.Popen(
            command, cwd=folder, stderr=file, env={**os.environ, **single, **environment}
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} failed: {said.read_text()[-500:]}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * MAXRSS / 2**20


def write_fasta(table: pd.DataFrame, path: Path, lineages: bool = False) -> None:
    """The barcodes of a table, called by their rows."""
    with path.open("w", encoding="ascii") as file:
        for place, row in enumerate(table.to_dict("records")):
            tax = ",".join(f"{rank[0]}:{str(row[rank]).replace(' ', '_')}" for rank in RANKS)
            file.write(f">q{place}{f';tax={tax};' if lineages else ''}\n{row['barcode']}\n")


def ours(
    library: pd.DataFrame, queries: pd.DataFrame, folder: Path, precision: float, *further: str
) -> Answered:
    """The command, without a model, with nothing kept from before.

    Args:
        library, queries: tables of specimens; of the queries only barcodes and photographs are given.
        folder: an empty one. further: arguments.
    """
    columns = [c for c in ("sampleid", "barcode", "image", *RANKS) if c in library]
    library[columns].dropna(axis=1, how="all").to_csv(
        folder / "library.tsv", sep="\t", index=False
    )
    write_fasta(queries, folder / "queries.fasta")
    return asked(["queries.fasta"], folder, precision, *further)


def asked(files: list[str], folder: Path, precision: float, *further: str) -> Answered:
    """The answers of the command to files in a folder, by its `library.tsv`."""
    command = [sys.executable, "-m", "hypertax", "identify", *files, "--reference", "library.tsv"]
    command += ["--output", "answers.parquet", "--precision", str(precision), *further]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    found = run(command, folder, HYPERTAX_DATA=str(folder / "data"), PYTHONPATH=paths)
    answers = pd.read_parquet(folder / "answers.parquet")
    return Answered(*of_answers(answers), *found, answers)


def of_answers(answers: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Names, probabilities, what is given, and how probably the species is new, of a table of answers."""
    depth = answers["taxonRank"].map({r: i + 1 for i, r in enumerate(RANKS)}).fillna(0)
    given = depth.to_numpy()[:, None] > np.arange(len(RANKS))
    score = answers[[f"{rank}Probability" for rank in RANKS]].fillna(0).to_numpy()
    names = answers[list(RANKS)].astype("object")
    names = names.where(names.notna(), None).to_numpy()
    return names, score, given, answers["newSpeciesProbability"].fillna(0.5).to_numpy()


def nearest(library: pd.DataFrame, queries: pd.DataFrame, folder: Path) -> Answered:
    """VSEARCH's nearest reference, with fixed thresholds."""
    write_fasta(library, folder / "library.fasta")
    write_fasta(queries, folder / "queries.fasta")
    command = ["vsearch", "--usearch_global", "queries.fasta", "--db", "library.fasta"]
    command += ["--id", "0.5", "--maxaccepts", "8", "--maxrejects", "32", "--maxhits", "1"]
    command += ["--strand", "both", "--threads", "1", "--userout", "hits.tsv", "--quiet"]
    command += ["--userfields", "query+target+id"]
    took = run(command, folder)
    hits = pd.read_csv(folder / "hits.tsv", sep="\t", names=["query", "target", "identity"])
    hits["query"] = hits["query"].str[1:].astype(int)
    hits = hits.drop_duplicates("query").set_index("query").reindex(range(len(queries)))
    identity = hits["identity"].fillna(0).to_numpy()
    target = hits["target"].fillna("q0").str[1:].astype(int).to_numpy()
    names = library[list(RANKS)].to_numpy(dtype=object)[target]
    names[identity == 0] = None
    score = np.repeat(identity[:, None], len(RANKS), axis=1)
    given = score >= np.array([IDENTITIES[rank] for rank in RANKS])
    return Answered(names, score, given, -identity, *took)


def sintax(library: pd.DataFrame, queries: pd.DataFrame, folder: Path) -> Answered:
    """SINTAX of VSEARCH, at a bootstrap support of `SINTAX_CUTOFF`."""
    write_fasta(library, folder / "tax.fasta", lineages=True)
    write_fasta(queries, folder / "queries.fasta")
    command = ["vsearch", "--sintax", "queries.fasta", "--db", "tax.fasta", "--strand", "both"]
    command += ["--tabbedout", "tax.tsv", "--sintax_cutoff", str(SINTAX_CUTOFF)]
    command += ["--threads", "1", "--randseed", "1", "--quiet"]
    took = run(command, folder)
    found = pd.read_csv(folder / "tax.tsv", sep="\t", names=["q", "all", "strand", "kept"])
    found["q"] = found["q"].str[1:].astype(int)
    texts = found.set_index("q").reindex(range(len(queries)))["all"].fillna("")
    names = np.full((len(queries), len(RANKS)), None, dtype=object)
    score = np.zeros(names.shape)
    for row, text in enumerate(texts):
        for part in filter(None, text.split(",")):
            name, _, support = part[2:].rpartition("(")
            depth = next(d for d, rank in enumerate(RANKS) if rank[0] == part[0])
            names[row, depth] = name.replace("_", " ")
            score[row, depth] = float(support.rstrip(")"))
    return Answered(names, score, score >= SINTAX_CUTOFF, -score[:, -1], *took)
