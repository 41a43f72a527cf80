"""Tables beyond accuracy: differences with their intervals, hierarchy, nesting, cost, ablations,
and what the encoders are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from hypertax.evaluation.comparison import NEITHER
from hypertax.evaluation.hierarchy import FIRST_WRONG, PREFIXES
from hypertax.study.runs import StudyRun
from hypertax.tables.table import DASH, Table, _only, _summarise
from hypertax.taxonomy import RANKS, full_text, known_ranks, rank_text


def _share(value: float) -> str:
    return f"{100 * value:.1f}"


def _decimal(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _points(value: float) -> str:
    """A difference of shares in points, with its sign; without one where it reads zero."""
    points = round(100 * value, 1)
    return f"{points:+.1f}".replace("-", "−") if points else "0.0"


_HIERARCHY = {
    name: (f"right to {rank}", _share) for name, rank in zip(PREFIXES, RANKS, strict=True)
}
_HIERARCHY |= {"tree_error": ("tree error", _decimal), "lca_depth": ("ancestor's depth", _decimal)}
_FIRST_WRONG = {name: (name.removeprefix("first_wrong_"), _share) for name in FIRST_WRONG}
_NESTING = {
    "edges": ("edges", _whole),
    "unsaturated": ("unsaturated", _whole),
    "nested": ("nested", _share),
    "nested_strictly": ("strictly", _share),
    "sampled": ("points in", _share),
    "sampled_whole": ("cones in", _share),
    "siblings_unsaturated": ("siblings", _whole),
    "siblings_apart": ("apexes apart", _share),
    "siblings_separated": ("cones apart", _share),
}
_CONES = {
    "specimens": ("specimens", _whole),
    "inside": ("inside", _share),
    "cones": ("cones per specimen", _decimal),
    "saturated": ("saturated", _share),
}
_COST = {
    "parameters": ("parameters", _whole),
    "epochs": ("epochs", _whole),
    "seconds": ("seconds", _whole),
    "seconds_per_epoch": ("seconds per epoch", _decimal),
    "milliseconds_per_step": ("milliseconds per step", _whole),
    "peak_memory": ("peak memory, MiB", _whole),
}


def _over_seeds(
    frame: pd.DataFrame,
    rows: Sequence[str],
    columns: Sequence[str],
    quantities: dict[str, tuple[str, Callable[[float], str]]],
    note: str,
) -> Table:
    """Mean ± sd over the seeds of some columns of a frame with `method`, `run`, `seed`; quantities:
    column to heading and format."""
    if frame.empty:
        raise ValueError("There is no run to make this table of.")
    keys = [*rows, *columns]
    twice = frame[frame.duplicated([*keys, "seed"], keep=False)]
    if len(twice):
        method, seed = twice.iloc[0][["method", "seed"]]
        raise ValueError(
            f"Method {method!r} has several runs of seed {seed}; give differing runs different"
            " labels."
        )
    tidy = []
    for key, group in frame.groupby(keys, sort=False):
        for name, (heading, text) in quantities.items():
            mean, sd, n = group[name].mean(), group[name].std(), int(group[name].count())
            shown = DASH if not n else text(mean)
            # A count that is the same for every seed needs no deviation.
            shown += f" ± {text(sd)}" if n > 1 and not (text is _whole and sd == 0) else ""
            tidy.append(
                {
                    **dict(zip(keys, key, strict=True)),
                    "quantity": heading,
                    "mean": mean,
                    "sd": sd,
                    "n": n,
                    "shown": shown,
                }
            )
    seeds = frame.groupby("method")["seed"].nunique()
    return Table(
        tidy=pd.DataFrame(tidy),
        rows=tuple(rows),
        columns=(*columns, "quantity"),
        percent=False,
        seeds=str(seeds.min())
        if seeds.min() == seeds.max()
        else f"{seeds.min()} to {seeds.max()}, depending on the method",
        runs=tuple(dict.fromkeys(frame["run"].astype(str))),
        note=f"{note} Mean ± standard deviation over the seeds."
        if frame["seed"].nunique() > 1
        else note,
    )


def difference_table(
    differences: pd.DataFrame,
    split: str = "unseen",
    *,
    protocol: str = "standard",
    average: str = "macro",
    runs: Sequence[str] = (),
) -> Table:
    """Accuracy minus the reference's, in points, with its 95 % interval; an asterisk where that
    excludes zero.

    Args:
        differences: of `hypertax.evaluation.comparison.compare`. split: "seen", "unseen" or
        "harmonic". runs: names of the runs compared.

    Returns:
        methods and ranks against pairings; tidy has `mean` (a share), `low`, `high`, `verdict`,
        `queries`, `seeds`, `seeds_agreeing`.

    Raises:
        ValueError: no such cells, or differences to several references.
    """
    wanted = {"split": split, "protocol": protocol, "average": average}
    chosen = differences[(differences[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    if chosen.empty:
        raise ValueError(f"There are no differences for {protocol}, {split}, {average}.")
    note = (
        f"Difference to {_only_reference(chosen)} in points, and in brackets its 95 % interval"
        " from a paired bootstrap over the queries; * where the"
        " interval, before it is rounded, excludes zero. Intervals hold the trained models fixed"
        " and are not corrected for the number"
        " of cells."
    )
    shown = [_interval(row) for row in chosen.itertuples()]
    return _of_differences(
        chosen.drop(columns=["split", "protocol", "average"]), shown, ("method", "rank"), runs, note
    )


def _only_reference(differences: pd.DataFrame) -> str:
    references = differences["reference"].unique()
    if len(references) > 1:
        raise ValueError(
            f"The differences have several references ({', '.join(references)}): make one table"
            " of each."
        )
    return references[0]


def _interval(row) -> str:
    """A difference in points with its interval; an asterisk where that excludes zero."""
    return (
        f"{_points(row.difference)} [{_points(row.low)},"
        f" {_points(row.high)}]{'' if row.verdict == NEITHER else ' *'}"
    )


def _of_differences(
    differences: pd.DataFrame, shown: list[str], rows: Sequence[str], runs: Sequence[str], note: str
) -> Table:
    """Differences of one reference against the pairings; `shown` are the cells."""
    seeds = sorted(differences["seeds"].unique())
    return Table(
        tidy=differences.rename(columns={"difference": "mean"})
        .assign(sd=np.nan, n=np.nan, shown=shown)
        .reset_index(drop=True),
        rows=tuple(rows),
        columns=("pairing",),
        percent=False,
        seeds=str(seeds[0])
        if len(seeds) == 1
        else f"{seeds[0]} to {seeds[-1]}, depending on the method",
        runs=tuple(runs),
        note=note,
    )


def hierarchy_table(
    metrics: pd.DataFrame, pairing: str = "DNA to DNA", *, protocol: str = "standard"
) -> Table:
    """How far down the ranks answers are right, and how far off they are, by method and split.

    metrics: of `hypertax.evaluation.hierarchy.hierarchy`, of runs with `method`, `run`, `seed`; so
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
    return _over_seeds(chosen, ("method", "split"), (), present, note)


