"""Is one method better than another? Per-query answers of both, and a paired bootstrap over the
queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zlib import crc32

import numpy as np
import pandas as pd

from hypertax.data.split import KEY_SPLITS, QUERY_SPLITS
from hypertax.embeddings import Embeddings
from hypertax.evaluation.accuracy import AVERAGES, PAIRINGS
from hypertax.evaluation.retrieval import nearest_keys
from hypertax.study.runs import StudyRun
from hypertax.taxonomy import RANKS

RESAMPLES = 2000
BETTER, WORSE, NEITHER = "better", "worse", "no difference shown"
CLAIM = {"protocol": "standard", "pairing": "DNA to DNA", "split": "unseen", "rank": "species"}
"""The cell of the paper's claim: unseen species from DNA barcodes."""

_CELL = ["protocol", "pairing", "rank", "split", "average"]
_COLUMNS = [
    "method",
    "reference",
    *_CELL,
    "difference",
    "low",
    "high",
    "verdict",
    "queries",
    "seeds",
    "seeds_agreeing",
]
_TRUE, _PREDICTED = [f"gt_{rank}" for rank in RANKS], [f"pred_{rank}" for rank in RANKS]


def predictions(
    embeddings: Embeddings, stage: str = "test", *, device: str | None = None
) -> pd.DataFrame:
    """Every query's true lineage and that of its nearest key, for each pairing and protocol of
    `hypertax.evaluation.accuracy.evaluate`.

    Nearest is by "distance". `hypertax.evaluation.accuracy.accuracy` of these columns is
    `evaluate`'s top-1.

    Args:
        stage: "val" or "test", whose queries are used. device: where to look for the keys, the CPU
        by default.

    Returns:
        one row per protocol, pairing and query: `protocol` ("standard", "novel"), `pairing`,
        `split` ("seen", "unseen"), `query` and `key` (ids), `gt_RANK` (NA where the query does not
        count: unlabelled, or in "novel" a species, or a taxon that no key has) and `pred_RANK` (NA
        where the key is unlabelled).

    Raises:
        ValueError: a stage that does not exist.
    """
    if stage not in QUERY_SPLITS:
        raise ValueError(f"stage must be 'val' or 'test', not {stage!r}.")
    splits = {name: split for split, name in QUERY_SPLITS[stage].items()}
    novel = [name for name, split in splits.items() if split == "unseen"]
    parts = [
        pd.DataFrame(columns=["protocol", "pairing", "split", "query", "key", *_TRUE, *_PREDICTED])
    ]
    for protocol, of_queries, of_keys in (
        ("standard", list(splits), list(KEY_SPLITS)),
        ("novel", novel, ["seen_keys"]),
    ):
        for pairing, (query_modality, key_modality) in PAIRINGS.items():
            queries, keys = (
                embeddings.select(query_modality, of_queries),
                embeddings.select(key_modality, of_keys),
            )
            if not len(queries) or not len(keys):
                continue
            options = {"space": keys.space, "curvature": keys.curvature, "k": 1, "device": device}
            found = nearest_keys(queries.tangent, keys.tangent, **options)[0].numpy()[:, 0]
            true = queries.table[list(RANKS)].set_axis(_TRUE, axis=1).astype(object)
            predicted = (
                keys.table[list(RANKS)]
                .iloc[found]
                .set_axis(_PREDICTED, axis=1)
                .astype(object)
                .reset_index(drop=True)
            )
            if protocol == "novel":
                for rank in RANKS:
                    placeable = true[f"gt_{rank}"].isin(keys.table[rank].dropna()) & (
                        rank != RANKS[-1]
                    )
                    true[f"gt_{rank}"] = true[f"gt_{rank}"].where(placeable, None)
            about = pd.DataFrame(
                {
                    "protocol": protocol,
                    "pairing": pairing,
                    "split": queries.table["split"].map(splits),
                }
            )
            about = about.assign(query=queries.table["id"], key=keys.table["id"].to_numpy()[found])
            parts.append(pd.concat([about, true, predicted], axis=1))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def study_predictions(
    study: Sequence[StudyRun], stage: str = "test", *, device: str | None = None
) -> pd.DataFrame:
    """`predictions` of every run of a study, with columns `method`, `run` and `seed` in front."""
    return each_run(study, lambda member: predictions(member.embeddings, stage, device=device))


