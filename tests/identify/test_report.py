"""The page: everything in one file, in the browser searched, sorted and opened, and no name in it runs as a
script."""

import json
import re
import shutil
import time

import pytest
from identify_cases import library_and_queries

from hypertax.identify import Identifier
from hypertax.identify.report import write_report

NASTY = "</script><img src=x onerror=\"document.title='broken'\">"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    library, queries = library_and_queries()
    queries.loc[0, "sampleid"] = NASTY
    library.loc[library["species"] == library["species"][0], "species"] = NASTY
    identifier = Identifier.train(library, progress=False)
    answers = identifier.identify(queries, progress=False)
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(identifier, queries, answers, path, precision=0.95, rank="species")
    return path, answers


def test_the_page_needs_nothing_else_and_holds_every_answer(written):
    path, answers = written
    text = path.read_text("utf-8")
    assert not re.search(r"(src|href)=[\"']?(https?:|//)", text) and "<img" not in text
    facts = json.loads(re.search(r'id="facts">(.*?)</script>', text, re.S)[1])
    assert len(facts["rows"]) == facts["specimens"] == len(answers)
    assert sum(facts["counts"].values()) == answers["taxonRank"].notna().sum()
    place = facts["columns"].index("newSpeciesProbability")
    new = [row[place] for row in facts["rows"]]
    assert new == sorted(new, reverse=True), "likely new species first"


def test_differences_are_those_of_the_answers(written):
    path, answers = written
    text = path.read_text("utf-8")
    facts = json.loads(re.search(r'id="facts">(.*?)</script>', text, re.S)[1])
    share = facts["columns"].index("nearestDifference")
    for row, difference in zip(facts["rows"], facts["differences"], strict=True):
        shared, places = difference
        assert len(places) / shared == pytest.approx(row[share], abs=1e-4)


@pytest.mark.slow
def test_in_the_browser(written, tmp_path):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if not CHROMIUM or not DRIVER:
        pytest.skip("Chromium and its driver are not on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        path, answers = written
        driver.get(path.as_uri())
        rows = lambda: driver.find_elements("css selector", "#answers tbody tr")  # noqa: E731
        assert len(rows()) == len(answers)
        driver.find_element("id", "search").send_keys(answers["materialSampleID"][5])
        until(lambda: len(rows()) == 1)
        rows()[0].click()
        inside = driver.find_element("id", "inside").text
        assert answers["nearestReference"][5] in inside and "shared columns" in inside
        driver.find_element("id", "close").click()
        driver.find_element("id", "search").clear()
        driver.find_element("id", "search").send_keys("onerror")
        until(lambda: 1 <= len(rows()) < len(answers))
        assert NASTY in driver.find_element("css selector", "#answers tbody").text
        assert driver.title.startswith("Identification") and not driver.get_log("browser")
    finally:
        driver.quit()


def until(holds, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "the page did not get there"
        time.sleep(0.05)
