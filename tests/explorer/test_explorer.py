"""The explorer's page: complete, self-contained, safe for any name, and with the library's
geometry."""

import matplotlib.path
import numpy as np
import pytest
import torch
from explorer_cases import NASTY, Page, embed, specimen_table, write_page

from hypertax.explorer import page as explorer
from hypertax.explorer.page import KINDS, cone_sides, write_explorer
from hypertax.figures import disk
from hypertax.figures.style import PALETTE
from hypertax.geometry import lorentz as L
from hypertax.geometry import poincare
from hypertax.taxonomy import RANKS


@pytest.fixture(scope="module")
def specimens(tmp_path_factory):
    return specimen_table(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def written(specimens, tmp_path_factory):
    return write_page(specimens, tmp_path_factory.mktemp("page") / "explorer.html")


def test_the_page_loads_nothing_and_is_small(written):
    page, text = Page(written), written.read_text(encoding="utf-8")
    assert written.stat().st_size <= explorer.LARGEST_PAGE
    assert not any(
        word in text
        for word in (
            "http://",
            "https://",
            "@import",
            "url(",
            "fetch(",
            "XMLHttpRequest",
            "innerHTML",
        )
    )
    references = [
        attrs[name] for _, attrs in page.elements for name in ("src", "href") if name in attrs
    ]
    assert references == ["data:,"]
    policies = [
        attrs["content"]
        for tag, attrs in page.elements
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1 and "default-src 'none'" in policies[0]
    assert "noscript" in [tag for tag, _ in page.elements]


def test_no_name_can_leave_its_place(written, specimens):
    page = Page(written)
    assert [tag for tag, _ in page.elements].count("script") == 2 and "img" not in [
        tag for tag, _ in page.elements
    ]
    assert page.title.startswith("A & <b>") and page.data["title"] == "A & <b>"
    assert set(NASTY) <= set(page.points["name"])
    raw = written.read_text(encoding="utf-8").split('id="data">')[1].split("</script>")[0]
    assert not set("<>&\u2028\u2029") & set(raw)


def test_all_taxa_are_there_and_lie_where_the_figures_put_them(written, specimens):
    embeddings, page = embed(specimens), Page(written)
    points = page.points
    for depth, rank in enumerate(RANKS):
        assert sorted(points.loc[points["kind"] == depth, "name"]) == sorted(
            specimens[rank].dropna().unique()
        )
    assert (points["kind"] >= len(RANKS)).sum() == 2 * len(specimens)
    kind = embeddings.table["rank"].where(
        embeddings.table["modality"] == "text", embeddings.table["modality"]
    )
    row = {
        key: i
        for i, key in enumerate(zip(kind.map(KINDS.index), embeddings.table["id"], strict=True))
    }
    rows = [row[key] for key in zip(points["kind"], points["name"], strict=True)]
    plane = disk.project(embeddings)
    np.testing.assert_allclose(points[["x", "y"]], plane.points[rows], atol=1e-6)
    np.testing.assert_allclose(
        points["radius"], np.linalg.norm(embeddings.tangent[rows], axis=1), atol=1e-4
    )
    assert (
        page.data["share"] == pytest.approx(plane.share, abs=1e-4) and page.data["dimensions"] == 6
    )
    assert (page.data["dataset"], page.data["runs"]) == ("made up", ["run-1"])


def test_every_point_hangs_on_its_deepest_known_taxon(written, specimens):
    points = Page(written).points
    lineages = specimens.set_index("sampleid")[list(RANKS)]
    for i, point in points.iterrows():
        path = [point["name"]]
        while points.at[i, "parent"] >= 0:
            i = points.at[i, "parent"]
            path.insert(0, points.at[i, "name"])
        if point["kind"] >= len(RANKS):
            assert path[:-1] == list(lineages.loc[point["name"]].dropna())
        else:
            own = specimens[specimens[RANKS[point["kind"]]] == point["name"]].iloc[0]
            assert path == list(own[list(RANKS[: point["kind"] + 1])].dropna())


def test_names_of_unseen_specimens_alone_were_not_seen_in_training(written, specimens):
    points = Page(written).points
    unseen = set(specimens.loc[specimens["split"] == "test_unseen", list(RANKS[1:])].stack()) | set(
        specimens.loc[specimens["split"] == "test_unseen", "sampleid"]
    )
    assert set(points.loc[points["trained"] == 0, "name"]) == unseen


def test_the_same_input_gives_the_same_bytes(specimens, tmp_path):
    pages = [
        write_explorer(embed(specimens), specimens, tmp_path / f"{i}.html", sample=10, seed=seed)
        for i, seed in enumerate((0, 0, 1))
    ]
    assert pages[0].read_bytes() == pages[1].read_bytes() != pages[2].read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.html", "1.html", "2.html"]
    records = Page(pages[0]).data["records"]
    assert len(records["id"]) == 10 and Page(pages[0]).data["specimensInAll"] == len(specimens)
    assert specimens.set_index("sampleid").loc[records["id"], "species"].nunique() == 10


def test_without_images_the_barcode_stands_for_the_specimen(specimens, tmp_path):
    table = specimens.assign(image=None)
    page = Page(write_explorer(embed(table, modalities=("dna",)), table, tmp_path / "dna.html"))
    records = page.data["records"]
    assert set(page.points["kind"]) == {0, 1, 2, 3, 4} and set(records["image"]) == {None}
    assert records["barcode"] == list(specimens.set_index("sampleid").loc[records["id"], "barcode"])


def test_photographs_are_small_jpegs_within_their_share_of_the_page(
    written, specimens, monkeypatch
):
    images = Page(written).data["records"]["image"]
    assert all(image.startswith("data:image/jpeg;base64,/9j/") for image in images)
    monkeypatch.setattr(explorer, "PHOTOGRAPHS", 40_000)
    some = explorer.thumbnails([*specimens["image"], None, "missing.jpg"])
    assert (
        some[0] is not None
        and some[-3:] == [None] * 3
        and sum(len(image or "") for image in some) <= 40_000
    )


def test_a_page_that_is_too_large_is_refused(specimens, tmp_path, monkeypatch):
    monkeypatch.setattr(explorer, "LARGEST_PAGE", 50_000)
    with pytest.raises(ValueError, match="show fewer specimens"):
        write_explorer(embed(specimens), specimens, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("apex", "c"),
    [((0.3, 0.2), 1.0), ((-0.5, 0.4), 0.3), ((0.02, -0.05), 1.0), ((0.05, 0.45), 2.0)],
)
def test_between_its_sides_lies_the_cone_of_the_librarys_functions(apex, c):
    half = L.half_aperture(poincare.disk_to_space(np.array(apex), c), c).numpy()[None]
    start, end = cone_sides(np.array([apex]), half)[0]
    turns = np.linspace(start, end, 400)
    rim = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    side = poincare.geodesic(np.array([apex, apex]), 0.99999999 * rim[[0, -1]], points=400)
    outline = np.concatenate([side[0], rim, side[1][::-1]])
    points = np.random.default_rng(3).uniform(-0.7, 0.7, (4000, 2))
    margin = poincare.cone_margin(np.array(apex), points, c)
    clear = np.abs(margin) > 0.02
    inside = matplotlib.path.Path(outline).contains_points(points)
    assert 10 < inside.sum() < 3990
    np.testing.assert_array_equal(inside[clear], margin[clear] > 0)


def test_the_angles_of_the_panel_are_the_full_spaces(written, specimens):
    embeddings, page = embed(specimens), Page(written)
    data, c = page.data["points"], 1.5
    point = L.exp0(torch.tensor(embeddings.tangent, dtype=torch.float64), c)
    text = (embeddings.table["modality"] == "text").to_numpy()
    names = embeddings.table["id"].to_numpy()
    assert data["aperture"][data["name"].index("Aptera")] == 90 and min(data["aperture"]) < 30
    for name, parent in (("Aa", "Aaidae"), ("Ad", "Aptera"), ("Ba x", "Ba")):
        child, above = (point[np.flatnonzero(text & (names == n))] for n in (name, parent))
        i = data["name"].index(name)
        assert data["name"][data["parent"][i]] == parent
        assert data["angle"][i] == pytest.approx(
            np.rad2deg(float(L.exterior_angle(above, child, c))), abs=1e-3
        )
        assert data["aperture"][data["parent"][i]] == pytest.approx(
            np.rad2deg(float(L.half_aperture(above, c))), abs=1e-3
        )


def test_an_order_has_the_figures_colour_and_the_plane_no_cones(specimens, tmp_path):
    page = Page(write_explorer(embed(specimens, "euclidean"), specimens, tmp_path / "plane.html"))
    assert page.data["colours"] == {"Aptera": PALETTE[0], "Bptera": PALETTE[1]}
    assert (
        page.data["space"] == "euclidean"
        and "sides" not in page.data["points"]
        and page.data["rings"] == []
    )
    assert np.hypot(page.points["x"], page.points["y"]).max() == pytest.approx(1, abs=1e-5)
