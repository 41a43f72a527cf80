"""Fidelity of a group's rows: which rows are compared, and what tables and the figure show of them."""

import numpy as np
import pandas as pd
import pytest

from hypertax.evaluation.kept_divergence import MEASURES, Fidelity
from hypertax.figures import fidelity_curves
from hypertax.study import StudyFidelity, fidelity_lines, load_rows, load_sweep, same_width
from hypertax.study.fidelity import start_label
from hypertax.tables import fidelity_gains_table, fidelity_table

SPLITS, METRICS = ("seen", "unseen", "novel"), ("distance", "cosine")
WIDTHS = (8, 16, 32, 64, 256)
FLAT, CURVED = "Euclidean, divergence", "Hyperbolic, divergence"


def made(error, correlation, species=30, seed=0):
    """Scores whose relative error and rank correlation are as given, their draws nearly so."""
    rng = np.random.default_rng(seed)
    cells, draws = [], []
    for split in SPLITS:
        for metric in METRICS:
            for measure, value in zip(MEASURES, (error, correlation), strict=True):
                own = np.concatenate([[value], value + rng.normal(0, 0.001, 50)])
                low, high = np.quantile(own[1:], [0.025, 0.975])
                cells.append((split, metric, measure, value, low, high, 100, species, 0.1))
                draws.append(own)
    names = ["split", "metric", "measure", "value", "low", "high", "pairs", "species", "scale"]
    return Fidelity(pd.DataFrame(cells, columns=names), np.array(draws))


@pytest.fixture(scope="module")
def found():
    rows, sweep = load_rows("fidelity"), load_sweep("fidelity")
    methods = {start_label(width): [made(0.3, 0.8)] for width in WIDTHS}
    for label, (line, _) in sweep.settings(rows).items():
        error = 0.10 if line == CURVED else 0.15
        methods[label] = [made(error + 0.002 * seed, 0.9, seed=seed) for seed in range(2)]
    cells = [
        one.cells.assign(method=method, run=f"{method}-{seed}", seed=seed)
        for method, seeds in methods.items()
        for seed, one in enumerate(seeds)
    ]
    return StudyFidelity(pd.concat(cells, ignore_index=True), methods)


def test_the_group_has_every_width_in_both_spaces_and_rows_differ_in_space_and_width_alone():
    configs = [row.config() for row in load_rows("fidelity")]
    assert len(configs) == 10 and {c.embed_dim for c in configs} == set(WIDTHS)
    for width in WIDTHS:
        flat, curved = (
            next(c for c in configs if c.embed_dim == width and c.space == space)
            for space in ("euclidean", "lorentz")
        )
        own = {
            name
            for name, value in curved.to_dict().items()
            if value != flat.to_dict()[name] and name != "space"
        }
        assert own <= {"learn_curvature"} and flat.divergence_weight == 1


def test_rows_are_compared_at_their_own_width(found):
    against = same_width(load_sweep("fidelity"), load_rows("fidelity"), CURVED, FLAT)
    narrow = [f"{FLAT}, 8 dimensions", "DNA start, 8 dimensions"]
    assert against[f"{CURVED}, 8 dimensions"] == narrow
    assert against[CURVED] == [FLAT, "DNA start, 256 dimensions"] and len(against) == 5
    gains = found.gains(against, metrics=METRICS)
    assert len(gains) == 5 * 2 * 2 * 3 * 2
    errors = gains[(gains["measure"] == "relative error") & (gains["split"] == "unseen")]
    flat = errors[errors["reference"].str.startswith("Eucl")]
    start = errors[errors["reference"].str.startswith("DNA")]
    assert flat["difference"].to_numpy() == pytest.approx(0.05)
    assert start["difference"].to_numpy() == pytest.approx(0.199)
    assert (flat["verdict"] == "better").all() and (flat["seeds_agreeing"] == 2).all()
    shown = fidelity_gains_table(gains[:12], runs=["a"]).markdown()
    assert "+0.050 [" in shown and "*" in shown


def test_the_table_has_means_and_deviations_over_seeds(found):
    table = fidelity_table(found.cells)
    row = table.tidy[
        (table.tidy["method"] == f"{CURVED}, 16 dimensions")
        & (table.tidy["metric"] == "distance")
        & (table.tidy["split"] == "unseen")
    ].set_index("quantity")
    assert row.loc["relative error", "mean"] == pytest.approx(0.101)
    assert row.loc["relative error", "shown"] == "0.101 ± 0.001"
    assert row.loc["rank correlation", "shown"] == "0.900 ± 0.000"
    assert list(dict.fromkeys(table.tidy["method"])) == list(dict.fromkeys(found.cells["method"]))


def test_the_figure_has_a_line_for_each_space_and_for_the_start(found):
    sweep = load_sweep("fidelity")
    cells = fidelity_lines(found.cells, sweep, load_rows("fidelity"))
    assert set(cells["line"]) == {FLAT, CURVED, "DNA start", "DNA start, cosine"}
    assert set(cells.loc[cells["line"] == CURVED, "metric"]) == {"distance"}
    fig = fidelity_curves(cells, looks=sweep.looks())
    assert len(fig.axes) == 2 * 3
    for ax in fig.axes:
        lines = {line.get_color(): line for line in ax.get_lines()}
        curved = lines[sweep.looks()[CURVED].colour]
        assert curved.get_xdata().tolist() == list(WIDTHS) and len(lines) == 4
    assert fig.axes[1].get_lines()[3].get_ydata() == pytest.approx(0.101)
    with pytest.raises(ValueError, match="There is no fidelity to draw"):
        fidelity_curves(cells.assign(value=np.nan))
