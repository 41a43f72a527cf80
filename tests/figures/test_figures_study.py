"""The study's figures on small made-up data: what they draw is what the data say, by hand or by the
library's own functions."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import FancyBboxPatch, Rectangle
from PIL import Image

matplotlib.use("Agg")

from figure_checks import assert_readable, texts
from walk_cases import LINEAGE, OTHER, line_of_taxa

from hypertax import figures
from hypertax.evaluation.walk import bands, taxa_on_the_way
from hypertax.figures.lineages import label_depth
from hypertax.figures.style import BASE_COLOURS, RANK_COLOURS
from hypertax.figures.sweeps import MEASURES
from hypertax.figures.walk import HATCHES
from hypertax.taxonomy import RANKS


@pytest.fixture(scope="module")
def specimens(tmp_path_factory) -> pd.DataFrame:
    """Twelve specimens, three for each depth of labels, of two orders; the first has a photograph
    of one colour."""
    folder = tmp_path_factory.mktemp("images")
    rows = []
    for depth in range(1, 5):
        for i in range(3):
            names = (LINEAGE, OTHER)[i % 2]
            labels = {
                rank: names[rank] if place < depth else None for place, rank in enumerate(RANKS)
            }
            path = folder / f"{depth}{i}.png"
            Image.new("RGB", (30, 30), (10 * depth, 20 * i, 90)).save(path)
            rows.append(
                {
                    "sampleid": path.stem,
                    "image": str(path),
                    "barcode": "ACGT" * 15 + "N",
                    **labels,
                    "split": "train_seen",
                }
            )
    return pd.DataFrame(rows)


# Specimens and their labels


@pytest.mark.parametrize("without", [[], ["image"], ["barcode"], ["image", "barcode"]])
def test_lineages_show_every_depth_of_labels_and_what_is_missing(specimens, without):
    fig = figures.specimen_lineages(specimens.assign(**dict.fromkeys(without)))
    assert_readable(fig)
    words = texts(fig)
    assert [word for word in words if word.startswith("to ")] == [
        "to species",
        "to genus",
        "to family",
        "to order",
    ]
    assert words.count("25 % of all") == 4 and words.count("missing") == 0 + 1 + 2 + 3
    boxes = [box for box in fig.findobj(FancyBboxPatch) if box.get_linewidth() == 0.8]
    assert sum(box.get_linestyle() in ("--", "dashed") for box in boxes) == 6 and len(boxes) == 16
    kinds = [im.get_array().dtype for ax in fig.axes for im in ax.get_images()]
    assert kinds.count(np.uint8) == (0 if "image" in without else 4)
    legend = [text.get_text() for text in fig.legends[0].get_texts()]
    assert (legend[:4] == list("ACGT")) == ("barcode" not in without)


def test_the_barcode_is_drawn_base_by_base_with_the_legends_colours(specimens):
    fig = figures.specimen_lineages(specimens.assign(image=None, barcode="ACGTACGTACGN"))
    pixels = fig.axes[0].get_images()[0].get_array()
    assert pixels.shape[:2] == (6, 2)
    np.testing.assert_allclose(pixels[0], [to_rgb(BASE_COLOURS["A"]), to_rgb(BASE_COLOURS["C"])])
    shown = {
        text.get_text(): to_hex(patch.get_facecolor())
        for text, patch in zip(
            fig.legends[0].get_texts(), fig.legends[0].get_patches(), strict=True
        )
    }
    assert {base: shown[base] for base in "ACGT"} == {
        base: to_hex(BASE_COLOURS[base]) for base in "ACGT"
    }
    assert "not read (N) or ambiguous" in shown


def test_a_gap_in_the_labels_is_drawn_as_missing(specimens):
    gap = pd.DataFrame(
        [{**LINEAGE, "family": None, "sampleid": "gap", "barcode": "ACGT", "image": None}]
    )
    assert label_depth(gap).tolist() == ["species"]
    words = texts(figures.specimen_lineages(gap))
    assert words.count("missing") == 1 and "Aptera" in words and "Aa" in words
    # A specimen without a photograph is not drawn where others have one, but counts in the shares.
    mixed = pd.concat([gap, specimens.iloc[:3]], ignore_index=True)
    words = texts(figures.specimen_lineages(mixed))
    assert "to species" not in words and "75 % of all" in words
    with pytest.raises(ValueError, match="No specimen has a label"):
        figures.specimen_lineages(gap.assign(**dict.fromkeys(RANKS)))


# Sweeps


def study_scores() -> pd.DataFrame:
    """Scores of three rows and two seeds of known value: 0.1 per place of the row, 0.02 more for
    seed 1, and the rank's own."""
    rows = []
    for i, label in enumerate(("CL, c = 1", "CL, c = 4", "Euclidean CL")):
        for seed in range(2):
            for pairing in ("DNA to DNA", "image to DNA"):
                for rank in RANKS:
                    for protocol, split in (
                        ("standard", "seen"),
                        ("standard", "unseen"),
                        ("standard", "harmonic"),
                        ("novel", "unseen"),
                    ):
                        for average in ("micro", "macro"):
                            for k in (1, 5):
                                value = (
                                    0.1 * (i + 1)
                                    + 0.02 * seed
                                    + 0.1 * RANKS.index(rank) * (protocol == "novel")
                                )
                                value += 0.5 * (
                                    split != "harmonic"
                                    and protocol == "standard"
                                    or average == "micro"
                                    or k == 5
                                )
                                rows.append(
                                    {
                                        "method": label,
                                        "seed": seed,
                                        "stage": "test",
                                        "protocol": protocol,
                                        "ranking": "distance",
                                        "pairing": pairing,
                                        "rank": rank,
                                        "k": k,
                                        "average": average,
                                        "split": split,
                                        "value": value,
                                    }
                                )
    return pd.DataFrame(rows)


