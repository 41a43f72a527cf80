"""Tables of the open-world evaluation: novelty and two stages, trusted answers by rank, and
differences with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.evaluation.open_world.answers import SCORES
from hypertax.evaluation.open_world.comparison import choose_scores
from hypertax.evaluation.open_world.curves import GROUPS, NO_RANK, PRECISION
from hypertax.tables.differences import DRAWN, interval, of_differences, only_reference
from hypertax.tables.seeds import over_seeds, share
from hypertax.tables.table import DASH, Table, write_table
from hypertax.taxonomy import RANKS

CHOSEN = " †"
_NOVELTY = {
    "AUROC": "AUROC",
    "two-stage seen": "Seen",
    "two-stage unseen": "Unseen",
    "two-stage H.M.": "H.M.",
}
_TRUST = ("area", "coverage", "precision")
_MARKED = (
    f"{CHOSEN.strip()}: the score that the method's validation queries choose for this measure."
)


def _wide(scores: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Test values with a column per measure, in the layout's order."""
    chosen = scores[(scores["stage"] == "test") & scores["measure"].isin(measures)]
    if chosen.empty:
        raise ValueError(f"The scores have no test value of {', '.join(measures)}.")
    order = {
        "score": list(SCORES),
        "rank": list(RANKS),
        "group": list(GROUPS),
        "method": list(dict.fromkeys(chosen["method"])),
    }
    keys = ["method", "run", "seed", "pairing", "rank", "group", "score"]
    wide = (
        chosen.pivot(index=keys, columns="measure", values="value")
        .reindex(columns=list(measures))
        .reset_index()
    )
    places = {name: wide[name].map(values.index) for name, values in order.items()}
    return wide.iloc[
        np.lexsort(
            [wide["seed"], places["score"], places["group"], places["rank"], places["method"]]
        )
    ].reset_index(drop=True)


def novelty_table(scores: pd.DataFrame) -> Table:
    """AUROC of seen against unseen species, and species accuracy with two stages, by method and
    score.

    scores: of `hypertax.evaluation.open_world.comparison.open_world_scores`, of runs with `method`,
    `run`, `seed`; so in the tables below.
    """
    note = (
        "Test queries against the keys of seen species. AUROC, in %: that a query of a seen"
        " species has the higher confidence than one of an"
        " unseen species. Seen, unseen, H.M.: macro top-1 at species, in %, where queries that"
        " pass a threshold on the confidence get the"
        " nearest seen key's species and others the nearest unseen key's; the threshold is the"
        f" validation queries' best. {_MARKED}"
    )
    wide = _wide(scores, list(_NOVELTY))
    table = over_seeds(
        wide,
        ("method", "score"),
        ("pairing",),
        {name: (heading, share) for name, heading in _NOVELTY.items()},
        note,
    )
    of_heading = {heading: name for name, heading in _NOVELTY.items()}
    best = choose_scores(scores).set_index(["method", "pairing", "measure"])["score"]
    best = best[best.index.get_level_values("measure").isin(_NOVELTY)].to_dict()

    def is_chosen(row) -> bool:
        return (
            row.quantity in ("AUROC", "H.M.")
            and best.get((row.method, row.pairing, of_heading[row.quantity])) == row.score
        )

    return _marked(table, is_chosen)


def _marked(table: Table, is_chosen: Callable[[object], bool]) -> Table:
    """The table with `CHOSEN` behind the cells that are chosen, told from a row of `tidy`."""
    shown = [row.shown + CHOSEN if is_chosen(row) else row.shown for row in table.tidy.itertuples()]
    return replace(table, tidy=table.tidy.assign(shown=shown))


