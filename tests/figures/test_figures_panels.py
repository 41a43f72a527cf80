"""Panels: every loss term has one, none is empty without saying why, names lead to their place."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("Agg")

from figure_checks import assert_readable, texts
from test_figures import embed, history, scores, with_novel

from hypertax import figures
from hypertax.figures.disk import heaped, project
from hypertax.losses import TERM_LABELS
from hypertax.taxonomy import RANKS


def specimens(families: int = 2, splits=("train_seen",)) -> pd.DataFrame:
    """Two specimens of each of three species per family, of two orders."""
    return pd.DataFrame(
        [
            {
                "sampleid": f"{order}{family}{species}{i}",
                "image": None,
                "barcode": "ACGT" * 10,
                "order": f"{order}ptera",
                "family": f"{order}{family:02}idae",
                "genus": f"{order}{family:02}us",
                "species": f"{order}{family:02}us x{species}",
                "split": splits[i % len(splits)],
            }
            for order in "AB"
            for family in range(families)
            for species in range(3)
            for i in range(2)
        ]
    )


def test_every_loss_term_is_drawn():
    """Those of the recipes `lineage` and `nested` too, on top of the paper's."""
    table = history()
    for i, name in enumerate(TERM_LABELS):
        table[name] = i + 1.0 + np.arange(len(table))
    fig = figures.training_curves({"Hyperbolic, nested": table})
    assert_readable(fig)
    panels = {ax.get_title(loc="left").replace("\n", " "): ax for ax in fig.axes}
    assert {"taxon_contrastive", "inside", "axis", "intra", "pair_entailment"} <= set(TERM_LABELS)
    for i, (name, label) in enumerate(TERM_LABELS.items()):
        (line,) = panels[label].lines
        np.testing.assert_allclose(line.get_ydata(), i + 1.0 + np.arange(len(table)), err_msg=name)


def test_runs_geometry_stands_in_rows_on_the_same_axes():
    runs = {f"Hyperbolic {i}": history().assign(radius_order=i + 0.5) for i in range(5)}
    fig = figures.geometry_curves({**runs, "Euclidean CL": history(False)})
    assert_readable(fig)
    axes = np.array(fig.axes).reshape(5, 6)
    assert [ax.get_ylabel().replace("\N{NO-BREAK SPACE}", " ") for ax in axes[:, 0]] == list(runs)
    for column in axes.T:
        assert len({ax.get_ylim() for ax in column}) == 1
    for i, ax in enumerate(axes[:, 1]):
        first = ax.lines[0]
        np.testing.assert_allclose(first.get_ydata(), i + 0.5)
        assert first.get_linestyle() == "-"


def test_a_panel_that_shows_nothing_says_why():
    table = history()
    nothing = {f"saturated_{level}": 0.0 for level in (*RANKS, "dna")}
    missing = {f"cones_{level}": np.nan for level in (*RANKS, "dna")}
    fig = figures.geometry_curves({"Hyperbolic CL": table.assign(**nothing, **missing)})
    panels = {ax.get_title(loc="left"): [t.get_text() for t in ax.texts] for ax in fig.axes}
    assert panels["saturated cones (half-spaces)"] == ["none in any epoch"]
    assert panels["cones around a specimen"] == ["not measured"]
    assert panels["inside the parent's cone"] == panels["curvature"] == []


def test_a_panel_without_queries_says_so():
    table = scores()
    gap = (table["pairing"] == "image to DNA") & (table["split"] == "unseen")
    fig = figures.accuracy_by_rank(table[~gap])
    said = {ax.get_title(loc="left"): [t.get_text() for t in ax.texts] for ax in fig.axes}
    assert said.pop("image to DNA, unseen species") == ["no such queries"]
    assert not any(said.values())
    sweep = figures.sweep_scores(with_novel(table), {"Hyperbolic CL": ("CL", 1.0)})
    without = (sweep["pairing"] == "image to DNA") & (sweep["measure"] == "species H.M.")
    fig = figures.sweep_curves(sweep[~without])
    assert [len(ax.texts) for ax in fig.axes] == [0, 1, 0, 0, 0, 0]


def test_labels_that_all_stop_at_one_rank_are_said_and_not_drawn():
    table = specimens(splits=("train_seen", "test_seen"))
    fig = figures.labels_per_rank(table)
    assert_readable(fig)
    (ax,) = fig.axes
    assert "every label stops at species" in ax.get_title(loc="left")
    assert [bar.get_width() for bar in ax.patches] == [12, 12]
    table.loc[0, "species"] = None
    assert len(figures.labels_per_rank(table).axes) == 2


@pytest.mark.parametrize("families", [3, 60])
def test_families_are_named_round_the_tree_as_far_as_there_is_room(families):
    table = specimens(families)
    fig = figures.taxonomy_tree(table)
    assert_readable(fig)
    named = [word for word in texts(fig) if word.endswith("idae")]
    assert len(named) == len(set(named)) and set(named) <= set(table["family"])
    if families == 3:
        assert len(named) == 6
    else:
        assert 30 < len(named) < 120
        assert f"named: {len(named)} of 120 families" in fig.axes[0].get_xlabel()
    boxes = [t.get_window_extent() for t in fig.axes[0].texts if t.get_rotation() in (0, 180)]
    assert not [1 for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


def test_names_lead_from_outside_the_disk_to_their_order():
    run = embed(specimens(), modalities=("dna",))
    plane = project(run)
    assert not heaped(run, plane)
    fig = figures.poincare_disk(run)
    assert_readable(fig)
    (ax,) = fig.axes
    leaders = [line for line in ax.lines if line.get_gid() == "leader"]
    names = {t.get_text(): t.get_position() for t in ax.texts if t.get_text().endswith("ptera")}
    assert set(names) == {"Aptera", "Bptera"} and len(leaders) == 2
    for name, (x, y) in names.items():
        # Outside of the picture.
        assert abs(x) > ax.get_xlim()[1] * 0.95
        (row,) = np.flatnonzero((run.table["id"] == name) & (run.table["modality"] == "text"))
        ends = [line.get_xydata()[1] for line in leaders if line.get_ydata()[0] == y]
        np.testing.assert_allclose(ends[0], plane.points[row])


def test_a_picture_has_few_specimens_and_edges():
    table = pd.concat([specimens(20)] * 8, ignore_index=True)
    table["sampleid"] = [f"S{i}" for i in range(len(table))]
    fig = figures.poincare_disk(embed(table, modalities=("dna",)))
    ax = fig.axes[0]
    sizes = [len(c.get_offsets()) for c in ax.collections if hasattr(c, "get_sizes")]
    assert len(table) == 1920 and 120 in sizes and max(sizes) <= 120
    lines = [c for c in ax.collections if isinstance(c, matplotlib.collections.LineCollection)]
    edges = sum(len(c.get_segments()) for c in lines)
    # Families to their orders, and one family's genus and species: not the other 39 genera.
    assert edges == 40 + 1 + 3
