"""A study's page in a real browser: whole studies by the keys, on a phone, through reloads, kills and no network."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ls_backend.studies.manifest import load_study
from ls_backend.studies.page_database import Database
from ls_backend.studies.page_reader import read_page_answers
from tests.chromium import LOGS, needs_chromium, start_chromium
from tests.ls_backend.loopback import Loopback, reply
from tests.ls_backend.studying import Rater, links, make_study, study_server

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
pytestmark = needs_chromium

from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

HOSTILE = ["<img src=x onerror=document.title='broken'>", "</h1><script>document.title='broken'</script>", "a" * 400]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    driver = start_chromium(tmp_path_factory.mktemp("profile"), capabilities=LOGS)
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium):
    """With no cookies, nothing stored and its log read."""
    chromium.execute_cdp_cmd("Network.clearBrowserCookies", {})
    chromium.execute_cdp_cmd("Network.enable", {})
    online(chromium, True)
    phone(chromium, False)
    chromium.get("about:blank")
    chromium.get_log("browser")
    return chromium


def online(browser, yes):
    conditions = {"offline": not yes, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)


def phone(browser, yes):
    size = {"width": 390, "height": 844, "mobile": True} if yes else {"width": 1280, "height": 900, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**size, "deviceScaleFactor": 1})


class Person:
    """Somebody at the browser: looks, and presses keys."""

    def __init__(self, browser, address, token):
        self.browser = browser
        browser.get("about:blank")
        browser.get(f"{address}/#{token}")

    def until(self, true, what="it"):
        return WebDriverWait(self.browser, 30, 0.05).until(lambda _: true(), what)

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    def screen(self):
        return self.browser.execute_script(
            "return [...document.querySelectorAll('main > section:not([hidden])')].map(one => one.id).join()"
        )

    def sees(self, screen):
        self.until(lambda: self.screen() == screen, screen)

    def press(self, key):
        ActionChains(self.browser).send_keys(key).perform()

    def question(self):
        """Number and text of the question whose picture is there."""
        script = """const picture = document.getElementById('picture');
        return [document.getElementById('rating').hidden || picture.classList.contains('loading') || !picture.complete,
            document.getElementById('count').textContent, document.getElementById('label').textContent]"""
        hidden, count, label = self.browser.execute_script(script)
        return None if hidden else (int(count.split()[0]), label)

    def at(self, number):
        self.until(lambda: (self.question() or (0,))[0] == number, f"question {number}")
        return self.question()[1]

    def answer(self, number, key):
        label = self.at(number)
        self.press(key)
        self.until(lambda: (self.question() or (number,))[0] != number or self.screen() != "rating", "the next")
        return label

    def has_pictures(self, count):
        """Wait until so many pictures have come since the page was loaded: some come before they are needed."""
        script = """return new Set(performance.getEntriesByType("resource")
            .filter(one => one.name.includes("/pictures/") && one.responseStatus === 200).map(one => one.name)).size"""
        self.until(lambda: self.browser.execute_script(script) >= count, f"{count} pictures")

    def pressed(self):
        return self.browser.execute_script(
            "return [...document.querySelectorAll('.scores [aria-pressed=true]')].map(one => one.dataset.score).join()"
        )

    def unsent(self):
        return self.browser.execute_script("return Object.keys(localStorage).length")

    def start(self):
        self.sees("welcome")
        self.find("#start").click()
        self.sees("rating")

    def hand_in(self):
        self.sees("complete")
        self.find("#hand-in").click()


def answers_of(root):
    """Score by rater and label."""
    study = load_study(root)
    return {(int(one.rater), study.by_id[one.question].label): one.score for one in read_page_answers(study)}


def test_three_raters_answer_a_study_through_a_reload_and_a_kill(browser, tmp_path):
    make_study(tmp_path, batches=2, size=5)
    given = {}

    def rate(person, number, start=1, stop=11):
        for place in range(start, stop):
            position = (place - 1) % 5 + 1
            key = (number + place) % 4
            given[number, person.answer(position, str(key))] = key
            if position == 5:
                person.hand_in()

    with study_server(tmp_path, "--raters", "3") as (process, url):
        port, tokens = int(url.rpartition(":")[2]), links(tmp_path)
        first = Person(browser, url, tokens[1])
        first.start()
        assert "#" not in browser.current_url
        rate(first, 1)
        first.sees("thanks")
        assert first.unsent() == 0
        second = Person(browser, url, tokens[2])
        second.start()
        rate(second, 2, stop=4)
        browser.refresh()
        rate(second, 2, start=4, stop=7)
        second.at(2)
        second.until(lambda: second.unsent() == 0)
        second.has_pictures(7)  # two of the first batch since the reload, and five of the second
        process.kill()
        process.wait()
        given[2, second.answer(2, "3")] = 3  # to a server that is not there
        given[2, second.answer(3, "0")] = 0
        second.until(lambda: "kept here" in second.find("#unsent").text)
        assert second.unsent() > 0
    with study_server(tmp_path, port=port) as (_, url):
        second.until(lambda: second.unsent() == 0, "all sent")
        second.until(lambda: not second.find("#unsent").is_displayed())
        rate(second, 2, start=9)
        second.sees("thanks")
        third = Person(browser, url, tokens[3])
        third.start()
        rate(third, 3)
        third.sees("thanks")
        assert "2 sets" in third.find("#sum").text
    assert len(given) == 30
    assert answers_of(tmp_path) == given
    seconds = [one.seconds for one in read_page_answers(load_study(tmp_path))]
    assert all(0 < one < 60 for one in seconds)


def test_an_answer_may_be_changed_until_it_is_handed_in(browser, tmp_path):
    make_study(tmp_path, batches=1, size=3)
    with study_server(tmp_path, "--raters", "3") as (_, url):
        person = Person(browser, url, links(tmp_path)[1])
        person.start()
        first = person.answer(1, "0")
        person.at(2)
        assert person.pressed() == ""
        person.press(Keys.ARROW_LEFT)
        assert person.at(1) == first
        assert person.pressed() == "0"
        person.answer(1, "3")
        person.at(2)
        person.find(".scores [data-score='1']").click()  # the buttons do the same
        person.answer(3, "2")
        person.sees("complete")
        person.press(Keys.BACKSPACE)
        person.at(3)
        assert person.pressed() == "2"
        person.press(Keys.ARROW_LEFT)
        person.at(2)
        assert person.pressed() == "1"
        person.press(Keys.ARROW_RIGHT)
        person.at(3)
        person.press(Keys.ARROW_RIGHT)
        person.sees("complete")
        person.press(Keys.ENTER)
        person.sees("thanks")
    assert answers_of(tmp_path) == {(1, "label 1"): 3, (1, "label 2"): 1, (1, "label 3"): 2}


def test_moments_without_a_network_lose_nothing_even_with_a_reload(browser, tmp_path):
    make_study(tmp_path, batches=1, size=4)
    with study_server(tmp_path, "--raters", "3") as (_, url):
        person = Person(browser, url, links(tmp_path)[1])
        person.start()
        person.answer(1, "1")
        person.at(2)
        person.until(lambda: person.unsent() == 0)
        person.has_pictures(4)
        online(browser, False)
        person.answer(2, "2")  # its picture came before
        person.answer(3, "3")
        assert person.unsent() == 2
        assert answers_of(tmp_path) == {(1, "label 1"): 1}
        stored = browser.execute_script("return Object.values(localStorage).map(JSON.parse).map(one => one.score)")
        assert sorted(stored) == [2, 3]
        online(browser, True)
        browser.refresh()  # as a phone does that ran out of memory
        person.at(4)
        person.until(lambda: person.unsent() == 0)
        assert answers_of(tmp_path) == {(1, "label 1"): 1, (1, "label 2"): 2, (1, "label 3"): 3}


class NotFoundServer(BaseHTTPRequestHandler):
    """As a tunnel or a proxy that has lost its server."""

    def do_POST(self):
        self.send_error(404)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_):
        pass


def test_a_proxy_that_finds_nothing_loses_nothing(browser, tmp_path):
    make_study(tmp_path, batches=1, size=3)
    with study_server(tmp_path, "--raters", "3") as (_, url):
        port, token = int(url.rpartition(":")[2]), links(tmp_path)[1]
        person = Person(browser, url, token)
        person.start()
        person.at(1)
        person.has_pictures(3)
    with ThreadingHTTPServer(("127.0.0.1", port), NotFoundServer) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        person.answer(1, "2")
        person.until(lambda: "kept here" in person.find("#unsent").text)
        assert person.unsent() == 1
        proxy.shutdown()
    with study_server(tmp_path, port=port):
        person.until(lambda: person.unsent() == 0)
    assert answers_of(tmp_path) == {(1, "label 1"): 2}


def test_labels_are_texts_and_the_policy_holds(browser, tmp_path):
    make_study(tmp_path, batches=1, size=4, labels=HOSTILE)
    with study_server(tmp_path, "--raters", "3") as (_, url):
        person = Person(browser, url, links(tmp_path)[1])
        person.start()
        shown = [person.answer(number, "1") for number in (1, 2, 3)]
        person.at(4)
        assert shown == HOSTILE
        assert browser.title == "How well does the text fit? · zeroguide"
        assert browser.execute_script("return document.querySelectorAll('h1 *').length") == 0
        assert browser.get_log("browser") == []  # no breach of the policy, nothing that could not be loaded
        script = (
            "const s = document.createElement('script'); s.textContent = 'document.title = 1'; document.body.append(s)"
        )
        browser.execute_script(script)
        assert browser.title.startswith("How well")
        assert browser.execute_script("return document.cookie") == ""
        assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


def test_a_phone_has_everything_in_sight_and_is_dark_where_it_is_asked_for(browser, tmp_path):
    make_study(tmp_path, batches=1, size=4, labels=["a fairly long label of a thing", "x" * 300])
    phone(browser, True)
    with study_server(tmp_path, "--raters", "3") as (_, url):
        person = Person(browser, url, links(tmp_path)[1])
        person.sees("welcome")
        overflow = "return document.documentElement.scrollWidth - innerWidth"
        assert browser.execute_script(overflow) <= 0
        person.find("#start").click()
        person.at(1)
        assert browser.execute_script(overflow) <= 0
        boxes = browser.execute_script(
            "return [...document.querySelectorAll('#picture, .scores button')].map(one => one.getBoundingClientRect())"
            ".map(box => [box.left, box.top, box.right, box.bottom])"
        )
        assert len(boxes) == 5
        assert all(left >= 0 and right <= 390 and top >= 0 and bottom <= 844 for left, top, right, bottom in boxes)
        assert all(bottom - top >= 48 for _, top, _, bottom in boxes)  # room for a thumb
        person.answer(1, "0")
        person.at(2)
        assert browser.execute_script(overflow) <= 0
        for scheme, colour in (("dark", "rgb(14, 16, 21)"), ("light", "rgb(244, 245, 248)")):
            media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
            assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == colour


def test_the_keyboard_and_a_screen_reader_find_their_way(browser, tmp_path):
    make_study(tmp_path, batches=1, size=3)
    with study_server(tmp_path, "--raters", "3") as (_, url):
        person = Person(browser, url, links(tmp_path)[1])
        person.start()
        label = person.at(1)
        focused = "return document.activeElement.id"
        assert browser.execute_script(focused) == "label"  # it is read out
        assert person.find("#said").get_attribute("textContent") == f"Question 1 of 3: {label}"
        nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        names = [(node["role"]["value"], node["name"]["value"]) for node in nodes if node.get("name", {}).get("value")]
        assert ("heading", f"“{label}”") in names or ("heading", label) in names
        for name in ("0 Incorrect It is something else", "3 Correct It fits"):
            assert ("button", name) in names
        assert ("button", "Enlarge the picture") in names
        person.press("i")
        person.until(lambda: person.find("#explained").is_displayed())
        assert browser.execute_script("return document.getElementById('explained').scrollTop") == 0
        person.press("3")  # is not an answer now
        person.press(Keys.ESCAPE)
        person.until(lambda: not person.find("#explained").is_displayed())
        assert person.pressed() == ""
        person.press("z")
        person.until(lambda: person.find("#large").is_displayed())
        person.press(Keys.ESCAPE)
        person.press(Keys.TAB)
        for _ in range(4):
            person.press(Keys.TAB) if not browser.execute_script(
                "return document.activeElement.dataset.score"
            ) else None
        assert browser.execute_script("return document.activeElement.dataset.score") == "0"
        person.press(Keys.ENTER)
        person.at(2)
    assert answers_of(tmp_path) == {(1, label): 0}


def test_a_page_of_another_origin_can_do_nothing(browser, tmp_path):
    make_study(tmp_path, batches=1, size=3)
    evil = Loopback(lambda *_: reply(body=b"<p>evil", content_type="text/html"))
    with evil, study_server(tmp_path, "--raters", "3") as (process, url):
        person = Person(browser, url, links(tmp_path)[1])
        person.start()
        person.at(1)
        question = browser.execute_script("return document.getElementById('picture').src.split('/').pop()")
        browser.get(f"http://127.0.0.1:{evil.port}/")  # another origin, and the same site: cookies go along
        script = """const [url, question, done] = arguments;
            const body = JSON.stringify({question, score: 0, seconds: 1, key: "evil-key"});
            const post = kind => fetch(url + "/answer", {method: "POST", credentials: "include", body,
                mode: kind ? "cors" : "no-cors", headers: kind ? {"Content-Type": kind} : {}});
            const read = fetch(url + "/state", {credentials: "include"});
            Promise.allSettled([post(), post("application/json"), read])
                .then(all => done(all.map(one => one.status)));"""
        assert browser.execute_async_script(script, url, question) == ["rejected"] * 3
        frame = "const one = document.createElement('iframe'); one.src = arguments[0]; document.body.append(one)"
        browser.execute_script(frame, url)
        person.until(lambda: any("frame-ancestors" in entry["message"] for entry in browser.get_log("browser")))
        log = "".join(process.lines)
    assert "answer: 403" in log  # it was asked, and refused
    assert "answer: 200" not in log
    assert answers_of(tmp_path) == {}


def test_links_behind_a_prefix_lead_to_the_page(browser, tmp_path):
    make_study(tmp_path, batches=1, size=3)
    with study_server(tmp_path, "--raters", "3", "--public-url", "http://127.0.0.1/study/one") as (_, url):
        person = Person(browser, f"{url}/study/one", links(tmp_path)[1])
        person.start()
        for number in (1, 2, 3):
            person.answer(number, "2")
        person.hand_in()
        person.sees("thanks")
        browser.refresh()
        person.sees("thanks")
        Person(browser, f"{url}/study/one", links(tmp_path)[0])
        person.until(lambda: browser.title == "33% answered · zeroguide")
        assert person.find("#done").text == "0 of 1"
        assert browser.get_log("browser") == []
    assert len(answers_of(tmp_path)) == 3


def test_a_link_that_opens_nothing_says_so(browser, tmp_path):
    make_study(tmp_path, batches=1, size=3)
    with study_server(tmp_path, "--raters", "3") as (_, url):
        person = Person(browser, url, "a" * 32)
        person.sees("stopped")
        assert "does not open anything" in person.find("#stopped").text
        person = Person(browser, url, "")
        person.sees("stopped")
        assert "open your link again" in person.find("#stopped").text


def test_who_was_away_too_long_gets_other_questions_and_keeps_the_answers(browser, tmp_path):
    study = make_study(tmp_path, batches=2, size=3, raters=1)
    with study_server(tmp_path, "--raters", "3", "--abandoned-after", "60") as (_, url):
        tokens = links(tmp_path)
        person = Person(browser, url, tokens[1])
        person.start()
        assert person.answer(1, "3") == "label 1"
        person.at(2)
        person.until(lambda: person.unsent() == 0)
        with Database(study) as database, database.writing() as db:
            db.execute("UPDATE places SET seen = seen - 3601")
        other = [Rater(url, tokens[number]) for number in (2, 3)]
        assert [len(one.batch()["batch"]["questions"]) for one in other] == [3, 3]
        name = other[1].get("state")[1]["batch"]["questions"][1]
        assert name["label"] == "label 2"  # in the place of the first
        person.press("2")
        person.sees("thanks")  # nothing is left
        assert "given to somebody else" in person.find("#notice").text
        person.until(lambda: person.unsent() == 0)
        assert browser.get_log("browser") == []
    assert answers_of(tmp_path) == {(1, "label 1"): 3, (1, "label 2"): 2}


def test_two_tabs_of_one_rater_agree(browser, tmp_path):
    make_study(tmp_path, batches=1, size=3)
    with study_server(tmp_path, "--raters", "3") as (_, url):
        person = Person(browser, url, links(tmp_path)[1])
        person.start()
        person.at(1)
        tab = browser.current_window_handle
        browser.switch_to.new_window("tab")
        try:
            other = Person(browser, url, links(tmp_path)[1])
            for number in (1, 2, 3):
                other.answer(number, "1")
            other.hand_in()
            other.sees("thanks")
        finally:
            browser.close()
            browser.switch_to.window(tab)
        for number in (1, 2, 3):
            person.answer(number, "3")  # too late
        person.hand_in()
        person.sees("thanks")
    assert set(answers_of(tmp_path).values()) == {1}
