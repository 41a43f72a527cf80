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

from hypertax import figures
from hypertax.embeddings import Embeddings
from hypertax.evaluation.accuracy import evaluate
from hypertax.figures.confusion import SHARED
from hypertax.figures.lineages import label_depth
from hypertax.figures.style import BASE_COLOURS, RANK_COLOURS
from hypertax.figures.sweeps import MEASURES
from hypertax.figures.walk import HATCHES, bands
from hypertax.taxonomy import RANKS

LINEAGE = {"order": "Aptera", "family": "Aidae", "genus": "Aa", "species": "Aa x"}
OTHER = {"order": "Bptera", "family": "Bidae", "genus": "Ba", "species": "Ba x"}


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


def line_of_taxa(order_at=(0.5, 0.0)) -> Embeddings:
    """In two dimensions: on the first axis a specimen at distance 3, its species at 2, its order at
    0.5; another genus near the origin."""
    taxa = [
        ("Aptera", "order", LINEAGE, order_at),
        ("Aa x", "species", LINEAGE, (2.0, 0.0)),
        ("Ba", "genus", OTHER, (0.0, 0.1)),
    ]
    rows = [
        {
            "id": name,
            "modality": "text",
            "rank": rank,
            "split": None,
            **{r: lineage[r] for r in RANKS[: RANKS.index(rank) + 1]},
        }
        for name, rank, lineage, _ in taxa
    ]
    rows += [
        {"id": "S1", "modality": m, "rank": None, "split": "test_seen", **LINEAGE}
        for m in ("image", "dna")
    ]
    vectors = [where for *_, where in taxa] + [(3.0, 0.0), (0.0, 1.0)]
    table = pd.DataFrame(rows).reindex(columns=["id", "modality", "rank", "split", *RANKS])
    return Embeddings(table, np.array(vectors, dtype=np.float32), "lorentz", 1.0)


def test_the_walk_meets_the_taxa_that_are_nearest_on_the_geodesic():
    steps = figures.taxa_on_the_way(line_of_taxa(), 3, steps=31)
    np.testing.assert_allclose(steps["radius"], np.linspace(3, 0, 31), atol=1e-12)
    np.testing.assert_allclose(steps["way"], np.linspace(0, 1, 31), atol=1e-12)
    # On the axis distances are differences of radii: species until 1.25, then order; near the
    # origin, at x, the genus at distance 0.1 aside (cosh d = cosh x cosh 0.1) is nearer than the
    # order at 0.5 - x.
    x = steps["radius"].to_numpy()
    aside = np.arccosh(np.cosh(x) * np.cosh(0.1))
    expected = np.array(["Aptera", "Aa x", "Ba"])[
        np.argmin([np.abs(x - 0.5), np.abs(x - 2), aside], axis=0)
    ]
    assert steps["taxon"].tolist() == expected.tolist() and set(expected) == {
        "Aa x",
        "Aptera",
        "Ba",
    }
    assert steps.loc[x > 1.3, "taxon"].eq("Aa x").all() and steps["taxon"].iloc[-1] == "Ba"
    states = steps.drop_duplicates("taxon").set_index("taxon")["lineage"].to_dict()
    assert states == {"Aa x": "own", "Aptera": "own", "Ba": "other"}


def test_a_rank_without_a_label_is_neither_right_nor_wrong():
    embeddings = line_of_taxa()
    table = embeddings.table.copy()
    table.loc[3, "genus"] = None
    steps = figures.taxa_on_the_way(
        Embeddings(table, embeddings.tangent, "lorentz", 1.0), 3, steps=11
    )
    assert set(steps.loc[steps["taxon"] == "Ba", "lineage"]) == {"unknown"} and set(
        steps["lineage"]
    ) == {"own", "unknown"}


def test_bands_join_steps_and_cover_the_way():
    steps = pd.DataFrame(
        {
            "way": [0, 0.25, 0.5, 0.75, 1],
            "rank": ["species", "species", "genus", "species", "order"],
            "taxon": ["a", "a", "b", "a", "c"],
            "lineage": ["own", "own", "other", "own", "other"],
        }
    )
    found = bands(steps)
    assert found["taxon"].tolist() == ["a", "b", "a", "c"] and found["lineage"].tolist() == [
        "own",
        "other",
        "own",
        "other",
    ]
    assert found["start"].tolist() == [0, 0.375, 0.625, 0.875] and found["end"].tolist() == [
        0.375,
        0.625,
        0.875,
        1,
    ]


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
        for band in bands(figures.taxa_on_the_way(embeddings, row, steps=31)).to_dict("records")
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


