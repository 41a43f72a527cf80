"""Means over training seeds, and how numbers read in a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from hypertax.tables.table import DASH, Table, laid_out_order


def share(value: float) -> str:
    """A share (0..1) in %, to one decimal."""
    return f"{100 * value:.1f}"


def decimal(value: float) -> str:
    """A number to two decimals."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def whole(value: float) -> str:
    """A number without decimals."""
    return f"{value:,.0f}"


def points(value: float) -> str:
    """A difference of shares in points, with its sign; without one where it reads zero."""
    points = round(100 * value, 1)
    return f"{points:+.1f}".replace("-", "−") if points else "0.0"


def only(scores: pd.DataFrame, stage: str | None, **wanted) -> pd.DataFrame:
    """The rows of one stage with the wanted values.

    stage: "val" or "test"; None is test where the scores have it, else validation.
    """
    if stage is None:
        stage = "test" if (scores["stage"] == "test").any() else "val"
    mask = scores["stage"] == stage
    for column, value in wanted.items():
        mask &= scores[column] == value
    return scores[mask]


def seeds_in_words(counts: pd.Series | Sequence[int]) -> str:
    """How many seeds there are, from the number that each method has."""
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}, depending on the method"


def accuracies_over_seeds(
    scores: pd.DataFrame,
    rows: Sequence[str],
    columns: Sequence[str],
    compare: Sequence[str],
    what: str,
) -> Table:
    """Mean and sd over the seeds of `value`, in the layout's order; a pairing without a number is
    left out.

    Args:
        scores: of `hypertax.evaluation.study_scores`.
        rows, columns, compare: as in `Table`.
        what: what the numbers are, for the error.

    Raises:
        ValueError: no number, or several of one method and seed.
    """
    pairings = scores.groupby("pairing")["value"]
    scores = scores[pairings.transform(lambda v: v.notna().any()).astype(bool)]
    if scores.empty:
        raise ValueError(
            f"The scores have no number for {what}; check their stage, protocol, rankings and ks."
        )
    keys = [*rows, *columns]
    _refuse_twice(scores, keys)
    of_cell = scores.groupby(keys, sort=False)
    tidy = of_cell["value"].agg(mean="mean", sd="std", n="count")
    tidy["runs"] = of_cell["run"].agg(lambda runs: " ".join(runs.astype(str)))
    tidy = tidy.reset_index()
    return Table(
        tidy=tidy.iloc[laid_out_order(tidy, keys)].reset_index(drop=True),
        rows=tuple(rows),
        columns=tuple(columns),
        compare=tuple(compare),
        dataset=", ".join(scores["dataset"].astype(str).unique()) if "dataset" in scores else "",
        seeds=seeds_in_words(scores.groupby("method")["seed"].nunique()),
        runs=tuple(scores["run"].astype(str).unique()),
    )


def over_seeds(
    frame: pd.DataFrame,
    rows: Sequence[str],
    columns: Sequence[str],
    quantities: dict[str, tuple[str, Callable[[float], str]]],
    note: str,
) -> Table:
    """Mean ± sd over the seeds of several columns, each with its own format, in the frame's order.

    Args:
        frame: with `method`, `run`, `seed`, the columns of `rows` and `columns`, and the numbers.
        rows, columns: as in `Table`; the quantities are the last level of the columns.
        quantities: a column of the frame to its heading and format.
        note: what the numbers mean, in sentences.

    Raises:
        ValueError: no run, or several of one method and seed.
    """
    if frame.empty:
        raise ValueError("There is no run to make this table of.")
    keys = [*rows, *columns]
    _refuse_twice(frame, keys)
    tidy = []
    for key, group in frame.groupby(keys, sort=False):
        for name, (heading, text) in quantities.items():
            mean, sd, n = group[name].mean(), group[name].std(), int(group[name].count())
            shown = text(mean) if n else DASH
            # A count that is the same for every seed needs no deviation.
            if n > 1 and not (text is whole and sd == 0):
                shown += f" ± {text(sd)}"
            numbers = {"quantity": heading, "mean": mean, "sd": sd, "n": n, "shown": shown}
            tidy.append({**dict(zip(keys, key, strict=True)), **numbers})
    if frame.groupby("method")["seed"].nunique().max() > 1:
        note = f"{note} Mean ± standard deviation over the seeds."
    return Table(
        tidy=pd.DataFrame(tidy),
        rows=tuple(rows),
        columns=(*columns, "quantity"),
        percent=False,
        seeds=seeds_in_words(frame.groupby("method")["seed"].nunique()),
        runs=tuple(dict.fromkeys(frame["run"].astype(str))),
        note=note,
    )


def _refuse_twice(frame: pd.DataFrame, keys: Sequence[str]) -> None:
    """Raise where a cell has several numbers of one seed."""
    twice = frame[frame.duplicated([*keys, "seed"], keep=False)]
    if twice.empty:
        return
    method, seed = twice.iloc[0][["method", "seed"]]
    own = twice.loc[(twice["method"] == method) & (twice["seed"] == seed), "run"]
    runs = ", ".join(dict.fromkeys(own.astype(str)))
    raise ValueError(
        f"Method {method!r} has several values for seed {seed} (runs: {runs}); give differing"
        " runs different labels."
    )
