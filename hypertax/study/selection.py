"""Which runs of a study a figure shows: figures of single runs cannot show all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypertax.study.runs import StudyRun


@dataclass(frozen=True)
class Shown:
    """Runs of a study for figures, by the label of their row; always those of the first seed."""

    trained: dict[str, StudyRun]
    """All rows that are trained."""
    dynamics: dict[str, StudyRun]
    """Hyperbolic rows whose geometry over the epochs is compared: those that differ in the stacked
    loss alone, or all hyperbolic ones where there are none."""
    curved: StudyRun
    """The hyperbolic run of which there is one picture: with the stacked and the contrastive loss,
    else the first."""
    flat: StudyRun | None
    """The first Euclidean run, for the picture beside it."""


def select_runs(runs: Sequence[StudyRun]) -> Shown:
    """What figures of single runs show of a study.

    Args:
        runs: of the study, all rows and seeds.

    Raises:
        ValueError: no run is hyperbolic.
    """
    first = min((member.seed for member in runs), default=0)
    trained = {m.row.label: m for m in runs if m.seed == first and m.row.notebook}
    curved = {label: m for label, m in trained.items() if m.run.config.space == "lorentz"}
    if not curved:
        raise ValueError(
            "experiment has no hyperbolic row, which the figures of the disk need: choose another"
            " group of experiments.yaml."
        )
    flat = [m for m in trained.values() if m.run.config.space == "euclidean"]
    dynamics = {
        label: m
        for label, m in curved.items()
        if m.run.config.full_text
        and m.run.config.contrastive_weight
        and m.run.config.entailment != "pair"
    }
    stacked = [
        m
        for m in curved.values()
        if m.run.config.entailment == "stacked" and m.run.config.contrastive_weight
    ]
    return Shown(
        trained=trained,
        dynamics=dynamics or curved,
        curved=[*stacked, *curved.values()][0],
        flat=next(iter(flat), None),
    )