SETTINGS = {
    "CL, c = 1": ("CL", 1.0),
    "CL, c = 4": ("CL", 4),
    "Euclidean CL": ("Euclidean CL", None),
}


def test_sweep_scores_are_the_rows_of_the_study():
    table = figures.sweep_scores(study_scores(), SETTINGS)
    assert len(table) == 3 * 2 * 2 * len(MEASURES) and set(table["measure"]) == set(MEASURES)
    one = table[
        (table["method"] == "CL")
        & (table["value"] == 4)
        & (table["seed"] == 1)
        & (table["pairing"] == "DNA to DNA")
    ]
    scores = one.set_index("measure")["score"]
    assert scores.to_dict() == pytest.approx(
        {"species H.M.": 0.22, "genus of novel species": 0.42, "family of novel species": 0.32}
    )
    assert table.loc[table["method"] == "Euclidean CL", "value"].isna().all()
    with pytest.raises(ValueError, match="CL, c = 10"):
        figures.sweep_scores(study_scores(), {**SETTINGS, "CL, c = 10": ("CL", 10.0)})


@pytest.mark.parametrize("seeds", [1, 2])
def test_sweeps_draw_means_and_single_seeds(seeds):
    scores = study_scores()
    fig = figures.sweep_curves(figures.sweep_scores(scores[scores["seed"] < seeds], SETTINGS))
    assert_readable(fig)
    assert len(fig.axes) == 6
    ax = fig.axes[0]
    assert (
        ax.get_title(loc="left") == "DNA to DNA"
        and "species H.M." in ax.get_ylabel()
        and ax.get_xscale() == "log"
    )
    more = 1 if seeds == 2 else 0
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[1, 10 + more], [4, 20 + more]])
    points = [line for line in ax.lines if line.get_marker() == "."]
    assert len(points) == (1 if seeds == 2 else 0)
    if points:
        assert sorted(points[0].get_ydata()) == pytest.approx([10, 12, 20, 22])
    reference = next(line for line in ax.lines if line.get_linestyle() == "--")
    np.testing.assert_allclose(reference.get_ydata(), 30 + more)
    low, high = ax.get_ylim()
    assert low < 10 and high > 32 and high - low >= 20
    assert ("one seed" in texts(fig)) == (seeds == 2)


