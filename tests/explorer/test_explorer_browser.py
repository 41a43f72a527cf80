"""The explorer's page in headless Chromium, driven by mouse and keys: what it shows changes as it
should, and it logs no error."""

import shutil
import time
from pathlib import Path

import matplotlib.path
import numpy as np
import pytest
from explorer_cases import NASTY, Page, embed, specimen_table, write_page

from hypertax.explorer.page import write_explorer
from hypertax.figures.style import PALETTE
from hypertax.geometry import poincare
from hypertax.taxonomy import RANKS

pytestmark = pytest.mark.slow
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,900",
)


@pytest.fixture(scope="module")
def specimens(tmp_path_factory):
    return specimen_table(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def written(specimens, tmp_path_factory):
    return write_page(specimens, tmp_path_factory.mktemp("page") / "explorer.html")


class Reader:
    """A person at the page: mouse and keys through the browser, and what the page says its state
    is."""

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
        self.driver.execute_async_script(
            "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
        )
        return self.driver.execute_script("return document.getElementById('picture').toDataURL()")

    def mouse(self):
        from selenium.webdriver.common.action_chains import ActionChains

        return ActionChains(self.driver, duration=20)

    def offset(self, name: str, kind: str) -> tuple[int, int]:
        """How far a point is from the picture's middle, from which selenium counts."""
        x, y = self.driver.execute_script(
            "return window.explorer.where(arguments[0], arguments[1])", name, kind
        )
        size = self.find("#picture").size
        return round(x - size["width"] / 2), round(y - size["height"] / 2)

    def hover(self, name: str, kind: str) -> None:
        self.mouse().move_to_element_with_offset(
            self.find("#picture"), *self.offset(name, kind)
        ).perform()

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


def test_hover_click_and_path_to_the_root(reader, written):
    from selenium.webdriver.common.keys import Keys

    reader.open(written)
    assert reader.state()["path"] == [] and reader.find("#tooltip").is_displayed() is False
    before = reader.pixels()
    reader.hover("Ab x", "species")
    reader.until(lambda: reader.state()["hovered"] == "Ab x")
    assert (
        reader.state()["path"] == ["Aptera", "Abidae", "Ab", "Ab x"] and reader.pixels() != before
    )
    told = reader.find("#tooltip").text
    assert (
        "Ab x" in told
        and "species" in told
        and "radius 1.6" in told
        and "not seen in training" in told
    )
    reader.mouse().click().perform()
    reader.until(lambda: reader.state()["pinned"] == "Ab x")
    steps = [item.text for item in reader.driver.find_elements("css selector", "ol.path li")]
    assert [step.split(" ")[0] for step in steps] == [
        "root:",
        "Aptera",
        "Abidae",
        "Ab",
        "Ab",
    ] and "family, 0.800" in steps[2]
    reader.find("ol.path li:nth-child(3) button").click()
    reader.until(lambda: reader.state()["pinned"] == "Abidae")
    reader.search("S007", Keys.ENTER)
    reader.find("#selection > .link").click()
    reader.until(lambda: reader.state()["pinnedKind"] == "image")
    reader.find("#picture").send_keys(Keys.ESCAPE, *"++++++++")
    reader.hover("S007", "image")
    reader.until(lambda: reader.state()["hovered"] == "S007")
    assert reader.state()["pinned"] is None and "test_unseen" in reader.find("#tooltip").text
    assert reader.find("#tooltip img").get_attribute("src").startswith("data:image/jpeg")
    assert reader.errors() == []


def test_zoom_keeps_the_point_under_the_pointer_and_keys_work(reader, written):
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
    from selenium.webdriver.common.keys import Keys

    reader.open(written)
    x, y = reader.offset("Bptera", "order")
    origin = ScrollOrigin.from_element(reader.find("#picture"), x, y)
    reader.mouse().scroll_from_origin(origin, 0, -400).perform()
    reader.until(lambda: reader.state()["zoom"] > 1.3)
    np.testing.assert_allclose(reader.offset("Bptera", "order"), (x, y), atol=2)
    reader.find("#zoom-in").click()
    zoomed = reader.state()
    drag = (
        reader.mouse()
        .move_to_element_with_offset(reader.find("#picture"), -200, 250)
        .click_and_hold()
        .move_by_offset(60, -40)
    )
    drag.release().perform()
    moved = reader.state()
    assert (
        moved["centre"][0] < zoomed["centre"][0]
        and moved["centre"][1] < zoomed["centre"][1]
        and moved["pinned"] is None
    )
    picture = reader.find("#picture")
    picture.send_keys("0")
    assert reader.state()["zoom"] == 1 and reader.state()["centre"] == [0, 0]
    picture.send_keys("+")
    assert reader.state()["zoom"] == pytest.approx(1.3)
    picture.send_keys("-", Keys.ARROW_RIGHT)
    assert reader.state()["zoom"] == pytest.approx(1) and reader.state()["centre"][0] > 0
    reader.find("#reset").click()
    assert reader.state()["centre"] == [0, 0] and reader.errors() == []


def test_a_tap_selects_and_two_fingers_zoom(reader, written):
    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        reader.driver.execute_cdp_cmd(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
        )

    reader.open(written)
    box = reader.find("#picture").rect
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    right, down = reader.offset("Bptera", "order")
    touch("touchStart", (x + right + 12, y + down))
    touch("touchEnd")
    reader.until(lambda: reader.state()["pinned"] == "Bptera")
    touch("touchStart", (x - 40, y), (x + 40, y))
    touch("touchMove", (x - 80, y), (x + 80, y))
    touch("touchEnd")
    reader.until(lambda: reader.state()["zoom"] > 1.5)
    assert (
        reader.state()["zoom"] == pytest.approx(2, rel=0.05)
        and reader.state()["pinned"] == "Bptera"
    )
    np.testing.assert_allclose(reader.state()["centre"], 0, atol=0.05)
    touch("touchStart", (x, y))
    touch("touchMove", (x + 100, y))
    touch("touchEnd")
    reader.until(lambda: reader.state()["centre"][0] < -0.1)
    assert reader.errors() == []


def test_search_colours_layers_and_cones(reader, written):
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select

    reader.open(written)
    reader.search("bb")
    suggested = [
        item.text.split("\n")[0]
        for item in reader.driver.find_elements("css selector", "#suggestions li")
    ]
    assert suggested == ["Bbidae", "Bb", "Bb x", "Bb y"]
    reader.find("#search").send_keys(Keys.ARROW_DOWN, Keys.ENTER)
    state = reader.state()
    assert (
        state["pinned"] == "Bb"
        and state["pinnedKind"] == "genus"
        and state["path"] == ["Bptera", "Bbidae", "Bb"]
        and state["zoom"] > 1
    )
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
    assert (
        reader.find("#legend li:nth-child(2) button").get_attribute("aria-pressed") == "true"
        and reader.errors() == []
    )


def test_nasty_names_are_text(reader, written):
    from selenium.webdriver.common.keys import Keys

    reader.open(written)
    for name, kind in zip(NASTY, ("species", "genus", "DNA"), strict=True):
        reader.search(name[:8], Keys.ENTER)
        assert reader.state()["pinned"] == name and reader.state()["pinnedKind"] == kind
        assert reader.find("#selection h2").get_attribute("textContent") == name
    assert reader.driver.title.startswith("A & <b>") and not reader.driver.find_elements(
        "css selector", "img[src=x]"
    )
    assert reader.errors() == []


def test_the_geometry_is_the_librarys(reader, written, specimens):
    reader.open(written)
    ends = np.random.default_rng(4).uniform(-0.65, 0.65, (20, 4))
    for ax, ay, bx, by in ends.tolist():
        line = reader.driver.execute_script(
            "return window.explorer.geodesic(...arguments)", ax, ay, bx, by, 23
        )
        expected = poincare.geodesic(np.array([[ax, ay]]), np.array([[bx, by]]))[0]
        np.testing.assert_allclose(np.reshape(line, (-1, 2)), expected, atol=1e-9)
    points = np.random.default_rng(5).uniform(-0.7, 0.7, (3000, 2))
    table = Page(written).points
    for name, rank in (("Aptera", "order"), ("Bptera", "order"), ("Ab", "genus")):
        outline = np.reshape(
            reader.driver.execute_script(
                "return window.explorer.coneOutline(...arguments)", name, rank
            ),
            (-1, 2),
        )
        apex = table.loc[
            (table["name"] == name) & (table["kind"] == RANKS.index(rank)), ["x", "y"]
        ].to_numpy(copy=True)[0]
        margin = poincare.cone_margin(apex, points, 1.5)
        clear = np.abs(margin) > 0.02
        np.testing.assert_array_equal(
            matplotlib.path.Path(outline).contains_points(points)[clear], margin[clear] > 0
        )


@pytest.mark.parametrize("width", [1400, 390])
def test_nothing_overlaps_or_is_cut_at_any_width(reader, specimens, tmp_path, width):
    table = specimens.assign(image=None)
    path = write_explorer(embed(table, "euclidean", ("dna",)), table, tmp_path / "plane.html")
    size = {"width": width, "height": 844, "deviceScaleFactor": 2, "mobile": width < 600}
    reader.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        reader.open(path)
        assert reader.driver.execute_script(
            "return document.documentElement.scrollWidth <= innerWidth"
        )
        sharpness = reader.driver.execute_script(
            "const c = document.getElementById('picture'); return c.width / c.clientWidth"
        )
        assert sharpness == pytest.approx(2, abs=0.01)
        assert (
            not reader.find("#cone-choice").is_displayed()
            and not reader.find("[data-kind='5']").is_displayed()
        )
        unlabelled = """
            const controls = [...document.querySelectorAll('button, input, select, canvas')];
            const named = (e) => e.textContent.trim() || e.getAttribute('aria-label')
                || (e.labels && e.labels.length);
            return controls.filter((e) => !named(e)).map((e) => e.outerHTML)"""
        assert reader.driver.execute_script(unlabelled) == []
        reader.search("S020")
        reader.find("#suggestions li").click()
        assert (
            reader.find("#selection canvas").get_attribute("aria-label")
            == "DNA barcode of 90 bases"
            and reader.errors() == []
        )
    finally:
        reader.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
