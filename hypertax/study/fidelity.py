"""Rows of a study asked how well their distances keep the divergence of barcodes, and the start that
needs no training beside them at every width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hypertax.data.progress import progress_bar
from hypertax.embeddings import Embeddings
from hypertax.evaluation.answers import SEEDLESS
from hypertax.evaluation.baselines.reads import dna_start
from hypertax.evaluation.kept_divergence import (
    AlignedSpecimens,
    Fidelity,
    fidelity_gains,
    fidelity_scores,
)
from hypertax.study.rows import Sweep
from hypertax.study.runs import StudyRun

START = "DNA start"


@dataclass(frozen=True)
class StudyFidelity:
    """What the distances of several methods keep.

    cells: `method`, `run`, `seed` and the columns of `Fidelity.cells`. found: by method one
    `Fidelity` per seed.
    """

    cells: pd.DataFrame
    found: Mapping[str, Sequence[Fidelity]]

    def gains(
        self, against: Mapping[str, Sequence[str]], metrics: Sequence[str] = ("distance",)
    ) -> pd.DataFrame:
        """What methods keep better than their references: `method`, `reference`, `metric` (of the
        reference) and the columns of `hypertax.evaluation.fidelity_gains`.

        Args:
            against: method -> its references. metrics: of the references.
        """
        parts = []
        for method, references in against.items():
            for reference in references:
                for metric in metrics:
                    own, other = self.found[method], self.found[reference]
                    if len(other) == 1:
                        other = [other[0]] * len(own)
                    gains = fidelity_gains(own, other, metric)
                    about = {"method": method, "reference": reference, "metric": metric}
                    parts.append(gains.assign(**about)[[*about, *gains.columns]])
        return pd.concat(parts, ignore_index=True)


def study_fidelity(
    study: Sequence[StudyRun],
    specimens: pd.DataFrame,
    *,
    stage: str = "test",
    widths: Sequence[int] = (),
    resamples: int = 1000,
    progress: bool = True,
) -> StudyFidelity:
    """Errors and rank correlations of every run's distances, and of the closed-form DNA start.

    Args:
        study: finished runs. specimens: the table that they were trained on.
        stage: "val" or "test". widths: first components of the start that are kept; all without.
        resamples: draws of species. progress: show a bar.
    """
    reads = AlignedSpecimens.of(specimens)
    start = dna_start(specimens)
    asked = [(start_label(w), START, SEEDLESS, _cut(start, w)) for w in widths or (None,)]
    asked += [(run.method, run.name, run.seed, run) for run in study]
    cells, found = [], {}
    for method, run, seed, source in progress_bar(asked, desc="fidelity", disable=not progress):
        embeddings = source if isinstance(source, Embeddings) else source.embeddings
        one = fidelity_scores(embeddings, reads, stage, resamples=resamples)
        about = {"method": method, "run": run, "seed": seed}
        cells.append(one.cells.assign(**about)[[*about, *one.cells.columns]])
        found.setdefault(method, []).append(one)
    return StudyFidelity(pd.concat(cells, ignore_index=True), found)


def start_label(width: int | None) -> str:
    """How the first components of the untrained start are called."""
    return START if width is None else f"{START}, {width} dimensions"


def fidelity_lines(cells: pd.DataFrame, sweep: Sweep, rows: Sequence) -> pd.DataFrame:
    """The frame that `hypertax.figures.fidelity_curves` draws: each method's line and width.

    Args:
        cells: of a `StudyFidelity`. sweep: of the group of rows. rows: of the group.
    """
    lines = {label: (line, value) for label, (line, value) in sweep.settings(list(rows)).items()}
    widths = sorted({value for _, value in lines.values()})
    starts = {start_label(width): (START, width) for width in widths}
    parts = []
    for label, (line, value) in (starts | lines).items():
        own = cells[cells["method"] == label]
        # The start is compared by the cosine, and could be by the distance; rows by their own.
        named = own["metric"].map({"distance": line, "cosine": f"{line}, cosine"})
        shown = own["metric"] == "distance" if line != START else own["metric"].notna()
        parts.append(own.assign(line=named, width=value)[shown])
    return pd.concat(parts, ignore_index=True)


def same_width(sweep: Sweep, rows: Sequence, method: str, reference: str) -> dict[str, list[str]]:
    """Labels of the rows of one line, each with that of another line's row and of the untrained
    start at the same width.

    Args:
        sweep, rows: of the group. method, reference: names of lines.
    """
    settings = sweep.settings(list(rows))
    others = {value: label for label, (line, value) in settings.items() if line == reference}
    return {
        label: [others[value], start_label(value)]
        for label, (line, value) in settings.items()
        if line == method and value in others
    }


def _cut(start: Embeddings, width: int | None) -> Embeddings:
    """The first components of vectors, and none beyond those that there are."""
    return start if width is None else replace(start, tangent=np.array(start.tangent[:, :width]))
