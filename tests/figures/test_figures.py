"""Figures on small made-up data: what they show is what the library computes, and saving twice
gives the same bytes."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image

matplotlib.use("Agg")

from figure_checks import assert_readable, texts

from hypertax import figures
from hypertax.embeddings import Embeddings
from hypertax.figures import disk
from hypertax.figures import method_space as method_drawing
from hypertax.figures.disk import share_in_cone
from hypertax.figures.style import PALETTE, SMALL, new_figure, save_figure
from hypertax.figures.tree import tree_from_labels, tree_from_newick
from hypertax.geometry import lorentz as L
from hypertax.geometry import poincare
from hypertax.taxonomy import RANKS, taxa

SPLIT_NAMES = (
    "train_seen",
    "seen_keys",
    "test_seen",
    "test_unseen",
    "test_unseen_keys",
    "val_unseen",
    "no_split",
)
NEWICK = "((((Aa_x:1,Aa_y:1)Aa:1,Ab_x:2)Aidae:1)Aptera:1,(((Ba_x:1,Ba_y:1)Ba:1)Bidae:1)Bptera:1);"


@pytest.fixture(scope="module")
def specimens(tmp_path_factory) -> pd.DataFrame:
    """56 specimens of 8 species in 2 orders, with photographs of 40 pixels."""
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    rows = []
    for order in "AB":
        for genus in "ab":
            for species in "xy":
                for i, split in enumerate(SPLIT_NAMES):
                    path = folder / f"{order}{genus}{species}{i}.png"
                    Image.fromarray(generator.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(
                        path
                    )
                    name = f"{order}{genus}"
                    rows.append(
                        {
                            "sampleid": path.stem,
                            "image": str(path),
                            "barcode": "".join(generator.choice(list("ACGTN"), 60)),
                            "order": f"{order}ptera",
                            "family": f"{order}idae",
                            "genus": name,
                            "species": None if split == "no_split" else f"{name} {species}",
                            "split": split,
                        }
                    )
    return pd.DataFrame(rows)


def embed(
    specimens: pd.DataFrame, space: str = "lorentz", modalities=("image", "dna")
) -> Embeddings:
    """Taxa and specimens in 6 dimensions, children beside their parents and further out."""
    generator = np.random.default_rng(1)
    directions, rows, vectors = {}, [], []
    for taxon in taxa(specimens).to_dict("records"):
        depth = RANKS.index(taxon["rank"])
        above = directions.get(taxon[RANKS[depth - 1]], np.zeros(6)) if depth else np.zeros(6)
        directions[taxon["name"]] = above + generator.normal(size=6) / 3**depth
        rows.append(
            {
                "id": taxon["name"],
                "modality": "text",
                "split": None,
                **{k: taxon[k] for k in ("rank", *RANKS)},
            }
        )
        vectors.append(
            (0.3 + 0.4 * depth)
            * directions[taxon["name"]]
            / np.linalg.norm(directions[taxon["name"]])
        )
    for modality in modalities:
        for s in specimens[specimens["species"].notna()].to_dict("records"):
            rows.append(
                {
                    "id": s["sampleid"],
                    "modality": modality,
                    "rank": None,
                    "split": s["split"],
                    **{r: s[r] for r in RANKS},
                }
            )
            vectors.append(
                2 * directions[s["species"]] / np.linalg.norm(directions[s["species"]])
                + 0.1 * generator.normal(size=6)
            )
    return Embeddings(
        pd.DataFrame(rows),
        np.array(vectors, dtype=np.float32),
        space,
        1.5 if space == "lorentz" else None,
    )


def history(hyperbolic: bool = True, images: bool = True) -> pd.DataFrame:
    """Three epochs with the columns of history.csv; absent terms are empty."""
    epochs = np.arange(4.0)
    table = pd.DataFrame(
        {
            "epoch": epochs,
            "loss": [np.nan, 3, 2, 1],
            "contrastive": [np.nan, 2, 1, 1],
            "intra": np.nan,
        }
    )
    for name in ("dna", "image") if images else ("dna",):
        table[f"val_{name}_seen"], table[f"val_{name}_unseen"] = epochs / 4, epochs / 5
    for level in (*RANKS, "dna"):
        table[f"radius_{level}"] = epochs
        for name in ("half_aperture", "saturated", "inside", "cones"):
            table[f"{name}_{level}"] = epochs / 3 if hyperbolic else np.nan
    return table.assign(curvature=1 - epochs / 10 if hyperbolic else np.nan)


def scores(pairings=("DNA to DNA", "image to DNA")) -> pd.DataFrame:
    """Three seeds of two methods; the value is known from the row."""
    return pd.DataFrame(
        [
            {
                "method": method,
                "seed": seed,
                "stage": stage,
                "protocol": "standard",
                "ranking": "distance",
                "pairing": pairing,
                "rank": rank,
                "k": k,
                "average": average,
                "split": split,
                "value": 0.9 - 0.1 * RANKS.index(rank) + 0.01 * seed - (average == "micro") * 0.5,
            }
            for method in ("Euclidean CL", "Hyperbolic CL")
            for seed in range(3)
            for stage in ("val", "test")
            for pairing in pairings
            for rank in RANKS
            for k in (1, 5)
            for average in ("micro", "macro")
            for split in ("seen", "unseen", "harmonic")
        ]
    )


def with_novel(table: pd.DataFrame) -> pd.DataFrame:
    """The scores and, as if they were of novel species, those of unseen ones again."""
    unseen = table[table["split"] == "unseen"].assign(protocol="novel")
    return pd.concat([table, unseen], ignore_index=True)


def differences(methods=("Hyperbolic CL",), seeds=3) -> pd.DataFrame:
    """A frame as `compare` makes it: every fifth cell worse, every seventh better."""
    rows = []
    for method in methods:
        for protocol, split in (
            ("standard", "seen"),
            ("standard", "unseen"),
            ("standard", "harmonic"),
            ("novel", "unseen"),
        ):
            for pairing in ("DNA to DNA", "image to DNA"):
                for rank in RANKS[: 4 if protocol == "standard" else 3]:
                    for average in ("micro", "macro"):
                        i = len(rows)
                        middle = -0.2 if i % 5 == 0 else 0.1 if i % 7 == 0 else 0.01
                        verdict = {-0.2: "worse", 0.1: "better"}.get(middle, "no difference shown")
                        rows.append(
                            {
                                "method": method,
                                "reference": "Euclidean CL",
                                "protocol": protocol,
                                "pairing": pairing,
                                "rank": rank,
                                "split": split,
                                "average": average,
                                "difference": middle,
                                "low": middle - 0.03,
                                "high": middle + 0.03 + 0.001 * i,
                                "verdict": verdict,
                                "queries": 100,
                                "seeds": seeds,
                                "seeds_agreeing": seeds,
                            }
                        )
    return pd.DataFrame(rows)


def neighbours(specimens: pd.DataFrame, pairing: str) -> pd.DataFrame:
    query, keys = specimens.iloc[2], specimens.iloc[[1, 8, 15]]
    return pd.DataFrame(
        {
            "pairing": pairing,
            "query": query["sampleid"],
            "place": [1, 2, 3],
            "key": keys["sampleid"].to_numpy(),
            "query_species": query["species"],
            "key_species": keys["species"].to_numpy(),
            "correct": [True, False, False],
        }
    )


WITH_IMAGES = ("method", "training", "radius", "disk", "accuracy", "retrieval", "gallery")
"""The figures in which images take part."""


def every_figure(specimens: pd.DataFrame, images: bool = True) -> dict:
    """Each public figure once; without images, those that would have had a part from them."""
    table = specimens if images else specimens.assign(image=None)
    modalities = ("image", "dna") if images else ("dna",)
    lorentz, euclidean = embed(table, modalities=modalities), embed(table, "euclidean", modalities)
    pairings = ("DNA to DNA", "image to DNA") if images else ("DNA to DNA",)
    distances = pd.DataFrame(
        {
            "level": ["within species"] * 5 + ["between orders"] * 5,
            "p_distance": np.linspace(0, 0.3, 10),
            "published_low": [0.0] * 5 + [np.nan] * 5,
            "published_high": [0.02] * 5 + [np.nan] * 5,
        }
    )
    runs = {"Hyperbolic CL": history(images=images), "Euclidean CL": history(False, images)}
    makers = {
        "method": lambda: figures.method_figure(table.iloc[:2]),
        "training": lambda: figures.training_curves(runs),
        "geometry": lambda: figures.geometry_curves(runs),
        "radius": lambda: figures.radius_by_rank(
            {"Hyperbolic CL": lorentz, "Euclidean CL": euclidean}
        ),
        "disk": lambda: figures.poincare_disk(lorentz),
        "plane": lambda: figures.euclidean_plane(euclidean),
        "both": lambda: figures.spaces_side_by_side(lorentz, euclidean),
        "accuracy": lambda: figures.accuracy_by_rank(scores(pairings)),
        "differences": lambda: figures.difference_intervals(differences()),
        "bars": lambda: figures.validation_bars(scores(pairings)),
        "retrieval": lambda: figures.retrieval_examples(neighbours(table, pairings[-1]), table),
        "gallery": lambda: figures.specimen_gallery(table, orders=2, species=2),
        "distances": lambda: figures.barcode_distances(distances),
        "labels": lambda: figures.labels_per_rank(table),
        "tree": lambda: figures.taxonomy_tree(table),
        "dated": lambda: figures.taxonomy_tree(table, NEWICK),
    }
    return {name: make() for name, make in makers.items() if images or name in WITH_IMAGES}


@pytest.fixture(scope="module")
def drawn(specimens) -> dict:
    return every_figure(specimens)


PLOTS = ("differences", "training", "geometry", "radius", "accuracy", "bars", "distances", "labels")


@pytest.mark.parametrize("name", PLOTS)
def test_every_axis_is_labelled(drawn, name):
    for ax in drawn[name].axes:
        for axis, label in (("x", ax.get_xlabel()), ("y", ax.get_ylabel())):
            texts = [
                tick.get_text()
                for tick in getattr(ax, f"get_{axis}ticklabels")()
                if tick.get_visible()
            ]
            named = any(
                text and not text.replace(".", "").replace("\u2212", "").isdigit() for text in texts
            )
            assert label or named or ax.get_shared_y_axes().get_siblings(ax)[1:], (
                f"{name}: the {axis} axis says nothing"
            )


def test_no_text_is_too_small_or_outside(drawn):
    for name, fig in drawn.items():
        renderer = FigureCanvasAgg(fig).get_renderer()
        width, height = fig.bbox.width, fig.bbox.height
        texts = [
            text
            for text in fig.findobj(matplotlib.text.Text)
            if text.get_text().strip() and text.get_visible()
        ]
        ticks = {
            tick
            for ax in fig.axes
            for tick in (*ax.get_xticklabels(which="both"), *ax.get_yticklabels(which="both"))
        }
        for text in texts:
            assert text.get_fontsize() >= SMALL, f"{name}: {text.get_text()!r} is too small"
            box = text.get_window_extent(renderer)
            if text not in ticks:
                assert box.x0 > -1 and box.y0 > -1 and box.x1 < width + 1 and box.y1 < height + 1, (
                    f"{name}: {text.get_text()!r} is cut"
                )


def test_data_without_images_draw_everywhere_and_show_none(specimens, drawn):
    plain = every_figure(specimens, images=False)

    def photographs(fig):
        return [im for ax in fig.axes for im in ax.get_images() if im.get_array().dtype == np.uint8]

    assert (
        photographs(drawn["gallery"])
        and photographs(drawn["retrieval"])
        and photographs(drawn["method"])
    )
    for name, fig in plain.items():
        assert not photographs(fig), name
    assert [ax.get_title(loc="left") for ax in plain["training"].axes] == [
        "total loss",
        "contrastive (CL)",
        "DNA to DNA",
    ]
    assert not [ax for ax in plain["accuracy"].axes if "image" in ax.get_title(loc="left")]
    assert [label.get_text() for label in plain["radius"].axes[0].get_xticklabels()] == [
        *RANKS,
        "DNA",
    ]


def test_saving_twice_gives_the_same_bytes(specimens, tmp_path):
    for folder in ("one", "two"):
        fig = figures.poincare_disk(embed(specimens))
        for path in figures.save_figure(fig, "disk", tmp_path / folder):
            assert path.stat().st_size > 1000
    figures.save_figure(fig, "again", tmp_path / "two")
    for ending in ("pdf", "png"):
        first = (tmp_path / "one" / f"disk.{ending}").read_bytes()
        assert (
            first
            == (tmp_path / "two" / f"disk.{ending}").read_bytes()
            == (tmp_path / "two" / f"again.{ending}").read_bytes()
        )
    assert b"CreationDate" not in (tmp_path / "one" / "disk.pdf").read_bytes()


def test_geodesics_are_circles_orthogonal_to_the_rim_with_equal_steps():
    generator = np.random.default_rng(2)
    ends = generator.uniform(-0.65, 0.65, (2, 40, 2))
    arcs = poincare.geodesic(*ends, points=9)
    np.testing.assert_allclose(arcs[:, [0, -1]], ends.transpose(1, 0, 2), atol=1e-12)
    # A circle |p - m|^2 = r^2 orthogonal to the unit circle has |m|^2 = 1 + r^2, that is 2 m.p = 1
    # + |p|^2 for each of its points.
    for arc in arcs:
        centre, *_ = np.linalg.lstsq(2 * arc, 1 + (arc**2).sum(axis=1), rcond=None)
        np.testing.assert_allclose(2 * arc @ centre, 1 + (arc**2).sum(axis=1), rtol=1e-9)
    space = poincare.disk_to_space(arcs, 1.0)
    steps = L.distance(space[:, 1:], space[:, :-1], 1.0).numpy()
    np.testing.assert_allclose(steps, steps[:, :1].repeat(8, axis=1), rtol=1e-6)
    straight = poincare.geodesic(np.array([[0.1, 0.2]]), np.array([[-0.3, -0.6]]))[0]
    np.testing.assert_allclose(straight @ [2.0, -1.0], 0, atol=1e-12)


def test_the_pictures_distance_from_the_centre_is_the_true_one(specimens):
    embeddings = embed(specimens)
    plane = disk.project(embeddings)
    points = poincare.disk_to_space(plane.points, embeddings.curvature)
    expected = np.linalg.norm(embeddings.tangent, axis=1)
    np.testing.assert_allclose(L.radius(points, embeddings.curvature), expected, rtol=1e-5)
    assert 0.3 < plane.share < 1
    assert f"{100 * plane.share:.0f} %" in figures.poincare_disk(embeddings).axes[0].get_xlabel()


@pytest.mark.parametrize(
    ("apex", "c"), [((0.3, 0.2), 1.0), ((-0.5, 0.4), 0.3), ((0.02, -0.05), 1.0)]
)
def test_the_cone_is_the_region_of_the_librarys_functions(apex, c):
    outline = matplotlib.path.Path(poincare.cone_outline(apex, c))
    generator = np.random.default_rng(3)
    points = generator.uniform(-0.7, 0.7, (4000, 2))
    parent, child = poincare.disk_to_space(np.array(apex), c), poincare.disk_to_space(points, c)
    margin = (
        L.half_aperture(parent, c) - L.exterior_angle(parent.expand_as(child), child, c)
    ).numpy()
    clear = np.abs(margin) > 0.02
    inside = outline.contains_points(points)
    assert 10 < inside.sum() < 3990
    np.testing.assert_array_equal(inside[clear], margin[clear] > 0)


def test_the_method_figures_lineage_is_nested():
    points = poincare.disk_to_space(
        np.array([method_drawing.place(*where) for where in method_drawing.LINEAGE.values()]),
        method_drawing.CURVATURE,
    )
    angle = L.exterior_angle(points[:-1], points[1:], method_drawing.CURVATURE)
    assert list(method_drawing.LINEAGE) == [*RANKS, "dna", "image"]
    assert (angle < L.half_aperture(points[:-1], method_drawing.CURVATURE)).all()


def test_share_in_cone_is_the_full_spaces(specimens):
    embeddings = embed(specimens)
    table, c = embeddings.table, embeddings.curvature
    points = L.exp0(torch.tensor(embeddings.tangent, dtype=torch.float64), c)
    apex = points[((table["rank"] == "order") & (table["id"] == "Aptera")).to_numpy(copy=True)]
    own = points[((table["modality"] != "text") & (table["order"] == "Aptera")).to_numpy(copy=True)]
    expected = (
        (L.pairwise_exterior_angle(apex, own, c) <= L.half_aperture(apex, c)[:, None])
        .double()
        .mean()
    )
    assert share_in_cone(embeddings, "order", "Aptera") == pytest.approx(float(expected))
    assert share_in_cone(embeddings, "order", "Nowhereptera") is None


def test_an_order_keeps_its_colour_in_every_figure(specimens, drawn):
    colours = figures.order_colours(specimens["order"])
    assert (
        colours
        == {"Aptera": PALETTE[0], "Bptera": PALETTE[1]}
        == figures.order_colours(["Bptera", None, "Aptera", np.nan])
    )
    for name in ("disk", "plane", "gallery", "tree", "dated"):
        used = {
            matplotlib.colors.to_hex(c)
            for coll in drawn[name].findobj(matplotlib.collections.Collection)
            for c in (*coll.get_facecolor(), *coll.get_edgecolor())
        }
        used |= {
            matplotlib.colors.to_hex(patch.get_edgecolor())
            for patch in drawn[name].findobj(matplotlib.patches.Patch)
        }
        assert {c.lower() for c in colours.values()} <= used, name


def test_a_label_without_a_look_gets_one_that_no_other_has():
    given = {"a": figures.Look("#E69F00", "s"), "elsewhere": figures.Look("#000000", "o")}
    looks = figures.looks_of(["b", "a", "c", "b"], given)
    assert list(looks) == ["b", "a", "c"] and looks["a"] == given["a"]
    assert len({look.colour for look in looks.values()}) == 3
    assert len({look.marker for look in looks.values()}) == 3
    many = figures.looks_of([str(i) for i in range(17)])
    assert len({look.colour for look in many.values()}) == 17


def test_a_method_has_one_look_in_every_figure(specimens):
    """Colours and markers of lines are those given, in the drawing and in the legend."""
    looks = {"Euclidean CL": ("#123456", "D"), "Hyperbolic CL": ("#A02080", "h")}
    looks = {label: figures.Look(*look) for label, look in looks.items()}
    runs = {"Hyperbolic CL": history(), "Euclidean CL": history(False)}
    sweep = figures.sweep_scores(
        with_novel(scores()), {label: (label, 1.0 + i) for i, label in enumerate(looks)}
    )
    cells = differences()
    made = {
        "training": figures.training_curves(runs, looks),
        "accuracy": figures.accuracy_by_rank(scores(), looks=looks),
        "sweep": figures.sweep_curves(sweep, looks=looks),
        "differences": figures.difference_intervals(cells, looks=looks),
    }
    for name, fig in made.items():
        marked = [line for line in fig.findobj(Line2D) if line.get_marker() in ("D", "h")]
        found = {(to_hex(line.get_color()).upper(), line.get_marker()) for line in marked}
        wanted = set(looks.values())
        assert found == (wanted if name != "differences" else {looks["Hyperbolic CL"]}), name
    bars = figures.validation_bars(scores(), looks=looks)
    faces = {to_hex(patch.get_facecolor()).upper() for patch in bars.axes[0].patches}
    assert faces == {look.colour for look in looks.values()}


def test_one_order_is_coloured_by_family(specimens):
    one = specimens.assign(order="Aptera")
    families = figures.clade_colours(one)
    assert families == {"Aidae": PALETTE[0], "Bidae": PALETTE[1]}
    fig = figures.specimen_gallery(one, orders=2, species=2)
    assert [ax.get_ylabel() for ax in fig.axes] == ["Aidae", "Bidae"]
    for fig in (figures.poincare_disk(embed(one)), figures.taxonomy_tree(one)):
        assert_readable(fig)
        assert {"Aidae", "Bidae"} <= set(texts(fig))
    assert "family (species)" in texts(fig)


def test_a_dollar_sign_in_a_name_is_a_dollar_sign(specimens):
    named = specimens.assign(order=specimens["order"].replace({"Aptera": "A$x_1$ptera"}))
    fig = figures.poincare_disk(embed(named))
    (text,) = [t for t in fig.findobj(Text) if t.get_text() == "A$x_1$ptera"]
    assert not text.get_parse_math()


def test_accuracies_are_the_tables_means_in_percent():
    fig = figures.accuracy_by_rank(scores())
    title, first = fig.axes[0].get_title(loc="left"), fig.axes[0].lines[0]
    assert title == "DNA to DNA, seen species"
    np.testing.assert_allclose(first.get_ydata(orig=False), [91, 81, 71, 61])
    with pytest.raises(ValueError, match="average = median"):
        figures.accuracy_by_rank(scores(), average="median")


def test_trees_have_the_species_at_their_leaves(specimens):
    tree = tree_from_labels(specimens)
    assert sorted(tree.name[i] for i in tree.leaves()) == sorted(
        specimens["species"].dropna().unique()
    )
    assert {tree.depth[i] for i in tree.leaves()} == {1.0}
    dated = tree_from_newick(NEWICK)
    assert {dated.name[i]: dated.depth[i] for i in dated.leaves()} == dict.fromkeys(
        ["Aa x", "Aa y", "Ab x", "Ba x", "Ba y"], 1.0
    )
    assert dated.depth[dated.name.index("Aidae")] == 0.5
    with pytest.raises(ValueError, match="branch lengths"):
        tree_from_newick("((A,B),C);")


def test_wrong_inputs_are_answered_with_one_sentence(specimens):
    with pytest.raises(ValueError, match="Lorentz space"):
        figures.poincare_disk(embed(specimens, "euclidean"))
    with pytest.raises(ValueError, match="hyperbolic runs"):
        figures.geometry_curves({"Euclidean CL": history(False)})
    with pytest.raises(ValueError, match="neither photographs nor barcodes"):
        figures.specimen_gallery(specimens.assign(image=None, barcode=None))


def test_a_figure_names_its_runs(tmp_path):
    for name, runs in (("b", ["r1", "r2", "r1"]), ("a", ["r3"]), ("b", ["r4"]), ("plain", ())):
        fig = new_figure(2, 2)
        save_figure(fig, name, tmp_path, runs=runs)
    assert (tmp_path / "runs_of_figures.csv").read_text() == "figure,runs\na,r3\nb,r4\n"
    with Image.open(tmp_path / "a.png") as image:
        assert image.text["Runs"] == "r3"
    assert b"r3" in (tmp_path / "a.pdf").read_bytes()