def trust_table(
    scores: pd.DataFrame, pairing: str = "DNA to DNA", *, precision: float = PRECISION
) -> Table:
    """Area under precision against coverage, and coverage and precision at the calibrated
    threshold, by method, rank and group of queries.

    Each method with the scores that its validation queries choose, named in the cells; tidy has
    them as `score`.

    precision: that the thresholds of `scores` hold.
    """
    chosen = choose_scores(scores)
    chosen = chosen[(chosen["pairing"] == pairing) & chosen["measure"].isin(_TRUST)]
    used = scores[scores["pairing"] == pairing].merge(chosen.drop(columns="value"), how="inner")
    wide = used[used["stage"] == "test"]
    if wide.empty:
        raise ValueError(f"The scores have no test value of {pairing}.")
    keys = ["method", "run", "seed", "rank", "group"]
    wide = (
        wide.pivot(index=keys, columns="measure", values="value")
        .reindex(columns=list(_TRUST))
        .reset_index()
    )
    order = {
        "rank": list(RANKS),
        "group": list(GROUPS),
        "method": list(dict.fromkeys(scores["method"])),
    }
    wide = wide.iloc[
        np.lexsort(
            [wide["seed"], *(wide[name].map(values.index) for name, values in order.items())]
        )
    ]
    note = (
        f"{pairing}, test queries against the keys of seen species, in %. Area: mean precision"
        " over coverage 0 to 100. Coverage: share"
        f" answered above the threshold that holds a precision of {100 * precision:.0f} on the"
        " validation queries (seen and novel weighing"
        " one half each), and the precision there. All: seen and novel, weighing one half each;"
        " novel placeable: novel species whose taxon"
        " a seen key carries; novel: with the others, for which every answer is wrong. In"
        " brackets the score of confidence that the method's"
        " validation queries choose; precision has that of coverage."
    )
    table = over_seeds(
        wide, ("method", "rank", "group"), (), {name: (name, share) for name in _TRUST}, note
    )
    score_of = chosen.set_index(["method", "rank", "group", "measure"])["score"].to_dict()
    tidy = table.tidy
    named = [
        score_of.get(key)
        for key in tidy[["method", "rank", "group", "quantity"]].itertuples(index=False, name=None)
    ]
    shown = [
        text if text == DASH or quantity == "precision" else f"{text} ({score})"
        for text, score, quantity in zip(tidy["shown"], named, tidy["quantity"], strict=True)
    ]
    return replace(table, tidy=tidy.assign(score=named, shown=shown))


def all_scores_table(
    scores: pd.DataFrame, pairing: str = "DNA to DNA", group: str = "all"
) -> Table:
    """What `trust_table` says of one group of queries, for every score of confidence; those that
    validation chooses are marked."""
    chosen = choose_scores(scores)
    chosen = chosen[(chosen["pairing"] == pairing) & (chosen["group"] == group)]
    own = scores[(scores["pairing"] == pairing) & (scores["group"] == group)]
    note = (
        f"{pairing}, {group} queries of the test, in %: mean precision over coverage 0 to"
        " 100; coverage and precision at the threshold from"
    )
    note = f"{note} the validation queries. {_MARKED}"
    quantities = {name: (name, share) for name in _TRUST}
    table = over_seeds(_wide(own, _TRUST), ("method", "rank", "score"), (), quantities, note)
    best = chosen.set_index(["method", "rank", "measure"])["score"].to_dict()

    def is_chosen(row) -> bool:
        return (
            row.quantity != "precision"
            and row.shown != DASH
            and best.get((row.method, row.rank, row.quantity)) == row.score
        )

    return _marked(table, is_chosen)


def depth_table(deepest: pd.DataFrame, scores: pd.DataFrame) -> Table:
    """At which rank the answers that pass their threshold stop, and how many of these are right, by
    method and kind of query.

    A method's score is the one that validation chooses for the coverage at species, at all ranks.

    deepest: of `hypertax.evaluation.open_world.curves.deepest_ranks`, of the test queries of the
    runs of `scores`.
    """
    chosen = choose_scores(scores)
    chosen = chosen[
        (chosen["measure"] == "coverage")
        & (chosen["rank"] == RANKS[-1])
        & (chosen["group"] == "all")
    ]
    used = deepest.merge(chosen[["method", "pairing", "score"]], how="inner")
    note = (
        "Test queries, in %: share whose answer passes its threshold at this rank and at no"
        " deeper one, and of these the share right."
        f" {NO_RANK}: at no rank. Score of confidence by validation: {_listed(chosen)}."
    )
    quantities = {"share": ("share", share), "right": ("right", share)}
    return over_seeds(used, ("pairing", "method", "group"), ("answered",), quantities, note)