def each_run(
    study: Sequence[StudyRun], measure: Callable[[StudyRun], pd.DataFrame]
) -> pd.DataFrame:
    """The frames that `measure` makes of every run of a study, one below the other, with columns
    `method`, `run` and `seed` in front."""
    frames = []
    for member in study:
        frame = measure(member)
        about = {"method": member.row.label, "run": member.run.name, "seed": member.seed}
        frames.append(frame.assign(**about)[[*about, *frame.columns]])
    return pd.concat(frames, ignore_index=True)


def compare(
    answers: pd.DataFrame,
    reference: str,
    *,
    methods: Sequence[str] | None = None,
    averages: Sequence[str] = AVERAGES,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Top-1 accuracy of each method minus the reference's, with 95 % percentile intervals of a
    paired bootstrap (Efron & Tibshirani 1993).

    Queries are drawn with replacement within a split; one draw serves both methods and all seeds.
    In the macro average of a draw a query keeps the weight it has in the macro average itself, one
    over the size of its class, and a class that is not drawn leaves the mean. (Class means of the
    drawn queries would not do: small classes are often not drawn, which lets large ones count for
    more. In simulated comparisons with the class sizes of the simulated data such intervals held
    the true difference 80 to 91 times in 100, these 91 to 96 times.) The difference is averaged
    over the seeds that both methods have.

    The intervals are about the choice of queries; how training seeds vary they do not say, so
    `seeds_agreeing` counts the seeds whose own difference has the sign of the mean one. They are
    not corrected for the number of cells.

    Args:
        answers: of `study_predictions`. reference: the method to compare with. methods: which to
        compare, by default all others. averages: "micro", "macro". seed: of the draws; the same
        arguments give the same numbers.

    Returns:
        one row per method, protocol, pairing, rank, average and split ("seen", "unseen", in the
        standard protocol also "harmonic"): `method`, `reference`, the cell, `difference`, `low`,
        `high` (shares), `verdict` ("better" and "worse" only where the interval excludes zero, else
        "no difference shown"), `queries`, `seeds`, `seeds_agreeing`.

    Raises:
        ValueError: a method that is not there, no seed in common, or methods that answered
        different queries.
    """
    methods, seeds_of = comparable(answers, reference, methods, "predictions")
    rows = []
    used = answers[answers["method"].isin([reference, *methods])]
    for (protocol, pairing), group in used.groupby(["protocol", "pairing"], sort=False):
        for rank in RANKS:
            cells = {}
            for split, part in group.groupby("split", sort=True):
                classes, correct = _aligned(part, rank)
                if not len(classes):
                    continue
                rng = np.random.default_rng(
                    [seed, crc32("/".join((protocol, pairing, rank, split)).encode())]
                )
                drawn = _resampled(classes, np.stack(list(correct.values())), rng, resamples)
                cells[split] = (
                    len(classes),
                    {a: dict(zip(correct, values, strict=True)) for a, values in drawn.items()},
                )
            if protocol == "standard" and len(cells) == 2:
                both = {
                    a: {
                        run: _harmonic(*(cells[s][1][a][run] for s in cells))
                        for run in cells["seen"][1][a]
                    }
                    for a in AVERAGES
                }
                cells["harmonic"] = sum(cells[s][0] for s in cells), both
            # A run without one of the modalities has no answers in this pairing.
            present = set(zip(group["method"], group["seed"], strict=True))
            for method in methods:
                seeds = [
                    s
                    for s in sorted(seeds_of[method] & seeds_of[reference])
                    if {(method, s), (reference, s)} <= present
                ]
                for average in averages if seeds else ():
                    for split, (queries, values) in cells.items():
                        gaps = [
                            values[average][method, s] - values[average][reference, s]
                            for s in seeds
                        ]
                        cell = {
                            "protocol": protocol,
                            "pairing": pairing,
                            "rank": rank,
                            "split": split,
                            "average": average,
                        }
                        rows.append(
                            {
                                "method": method,
                                "reference": reference,
                                **cell,
                                **_judged(np.stack(gaps)),
                                "queries": queries,
                            }
                        )
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    order = {name: i for i, name in enumerate(methods)}
    return frame.sort_values(
        "method", key=lambda names: names.map(order), kind="stable"
    ).reset_index(drop=True)


def comparable(
    answers: pd.DataFrame, reference: str, methods: Sequence[str] | None, what: str
) -> tuple[list[str], dict[str, set[int]]]:
    """The methods to compare, by default all but the reference, and the seeds of each and of the
    reference.

    answers: with columns `method` and `seed`. what: what they are, in words.

    Raises:
        ValueError: a method that is not there, or without a seed in common with the reference.
    """
    known = list(answers["method"].unique())
    methods = [name for name in known if name != reference] if methods is None else list(methods)
    for name in (reference, *methods):
        if name not in known:
            raise ValueError(
                f"There are no {what} of {name!r}; the methods are {', '.join(map(repr, known))}."
            )
    seeds_of = {
        name: set(answers.loc[answers["method"] == name, "seed"]) for name in (reference, *methods)
    }
    for name in methods:
        if not seeds_of[name] & seeds_of[reference]:
            raise ValueError(
                f"{name!r} and {reference!r} have no seed in common: train both with the same"
                " seeds."
            )
    return methods, seeds_of


def _aligned(part: pd.DataFrame, rank: str) -> tuple[np.ndarray, dict[tuple, np.ndarray]]:
    """The classes (Q,) of the queries that count at a rank, sorted, and per (method, seed) whether
    each is answered correctly (Q,)."""
    classes, correct, first = None, {}, None
    for run, own in part.groupby(["method", "seed"], sort=False):
        own = own[own[f"gt_{rank}"].notna()].sort_values([f"gt_{rank}", "query"], kind="stable")
        asked = own[["query", f"gt_{rank}"]].to_numpy(dtype=object)
        if classes is None:
            first, classes = run, asked
        elif not np.array_equal(classes, asked):
            raise ValueError(
                f"{run[0]!r} (seed {run[1]}) and {first[0]!r} (seed {first[1]}) did not answer"
                " the same queries once each."
            )
        predicted = own[f"pred_{rank}"].to_numpy(dtype=object)
        correct[run] = np.where(pd.notna(predicted), predicted, None) == asked[:, 1]
    return pd.factorize(classes[:, 1])[0], correct


def _resampled(
    classes: np.ndarray, correct: np.ndarray, rng: np.random.Generator, resamples: int
) -> dict[str, np.ndarray]:
    """Accuracies (M, 1 + R) of M runs by average, first without drawing, then of R draws; classes
    (Q,) sorted, correct (M, Q)."""
    queries, starts = len(classes), np.flatnonzero(np.diff(classes, prepend=-1))
    sizes = np.bincount(classes)
    micro, macro = (np.empty((len(correct), 1 + resamples)) for _ in AVERAGES)
    step = max(1, 2_000_000 // queries)
    for start in range(0, 1 + resamples, step):
        rows = slice(start, min(start + step, 1 + resamples))
        size = rows.stop - start
        drawn = rng.integers(queries, size=(size, queries)) + queries * np.arange(size)[:, None]
        times = (
            np.bincount(drawn.ravel(), minlength=size * queries)
            .reshape(size, queries)
            .astype(np.int32)
        )
        if start == 0:
            times[0] = 1
        total = (np.add.reduceat(times, starts, axis=1) / sizes).sum(axis=1)
        for own, micro_row, macro_row in zip(correct.astype(np.int32), micro, macro, strict=True):
            right = np.add.reduceat(times * own, starts, axis=1)
            micro_row[rows] = right.sum(axis=1) / queries
            macro_row[rows] = (right / sizes).sum(axis=1) / total
    return {"micro": micro, "macro": macro}


def _harmonic(seen: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """2su / (s + u) elementwise, 0 where both are 0."""
    total = seen + unseen
    return 2 * seen * unseen / np.where(total == 0, 1, total)


def _judged(gaps: np.ndarray) -> dict:
    """Difference, interval and verdict from (S, 1 + R) differences per seed, the first of each from
    the queries as they are."""
    # Sums of the same shares in another order differ in the last bits: that is no difference.
    mean = gaps.mean(axis=0).round(12) + 0.0
    low, high = np.quantile(mean[1:], [0.025, 0.975])
    verdict = BETTER if low > 0 else WORSE if high < 0 else NEITHER
    agreeing = int((np.sign(gaps[:, 0].round(12)) == np.sign(mean[0])).sum())
    numbers = {"difference": float(mean[0]), "low": float(low), "high": float(high)}
    return {**numbers, "verdict": verdict, "seeds": len(gaps), "seeds_agreeing": agreeing}


def sentences(differences: pd.DataFrame, average: str = "macro") -> list[str]:
    """What the rows of `compare` say: how the intervals were made, then per method where it is
    better, worse or neither, and the claim's cell.

    "better" stands only where an interval excludes zero. Harmonic means are left out, as they
    repeat what seen and unseen say.
    """
    chosen = differences[(differences["average"] == average) & (differences["split"] != "harmonic")]
    texts = []
    for reference, others in chosen.groupby("reference", sort=False):
        count = others.groupby("method").size().max()
        texts.append(
            f"Against {reference}, {average} top-1, {_plural(others['seeds'].max(), 'seed')},"
            f" {_plural(count, 'cell')} (pairing, species seen,"
            " unseen or novel, rank): 95 % intervals from a paired bootstrap over the queries,"
            " not corrected for the number of cells:"
            f" of {count}, about {count / 20:.1f} would exclude zero by chance alone."
        )
        for method, cells in others.groupby("method", sort=False):
            held = {
                verdict: cells[cells["verdict"] == verdict] for verdict in (BETTER, WORSE, NEITHER)
            }
            said = [
                f"{method}:"
                f" {', '.join(f'{verdict} in {len(part)}' for verdict, part in held.items() if len(part))}."
            ]
            for verdict in (BETTER, WORSE):
                part = held[verdict]
                if len(part):
                    where = "all" if len(part) == len(cells) and len(cells) > 1 else _listed(part)
                    said.append(f"{verdict.capitalize()} in {where}.")
            said += [
                _claim(row)
                for row in cells[(cells[list(CLAIM)] == pd.Series(CLAIM)).all(axis=1)].to_dict(
                    "records"
                )
            ]
            texts.append(" ".join(said))
    return texts


def _listed(cells: pd.DataFrame) -> str:
    """Cells in few words: ranks by pairing and kind of species."""
    kind = np.where(cells["protocol"] == "novel", "novel", cells["split"])
    parts = cells.assign(kind=kind).groupby(["pairing", "kind"], sort=False)["rank"].agg(", ".join)
    return "; ".join(f"{pairing}, {kind} ({ranks})" for (pairing, kind), ranks in parts.items())


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _interval(row: dict) -> str:
    return (
        f"{100 * row['difference']:+.1f} points, {100 * row['low']:+.1f} to"
        f" {100 * row['high']:+.1f}"
    )


def _claim(row: dict) -> str:
    finding = {
        BETTER: f"better than {row['reference']}",
        WORSE: f"worse than {row['reference']}",
        NEITHER: f"no difference to {row['reference']} is shown",
    }[row["verdict"]]
    agreeing = f"{row['seeds_agreeing']} of {_plural(row['seeds'], 'seed')} the same way"
    return (
        f"Unseen species from DNA, the claim of the abstract: {finding} ({_interval(row)};"
        f" {agreeing})."
    )
