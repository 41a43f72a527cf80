"""What 06_beyond_the_paper asks of a study: which Euclidean recipe is the one to beat, and what
each recipe is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from hypertax.config.recipes import RECIPES
from hypertax.config.run_config import RunConfig
from hypertax.embeddings import Embeddings
from hypertax.study.placement import place_in_cones
from hypertax.study.runs import StudyRun

CELLS = (
    ("standard", "seen", "genus"),
    ("standard", "seen", "species"),
    ("standard", "unseen", "species"),
    ("novel", "unseen", "family"),
    ("novel", "unseen", "genus"),
)
"""Protocol, split and rank of the accuracies that tell recipes apart; the others are near their
ceiling."""


def validation_means(scores: pd.DataFrame) -> pd.Series:
    """Mean macro top-1 over `CELLS`, all pairings and seeds by method, 0..1; what recipes were
    tuned on and the one to beat is chosen by.

    scores: of `hypertax.evaluation.study_scores` for the stage "val".

    Raises:
        ValueError: scores of another stage.
    """
    if set(scores["stage"]) != {"val"}:
        raise ValueError("Recipes are chosen on validation: give the scores of the stage 'val'.")
    chosen = scores[
        (scores["k"] == 1) & (scores["average"] == "macro") & (scores["ranking"] == "distance")
    ]
    cells = pd.MultiIndex.from_tuples(CELLS, names=["protocol", "split", "rank"])
    chosen = chosen[pd.MultiIndex.from_frame(chosen[cells.names]).isin(cells)]
    return chosen.groupby("method", sort=False)["value"].mean()


def strongest(scores: pd.DataFrame, methods: Sequence[str]) -> str:
    """The method with the highest of `validation_means`, among those given.

    Raises:
        ValueError: none of them has a validation score.
    """
    means = validation_means(scores)
    means = means[means.index.isin(methods)]
    if means.empty:
        raise ValueError(f"None of {', '.join(methods) or 'no methods'} has a validation score.")
    return str(means.idxmax())


def recipe_paragraphs(study: Sequence[StudyRun]) -> str:
    """The recipes of a study's rows with what each changes and why, as Markdown."""
    used = {member.run.config.recipe for member in study}
    return "".join(
        f"- **{name}**: {recipe.about}\n" for name, recipe in RECIPES.items() if name in used
    )


class PlacedRun(StudyRun):
    """A Euclidean run with taxa whose embeddings are placed by the rules of the recipe `nested`.

    It is the part of that recipe that takes no training.
    """

    @property
    def embeddings(self) -> Embeddings:
        """The embeddings of the run's best epoch, in a Lorentz space."""
        return place_in_cones(self.run.embeddings(), _nested())

    @property
    def aperture(self) -> float:
        """K of their cones."""
        return _nested().aperture


def placed_runs(study: Sequence[StudyRun]) -> list[PlacedRun]:
    """The Euclidean runs of the recipe `lineage`, placed. Their labels say so; the runs keep their
    names."""
    own = [
        member
        for member in study
        if member.run.config.space == "euclidean" and member.run.config.recipe == "lineage"
    ]
    return [
        PlacedRun(replace(member.row, label=f"{member.row.label}, placed"), member.seed, member.run)
        for member in own
    ]


def _nested() -> RunConfig:
    return RunConfig.create(recipe="nested")
