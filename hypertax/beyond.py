"""What 06_beyond_the_paper asks of a study: which Euclidean recipe is the one to beat, and what each recipe is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from hypertax.comparison import each_run
from hypertax.config import RunConfig
from hypertax.placement import place_in_cones
from hypertax.recipes import RECIPES
from hypertax.study import StudyRun

CELLS = (
    ("standard", "seen", "genus"),
    ("standard", "seen", "species"),
    ("standard", "unseen", "species"),
    ("novel", "unseen", "family"),
    ("novel", "unseen", "genus"),
)
"""Protocol, split and rank of the accuracies that tell recipes apart; the others are near their ceiling."""


def validation_means(scores: pd.DataFrame) -> pd.Series:
    """Mean macro top-1 over `CELLS`, all pairings and seeds by method, 0..1; what recipes were tuned on and the one to beat is chosen by.

    scores: of `hypertax.study.score` for the stage "val".

    Raises:
        ValueError: scores of another stage.
    """
    if set(scores["stage"]) != {"val"}:
        raise ValueError("Recipes are chosen on validation: give the scores of the stage 'val'.")
    chosen = scores[(scores["k"] == 1) & (scores["average"] == "macro") & (scores["ranking"] == "distance")]
    cells = pd.MultiIndex.from_tuples(CELLS, names=["protocol", "split", "rank"])
    chosen = chosen[pd.MultiIndex.from_frame(chosen[cells.names]).isin(cells)]
    return chosen.groupby("method", sort=False)["value"].mean()


def strongest(scores: pd.DataFrame, methods: Sequence[str]) -> str:
    """Of the methods, that with the highest of `validation_means`.

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
    return "".join(f"- **{name}**: {recipe.about}\n" for name, recipe in RECIPES.items() if name in used)


def with_cones(study: Sequence[StudyRun], measure: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """What `measure(embeddings, aperture=K)` says of every hyperbolic run, and of the Euclidean ones of the recipe `lineage` once they are placed.

    As of `hypertax.comparison.each_run`; a placed run's `method` says so.
    """
    rules = RunConfig.create(recipe="nested")
    hyperbolic = [member for member in study if member.run.config.space == "lorentz"]
    placed = [member for member in study if member.run.config.space == "euclidean" and member.run.config.recipe == "lineage"]
    parts = []
    if hyperbolic:
        parts.append(each_run(hyperbolic, lambda member: measure(member.embeddings, aperture=member.run.config.aperture)))
    if placed:
        found = each_run(placed, lambda member: measure(place_in_cones(member.embeddings, rules), aperture=rules.aperture))
        parts.append(found.assign(method=found["method"] + ", placed"))
    return pd.concat(parts, ignore_index=True)
