"""The vocabulary's page in a real browser: searching, deciding, copying, hostile labels, and silence on the network."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.chromium import IMG, LOGS, SCRIPT, needs_chromium, start_chromium
from zgcore.vocabulary import Decisions, Label, Member, Vocabulary
from zgcore.vocabulary.match import Match
from zgcore.vocabulary.page import PageContents, segment_picture, write_page

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:40] = True
    labels = (
        Label("sofa", (Member("sofa", 5), Member("Sofas", 2, "plural"), Member("couch", 4, "WordNet", 0.6)), ("seat",)),
        Label("cat", (Member("cat", 3),), flags=("ambiguous: animal or object",)),
        Label(IMG, (Member(IMG, 2), Member(SCRIPT, 1, SCRIPT, 0.9)), (SCRIPT,), (f"outlier: {IMG}",)),
    )
    found = Vocabulary(labels, decisions=Decisions(drop=("fog",), merge={"seat": ("stool",)}))
    path = tmp_path_factory.mktemp("page") / "index.html"
    contents = PageContents(SCRIPT, {"couch": [segment_picture(mask, None)] * 6}, [Match("cat", 3, None, "", 0.4, IMG)])
    write_page(path, found, contents)
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    # leaving with decisions that were not copied asks
    accepting = {**LOGS, "unhandledPromptBehavior": "accept"}
    driver = start_chromium(tmp_path_factory.mktemp("profile"), capabilities=accepting)
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, page):
    browser.get(page.as_uri())
    return browser


def shown(browser) -> list[str]:
    cards = browser.find_elements(By.CSS_SELECTOR, ".label-card")
    return [card.get_attribute("data-name") for card in cards if card.is_displayed()]


def press(browser, name: str, what: str, text: str = "") -> None:
    card = next(
        c for c in browser.find_elements(By.CSS_SELECTOR, ".label-card") if c.get_attribute("data-name") == name
    )
    card.find_element(By.CSS_SELECTOR, f"[data-do={what}]").click()
    if text:
        answer = browser.find_element(By.CSS_SELECTOR, ".ask .answer")
        answer.clear()
        answer.send_keys(text, Keys.ENTER)


def decisions(browser) -> dict:
    text = browser.find_element(By.CSS_SELECTOR, ".basket textarea").get_property("value")
    document = yaml.safe_load(text)["decisions"]
    Decisions.from_document(document)
    return document


@needs_chromium
def test_search_and_filters(opened):
    box = opened.find_element(By.CSS_SELECTOR, ".search")
    box.send_keys("couch")
    assert shown(opened) == ["sofa"]
    assert opened.find_element(By.CSS_SELECTOR, ".found").text == "1 of 3 labels"
    box.send_keys(Keys.ESCAPE)
    assert len(shown(opened)) == 3
    for mark, names in (("merged", ["sofa", IMG]), ("unsure", ["sofa"]), ("ambiguous", ["cat"]), ("unlisted", ["cat"])):
        button = opened.find_element(By.CSS_SELECTOR, f"[data-mark={mark}]")
        button.click()
        assert shown(opened) == names
        button.click()


@needs_chromium
def test_decisions_are_added_to_those_of_the_file(opened):
    assert not opened.find_element(By.CSS_SELECTOR, ".basket").is_displayed()
    press(opened, "sofa", "split")  # the one button: of couch, since Sofas is sofa
    press(opened, "cat", "rename", 'my "cat": #1')
    press(opened, IMG, "merge", "cat")
    assert decisions(opened) == {
        "merge": {"seat": ["stool"], "cat": [IMG]},
        "rename": {"cat": 'my "cat": #1'},
        "split": [["sofa", "couch"]],
        "drop": ["fog"],
    }
    card = opened.find_element(By.CSS_SELECTOR, ".label-card.decided .todo")
    assert card.text == "couch becomes a label of its own"
    opened.find_element(By.CSS_SELECTOR, "[data-mark=decided]").click()
    assert shown(opened) == ["sofa", "cat", IMG]
    for _ in range(3):
        opened.find_element(By.CSS_SELECTOR, ".undo").click()
    assert not opened.find_element(By.CSS_SELECTOR, ".basket").is_displayed()


@needs_chromium
def test_a_later_decision_takes_the_place_of_an_earlier(opened):
    press(opened, "cat", "keep")
    press(opened, "cat", "drop")
    assert decisions(opened) == {"merge": {"seat": ["stool"]}, "drop": ["fog", "cat"]}
    press(opened, "cat", "merge", "sofa")
    assert decisions(opened) == {"merge": {"seat": ["stool"], "sofa": ["cat"]}, "drop": ["fog"]}
    button = opened.find_element(By.CSS_SELECTOR, ".copy")
    button.click()
    said = WebDriverWait(opened, 10, poll_frequency=0.05)  # the clipboard answers when it likes
    said.until(lambda _: button.text == "Copied")
    said.until(lambda _: button.text == "Copy as YAML")


@needs_chromium
@pytest.mark.parametrize("width", [1400, 390])
def test_labels_are_text_and_fit(browser, page, width):
    browser.set_window_size(width, 900)
    browser.get_log("performance"), browser.get_log("browser")
    browser.get(page.as_uri())
    assert browser.title == f"3 labels of {SCRIPT} \u00b7 zeroguide"
    assert not browser.find_elements(By.CSS_SELECTOR, "img[src=x]")
    assert len(browser.find_elements(By.CSS_SELECTOR, ".pictures img")) == 4
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    requests = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [event["params"]["request"]["url"] for event in requests if event["method"] == "Network.requestWillBeSent"]
    assert {url.split(":")[0] for url in urls} <= {"file", "data"}


def test_pictures():
    mask = np.zeros((100, 200), bool)
    mask[40:60, 90:110] = True
    photo = np.full((100, 200, 3), 200, np.uint8)
    picture = np.asarray(Image.open(io.BytesIO(segment_picture(mask, photo))))
    assert picture.shape == (32, 32, 3)  # 20 pixels, and 12% of 19 and 4 at each side
    assert abs(picture[16, 16].astype(int) - 200).max() < 30  # the segment as it is
    assert abs(picture[1, 1].astype(int) - 90).max() < 30  # the rest dimmed: 200 x 0.35 + 20
    alone = np.asarray(Image.open(io.BytesIO(segment_picture(mask, np.zeros((5, 5, 3), np.uint8)))))
    assert alone[16, 16, 2] > 150 > alone[1, 1, 2]  # the mask in blue, where the photo is another one
