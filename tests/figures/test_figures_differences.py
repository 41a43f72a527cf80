"""The forest plot: what is drawn is the frame's, and its titles count the frame's verdicts."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

from figure_checks import assert_readable, texts
from test_figures import differences

from hypertax import figures
from hypertax.figures.differences import KINDS, cells_to_show, verdict_sentence

METHODS = ("Hyperbolic CL", "Hyperbolic CL + SEL, no full text", "CL + SEL, c = 1")


def test_the_drawn_intervals_are_the_frames():
    table = differences(METHODS)
    fig = figures.difference_intervals(table)
    assert_readable(fig)
    for ax, method in zip(fig.axes, METHODS, strict=True):
        drawn = {
            line.get_label(): line.get_xdata()
            for line in ax.lines
            if not line.get_label().startswith("_")
        }
        own = table[(table["method"] == method) & (table["average"] == "macro")]
        own = own[own["split"] != "harmonic"]
        assert len(drawn) == len(own) == 22
        for row in own.to_dict("records"):
            cell = "/".join((row["pairing"], KINDS[row["protocol"], row["split"]], row["rank"]))
            np.testing.assert_allclose(drawn[cell], [100 * row["low"], 100 * row["high"]])
        # A mark is filled where the interval excludes zero, and nowhere else.
        marks = [
            line for line in ax.lines if len(line.get_xdata()) == 1 and line.get_markersize() == 4.0
        ]
        filled = sum(mark.get_markerfacecolor() != "white" for mark in marks)
        assert len(marks) == 22 and filled == (own["verdict"] != "no difference shown").sum() > 0


def test_the_titles_count_the_verdicts():
    table = differences(METHODS)
    fig = figures.difference_intervals(table)
    cells = cells_to_show(table)
    counts = cells["verdict"].value_counts()
    title = fig.get_suptitle()
    assert f"no difference shown in {counts['no difference shown']} of {len(cells)} cells" in title
    assert f"worse in {counts['worse']}" in title and f"better in {counts['better']}" in title
    for ax, method in zip(fig.axes, METHODS, strict=True):
        own = cells.loc[cells["method"] == method, "verdict"].value_counts()
        shown = {
            text.get_text(): text.get_position()[0]
            for text in ax.texts
            if text.get_text().isdigit()
        }
        assert sorted(map(int, shown)) == sorted(set(own))
    assert verdict_sentence(cells[cells["verdict"] == "worse"].iloc[:1]) == "Worse in 1 of 1 cell"


def test_all_panels_have_one_axis_and_what_leaves_it_is_marked():
    table = differences(("near", "far"))
    far = table["method"] == "far"
    table.loc[far, ["low", "difference", "high"]] -= 0.5
    fig = figures.difference_intervals(table)
    assert_readable(fig)
    limits = {ax.get_xlim() for ax in fig.axes}
    assert len(limits) == 1
    ((low, high),) = limits
    assert low == -high
    near, beyond = (
        [line for line in ax.lines if line.get_marker() in "<>" and line.get_markersize() == 3.0]
        for ax in fig.axes
    )
    outside = (100 * cells_to_show(table[far])["low"] < low).sum()
    assert len(beyond) == outside


def test_methods_are_chosen_and_others_are_not_counted():
    table = differences(METHODS)
    fig = figures.difference_intervals(table, methods=METHODS[:1])
    assert len(fig.axes) == 1 and "of 22 cells" in fig.get_suptitle()
    assert METHODS[0] in " ".join(texts(fig)) and METHODS[1] not in " ".join(texts(fig))


def test_nothing_and_two_references_are_refused():
    table = differences()
    with pytest.raises(ValueError, match="no differences of macro"):
        figures.difference_intervals(table[table["average"] == "micro"])
    table.loc[0, "reference"] = table.loc[1, "reference"] = "Other"
    with pytest.raises(ValueError, match="one reference"):
        figures.difference_intervals(table)
