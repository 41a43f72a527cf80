"""The explorer's page: complete, self-contained, safe for any name, and the library's geometry; in a browser (slow) it does what it says."""

import json
import shutil
import time
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.path
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import hypertax.lorentz as L
from hypertax import disk, explorer
from hypertax.embeddings import Embeddings
from hypertax.explorer import KINDS, cone_sides, write_explorer
from hypertax.figure_style import PALETTE
from hypertax.taxonomy import RANKS, taxa

SPLITS = ("train_seen", "seen_keys", "test_seen")
NASTY = ("</script><img src=x onerror=\"document.title='broken'\">", "<!-- <script> & \"it's\"", "{{data}} \u2028 \\u003c")


@pytest.fixture(scope="module")
def specimens(tmp_path_factory) -> pd.DataFrame:
    """48 specimens of 16 species in 2 orders; species of the genera Ab and Bb are unseen, one genus lacks a family, names are nasty."""
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    rows = []
    for order in "AB":
        for genus in "abcd":
            for species in "xy":
                for i in range(3):
                    number = len(rows)
                    path = folder / f"{number}.png"
                    Image.fromarray(generator.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(path)
                    name = f"{order}{genus}"
                    rows.append({"sampleid": f"S{number:03d}", "image": str(path), "barcode": "".join(generator.choice(list("ACGTN"), 90)),
                                 "order": f"{order}ptera", "family": None if genus == "d" else f"{order}{genus}idae", "genus": name,
                                 "species": f"{name} {species}", "split": "test_unseen" if genus == "b" else SPLITS[i]})  # fmt: skip
    table = pd.DataFrame(rows)
    table.loc[table["species"] == "Aa x", "species"] = NASTY[0]
    table.loc[table["genus"] == "Bc", "genus"] = NASTY[1]
    table.loc[0, "sampleid"] = NASTY[2]
    return table


def embed(specimens: pd.DataFrame, space: str = "lorentz", modalities=("image", "dna")) -> Embeddings:
    """Taxa and specimens in 6 dimensions, children beside their parents; the first order so near the origin that its cone is saturated."""
    generator = np.random.default_rng(1)
    directions, rows, vectors = {}, [], []
    for taxon in taxa(specimens).to_dict("records"):
        depth = RANKS.index(taxon["rank"])
        above = [directions[taxon[rank]] for rank in RANKS[:depth] if pd.notna(taxon[rank])]
        directions[taxon["name"]] = (above[-1] if above else 0) + generator.normal(size=6) / 3**depth
        rows.append({"id": taxon["name"], "modality": "text", "split": None, **{k: taxon[k] for k in ("rank", *RANKS)}})
        size = 0.1 if taxon["name"] == "Aptera" else 0.4 + 0.4 * depth
        vectors.append(size * directions[taxon["name"]] / np.linalg.norm(directions[taxon["name"]]))
    for modality in modalities:
        for s in specimens.to_dict("records"):
            rows.append({"id": s["sampleid"], "modality": modality, "rank": None, "split": s["split"], **{r: s[r] for r in RANKS}})
            vectors.append(2 * directions[s["species"]] / np.linalg.norm(directions[s["species"]]) + 0.1 * generator.normal(size=6))
    return Embeddings(pd.DataFrame(rows), np.array(vectors, dtype=np.float32), space, 1.5 if space == "lorentz" else None)


class Page(HTMLParser):
    """What a browser would make of a page: its elements, and the text in each script."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.title = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.data = json.loads(self.scripts[0])
        self.points = pd.DataFrame({name: self.data["points"][name] for name in ("name", "kind", "x", "y", "radius", "parent", "trained")})

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.elements and self.elements[-1][0] == "script":
            self.scripts[-1] += data
        elif self.elements and self.elements[-1][0] == "title":
            self.title += data


@pytest.fixture(scope="module")
def written(specimens, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return write_explorer(embed(specimens), specimens, folder / "explorer.html", title="A & <b>", dataset="made up", runs=["run-1"])


def test_the_page_loads_nothing_and_is_small(written):
    page, text = Page(written), written.read_text(encoding="utf-8")
    assert written.stat().st_size <= explorer.LARGEST_PAGE
    assert not any(word in text for word in ("http://", "https://", "@import", "url(", "fetch(", "XMLHttpRequest", "innerHTML"))
    references = [attrs[name] for _, attrs in page.elements for name in ("src", "href") if name in attrs]
    assert references == ["data:,"]
    policies = [attrs["content"] for tag, attrs in page.elements if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1 and "default-src 'none'" in policies[0]
    assert "noscript" in [tag for tag, _ in page.elements]


def test_no_name_can_leave_its_place(written, specimens):
    page = Page(written)
    assert [tag for tag, _ in page.elements].count("script") == 2 and "img" not in [tag for tag, _ in page.elements]
    assert page.title.startswith("A & <b>") and page.data["title"] == "A & <b>"
    assert set(NASTY) <= set(page.points["name"])
    raw = written.read_text(encoding="utf-8").split('id="data">')[1].split("</script>")[0]
    assert not set("<>&\u2028\u2029") & set(raw)


def test_all_taxa_are_there_and_lie_where_the_figures_put_them(written, specimens):
    embeddings, page = embed(specimens), Page(written)
    points = page.points
    for depth, rank in enumerate(RANKS):
        assert sorted(points.loc[points["kind"] == depth, "name"]) == sorted(specimens[rank].dropna().unique())
    assert (points["kind"] >= len(RANKS)).sum() == 2 * len(specimens)
    kind = embeddings.table["rank"].where(embeddings.table["modality"] == "text", embeddings.table["modality"])
    row = {key: i for i, key in enumerate(zip(kind.map(KINDS.index), embeddings.table["id"], strict=True))}
    rows = [row[key] for key in zip(points["kind"], points["name"], strict=True)]
    plane = disk.project(embeddings)
    np.testing.assert_allclose(points[["x", "y"]], plane.points[rows], atol=1e-6)
    np.testing.assert_allclose(points["radius"], np.linalg.norm(embeddings.tangent[rows], axis=1), atol=1e-4)
    assert page.data["share"] == pytest.approx(plane.share, abs=1e-4) and page.data["dimensions"] == 6
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
    pages = [write_explorer(embed(specimens), specimens, tmp_path / f"{i}.html", sample=10, seed=seed) for i, seed in enumerate((0, 0, 1))]
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


def test_photographs_are_small_jpegs_within_their_share_of_the_page(written, specimens, monkeypatch):
    images = Page(written).data["records"]["image"]
    assert all(image.startswith("data:image/jpeg;base64,/9j/") for image in images)
    monkeypatch.setattr(explorer, "PHOTOGRAPHS", 40_000)
    some = explorer.thumbnails([*specimens["image"], None, "missing.jpg"])
    assert some[0] is not None and some[-3:] == [None] * 3 and sum(len(image or "") for image in some) <= 40_000


def test_a_page_that_is_too_large_is_refused(specimens, tmp_path, monkeypatch):
    monkeypatch.setattr(explorer, "LARGEST_PAGE", 50_000)
    with pytest.raises(ValueError, match="show fewer specimens"):
        write_explorer(embed(specimens), specimens, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("apex", "c"), [((0.3, 0.2), 1.0), ((-0.5, 0.4), 0.3), ((0.02, -0.05), 1.0), ((0.05, 0.45), 2.0)])
def test_between_its_sides_lies_the_cone_of_the_librarys_functions(apex, c):
    half = L.half_aperture(disk.disk_to_space(np.array(apex), c), c).numpy()[None]
    start, end = cone_sides(np.array([apex]), half)[0]
    turns = np.linspace(start, end, 400)
    rim = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    side = disk.geodesic(np.array([apex, apex]), 0.99999999 * rim[[0, -1]], points=400)
    outline = np.concatenate([side[0], rim, side[1][::-1]])
    points = np.random.default_rng(3).uniform(-0.7, 0.7, (4000, 2))
    margin = disk.cone_margin(np.array(apex), points, c)
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
        assert data["angle"][i] == pytest.approx(np.rad2deg(float(L.exterior_angle(above, child, c))), abs=1e-3)
        assert data["aperture"][data["parent"][i]] == pytest.approx(np.rad2deg(float(L.half_aperture(above, c))), abs=1e-3)


def test_an_order_has_the_figures_colour_and_the_plane_no_cones(specimens, tmp_path):
    page = Page(write_explorer(embed(specimens, "euclidean"), specimens, tmp_path / "plane.html"))
    assert page.data["colours"] == {"Aptera": PALETTE[0], "Bptera": PALETTE[1]}
    assert page.data["space"] == "euclidean" and "sides" not in page.data["points"] and page.data["rings"] == []
    assert np.hypot(page.points["x"], page.points["y"]).max() == pytest.approx(1, abs=1e-5)


# ---- in a browser

CHROMIUM, DRIVER = (next(filter(None, map(shutil.which, names)), None) for names in (("chromium", "chromium-browser", "google-chrome"), ("chromedriver",)))
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--window-size=1400,900")  # fmt: skip


class Reader:
    """A person at the page: mouse and keys through the browser, and what the page says its state is."""

    def __init__(self, driver) -> None:
        self.driver = driver

    def open(self, path: Path) -> None:
        self.driver.get(path.as_uri())
        self.until(lambda: self.driver.execute_script("return !!window.explorer"))

    def until(self, holds, seconds: float = 10):
        end = time.monotonic() + seconds
        while not (value := holds()):
            assert time.monotonic() < end, "the page did not get there"
            time.sleep(0.05)
        return value

    def find(self, css: str):
        return self.driver.find_element("css selector", css)

    def state(self) -> dict:
        return self.driver.execute_script("return window.explorer.state()")

    def pixels(self) -> str:
        """The picture as it is painted, after the frame under way."""
        self.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
        return self.driver.execute_script("return document.getElementById('picture').toDataURL()")

    def mouse(self):
        from selenium.webdriver.common.action_chains import ActionChains

        return ActionChains(self.driver, duration=20)

    def offset(self, name: str, kind: str) -> tuple[int, int]:
        """Of a point from the picture's middle, which is what selenium counts from."""
        x, y = self.driver.execute_script("return window.explorer.where(arguments[0], arguments[1])", name, kind)
        size = self.find("#picture").size
        return round(x - size["width"] / 2), round(y - size["height"] / 2)

    def hover(self, name: str, kind: str) -> None:
        self.mouse().move_to_element_with_offset(self.find("#picture"), *self.offset(name, kind)).perform()

    def search(self, words: str, *keys: str) -> None:
        from selenium.webdriver.common.keys import Keys

        self.find("#search").send_keys(Keys.CONTROL, "a", Keys.NULL, words, *keys)

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if not CHROMIUM or not DRIVER:
        pytest.skip("Chromium and its driver are not on this machine")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield Reader(driver)
    driver.quit()


@pytest.mark.slow
def test_in_a_browser_hover_click_and_path_to_the_root(reader, written):
    from selenium.webdriver.common.keys import Keys

    reader.open(written)
    assert reader.state()["path"] == [] and reader.find("#tooltip").is_displayed() is False
    before = reader.pixels()
    reader.hover("Ab x", "species")
    reader.until(lambda: reader.state()["hovered"] == "Ab x")
    assert reader.state()["path"] == ["Aptera", "Abidae", "Ab", "Ab x"] and reader.pixels() != before
    told = reader.find("#tooltip").text
    assert "Ab x" in told and "species" in told and "radius 1.6" in told and "not seen in training" in told
    reader.mouse().click().perform()
    reader.until(lambda: reader.state()["pinned"] == "Ab x")
    steps = reader.find("ol.path").text
    assert [steps.index(name) for name in ("root", "Aptera", "Abidae", "Ab genus", "Ab x")] == sorted(
        steps.index(name) for name in ("root", "Aptera", "Abidae", "Ab genus", "Ab x")
    )
    reader.find("ol.path li:nth-child(3) button").click()
    reader.until(lambda: reader.state()["pinned"] == "Abidae")
    reader.search("S007", Keys.ENTER)
    reader.find("#selection > .link").click()
    reader.until(lambda: reader.state()["pinnedKind"] == "image")
    reader.find("#picture").send_keys(Keys.ESCAPE, *"++++++++")
    reader.hover("S007", "image")
    reader.until(lambda: reader.state()["hovered"] == "S007")
    assert reader.state()["pinned"] is None and "test_seen" in reader.find("#tooltip").text
    assert reader.find("#tooltip img").get_attribute("src").startswith("data:image/jpeg")
    assert reader.errors() == []


@pytest.mark.slow
def test_in_a_browser_zoom_keeps_the_point_under_the_pointer_and_keys_work(reader, written):
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    reader.open(written)
    x, y = reader.offset("Bptera", "order")
    origin = ScrollOrigin.from_element(reader.find("#picture"), x, y)
    reader.mouse().scroll_from_origin(origin, 0, -400).perform()
    reader.until(lambda: reader.state()["zoom"] > 1.3)
    np.testing.assert_allclose(reader.offset("Bptera", "order"), (x, y), atol=2)
    reader.find("#zoom-in").click()
    zoomed = reader.state()
    reader.mouse().move_to_element_with_offset(reader.find("#picture"), -200, 250).click_and_hold().move_by_offset(60, -40).release().perform()
    moved = reader.state()
    assert moved["centre"][0] < zoomed["centre"][0] and moved["centre"][1] < zoomed["centre"][1] and moved["pinned"] is None
    picture = reader.find("#picture")
    picture.send_keys("0")
    assert reader.state()["zoom"] == 1 and reader.state()["centre"] == [0, 0]
    picture.send_keys("+")
    assert reader.state()["zoom"] == pytest.approx(1.3)
    picture.send_keys("-", Keys.ARROW_RIGHT)
    assert reader.state()["zoom"] == pytest.approx(1) and reader.state()["centre"][0] > 0
    reader.find("#reset").click()
    assert reader.state()["centre"] == [0, 0] and reader.errors() == []


@pytest.mark.slow
def test_in_a_browser_search_colours_layers_and_cones(reader, written):
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select

    reader.open(written)
    reader.search("bb")
    assert [item.text.split("\n")[0] for item in reader.driver.find_elements("css selector", "#suggestions li")] == ["Bbidae", "Bb", "Bb x", "Bb y"]
    reader.find("#search").send_keys(Keys.ARROW_DOWN, Keys.ENTER)
    state = reader.state()
    assert state["pinned"] == "Bb" and state["pinnedKind"] == "genus" and state["path"] == ["Bptera", "Bbidae", "Bb"] and state["zoom"] > 1
    np.testing.assert_allclose(reader.offset("Bb", "genus"), 0, atol=1)
    reader.search("S020", Keys.ENTER)
    assert reader.state()["pinned"] == "S020" and reader.find("#selection img").is_displayed()
    reader.search("nothing like it")
    assert "nothing of that name" in reader.find("#suggestions").text
    reader.search("Aptera", Keys.ENTER)
    assert "half-space" in reader.find("#selection").text
    with_cone = reader.pixels()
    reader.find("#cone").click()
    assert reader.state()["cone"] is False and reader.pixels() != with_cone
    orders = reader.state()["legend"]
    assert orders == {"Aptera": PALETTE[0], "Bptera": PALETTE[1]}
    before = reader.pixels()
    Select(reader.find("#colour")).select_by_value("species")
    legend = reader.state()["legend"]
    assert len(legend) == 12 == len(set(legend.values())) and reader.pixels() != before
    grey = next(name for name in ("Bd y", "Bd x") if name not in legend)
    reader.search(grey, Keys.ENTER)
    assert grey in reader.state()["legend"] and len(reader.state()["legend"]) == 12
    reader.find("#layers input[data-kind='5']").click()
    assert reader.state()["layers"] == {**dict.fromkeys((*RANKS, "DNA"), True), "image": False}
    reader.find("#legend li:nth-child(2) button").click()
    assert reader.state()["focus"] == list(reader.state()["legend"])[1]
    assert reader.find("#legend li:nth-child(2) button").get_attribute("aria-pressed") == "true" and reader.errors() == []


@pytest.mark.slow
def test_in_a_browser_nasty_names_are_text(reader, written):
    from selenium.webdriver.common.keys import Keys

    reader.open(written)
    for name, kind in zip(NASTY, ("species", "genus", "DNA"), strict=True):
        reader.search(name[:8], Keys.ENTER)
        assert reader.state()["pinned"] == name and reader.state()["pinnedKind"] == kind
        assert reader.find("#selection h2").get_attribute("textContent") == name
    assert reader.driver.title.startswith("A & <b>") and not reader.driver.find_elements("css selector", "img[src=x]")
    assert reader.errors() == []


@pytest.mark.slow
def test_in_a_browser_the_geometry_is_the_librarys(reader, written, specimens):
    reader.open(written)
    ends = np.random.default_rng(4).uniform(-0.65, 0.65, (20, 4))
    for ax, ay, bx, by in ends.tolist():
        line = reader.driver.execute_script("return window.explorer.geodesic(...arguments)", ax, ay, bx, by, 23)
        expected = disk.geodesic(np.array([[ax, ay]]), np.array([[bx, by]]))[0]
        np.testing.assert_allclose(np.reshape(line, (-1, 2)), expected, atol=1e-9)
    points = np.random.default_rng(5).uniform(-0.7, 0.7, (3000, 2))
    table = Page(written).points
    for name, rank in (("Aptera", "order"), ("Bptera", "order"), ("Ab", "genus")):
        outline = np.reshape(reader.driver.execute_script("return window.explorer.coneOutline(...arguments)", name, rank), (-1, 2))
        apex = table.loc[(table["name"] == name) & (table["kind"] == RANKS.index(rank)), ["x", "y"]].to_numpy(copy=True)[0]
        margin = disk.cone_margin(apex, points, 1.5)
        clear = np.abs(margin) > 0.02
        np.testing.assert_array_equal(matplotlib.path.Path(outline).contains_points(points)[clear], margin[clear] > 0)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1400, 390])
def test_in_a_browser_nothing_overlaps_or_is_cut_at_any_width(reader, specimens, tmp_path, width):
    table = specimens.assign(image=None)
    path = write_explorer(embed(table, "euclidean", ("dna",)), table, tmp_path / "plane.html")
    size = {"width": width, "height": 844, "deviceScaleFactor": 2, "mobile": width < 600}
    reader.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        reader.open(path)
        assert reader.driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        assert reader.driver.execute_script("const c = document.getElementById('picture'); return c.width / c.clientWidth") == pytest.approx(2, abs=0.01)
        assert not reader.find("#cone-choice").is_displayed() and not reader.find("[data-kind='5']").is_displayed()
        unlabelled = """return [...document.querySelectorAll('button, input, select, canvas')].filter((e) =>
            !(e.textContent.trim() || e.getAttribute('aria-label') || (e.labels && e.labels.length))).map((e) => e.outerHTML)"""
        assert reader.driver.execute_script(unlabelled) == []
        reader.search("S020")
        reader.find("#suggestions li").click()
        assert reader.find("#selection canvas").get_attribute("aria-label") == "DNA barcode of 90 bases" and reader.errors() == []
    finally:
        reader.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
