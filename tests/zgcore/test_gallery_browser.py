"""The gallery in a real browser: pointing, searching, keys, hostile labels, and silence on the network."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.chromium import IMG, LOGS, SCRIPT, needs_chromium, start_chromium
from tests.zgcore.test_render import segmentation
from zgcore.gallery import gallery_item, write_gallery

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page of two images: four quarters, and two halves with hostile labels."""
    folder = tmp_path_factory.mktemp("gallery")
    quarters = np.array([[0, 1], [2, 3]]).repeat(120, 0).repeat(180, 1)
    halves = np.array([[0, 1]]).repeat(240, 0).repeat(180, 1)
    photo = np.full((240, 360, 3), 150, np.uint8)
    items = [
        gallery_item(
            "quarters.jpg", photo, segmentation(quarters, ["red roof", "blue sky", "green lawn", "grey road"])
        ),
        gallery_item("hostile.jpg", photo, segmentation(halves, [IMG, SCRIPT])),
    ]
    (path,) = write_gallery(folder, items, preset="mini", version="1", failures=[(SCRIPT, IMG)])
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start_chromium(tmp_path_factory.mktemp("profile"), capabilities=LOGS)
    yield driver
    driver.quit()


@pytest.fixture
def open_page(browser, page):
    browser.get(page.as_uri())
    WebDriverWait(browser, 20).until(lambda d: len(d.find_elements(By.CSS_SELECTOR, ".card[data-ready]")) == 2)
    return browser


def lit(browser, card: int = 0) -> list[str]:
    entries = browser.find_elements(By.CSS_SELECTOR, ".card")[card].find_elements(By.CSS_SELECTOR, ".labels .on .label")
    return [entry.get_attribute("textContent") for entry in entries]


def point(browser, stage: str, x: float, y: float, *, click: bool = False) -> None:
    """Move to the point of the first card's stage given as shares of its width and height."""
    canvas = browser.find_element(By.CSS_SELECTOR, f".card .{stage} canvas")
    dx, dy = (x - 0.5) * canvas.size["width"], (y - 0.5) * canvas.size["height"]
    chain = ActionChains(browser).move_to_element_with_offset(canvas, round(dx), round(dy))
    (chain.click() if click else chain).perform()


def alpha_and_colour(browser, stage: str, x: float, y: float) -> list[int]:
    canvas = browser.find_element(By.CSS_SELECTOR, f".card .{stage} canvas")
    return browser.execute_script(
        "const [c, x, y] = arguments; return [...c.getContext('2d')"
        ".getImageData(Math.floor(x * c.width), Math.floor(y * c.height), 1, 1).data]",
        canvas, x, y,
    )  # fmt: skip


@pytest.mark.parametrize("stage", ["photo", "segments"])
@pytest.mark.parametrize(
    ("x", "y", "label"),
    [(0.2, 0.2, "red roof"), (0.8, 0.2, "blue sky"), (0.2, 0.8, "green lawn"), (0.8, 0.8, "grey road")],
)
def test_pointing_lights_up_segment_and_entry(open_page, stage, x, y, label):
    point(open_page, stage, x, y)
    assert lit(open_page) == [label]
    tip = open_page.find_element(By.CSS_SELECTOR, f".card .{stage} .tip")
    assert tip.text.splitlines() == [label, "25% of the image · score 0.25"]
    assert alpha_and_colour(open_page, "photo", x, y)[3] == 0  # the photo itself
    assert alpha_and_colour(open_page, "photo", 1 - x, y)[3] > 150  # under a veil
    ActionChains(open_page).move_to_element(open_page.find_element(By.TAG_NAME, "h1")).perform()
    assert lit(open_page) == []
    assert not tip.is_displayed()


def test_the_list_lights_up_the_segment(open_page):
    entry = open_page.find_elements(By.CSS_SELECTOR, ".labels button")[2]
    ActionChains(open_page).move_to_element(entry).perform()
    assert lit(open_page) == ["green lawn"]
    assert alpha_and_colour(open_page, "photo", 0.2, 0.8)[3] == 0
    assert alpha_and_colour(open_page, "photo", 0.8, 0.2)[3] > 150


