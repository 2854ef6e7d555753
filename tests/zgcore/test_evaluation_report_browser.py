"""Reports in a real browser: silence, no errors, sorting, filtering, and layout from desk to phone."""

from __future__ import annotations

import json

import pytest

from tests.chromium import LOGS, needs_chromium, start_chromium

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
pytest.importorskip("pyarrow")
pytest.importorskip("matplotlib")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.zgcore.evaluation_runs import HOSTILE, ST_FOUND_B, make_data, make_run
from zgcore.evaluation.comparison import write_comparison
from zgcore.evaluation.report import write_overview, write_report

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    make_data(folder / "data")
    full = make_run(folder / "full", folder / "data")
    other = make_run(folder / "no-merge", folder / "data", predictor="no-merge", st=ST_FOUND_B)
    return {
        "run": write_report(full),
        "comparison": write_comparison(full, other, folder / "comparison"),
        "overview": write_overview([full, other], folder / "overview"),
    }


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start_chromium(tmp_path_factory.mktemp("profile"), capabilities=LOGS)
    yield driver
    driver.quit()


def column(browser, title: str, name: str) -> tuple[list[str], object]:
    """The cells of a sortable column, and its head's button."""
    found = next(t for t in browser.find_elements(By.TAG_NAME, "table") if title in t.accessible_name)
    heads = found.find_elements(By.CSS_SELECTOR, "thead th")
    at = next(k for k, head in enumerate(heads) if head.text.split("\n")[0].startswith(name))
    cells = [
        row.find_elements(By.CSS_SELECTOR, "th, td")[at].text
        for row in found.find_elements(By.CSS_SELECTOR, "tbody tr")
    ]
    return cells, heads[at]


def test_tables_sort_by_value_and_by_name(browser, pages):
    browser.get(pages["run"].as_uri())
    cells, head = column(browser, "Every class", "class")
    assert cells == ["grass", "cat", "sky"]
    assert head.get_attribute("aria-sort") == "none"
    head.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)  # keys are enough
    cells, head = column(browser, "Every class", "class")
    assert cells == ["cat", "grass", "sky"]
    assert head.get_attribute("aria-sort") == "ascending"
    _, head = column(browser, "Every class", "TT IoU")
    head.find_element(By.TAG_NAME, "button").click()
    cells, head = column(browser, "Every class", "TT IoU")
    assert cells == ["66.7", "40.0", "28.6"]  # numbers start with the largest
    assert head.get_attribute("aria-sort") == "descending"
    assert column(browser, "Every class", "class")[1].get_attribute("aria-sort") == "none"
    head.find_element(By.TAG_NAME, "button").click()
    assert column(browser, "Every class", "TT IoU")[0] == ["28.6", "40.0", "66.7"]


def test_long_tables_filter(browser, pages):
    browser.get(pages["run"].as_uri())
    box = browser.find_element(By.CSS_SELECTOR, "#classes .search")
    box.send_keys("GRA")
    shown = [
        row.text.split()[0]
        for row in browser.find_elements(By.CSS_SELECTOR, "#classes-1-table tbody tr")
        if row.is_displayed()
    ]
    assert shown == ["grass"]
    assert browser.find_element(By.CSS_SELECTOR, "#classes .found").text == "1 of 3"


@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("name", ["run", "comparison", "overview"])
def test_pages_are_silent_and_fit(browser, pages, name, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get_log("browser"), browser.get_log("performance")
    try:
        browser.get(pages[name].as_uri())
        assert "broken" not in browser.title
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        wide = browser.execute_script(
            "return [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, .stage, svg')"
            " && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
        )
        assert wide == []
        assert browser.execute_script("return [...document.images].every(i => i.complete && i.naturalWidth > 100)")
        assert browser.get_log("browser") == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert {url for url in asked if not url.startswith("data:")} == {pages[name].as_uri()}


def test_hostile_labels_are_shown_as_they_are(browser, pages):
    browser.get(pages["run"].as_uri())
    label = browser.find_element(By.XPATH, "//table[contains(@id, 'labels-2')]//th[contains(., 'script')]")
    assert label.get_attribute("textContent").strip().startswith(HOSTILE.split("\u202e")[0])
    assert browser.title == "full on data · zeroguide"


def test_the_policy_stops_scripts_that_got_in(browser, pages):
    browser.get(pages["run"].as_uri())
    browser.execute_script(
        "const s = document.createElement('script'); s.textContent = \"document.title = 'broken'\";"
        "document.body.append(s)"
    )
    assert browser.title == "full on data · zeroguide"
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


def test_tables_have_names_and_can_be_scrolled_by_keys(browser, pages):
    browser.get(pages["run"].as_uri())
    regions = browser.find_elements(By.CSS_SELECTOR, ".scroll")
    assert regions
    assert all(region.get_attribute("tabindex") == "0" and region.accessible_name for region in regions)
    assert all(image.get_attribute("alt") for image in browser.find_elements(By.TAG_NAME, "img"))
    heads = browser.find_elements(By.CSS_SELECTOR, "tbody th, thead th")
    assert {head.get_attribute("scope") for head in heads} == {"row", "col"}