def test_a_sweep_over_nothing_or_over_zero_is_refused():
    table = figures.sweep_scores(study_scores(), SETTINGS)
    with pytest.raises(ValueError, match="no scores"):
        figures.sweep_curves(table.assign(score=np.nan))
    with pytest.raises(ValueError, match="log axis"):
        figures.sweep_curves(table.assign(value=0.0))


# The walk to the root


@pytest.mark.parametrize("photographs", [True, False])
def test_the_walks_picture_shows_the_functions_bands(specimens, photographs):
    embeddings = line_of_taxa()
    table = specimens.assign(sampleid=["S1", *specimens["sampleid"].iloc[1:]])
    fig = figures.walk_to_root(
        embeddings, table if photographs else table.assign(image=None), ids=["S1"], steps=31
    )
    assert_readable(fig)
    portrait, ax = fig.axes
    assert (portrait.get_images()[0].get_array().dtype == np.uint8) == photographs
    drawn = [p for p in ax.patches if isinstance(p, Rectangle)]
    expected = [
        band
        for row in (3, 4)
        for band in bands(taxa_on_the_way(embeddings, row, steps=31)).to_dict("records")
    ]
    assert len(drawn) == len(expected) == 4
    for patch, band in zip(drawn, expected, strict=True):
        np.testing.assert_allclose(
            [patch.get_x(), patch.get_x() + patch.get_width()],
            [100 * band["start"], 100 * band["end"]],
        )
        assert (
            to_hex(patch.get_edgecolor()) == RANK_COLOURS[band["rank"]]
            and (patch.get_hatch() or "") == HATCHES[band["lineage"]]
        )
    assert HATCHES["own"] != HATCHES["other"]
    words = texts(fig)
    assert "\u2713 Aa x" in words and "\u2717 Ba" in words and "DNA\n(r = 1.00)" in words


def test_there_is_no_walk_without_specimens():
    embeddings = line_of_taxa()
    with pytest.raises(ValueError, match="'S9'"):
        figures.walk_to_root(embeddings, pd.DataFrame({"sampleid": []}), ids=["S9"])


# Confusion in the tree


def predictions() -> pd.DataFrame:
    """Two methods, two seeds: shares of seen and unseen queries that differ between the seeds by a
    tenth."""
    rows = []
    for i, method in enumerate(("Euclidean CL", "Hyperbolic CL")):
        for seed in range(2):
            for split in ("seen", "unseen"):
                right = 0.4 + 0.1 * i + 0.1 * seed + 0.1 * (split == "seen")
                shares = {
                    "species": right,
                    "genus": 0.2,
                    "family": 0.0,
                    "order": 0.1,
                    "none": 0.7 - right,
                }
                rows += [
                    {
                        "method": method,
                        "pairing": "image to DNA",
                        "split": split,
                        "shared_rank": rank,
                        "share": share,
                        "seed": seed,
                    }
                    for rank, share in shares.items()
                ]
    return pd.DataFrame(rows)


def test_bars_are_the_shares_and_add_to_the_whole():
    fig = figures.confusion_in_the_tree(predictions())
    assert_readable(fig)
    assert [ax.get_title(loc="left") for ax in fig.axes] == [
        "image to DNA, seen species (micro)",
        "image to DNA, unseen species (micro)",
    ]
    for ax, more in zip(fig.axes, (0.1, 0.0), strict=True):
        for i in range(2):
            bars = [p for p in ax.patches if round(p.get_y() + p.get_height() / 2) == i]
            right = 100 * (0.45 + 0.1 * i + more)
            np.testing.assert_allclose(
                [bar.get_width() for bar in bars], [right, 20, 10, 70 - right], atol=1e-9
            )
            np.testing.assert_allclose(
                [bar.get_x() for bar in bars], np.cumsum([0, right, 20, 10]), atol=1e-9
            )
            assert [bool(bar.get_hatch()) for bar in bars] == [False, False, False, True]
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == [
        "Euclidean CL",
        "Hyperbolic CL",
    ]


def test_shares_that_are_not_whole_are_refused():
    with pytest.raises(ValueError, match="not to 1"):
        figures.confusion_in_the_tree(predictions().query("shared_rank != 'species'"))
    with pytest.raises(ValueError, match="no predictions"):
        figures.confusion_in_the_tree(predictions().iloc[:0])