def _listed(chosen: pd.DataFrame) -> str:
    if chosen["pairing"].nunique() > 1:
        said = [f"{row.method} ({row.pairing}): {row.score}" for row in chosen.itertuples()]
    else:
        said = [f"{row.method}: {row.score}" for row in chosen.itertuples()]
    return "; ".join(said)


def open_world_difference_table(
    differences: pd.DataFrame, measure: str | None = None, *, runs: Sequence[str] = ()
) -> Table:
    """Open-world measures minus the reference's, in points, with 95 % intervals; an asterisk where
    these exclude zero.

    Args:
        differences: of `hypertax.evaluation.open_world.compare_open_world`.
        measure: only this one; all by default.
        runs: names of the runs compared.

    Returns:
        methods, measures, ranks and groups against pairings; tidy has `mean` (a share), `low`,
        `high`, `verdict`, both scores and counts.

    Raises:
        ValueError: no such rows, or differences to several references.
    """
    chosen = differences if measure is None else differences[differences["measure"] == measure]
    if chosen.empty:
        raise ValueError(f"There are no differences{f' of {measure}' if measure else ''}.")
    shown = []
    for row in chosen.itertuples():
        scores = dict.fromkeys([row.score, row.reference_score])
        shown.append(f"{interval(row)} ({' / '.join(scores)})")
    note = (
        f"Difference to {only_reference(chosen)} in points, in square brackets its 95 %"
        f" interval from a paired bootstrap ({DRAWN}), * where that,"
        " before it is rounded, excludes zero; in round ones the scores of confidence that the"
        " validation queries of the method / of the"
        " reference choose. Intervals hold the trained models and thresholds fixed and are not"
        " corrected for the number of cells."
    )
    return of_differences(chosen, shown, ("method", "measure", "rank", "group"), runs, note)


def write_open_world_tables(
    scores: pd.DataFrame,
    differences: pd.DataFrame,
    deepest: pd.DataFrame,
    folder: str | Path,
    *,
    dataset: str | None = None,
) -> list[Path]:
    """Write `open_world_novelty`, `open_world_depth`, `open_world_differences`, and per pairing
    `open_world_trust_PAIRING` and `open_world_scores_PAIRING`, each as .csv, .md and .tex; returns
    the paths. Without thresholds there is no depth, without rows of `compare_open_world` there are
    no differences."""
    runs = list(dict.fromkeys(scores["run"]))
    tables = {
        "novelty": (
            novelty_table(scores),
            "Seen told from unseen species, and species accuracy with two stages",
        ),
    }
    if deepest["share"].notna().any():
        tables["depth"] = (
            depth_table(deepest, scores),
            "The deepest rank at which an answer can be trusted",
        )
    if len(differences):
        tables["differences"] = (
            open_world_difference_table(differences, runs=runs),
            "Open-world measures, differences with intervals",
        )
    for pairing in dict.fromkeys(scores["pairing"]):
        name = pairing.lower().replace(" ", "_")
        tables[f"trust_{name}"] = (
            trust_table(scores, pairing),
            f"Precision and coverage of answers that can be withheld, {pairing}",
        )
        tables[f"scores_{name}"] = (
            all_scores_table(scores, pairing),
            f"Precision and coverage by score of confidence, {pairing}",
        )
    paths = []
    for name, (table, caption) in tables.items():
        paths += write_table(table, f"open_world_{name}", folder, caption=caption, dataset=dataset)
    return paths
