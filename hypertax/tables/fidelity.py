"""Tables of how well distances keep the divergence of barcodes."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from hypertax.evaluation.bootstrap import BETTER, FEW, WORSE
from hypertax.evaluation.kept_divergence import MEASURES
from hypertax.tables.differences import DRAWN, of_differences
from hypertax.tables.seeds import over_seeds
from hypertax.tables.table import DASH, Table


def thousandths(value: float) -> str:
    """A number to three decimals."""
    return f"{value:.3f}".replace("-", "−")


def fidelity_table(cells: pd.DataFrame) -> Table:
    """Relative error and rank correlation of distances with divergences, by method, distance and
    kind of species.

    Args:
        cells: of `hypertax.study.study_fidelity`.

    Raises:
        ValueError: no cell.
    """
    keys = ["method", "run", "seed", "metric", "split"]
    wide = cells.pivot(index=keys, columns="measure", values="value").reset_index()
    order = {key: place for place, key in enumerate(dict.fromkeys(zip(*_of(cells), strict=True)))}
    places = pd.Series([order[key] for key in zip(*_of(wide), strict=True)], index=wide.index)
    wide = wide.loc[places.sort_values(kind="stable").index]
    note = (
        "Pairs of test specimens: both of seen species, both of unseen ones, or (novel) one of an"
        " unseen species with a key of a seen one. Divergence: substitutions a site by which two"
        " aligned reads differ, corrected after Jukes and Cantor; pairs below 0.01 do not count."
        " Relative error: the mean of |s d - J| / J, s fitted on pairs of validation queries; rank"
        " correlation: Spearman's. Distance: geodesic in hyperbolic space, in the Euclidean space"
        " that of vectors that are not normalised; cosine: 1 - cos."
    )
    quantities = {measure: (measure, thousandths) for measure in MEASURES}
    return over_seeds(wide, ("method", "metric"), ("split",), quantities, note)


def _of(frame: pd.DataFrame) -> list[pd.Series]:
    return [frame[name] for name in ("method", "metric", "split")]


def fidelity_gains_table(gains: pd.DataFrame, *, runs: Sequence[str] = ()) -> Table:
    """By how much rows' distances keep divergences better than others', with 95 % intervals; an
    asterisk where these exclude zero.

    Args:
        gains: of `hypertax.study.StudyFidelity.gains`. runs: names of the runs compared.
    """
    note = (
        "By how much the relative error is lower, and the rank correlation higher, than the"
        " reference's: above zero the row keeps divergences better. In brackets the 95 % interval"
        f" from a paired bootstrap: {DRAWN}; * where it excludes zero: of {len(gains)} cells about"
        f" {len(gains) / 20:.0f} would by chance alone. The row's own distance stands against the"
        " reference's by the metric named. Intervals hold the trained models fixed."
    )
    shown = [_interval(row) for row in gains.itertuples()]
    rows = ("method", "reference", "metric", "split")
    return of_differences(gains, shown, rows, runs, note, columns=("measure",))


def _interval(row) -> str:
    if row.verdict == FEW:
        return f"{_signed(row.difference)} [{DASH}]"
    text = f"{_signed(row.difference)} [{_signed(row.low)}, {_signed(row.high)}]"
    return f"{text} *" if row.verdict in (BETTER, WORSE) else text


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