def correlation_table(correlations: pd.DataFrame) -> Table:
    """Spearman's correlation of embedding distance with tree distance, by method.

    correlations: of `hypertax.evaluation.hierarchy.distance_correlation`, of runs with `method`,
    `run`, `seed`.
    """
    note = (
        f"Spearman's rank correlation over {correlations['pairs'].max():,} random pairs of"
        " specimens at most."
    )
    names = {name: (name, _decimal) for name in correlations["tree"].unique()}
    wide = correlations.pivot(
        index=["method", "run", "seed", "pairing"], columns="tree", values="spearman"
    ).reset_index()
    order = {run: i for i, run in enumerate(correlations["run"].unique())}
    wide = wide.sort_values("run", key=lambda runs: runs.map(order), kind="stable")
    return _over_seeds(wide, ("method",), ("pairing",), names, note)


def nesting_table(nestings: pd.DataFrame) -> Table:
    """How many of the taxa's cones are nested whole in their parent's, and keep apart from their
    siblings', by method and rank.

    nestings: of `hypertax.evaluation.nesting.nesting`, of runs with `method`, `run`, `seed`.
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
    return _over_seeds(nestings, ("method", "rank"), (), _NESTING, note)


def cones_table(counts: pd.DataFrame) -> Table:
    """Whether specimens lie in the cones of their own taxa and in how many in all, by method, kind
    of species and rank.

    counts: of `hypertax.evaluation.specimens_in_cones.specimens_in_cones`, of runs with `method`,
    `run`, `seed`.
    """
    note = (
        "Inside: specimens in their own taxon's cone, in %, of those whose taxon was trained on;"
        " all: in those of every rank at once. Cones per"
        " specimen: of this rank, its own among them. Saturated: the rank's cones that are"
        " half-spaces, in %. Species that training never saw"
        " have no cone of their own."
    )
    return _over_seeds(counts, ("method", "split", "rank"), ("modality",), _CONES, note)


def cost_table(study: Sequence[StudyRun]) -> Table:
    """Parameters, time and memory by method and device, from each run's environment and history.

    `seconds` is the whole run, with validation, embedding and writing; an epoch's are between the
    first and the last epoch of the history, with its validation; a step's are the epoch's over its
    steps. Without training there is neither.
    """
    rows = []
    for member in study:
        environment, history = member.run.environment, member.run.history
        first, last = history.iloc[0], history.iloc[-1]
        epochs, steps = last["epoch"] - first["epoch"], last["step"] - first["step"]
        time = last["seconds"] - first["seconds"]
        row = {"method": member.row.label, "run": member.run.name, "seed": member.seed}
        row["device"] = (
            f"{environment['device']}, {environment['threads']}"
            f" thread{'s' * (environment['threads'] != 1)}"
        )
        row |= {
            "parameters": environment["parameters"],
            "seconds": environment["seconds"],
            "epochs": epochs if epochs else np.nan,
        }
        row |= {
            "seconds_per_epoch": time / epochs if epochs else np.nan,
            "milliseconds_per_step": 1000 * time / steps if steps else np.nan,
        }
        row["peak_memory"] = environment.get("peak_memory_mib", np.nan)
        rows.append(row)
    note = (
        "Peak memory of the process that trained. Seconds of wall time on a machine that may"
        " have had other work: of the whole run, and per epoch with its validation."
    )
    return _over_seeds(pd.DataFrame(rows), ("method", "device"), (), _COST, note)


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
        _only(scores, stage, ranking="distance", k=1, average=average, **cell).assign(quantity=name)
        for name, cell in wanted.items()
    ]
    chosen = pd.concat(parts)
    order = {name: i for i, name in enumerate(dict.fromkeys([base, *scores["method"]]))}
    chosen = chosen.sort_values("method", key=lambda names: names.map(order), kind="stable")
    table = _summarise(chosen, ("pairing", "method"), ("quantity",), (), f"{average} ablation")
    tidy = table.tidy
    of_base = tidy[tidy["method"] == base].set_index(["pairing", "quantity"])["mean"]
    tidy = tidy.assign(
        difference=tidy["mean"]
        - of_base.reindex(pd.MultiIndex.from_frame(tidy[["pairing", "quantity"]])).to_numpy()
    )
    shown = []
    for row in tidy.itertuples():
        cell = (
            DASH
            if pd.isna(row.mean)
            else _share(row.mean) + (f" ± {_share(row.sd)}" if pd.notna(row.sd) else "")
        )
        shown.append(
            cell
            + (
                f" ({_points(row.difference)})"
                if row.method != base and pd.notna(row.difference)
                else ""
            )
        )
    spread = (
        "Mean ± standard deviation over the seeds, in %" if tidy["sd"].notna().any() else "In %"
    )
    note = (
        f"{average.capitalize()} top-1. {spread}; in brackets the difference of the means to"
        f" {base}, in points, not tested."
    )
    return replace(table, tidy=tidy.assign(shown=shown), percent=False, note=note)


def text_inputs_table(specimens: pd.DataFrame, *, dataset: str = "") -> Table:
    """What each encoder is given for one specimen with a name at every rank, one with some names
    and one with none.

    The specimens are the first of their kind in the table, with some names those with the most
    frequent set of them. The stacked loss (SEL) is given one text per known rank: the bare name, or
    by the option `entailment_text: cumulative` the names down to it.

    Args:
        specimens: as `hypertax.data.load_specimens` gives them.
    """
    known = specimens[list(RANKS)].notna()
    partial = known[known.any(axis=1) & ~known.all(axis=1)]
    usual = partial.value_counts().index[0] if len(partial) else [False] * len(RANKS)
    kinds = {
        "full": known.all(axis=1),
        "partial": known.any(axis=1) & (known.to_numpy() == np.array(usual)).all(axis=1),
        "none": ~known.any(axis=1),
    }
    rows, absent = [], []
    for kind, mask in kinds.items():
        if mask.any():
            specimen = specimens[mask].iloc[0]
        elif kind == "none":
            specimen = pd.Series(
                dict.fromkeys(["sampleid", "image", "barcode", *RANKS]), dtype=object
            )
            absent.append(kind)
        else:
            absent.append(kind)
            continue
        inputs = {}
        if pd.notna(specimen["image"]):
            inputs["image encoder"] = Path(specimen["image"]).name
        if pd.notna(specimen["barcode"]):
            inputs["DNA encoder"] = (
                f"{specimen['barcode'][:24]}… ({len(specimen['barcode'])} bases)"
            )
        inputs["text encoder, contrastive loss"] = full_text(specimen)
        for name, cumulative in (("SEL", False), ("SEL, cumulative", True)):
            texts = {
                rank: rank_text(specimen, rank, cumulative=cumulative)
                for rank in known_ranks(specimen)
            }
            inputs |= {f"text encoder, {name}: {rank}": text for rank, text in texts.items()} or {
                f"text encoder, {name}": None
            }
        identity = DASH if pd.isna(specimen["sampleid"]) else specimen["sampleid"]
        rows += [
            {"labels": kind, "specimen": identity, "input": name, "shown": text or DASH}
            for name, text in inputs.items()
        ]
    if not rows:
        raise ValueError("The specimen table is empty.")
    note = f"{DASH}: no text is given, and the loss term leaves the specimen out."
    if absent:
        note += f" These data have no specimen of this kind: {', '.join(absent)}."
    tidy = pd.DataFrame(rows).assign(quantity="given", mean=np.nan, sd=np.nan, n=np.nan)
    return Table(
        tidy,
        ("labels", "specimen", "input"),
        ("quantity",),
        percent=False,
        source="",
        dataset=dataset,
        note=note,
    )
