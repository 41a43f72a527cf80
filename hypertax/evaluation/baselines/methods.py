"""The baselines by name: what each needs, and its one run, which is kept."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pyarrow import ArrowException

from hypertax import sources
from hypertax.data.specimens import fingerprint
from hypertax.embeddings import Embeddings
from hypertax.evaluation.baselines import photographs, reads, vsearch
from hypertax.evaluation.baselines.stored import StoredAnswers, specimen_table
from hypertax.files import atomic_path, processors
from hypertax.model.pretrained_images import EncoderUnavailable

_WITHOUT_EFFECT = (
    "hypertax.data.progress",
    "hypertax.data.specimens",
    "hypertax.files",
    "hypertax.sources",
)


class Unavailable(ValueError):  # noqa: N818
    """A baseline whose program or weights are not here; the message says which, in two words."""


@dataclass(frozen=True)
class Baseline:
    """A method without training.

    Args:
        modality: "dna" or "image", whose pairing it answers.
        make: of specimens its embeddings or answers.
        module: the module that `make` is of: its code names what is kept.
        program: whether it needs VSEARCH.
    """

    modality: str
    make: Callable[[pd.DataFrame], Embeddings | StoredAnswers]
    module: str
    program: bool = False


_HERE = "hypertax.evaluation.baselines"
BASELINES = {
    "6-mers": Baseline("dna", reads.kmer_shares, f"{_HERE}.reads"),
    "aligned-reads": Baseline("dna", reads.aligned_reads, f"{_HERE}.reads"),
    "dna-start": Baseline("dna", reads.dna_start, f"{_HERE}.reads"),
    "vsearch": Baseline("dna", vsearch.vsearch_nearest, f"{_HERE}.vsearch", program=True),
    "sintax": Baseline("dna", vsearch.sintax, f"{_HERE}.vsearch", program=True),
    "colour-histogram": Baseline("image", photographs.colour_histograms, f"{_HERE}.photographs"),
    "frozen-features": Baseline("image", photographs.frozen, f"{_HERE}.photographs"),
}
"""The baselines by the name that experiments.yaml gives them."""


@dataclass(frozen=True)
class BaselineResult:
    """What a baseline gave.

    Args:
        folder: where it is kept; None where it is not available.
        source: embeddings or answers; without any answers where it is not available.
        environment: `seconds`, `threads`, and `peak_memory_mib` of this process; None where
            another program did the work.
        missing: why it is not available, in two words; None where it is.
    """

    folder: Path | None
    source: Embeddings | StoredAnswers
    environment: dict
    missing: str | None = None


def run_baseline(name: str, specimens: pd.DataFrame, folder: Path) -> BaselineResult:
    """The result of a baseline, from `folder` where it was kept before.

    What is kept is named by the data, the code and the version of the program.

    Args:
        name: of `BASELINES`. specimens: the whole table; labels of queries are not used.
        folder: of the baselines, beside the runs.
    """
    baseline = BASELINES[name]
    try:
        own = folder / f"{name}-{fingerprint(specimens)[:8]}-{_version(baseline)}"
        kept = _kept(own, baseline, specimens)
        if kept:
            return kept
        started = time.perf_counter()
        try:
            source = baseline.make(specimens)
        except EncoderUnavailable:
            raise Unavailable("no weights") from None
    except Unavailable as error:
        empty = StoredAnswers(specimen_table(specimens, baseline.modality), None)
        return BaselineResult(None, empty, {}, str(error))
    environment = {
        "seconds": round(time.perf_counter() - started, 3),
        "peak_memory_mib": None if baseline.program else _peak_mib(),
        "threads": processors(),
    }
    with atomic_path(own) as temporary:
        temporary.mkdir()
        source.save(temporary / _file(source))
        (temporary / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    return BaselineResult(own, source, environment)


def _file(source: Embeddings | StoredAnswers) -> str:
    return "embeddings.parquet" if isinstance(source, Embeddings) else "answers.parquet"


def _kept(folder: Path, baseline: Baseline, specimens: pd.DataFrame) -> BaselineResult | None:
    """What was kept; None where it is absent or broken."""
    try:
        environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        if (folder / "embeddings.parquet").is_file():
            return BaselineResult(
                folder, Embeddings.load(folder / "embeddings.parquet"), environment
            )
        found = pd.read_parquet(folder / "answers.parquet")
    except (OSError, ValueError, ArrowException):
        return None
    table = specimen_table(specimens, baseline.modality)
    return BaselineResult(folder, StoredAnswers(table, found), environment)


def _version(baseline: Baseline) -> str:
    code = sources.fingerprint(baseline.module, without=_WITHOUT_EFFECT)[:8]
    if not baseline.program:
        return code
    if not vsearch.installed():
        raise Unavailable("not installed")
    return f"{code}-{vsearch.version().split()[-1]}"


def _peak_mib() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
