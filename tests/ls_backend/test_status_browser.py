"""The status page in a real browser: its policy lets nothing run, hostile texts stay texts, and it fits a phone."""

import pytest

from tests.chromium import LOGS, needs_chromium, start_chromium
from tests.ls_backend.bands import BandSegmenter
from tests.ls_backend.serving import PALETTE, bands, serving, settings_for, task

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
pytestmark = needs_chromium

HOSTILE = "</style><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start_chromium(tmp_path_factory.mktemp("profile"), capabilities=LOGS)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A server that has predicted, failed, been annotated and met hostile names."""
    with serving(settings_for(tmp_path_factory.mktemp("data")), BandSegmenter()) as (client, backend):
        client.post("/setup", {"project": HOSTILE, "schema": PALETTE.replace("BrushLabels", "RectangleLabels")})
        results = client.predict([task(1), task(2, bands(2, size=(12, 16))), {"id": HOSTILE, "data": {}}])
        submitted = {
            "id": 1,
            "task": 1,
            "result": [{**one, "origin": "prediction"} for one in results[0]["result"][2:]],
        }
        client.post("/webhook", {"action": "ANNOTATION_CREATED", "annotation": submitted})
        backend.acceptance.settle()
        yield client.url


def text(browser, selector):
    return [found.text for found in browser.find_elements("css selector", selector)]


def each(browser, selector, what):
    return browser.execute_script(f"return [...document.querySelectorAll('{selector}')].map(one => one.{what})")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_shows_its_numbers_and_fits(browser, address, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get_log("browser")  # of the pages before
    browser.get(address)
    assert browser.get_log("browser") == []  # no breach of the policy, nothing that could not be loaded
    assert browser.title == "Ready · zeroguide"
    assert browser.execute_script("return document.scripts.length") == 0
    assert browser.execute_script("return document.documentElement.scrollWidth - innerWidth") <= 0  # nothing sticks out
    assert text(browser, "#predicted, #failed, #late") == ["2", "1", "0"]
    assert text(browser, "#accepted, #deleted") == ["3", "1"]
    bar = each(browser, ".parts rect", "getBoundingClientRect().width")
    assert bar[0] == pytest.approx(3 * bar[1], abs=1)  # 3 regions accepted, 1 deleted
    pictures = each(browser, ".picture img", "naturalWidth")
    assert len(pictures) == 2
    assert all(pictures)
    assert len(set(each(browser, ".recent > li", "offsetTop"))) == 1  # side by side
    assert "white & <b>shiny</b>" in text(browser, ".names li")
    assert any(line.startswith(f"Project {HOSTILE}"[:60]) for line in text(browser, ".rows b"))
    assert text(browser, ".rows .bad") == ["gets no masks"]