def test_a_click_keeps_it_lit_until_escape(open_page):
    point(open_page, "segments", 0.8, 0.2, click=True)
    ActionChains(open_page).move_to_element(open_page.find_element(By.TAG_NAME, "h1")).perform()
    assert lit(open_page) == ["blue sky"]
    assert open_page.find_elements(By.CSS_SELECTOR, ".labels button")[1].get_attribute("aria-pressed") == "true"
    open_page.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    assert lit(open_page) == []


def test_keys_alone_reach_everything(open_page):
    body = open_page.find_element(By.TAG_NAME, "body")
    body.send_keys("/")
    assert open_page.switch_to.active_element.get_attribute("class") == "search"
    first = open_page.find_element(By.CSS_SELECTOR, ".labels button")
    open_page.execute_script("arguments[0].focus()", first)
    assert lit(open_page) == ["red roof"]
    open_page.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    assert lit(open_page) == ["blue sky"]
    open_page.switch_to.active_element.send_keys(Keys.ENTER)
    assert open_page.switch_to.active_element.get_attribute("aria-pressed") == "true"


def test_search_filters_and_lights_up(open_page):
    box = open_page.find_element(By.CSS_SELECTOR, ".search")
    cards = open_page.find_elements(By.CSS_SELECTOR, ".card")
    box.send_keys("RE")
    assert [card.is_displayed() for card in cards] == [True, False]
    assert lit(open_page) == ["red roof", "green lawn", "grey road"]
    assert open_page.find_element(By.CSS_SELECTOR, ".found").text == "1 of 2 images"
    box.send_keys("xyz")
    assert [card.is_displayed() for card in cards] == [False, False]
    box.send_keys(Keys.ESCAPE)
    assert [card.is_displayed() for card in cards] == [True, True]
    button = next(b for b in open_page.find_elements(By.CSS_SELECTOR, ".common button") if b.text == "blue sky")
    button.click()
    assert box.get_attribute("value") == "blue sky"
    assert [card.is_displayed() for card in cards] == [True, False]


def test_labels_stand_in_their_segments(open_page):
    tags = open_page.find_element(By.CSS_SELECTOR, ".card .segments").find_elements(By.CSS_SELECTOR, ".tag")
    assert [tag.text for tag in tags] == ["red roof", "blue sky", "green lawn", "grey road"]


def test_hostile_labels_stay_text_and_the_page_is_silent(browser, page):
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(page.as_uri())
    WebDriverWait(browser, 20).until(lambda d: len(d.find_elements(By.CSS_SELECTOR, ".card[data-ready]")) == 2)
    second = browser.find_elements(By.CSS_SELECTOR, ".card")[1]
    canvas = second.find_element(By.CSS_SELECTOR, ".segments canvas")
    ActionChains(browser).move_to_element_with_offset(canvas, -60, 0).perform()
    assert lit(browser, 1) == [IMG]
    assert second.find_element(By.CSS_SELECTOR, ".segments .tip").text.splitlines()[0] == IMG
    entries = [e.get_attribute("textContent") for e in second.find_elements(By.CSS_SELECTOR, ".labels .label")]
    assert entries == [IMG, SCRIPT]
    assert browser.title == "2 images, 6 segments · zeroguide"
    assert browser.find_elements(By.CSS_SELECTOR, "img[src='x']") == []
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}


def test_the_policy_really_stops_injected_script(open_page):
    # Proof that the check above can fail: script that did get in would still not run.
    title = open_page.title
    open_page.execute_script(
        "const s = document.createElement('script'); s.textContent = \"document.title = 'broken'\";"
        "document.body.append(s)"
    )
    assert open_page.title == title
    assert any("Content Security Policy" in entry["message"] for entry in open_page.get_log("browser"))


@pytest.mark.parametrize(("width", "columns"), [(1400, 3), (800, 2), (390, 1)])
def test_layout_follows_the_width(open_page, width, columns):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    open_page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        tops = open_page.execute_script(
            "return [...document.querySelectorAll('.card')[0].querySelectorAll('.stage, .side')]"
            ".map(e => Math.round(e.getBoundingClientRect().top))"
        )
        assert tops.count(tops[0]) == columns
        assert open_page.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        open_page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
