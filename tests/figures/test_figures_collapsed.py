"""Figures of collapsed runs, and figures of many methods: still legible, and what they draw is what
the data say."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

matplotlib.use("Agg")

from figure_checks import assert_readable, texts

from hypertax import figures
from hypertax.embeddings import Embeddings
from hypertax.figures.collapse import saturation
from hypertax.figures.disk import heaped, project, taxa_reach
from hypertax.figures.radius import saturation_radius
from hypertax.figures.style import RANK_COLOURS
from hypertax.taxonomy import RANKS


def history(saturated: float, accuracy: float = 0.5, radius: float = 0.5) -> pd.DataFrame:
    """Three epochs; the share of saturated cones climbs to its end."""
    epochs = np.arange(3.0)
    table = pd.DataFrame({"epoch": epochs, "selection": [0.1, accuracy, 0.2]})
    for level in (*RANKS, "dna"):
        table[f"radius_{level}"], table[f"inside_{level}"] = radius, epochs / 4
    for rank in RANKS:
        table[f"half_aperture_{rank}"], table[f"saturated_{rank}"] = (
            np.pi / 4,
            saturated * epochs / 2,
        )
    table["val_dna_seen"], table["val_dna_unseen"] = accuracy * epochs / 2, accuracy * epochs / 4
    return table


def flat() -> pd.DataFrame:
    return history(0).drop(
        columns=[
            f"{name}_{rank}" for name in ("saturated", "half_aperture", "inside") for rank in RANKS
        ]
    )


def test_the_collapsed_run_is_the_one_with_most_saturated_cones_at_the_end():
    early = history(0.9)
    early.loc[early.index[-1], [f"saturated_{rank}" for rank in RANKS]] = 0.1
    histories = {
        "healed": early,
        "flat": flat(),
        "collapsed": history(0.8),
        "dead": history(0.001, 0.01),
        "healthy": history(0.002, 0.6),
    }
    assert saturation(histories["collapsed"]) == pytest.approx(0.8) and saturation(
        early
    ) == pytest.approx(0.1)
    assert np.isnan(saturation(histories["flat"]))
    # "dead" and "healthy" agree to the percent: accuracy decides.
    assert figures.most_collapsed(histories) == ("collapsed", "healthy")
    with pytest.raises(ValueError, match="at least two hyperbolic runs"):
        figures.most_collapsed({"flat": flat(), "collapsed": history(0.8)})


def test_collapse_stands_beside_health_on_the_same_axes():
    fig = figures.collapse_dynamics(
        {"healthy": history(0.0, 0.8), "collapsed": history(1.0, 0.2, 0.05)}
    )
    assert_readable(fig)
    axes = np.array(fig.axes).reshape(-1, 2)
    assert axes[0, 0].get_title(loc="left").startswith("collapsed\n100 %") and axes[0, 1].get_title(
        loc="left"
    ).startswith("healthy\n0 %")
    for left, right in axes:
        assert left.get_ylim() == right.get_ylim()
    assert axes[0, 0].get_ylim()[0] < 0.05 and axes[0, 0].get_ylim()[1] > 0.5

    def drawn(ax, colour):
        return next(line.get_ydata() for line in ax.lines if to_hex(line.get_color()) == colour)

    np.testing.assert_allclose(drawn(axes[1, 0], RANK_COLOURS["genus"]), 45)
    np.testing.assert_allclose(drawn(axes[2, 0], RANK_COLOURS["genus"]), [0, 50, 100])
    np.testing.assert_allclose(axes[4, 1].lines[0].get_ydata(), [0, 40, 80])
    best = [line.get_xdata()[0] for line in axes[0, 1].lines if line.get_linestyle() == ":"]
    assert best == [1]
    with pytest.raises(ValueError, match="no history of 'nowhere'"):
        figures.collapse_dynamics({"a": history(0), "b": history(1)}, runs=("a", "nowhere"))


def heap_of_taxa(radius: float) -> Embeddings:
    """Forty species round the origin at a distance, and as many specimens at distance 2."""
    turns = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    rows = [
        {
            "id": f"A {i}",
            "modality": "text",
            "rank": "species",
            "order": "Aptera",
            "species": f"A {i}",
        }
        for i in range(40)
    ]
    rows += [
        {
            "id": f"S{i}",
            "modality": "dna",
            "split": "test_seen",
            "order": "Aptera",
            "species": f"A {i}",
        }
        for i in range(40)
    ]
    table = pd.DataFrame(rows).reindex(columns=["id", "modality", "rank", "split", *RANKS])
    return Embeddings(
        table, np.concatenate([radius * circle, 2 * circle]).astype(np.float32), "lorentz", 1.0
    )


def test_a_heap_of_taxa_is_enlarged_and_others_are_not():
    collapsed, healthy = heap_of_taxa(0.15), heap_of_taxa(1.2)
    assert heaped(collapsed, project(collapsed)) and not heaped(healthy, project(healthy))
    assert len(figures.poincare_disk(healthy).axes) == 1
    fig = figures.poincare_disk(collapsed)
    whole, enlarged = fig.axes
    reach, view = taxa_reach(collapsed, project(collapsed))
    assert reach == pytest.approx(1.1 * np.tanh(0.15 / 2), rel=1e-3) and view == 1
    assert enlarged.get_ylim()[1] == pytest.approx(1.07 * reach) and whole.get_ylim()[
        1
    ] == pytest.approx(1.07)
    assert "half-space" in enlarged.get_xlabel() and "0.17 of the origin" in enlarged.get_xlabel()
    assert_readable(fig)
    flat_space = Embeddings(healthy.table, healthy.tangent, "euclidean")
    assert len(figures.spaces_side_by_side(collapsed, flat_space).axes) == 4
    assert len(figures.spaces_side_by_side(healthy, flat_space).axes) == 2


def test_radii_show_where_cones_become_half_spaces_and_enlarge_collapsed_taxa():
    labels = {
        "Hyperbolic CL + SEL, no full text, with a long name": heap_of_taxa(0.15),
        "Hyperbolic CL": heap_of_taxa(1.2),
    }
    fig = figures.radius_by_rank(labels)
    assert_readable(fig)
    collapsed, healthy = fig.axes
    assert len(collapsed.child_axes) == 1 and not healthy.child_axes
    limits = [line.get_ydata()[0] for line in healthy.lines if line.get_linestyle() == ":"]
    assert limits == pytest.approx([np.arcsinh(0.2)]) and saturation_radius(4.0) == pytest.approx(
        np.arcsinh(0.2) / 2
    )
    assert 0.15 < collapsed.child_axes[0].get_ylim()[1] < 0.4


def test_right_and_wrong_keys_differ_without_colour():
    specimens = pd.DataFrame(
        {"sampleid": ["40", "41", "42", "31"], "image": None, "barcode": "ACGT" * 20}
    )
    table = pd.DataFrame(
        {
            "pairing": "image to image",
            "query": "40",
            "place": [1, 2, 3],
            "key": ["41", "42", "31"],
            "query_species": "Aa x",
            "key_species": ["Aa x", "Ba x", "Ca x"],
            "correct": [True, False, False],
            "shared_rank": ["species", "genus", None],
        }
    )
    fig = figures.retrieval_examples(table, specimens)
    assert_readable(fig)
    frames = [patch for patch in fig.axes[0].patches if patch.get_linewidth() == 1.7]
    assert [frame.get_linestyle() in ("-", "solid") for frame in frames] == [True, False, False]
    words = texts(fig)
    assert (
        words.count("\u2713") == 1
        and words.count("\u2717") == 2
        and "(same genus)" in words
        and "(other order)" in words
    )


def test_methods_of_a_rank_stand_side_by_side():
    rows = [
        {
            "method": f"m{i}",
            "stage": "test",
            "protocol": "standard",
            "ranking": "distance",
            "pairing": "DNA to DNA",
            "rank": rank,
            "k": 1,
            "average": "macro",
            "split": "seen",
            "seed": seed,
            "value": 0.5 + 0.01 * seed,
        }
        for i in range(8)
        for rank in RANKS
        for seed in range(2)
    ]
    ax = figures.accuracy_by_rank(pd.DataFrame(rows)).axes[0]
    means = [
        line
        for line in ax.lines
        if line.get_marker() not in (".", "None", "_", "|") and len(line.get_xdata()) == 4
    ]
    places = np.sort(
        np.concatenate([np.asarray(line.get_xdata(orig=False), dtype=float) for line in means])
    )
    assert len(places) == 32 and np.diff(places).min() > 0.09
    between_ranks = [places[8 * i] - places[8 * i - 1] for i in (1, 2, 3)]
    assert min(between_ranks) > 1.5 * np.diff(places[:8]).max()
    np.testing.assert_allclose(means[0].get_ydata(orig=False), 50.5)
