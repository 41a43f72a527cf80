"""Barcodes searched by VSEARCH (Rognes et al., PeerJ 2016): the nearest by global alignment, and SINTAX
(Edgar 2016), which names taxa by 6-mers drawn again and again.

The program reads files of numbered sequences: no name of the data reaches it.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.evaluation.answers import Answers
from hypertax.evaluation.baselines.stored import StoredAnswers, ask_all, from_keys, specimen_table
from hypertax.files import processors
from hypertax.taxonomy import RANKS

PROGRAM = "vsearch"
TIMEOUT = 3600
"""Seconds that one search may take."""
ACCEPTS, REJECTS = 16, 32
"""Keys that are aligned to a query, and keys that may fail: those that share the most 8-mers. Aligning
all of 1,332 real barcodes of insects to 100 queries found a nearer key for none with 32, and for two
with 8."""
LEAST_IDENTITY = 0.5
"""Below this VSEARCH gives no answer."""
SURE = 0.7
"""A read that is less like every key is tried on the other strand, too."""
_LETTERS = dict(zip(RANKS, "ofgs", strict=True))


def installed() -> bool:
    """Whether the program is on the path."""
    return shutil.which(PROGRAM) is not None


def version() -> str:
    """The program's version, such as "vsearch v2.22.1"."""
    told = subprocess.run(
        [PROGRAM, "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    words = (told.stderr or told.stdout).split(",")[0].split("_")[0]
    return words.strip()


def vsearch_nearest(specimens: pd.DataFrame) -> StoredAnswers:
    """The nearest keys by the identity of the global alignment, on either strand; that is the
    confidence.

    The identity is the share of equal columns without those of gaps at the ends. Of keys equally
    near the first one answers.

    Raises:
        ValueError: the program failed, or took longer than `TIMEOUT`.
    """
    table = specimen_table(specimens, "dna")
    reads = specimens.set_index("sampleid")["barcode"].loc[table["id"]].tolist()

    seen = (table["split"] == "seen_keys").to_numpy()
    searched: dict[bytes, pd.DataFrame] = {}

    def hits_of(queries: np.ndarray, keys: np.ndarray) -> pd.DataFrame:
        name = queries.tobytes() + keys.tobytes()
        if name not in searched:
            hits = _nearest([reads[i] for i in queries], [reads[i] for i in keys])
            searched[name] = hits.assign(key=keys[hits["key"]])
        return searched[name]

    def ask(queries: np.ndarray, keys: np.ndarray, k: int) -> Answers:
        # What is nearest of all keys is the nearer of the seen and of the unseen ones.
        parts = [part for part in (keys[seen[keys]], keys[~seen[keys]]) if len(part)]
        hits = pd.concat([hits_of(queries, part) for part in parts], ignore_index=True)
        hits = hits.assign(key=np.searchsorted(keys, hits["key"]))
        hits = hits.sort_values(["query", "identity", "key"], ascending=[True, False, True])
        hits = hits.drop_duplicates(["query", "key"])
        hits["place"] = hits.groupby("query").cumcount()
        nearest = np.full((len(queries), min(k, len(keys))), -1, dtype=np.int64)
        confidence = np.full(len(queries), -np.inf)
        kept = hits[hits["place"] < nearest.shape[1]]
        nearest[kept["query"], kept["place"]] = kept["key"]
        first = hits[hits["place"] == 0]
        confidence[first["query"]] = first["identity"]
        return from_keys(table, keys, nearest, confidence)

    return ask_all(table, ask)


def sintax(specimens: pd.DataFrame) -> StoredAnswers:
    """The name that SINTAX gives at each rank, one answer a query, and its bootstrap support 0 to 1
    as the confidence.

    Raises:
        ValueError: the program failed, or took longer than `TIMEOUT`.
    """
    table = specimen_table(specimens, "dna")
    reads = specimens.set_index("sampleid")["barcode"].loc[table["id"]].tolist()

    def ask(queries: np.ndarray, keys: np.ndarray, k: int) -> Answers:
        codes, names = {}, {}
        for rank in RANKS:
            codes[rank], names[rank] = pd.factorize(table[rank].to_numpy(dtype=object)[keys])
        lineages = [
            ",".join(f"{_LETTERS[r]}:{codes[r][i]}" for r in RANKS if codes[r][i] >= 0)
            for i in range(len(keys))
        ]
        named = [i for i, lineage in enumerate(lineages) if lineage]
        answers = {rank: np.full((len(queries), 1), None, dtype=object) for rank in RANKS}
        confidence = {rank: np.full(len(queries), -np.inf) for rank in RANKS}
        if named:
            told = _sintax(
                [reads[i] for i in queries],
                [reads[keys[i]] for i in named],
                [lineages[i] for i in named],
            )
            for query, rank, code, support in told:
                answers[rank][query, 0] = names[rank][code]
                confidence[rank][query] = support
        return Answers(np.full((len(queries), 1), -1, dtype=np.int64), answers, confidence)

    return ask_all(table, ask)


def _nearest(queries: list[str], keys: list[str]) -> pd.DataFrame:
    """Hits of all queries: `query`, `key` (places) and `identity`; equal reads are searched once."""
    place, rows = np.unique(queries, return_inverse=True)
    first = _hits(list(place), keys, "plus")
    best = first.groupby("query")["identity"].max().reindex(range(len(place)))
    doubtful = np.flatnonzero(~(best >= SURE))
    if len(doubtful):
        again = _hits([place[i] for i in doubtful], keys, "both")
        first = pd.concat([first, again.assign(query=doubtful[again["query"]])])
    copies = pd.DataFrame({"query": rows, "copy": np.arange(len(rows))})
    found = first.merge(copies, on="query").drop(columns="query")
    return found.rename(columns={"copy": "query"})[["query", "key", "identity"]]


def _hits(queries: list[str], keys: list[str], strand: str) -> pd.DataFrame:
    """Hits on one strand ("plus") or on "both", as in `_nearest`; equal keys are all hit."""
    fields = ("query", "target", "ids", "mism", "gaps")
    place, rows = np.unique(keys, return_inverse=True)
    options = ["--qmask", "none", "--id", str(LEAST_IDENTITY), "--strand", strand, "--maxhits", "0"]
    options += ["--maxaccepts", str(ACCEPTS), "--maxrejects", str(REJECTS)]
    options += ["--userfields", "+".join(fields), "--threads", str(processors())]
    text = _run("--usearch_global", "--userout", queries, _fasta(list(place)), options)
    hits = [list(map(int, line.split("\t"))) for line in text.splitlines()]
    hits = pd.DataFrame(hits, columns=list(fields), dtype=np.int64)
    columns = hits[["ids", "mism", "gaps"]].sum(axis=1).clip(lower=1)
    hits = hits.assign(identity=hits["ids"] / columns)
    copies = pd.DataFrame({"target": rows, "key": np.arange(len(rows))})
    return hits.merge(copies, on="target")[["query", "key", "identity"]]


def _sintax(
    queries: list[str], keys: list[str], lineages: list[str]
) -> Iterable[tuple[int, str, int, float]]:
    """Query, rank, number of the taxon and support, of everything that is named."""
    headers = [f"{i};tax={lineage};" for i, lineage in enumerate(lineages)]
    # One thread and one seed: the same support every time.
    options = ["--strand", "both", "--randseed", "1", "--threads", "1"]
    text = _run("--sintax", "--tabbedout", queries, _fasta(keys, headers), options)
    rank_of = {letter: rank for rank, letter in _LETTERS.items()}
    for line in text.splitlines():
        query, lineage, *_ = [*line.split("\t"), ""]
        for part in filter(None, lineage.split(",")):
            letter, _, rest = part.partition(":")
            code, _, support = rest.rstrip(")").partition("(")
            yield int(query), rank_of[letter], int(code), float(support)


def _fasta(reads: list[str], headers: list[str] | None = None) -> str:
    names = headers or map(str, range(len(reads)))
    return "".join(f">{name}\n{read}\n" for name, read in zip(names, reads, strict=True))


def _run(command: str, output: str, queries: list[str], keys: str, options: list[str]) -> str:
    """What the program writes to its output file; its folder of files is removed."""
    with tempfile.TemporaryDirectory(prefix="hypertax-vsearch-") as folder:
        here = Path(folder)
        (here / "queries.fasta").write_text(_fasta(queries), encoding="ascii", errors="replace")
        (here / "keys.fasta").write_text(keys, encoding="ascii", errors="replace")
        words = [PROGRAM, command, "queries.fasta", "--db", "keys.fasta", output, "found.txt"]
        words += [*options, "--dbmask", "none", "--minseqlength", "1"]
        words += ["--maxseqlength", "1000000", "--quiet"]
        try:
            told = subprocess.run(
                words,
                cwd=here,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ValueError(
                f"VSEARCH took longer than {TIMEOUT} seconds: leave the baselines out"
                " (baselines=False)."
            ) from None
        if told.returncode:
            last = [line for line in told.stderr.splitlines() if line.strip()][-1:] or ["no word"]
            raise ValueError(
                f"VSEARCH ended with {told.returncode} ({last[0].strip()[:200]}): leave the"
                " baselines out (baselines=False), or install another version."
            )
        found = here / "found.txt"
        return found.read_text(encoding="ascii") if found.is_file() else ""
