"""The report in a real browser: every section, hostile labels as text, no request, and a phone's width."""

from __future__ import annotations

import io
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from ls_backend.studies.analysis_files import analyse_study
from ls_backend.studies.answers import Answer, write_answers
from ls_backend.studies.manifest import Rules
from ls_backend.studies.plots import caterpillar, score_bars, spans
from ls_backend.studies.ratings import ratings_of, study_facts
from ls_backend.studies.report_gallery import chosen, gallery_section
from tests.chromium import IMG, LOGS, SCRIPT, needs_chromium, start_chromium
from tests.ls_backend.rating_studies import honest, question, random, study

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.webdriver.common.by import By

HOSTILE = (IMG, SCRIPT, "\u202egnp.exe", "$\\frac{1}{0}$", "_hidden", "x" * 500)
QUESTIONS = 60


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study with hostile labels, methods, images and title, and a picture for all questions but the last ten."""
    rng = np.random.default_rng(1)
    questions = [
        question(
            n, label=HOSTILE[n % 6] if n < 24 else f"label {n}", method=(IMG, SCRIPT)[n % 2], image=f"{IMG}{n // 4}",
            counts=f"mask {n // 2}", size=("small", "medium", "large")[n % 3],
            label_kind=("one word", "two words")[n % 2],
        )
        for n in range(QUESTIONS)
    ]  # fmt: skip
    questions += [question(QUESTIONS + n, kind="gold", expected=(3,)) for n in range(3)]
    made = study(tmp_path_factory.mktemp("report") / "study", questions, Rules(min_gold_accuracy=0.9), title=SCRIPT)
    made.pictures.mkdir()
    for n in range(QUESTIONS - 10):
        pixels = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8).repeat(60, axis=0).repeat(80, axis=1)
        Image.fromarray(pixels).save(made.pictures / f"{n}.jpg")
    (made.pictures / "0.jpg").write_bytes(b"no picture")
    table = []
    for n, one in enumerate(questions):
        true = one.expected[0] if one.expected else n % 4
        for rater in range(4) if one.expected else (n % 2, n % 2 + 1, n % 2 + 2):
            said = random(true, rng) if rater == 3 else true if one.expected else honest(true, rng)
            table.append(
                Answer(str(rater + 1), one.id, said if rater < 3 or not one.expected else 0, seconds=2.0 + rater)
            )
    write_answers(made.answers, table)
    return made


@pytest.fixture(scope="module")
def page(made):
    out = made.root / "analysis"
    analyse_study(made.root, None, out, skip_bad=False, rounds=200, seed=0, tell=lambda _: None)
    return out / "index.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start_chromium(tmp_path_factory.mktemp("profile"), capabilities=LOGS)
    yield driver
    driver.quit()


@needs_chromium
@pytest.mark.parametrize("width", [1400, 390])
def test_labels_are_text_and_nothing_is_asked_for(browser, page, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get_log("performance"), browser.get_log("browser")
    browser.get(page.as_uri())
    assert browser.title == f"{SCRIPT} · zeroguide"
    assert browser.find_element(By.TAG_NAME, "h1").text == SCRIPT
    assert not browser.find_elements(By.CSS_SELECTOR, "img[src=x]")
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    images = browser.execute_script(
        "return Promise.all([...document.images].map(i => {"
        "i.loading = 'eager'; return i.decode().then(() => i.naturalWidth); }))"
    )
    assert len(images) > 10
    assert min(images) > 100  # every plot and every picture can be shown
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    requests = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [event["params"]["request"]["url"] for event in requests if event["method"] == "Network.requestWillBeSent"]
    assert {url.split(":")[0] for url in urls} <= {"file", "data"}


@needs_chromium
def test_what_stands_in_it(browser, page):
    browser.get(page.as_uri())
    found = json.loads((page.parent / "figures.json").read_text())
    headings = [one.text for one in browser.find_elements(By.CSS_SELECTOR, "main h2")]
    assert headings == ["Scores", "Methods", "Agreement", "Sizes and labels", "Raters", "Pictures at every score"]
    rows = browser.find_elements(By.CSS_SELECTOR, "#scores tbody tr")
    cells = [cell.text for cell in rows[3].find_elements(By.CSS_SELECTOR, "th, td")]
    low, high = found["distribution_interval"]["3"]
    assert cells[0] == "3 correct"
    assert cells[1] == f"{100 * found['distribution']['3']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    assert cells[2].startswith(f"{100 * found['cleaned']['distribution']['3']:.1f} [")
    assert cells[3] == "19.3"
    methods = [one.text for one in browser.find_elements(By.CSS_SELECTOR, "#methods tbody th")]
    assert methods[:2] == sorted((IMG, SCRIPT))
    raters = browser.find_elements(By.CSS_SELECTOR, "#raters tbody tr")
    assert [row.text.split()[0] for row in raters] == ["1", "2", "3", "4"]
    assert "known answers right 0%, below 90%" in raters[3].text


@needs_chromium
def test_pictures_stand_at_their_score(browser, page, made):
    browser.get(page.as_uri())
    cards = browser.find_elements(By.CSS_SELECTOR, "#pictures article")
    assert [card.find_element(By.TAG_NAME, "h3").text[0] for card in cards] == list("3210")
    for score, card in zip("3210", cards, strict=True):
        tags = [tag.text for tag in card.find_elements(By.CSS_SELECTOR, ".tags li")]
        assert tags
        assert all(tag.rpartition("scores ")[2].split(", ").count(score) >= 2 for tag in tags)
        assert 0 < len(card.find_elements(By.TAG_NAME, "img")) <= 8


def test_the_surest_pictures_come_first_and_lost_ones_are_passed_over(made):
    ratings = ratings_of(
        [Answer("a", "q0", 0), Answer("a", "q1", 0), Answer("a", "q2", 0), Answer("a", "q3", 0)], study_facts(made)
    )
    table = np.array([[3, 0, 0, 0], [2, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 3]])
    assert list(chosen(0, ratings, table, 0)) == [0, 1]  # a third of the raters is no majority
    assert list(chosen(3, ratings, table, 0)) == [3]
    section = gallery_section(ratings, table, made.pictures, 0)
    (three, zero) = section.cards
    assert zero.pictures[0].tags[0].note == "scores 0, 0, 1"  # the file of the first question is no picture
    assert (zero.pictures[0].width, zero.pictures[0].height) == (440, 248)
    assert Image.open(io.BytesIO(zero.pictures[0].jpeg)).size == (440, 248)
    assert three.facts == "1 question got this score from every rater"
    assert not gallery_section(ratings, table, made.root / "nowhere", 0).cards


@pytest.mark.parametrize(
    "draw",
    [
        lambda: score_bars([(name, (0.4, 0.3, 0.2, 0.1)) for name in HOSTILE], title=SCRIPT),
        lambda: spans(
            [(name, 50.0, (40.0, 60.0)) for name in HOSTILE] + [("alone", 50.0, None)], title=SCRIPT, x=IMG, mark=50
        ),
        lambda: caterpillar([0.1, -1.0], [(0.0, 0.2), None], [False, True], title=SCRIPT, x=IMG),
    ],
)
def test_plots_are_the_same_bytes_and_sound_xml(draw):
    svg = draw()
    assert svg == draw()
    tree = ElementTree.fromstring(svg)
    names = {element.tag.rpartition("}")[2] for element in tree.iter()}
    assert not names & {"script", "image", "foreignObject"}
    assert b"prefers-color-scheme: dark" in svg