def test_there_is_no_walk_in_a_euclidean_space_or_without_specimens():
    embeddings = line_of_taxa()
    flat_space = Embeddings(embeddings.table, embeddings.tangent, "euclidean")
    with pytest.raises(ValueError, match="cosine is the same"):
        figures.taxa_on_the_way(flat_space, 3)
    with pytest.raises(ValueError, match="'S9'"):
        figures.walk_to_root(embeddings, pd.DataFrame({"sampleid": []}), ids=["S9"])
    with pytest.raises(ValueError, match="no taxa"):
        figures.taxa_on_the_way(embeddings.where(embeddings.table["modality"] != "text"), 0)


# Confusion in the tree


def queries_and_keys() -> Embeddings:
    """DNA on the unit circle: five keys, and for each of the five degrees of kinship one seen query
    at the key's own angle."""
    keys = [
        LINEAGE,
        {**LINEAGE, "species": "Aa y"},
        {**LINEAGE, "genus": "Ab", "species": "Ab x"},
        {"order": "Aptera", "family": "Acidae", "genus": "Ac", "species": "Ac x"},
        OTHER,
    ]
    angles = np.deg2rad([0, 60, 120, 180, 240])
    rows = [{"id": f"K{i}", "split": "seen_keys", **lineage} for i, lineage in enumerate(keys)]
    rows += [{"id": f"Q{i}", "split": "test_seen", **LINEAGE} for i in range(5)] + [
        {"id": "U", "split": "test_unseen", **OTHER}
    ]
    turns = np.concatenate([angles, angles + 0.1, angles[4:]])
    vectors = 2 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    return Embeddings(
        pd.DataFrame(rows).assign(modality="dna", rank=None),
        vectors.astype(np.float32),
        "euclidean",
    )


def test_shared_ranks_are_the_kinship_of_query_and_nearest_key():
    table = figures.shared_ranks(queries_and_keys())
    seen = table[table["split"] == "seen"]
    assert (
        seen["shared_rank"].tolist() == list(SHARED)
        and seen["share"].tolist() == [0.2] * 5
        and set(seen["queries"]) == {5}
    )
    unseen = table[table["split"] == "unseen"].set_index("shared_rank")["share"]
    assert (
        unseen["species"] == 1
        and unseen.drop("species").eq(0).all()
        and set(table["pairing"]) == {"DNA to DNA"}
    )


def test_the_share_of_right_species_is_the_micro_accuracy():
    generator = np.random.default_rng(1)
    embeddings = queries_and_keys()
    vectors = generator.normal(size=(len(embeddings), 3)) * generator.uniform(
        0.2, 3, (len(embeddings), 1)
    )
    noisy = Embeddings(embeddings.table, vectors.astype(np.float32), "lorentz", 0.7)
    assert not figures.shared_ranks(noisy).equals(figures.shared_ranks(noisy, ranking="angle"))
    scores = evaluate(noisy, "test", ks=(1,))
    scores = scores[(scores["protocol"] == "standard") & (scores["average"] == "micro")]
    for ranking in ("distance", "angle"):
        table = figures.shared_ranks(noisy, ranking=ranking)
        for split in ("seen", "unseen"):
            shares = table[table["split"] == split].set_index("shared_rank")["share"]
            assert shares.sum() == pytest.approx(1)
            for rank in RANKS:
                right = shares[list(SHARED[: SHARED.index(rank) + 1])].sum()
                own = scores[
                    (scores["ranking"] == ranking)
                    & (scores["split"] == split)
                    & (scores["rank"] == rank)
                ]
                assert right == pytest.approx(own["value"].item()), (ranking, split, rank)
    with pytest.raises(ValueError, match="stage"):
        figures.shared_ranks(noisy, "train")


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
        "image to DNA, seen species",
        "image to DNA, unseen species",
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
