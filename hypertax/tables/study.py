"""Tables beyond accuracy: hierarchy, nesting, cones, cost and ablations."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from hypertax.evaluation.hierarchy import FIRST_WRONG, PREFIXES
from hypertax.tables.seeds import (
    accuracies_over_seeds,
    decimal,
    only,
    over_seeds,
    points,
    share,
    whole,
)
from hypertax.tables.table import DASH, Table
from hypertax.taxonomy import RANKS

_HIERARCHY = {name: (f"right to {rank}", share) for name, rank in zip(PREFIXES, RANKS, strict=True)}
_HIERARCHY |= {"tree_error": ("tree error", decimal), "lca_depth": ("ancestor's depth", decimal)}
_FIRST_WRONG = {name: (name.removeprefix("first_wrong_"), share) for name in FIRST_WRONG}
_NESTING = {
    "edges": ("edges", whole),
    "unsaturated": ("unsaturated", whole),
    "nested": ("nested", share),
    "nested_strictly": ("strictly", share),
    "sampled": ("points in", share),
    "sampled_whole": ("cones in", share),
    "siblings_unsaturated": ("siblings", whole),
    "siblings_apart": ("apexes apart", share),
    "siblings_separated": ("cones apart", share),
}
_CONES = {
    "specimens": ("specimens", whole),
    "inside": ("inside", share),
    "cones": ("cones per specimen", decimal),
    "saturated": ("saturated", share),
}
COST = {
    "parameters": ("parameters", whole),
    "epochs": ("epochs", whole),
    "seconds": ("seconds", whole),
    "seconds_per_epoch": ("seconds per epoch", decimal),
    "milliseconds_per_step": ("milliseconds per step", whole),
    "peak_memory": ("peak memory, MiB", whole),
}


def hierarchy_table(
    metrics: pd.DataFrame, pairing: str = "DNA to DNA", *, protocol: str = "standard"
) -> Table:
    """How far down the ranks answers are right, and how far off they are, by method and split.

    metrics: of `hypertax.evaluation.hierarchy_scores`, of runs with `method`, `run`, `seed`; so
    in `first_wrong_table`.
    """
    note = (
        f"{pairing}. Share of the queries in % whose names are right at every rank down to this"
        " one; tree error: mean edges between true"
        " and predicted leaf; depth of their lowest common ancestor: 0 the root, 4 the species."
    )
    return _of_pairing(metrics, pairing, protocol, _HIERARCHY, note)


def first_wrong_table(
    metrics: pd.DataFrame, pairing: str = "DNA to DNA", *, protocol: str = "standard"
) -> Table:
    """At which rank answers first go wrong, by method and split."""
    note = (
        f"{pairing}. Share of the queries in % by the topmost rank at which the answer is"
        " wrong; none: right at all ranks."
    )
    return _of_pairing(metrics, pairing, protocol, _FIRST_WRONG, note)


def _of_pairing(
    metrics: pd.DataFrame, pairing: str, protocol: str, quantities: dict, note: str
) -> Table:
    chosen = metrics[(metrics["pairing"] == pairing) & (metrics["protocol"] == protocol)]
    # In the novel protocol no query counts at species.
    present = {
        name: about
        for name, about in quantities.items()
        if name in chosen and chosen[name].notna().any()
    }
    return over_seeds(chosen, ("method", "split"), (), present, note)


def correlation_table(correlations: pd.DataFrame) -> Table:
    """Spearman's correlation of embedding distance with tree distance, by method.

    correlations: of `hypertax.evaluation.distance_correlation`, of runs with `method`,
    `run`, `seed`.
    """
    note = (
        f"Spearman's rank correlation over {correlations['pairs'].max():,} random pairs of"
        " specimens at most."
    )
    names = {name: (name, decimal) for name in correlations["tree"].unique()}
    wide = correlations.pivot(
        index=["method", "run", "seed", "pairing"], columns="tree", values="spearman"
    ).reset_index()
    order = {run: i for i, run in enumerate(correlations["run"].unique())}
    wide = wide.sort_values("run", key=lambda runs: runs.map(order), kind="stable")
    return over_seeds(wide, ("method",), ("pairing",), names, note)


def nesting_table(nestings: pd.DataFrame) -> Table:
    """How many of the taxa's cones are nested whole in their parent's, and keep apart from their
    siblings', by method and rank.

    nestings: of `hypertax.evaluation.cone_nesting`, of runs with `method`, `run`, `seed`.
    """
    note = (
        "Shares in %, of the edges and sibling pairs with both cones unsaturated. Nested: apex"
        " in the parent's cone, hence the whole cone;"
        " strictly: exterior angle plus the child's half-aperture at most the parent's; points"
        " in: sampled points of the child's cone in"
        " the parent's; cones in: all of them there. Siblings: pairs of one parent; apexes"
        " apart: neither in the other's cone; cones apart:"
        " moreover no sampled point in both."
    )
    return over_seeds(nestings, ("method", "rank"), (), _NESTING, note)


def cones_table(counts: pd.DataFrame) -> Table:
    """Whether specimens lie in the cones of their own taxa and in how many in all, by method, kind
    of species and rank.

    counts: of `hypertax.evaluation.specimens_in_cones`, of runs with `method`,
    `run`, `seed`.
    """
    note = (
        "Inside: specimens in their own taxon's cone, in %, of those whose taxon was trained on;"
        " all: in those of every rank at once. Cones per"
        " specimen: of this rank, its own among them. Saturated: the rank's cones that are"
        " half-spaces, in %. Species that training never saw"
        " have no cone of their own."
    )
    return over_seeds(counts, ("method", "split", "rank"), ("modality",), _CONES, note)


def cost_table(costs: pd.DataFrame) -> Table:
    """Parameters, time and memory by method and device.

    `seconds` is the whole run, with validation, embedding and writing; an epoch's are between the
    first and the last epoch of the history, with its validation; a step's are the epoch's over its
    steps. Without training there is neither.

    Args:
        costs: one row per run, with `method`, `run`, `seed`, `device` and the columns of `COST`, as
            `hypertax.study.run_costs` makes it.
    """
    note = (
        "Peak memory of the process that trained. Seconds of wall time on a machine that may"
        " have had other work: of the whole run, and per epoch with its validation."
    )
    return over_seeds(costs, ("method", "device"), (), COST, note)


def ablation_table(
    scores: pd.DataFrame, base: str, average: str = "macro", *, stage: str | None = None
) -> Table:
    """Rows of a group beside a base row: harmonic mean at species, and novel species at genus and
    family, for every pairing.

    Args:
        scores: as in `hypertax.tables.accuracy.main_table`. base: the method that the others are
        compared with.

    Returns:
        pairings and methods (the base first) against the three accuracies; tidy has `difference`,
        the mean minus the base's mean (a share).

    Raises:
        ValueError: the base is not among the methods, or the scores have no such numbers.
    """
    if base not in set(scores["method"]):
        raise ValueError(
            f"There are no scores of {base!r}; the methods are"
            f" {', '.join(map(repr, scores['method'].unique()))}."
        )
    wanted = {
        "species H.M.": {"protocol": "standard", "rank": "species", "split": "harmonic"},
        "novel genus": {"protocol": "novel", "rank": "genus"},
        "novel family": {"protocol": "novel", "rank": "family"},
    }
    parts = [
        only(scores, stage, ranking="distance", k=1, average=average, **cell).assign(quantity=name)
        for name, cell in wanted.items()
    ]
    chosen = pd.concat(parts)
    order = {name: i for i, name in enumerate(dict.fromkeys([base, *scores["method"]]))}
    chosen = chosen.sort_values("method", key=lambda names: names.map(order), kind="stable")
    table = accuracies_over_seeds(
        chosen, ("pairing", "method"), ("quantity",), (), f"{average} ablation"
    )
    tidy = table.tidy
    of_base = tidy[tidy["method"] == base].set_index(["pairing", "quantity"])["mean"]
    tidy = tidy.assign(
        difference=tidy["mean"]
        - of_base.reindex(pd.MultiIndex.from_frame(tidy[["pairing", "quantity"]])).to_numpy()
    )
    shown = []
    for row in tidy.itertuples():
        cell = DASH if pd.isna(row.mean) else share(row.mean)
        if pd.notna(row.mean) and pd.notna(row.sd):
            cell += f" ± {share(row.sd)}"
        if row.method != base and pd.notna(row.difference):
            cell += f" ({points(row.difference)})"
        shown.append(cell)
    spread = (
        "Mean ± standard deviation over the seeds, in %" if tidy["sd"].notna().any() else "In %"
    )
    note = (
        f"{average.capitalize()} top-1. {spread}; in brackets the difference of the means to"
        f" {base}, in points, not tested."
    )
    return replace(table, tidy=tidy.assign(shown=shown), percent=False, note=note)
