"""A study's page as a real server: who may do what, what raters can fetch, proxies, limits, and kill -9."""

import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from ls_backend.cli_study_serve import serve
from ls_backend.studies.manifest import load_study
from ls_backend.studies.page_database import Database
from ls_backend.studies.page_guard import MAX_BODY
from ls_backend.studies.page_reader import read_page_answers
from ls_backend.studies.page_server import create_page_app
from ls_backend.studies.page_settings import PageSettings
from ls_backend.studies.tokens import handle
from tests.ls_backend.study_load import drive
from tests.ls_backend.studying import ROOT, SERVER_ONLY, Rater, links, make_study, study_server
from zgcore.errors import StudyError

HOSTILE = ["</script><img src=x onerror=alert(1)>", "\"'&<b>", "\u202eabc\u0000\ufffe", "a" * 5000]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    make_study(root, batches=4, size=5, labels=HOSTILE)
    with study_server(root, "--raters", "9") as (process, url):
        yield root, process, url


def test_what_raters_fetch_tells_nothing_they_must_not_know(served):
    root, _, url = served
    study, rater = load_study(root), Rater(url, links(root)[1])
    state = rater.batch()
    assert [question["label"] for question in state["batch"]["questions"][:4]] == HOSTILE
    fetched = [rater.ask("GET", path) for path in ("", "state", "health", "nothing", "progress", "links.csv")]
    for question in state["batch"]["questions"]:
        fetched.append(rater.ask("GET", f"pictures/{question['id']}"))
        assert fetched[-1][0] == 200
        assert fetched[-1][2].startswith(b"\xff\xd8")
        fetched.append((200, {}, json.dumps(rater.answer(question["id"], 1)).encode()))
    fetched.append((200, {}, json.dumps(rater.batch(state["batch"]["id"])).encode()))
    names = {one.id for one in study.questions} | {one.picture for one in study.questions} | set(links(root).values())
    for status, headers, content in fetched:
        text = f"{status} {dict(headers)} ".encode() + content
        page = b'<template id="instruction">' in content  # which explains what it is about
        assert not any(word.encode() in text for word in SERVER_ONLY if not page), text[:300]
        assert not any(name.encode() in text for name in names), text[:300]
        assert str(root).encode() not in text
        assert "Last-Modified" not in headers
        assert "Etag" not in headers


def test_every_answer_forbids_what_pages_do_not_need(served):
    root, _, url = served
    rater = Rater(url, links(root)[2])
    for path in ("", "state", "nothing"):
        _, headers, _ = rater.ask("GET", path)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"


def test_the_session_is_the_browsers_own(served):
    root, _, url = served
    rater = Rater(url)
    body = json.dumps({"token": links(root)[3]}).encode()
    _, headers, content = rater.ask("POST", "enter", body, **{"Content-Type": "application/json"})
    cookie = headers["Set-Cookie"]
    assert cookie.startswith("zeroguide_study_")
    for part in ("HttpOnly", "SameSite=Strict", "Path=/;", "Max-Age="):
        assert part in cookie + ";"
    assert links(root)[3] not in cookie
    assert json.loads(content) == {"organiser": False}


def test_pictures_of_a_study_under_a_relative_path(tmp_path, monkeypatch):
    make_study(tmp_path / "study", batches=1)
    monkeypatch.chdir(tmp_path)
    app = create_page_app(load_study(Path("study")), PageSettings())
    parts = app.extensions["study"]
    try:
        monkeypatch.chdir("/")
        rater = app.test_client()
        assert rater.post("/enter", json={"token": parts.people.add(3)[1]}).status_code == 200
        question = rater.post("/batch", json={}).json["batch"]["questions"][1]["id"]
        picture = rater.get(f"/pictures/{question}")
        assert (picture.status_code, picture.data) == (200, (tmp_path / "study/pictures/picture-1.jpg").read_bytes())
        name = min(parts.page.examples)
        example = rater.get(f"/instruction/{name}")
        assert (example.status_code, example.data) == (200, (tmp_path / "study/instruction" / name).read_bytes())
        for path in ("study/pictures/picture-1.jpg", f"study/instruction/{name}"):
            (tmp_path / path).unlink()
        for path in (f"/pictures/{question}", f"/instruction/{name}"):
            gone = rater.get(path)
            assert (gone.status_code, gone.json["error"]) == (404, "the picture is missing")
    finally:
        parts.close()


def test_serve_takes_a_relative_path(tmp_path):
    make_study(tmp_path / "study", batches=1)
    relative = os.path.relpath(tmp_path / "study", ROOT)  # where the server is started
    with study_server(relative, "--raters", "3") as (_, url):
        rater = Rater(url, links(tmp_path / "study")[1])
        questions = rater.batch()["batch"]["questions"]
        assert [rater.ask("GET", f"pictures/{one['id']}")[0] for one in questions] == [200] * 5


def test_without_a_link_there_is_nothing_and_wrong_ones_look_alike(served):
    root, _, url = served
    stranger = Rater(url)
    right = links(root)[1]
    answers = []
    for token in (
        "",
        "x",
        right[:-1],
        right[:-1] + ("a" if right[-1] != "a" else "b"),
        "a" * 32,
        right + "a",
        "ä" * 32,
    ):
        status, answer = stranger.post("enter", {"token": token})
        answers.append((status, answer["error"]))
    for path in ("state", "pictures/" + "a" * 32, "instruction/cake.jpg", "progress"):
        status, answer = stranger.get(path)
        answers.append((status, answer["error"]))
    for path in ("batch", "answer"):
        status, answer = stranger.post(path, {})
        answers.append((status, answer["error"]))
    assert set(answers) == {(403, "open the link that you were given")}
    assert stranger.ask("GET", "")[0] == 200  # the page itself holds nothing of the study


def test_one_rater_neither_sees_nor_changes_anothers_answers(served):
    root, _, url = served
    tokens = links(root)
    one, other = Rater(url, tokens[4]), Rater(url, tokens[5])
    ours, theirs = one.batch()["batch"], other.batch()["batch"]
    question = ours["questions"][0]["id"]
    assert one.answer(question, 3)[0] == 200
    assert question not in {entry["id"] for entry in theirs["questions"]}
    stored = len(read_page_answers(load_study(root)))
    unknown = "0" * 32
    for name in (question, unknown, "../" + question, "", "q00001"):
        status, answer = other.answer(name, 0)
        assert (status, answer["error"]) == (404, "there is no such question in your hands")
    seen = [other.ask("GET", f"pictures/{name}")[::2] for name in (question, unknown)]
    assert [status for status, _ in seen] == [404, 404]
    assert json.loads(seen[0][1])["error"] == json.loads(seen[1][1])["error"]
    for done in (ours["id"], unknown):
        assert other.post("batch", {"done": done})[0] == 404
    assert other.get("state")[1]["batch"] == theirs
    assert len(read_page_answers(load_study(root))) == stored
    assert other.ask("GET", "progress")[0] == 403


def test_questions_of_batches_not_in_hand_are_unknown_even_by_their_right_name(served):
    root, _, url = served
    study, rater = load_study(root), Rater(url, links(root)[9])
    mine = {one["label"] for one in rater.batch()["batch"]["questions"]}
    with Database(study) as database:
        secret = database.rows("SELECT value FROM meta WHERE name = 'secret'")[0][0]
    for question in study.questions:
        name = handle(secret, 9, f"question {question.id}")
        expected = 200 if question.label in mine else 404
        assert rater.ask("GET", f"pictures/{name}")[0] == expected
        if expected == 404:
            assert rater.answer(name, 1)[0] == 404


def test_the_organiser_sees_numbers_and_rates_nothing(served):
    root, _, url = served
    organiser = Rater(url)
    assert organiser.post("enter", {"token": links(root)[0]}) == (200, {"organiser": True})
    status, headers, content = organiser.ask("GET", "progress")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b'id="percent"' in content
    assert b"secret" not in content
    assert not any(token.encode() in content for token in links(root).values())
    assert organiser.ask("GET", "state")[0] == 403
    assert organiser.post("batch", {})[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://other.localhost"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_other_sites_cannot_post(served, headers):
    root, _, url = served
    rater = Rater(url, links(root)[6])
    question = rater.batch()["batch"]["questions"][0]["id"]
    body = json.dumps({"question": question, "score": 3, "seconds": 1, "key": "12345678"}).encode()
    for path in ("answer", "batch", "enter"):
        status, _, content = rater.ask("POST", path, body, **{"Content-Type": "application/json", **headers})
        assert (status, "only the page itself" in json.loads(content)["error"]) == (403, True)
    assert rater.get("state")[1]["batch"]["questions"][0]["score"] is None
    ours = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
    assert rater.ask("POST", "batch", b"{}", **{"Content-Type": "application/json", **ours})[0] == 200
    plain = {"Content-Type": "application/json", "Origin": url}  # over plain HTTP browsers say no more
    assert rater.ask("POST", "batch", b"{}", **plain)[0] == 200
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert rater.ask("POST", "answer", body, **{"Content-Type": kind, **ours})[0] == 415  # what forms can send


@pytest.mark.parametrize(
    "wrong",
    [
        {"score": 4}, {"score": -1}, {"score": "1"}, {"score": True}, {"score": 1.0}, {"score": None}, {"key": "short"},
        {"key": "a" * 65}, {"key": "' OR 1=1 --"}, {"key": 12345678}, {"seconds": -1}, {"seconds": 1e999},
        {"seconds": 10**400}, {"seconds": "1"}, {"seconds": None}, {"question": 5},
    ],
)  # fmt: skip
def test_answers_that_are_none_are_refused(served, wrong):
    root, _, url = served
    rater = Rater(url, links(root)[7])
    question = rater.batch()["batch"]["questions"][0]["id"]
    status, answer = rater.post("answer", {"question": question, "score": 1, "seconds": 1.0, "key": "a" * 8, **wrong})
    assert status == 400
    assert "request_id" in answer
    assert rater.get("state")[1]["batch"]["questions"][0]["score"] is None


def test_bodies_that_are_too_large_or_no_objects_are_refused(served):
    root, _, url = served
    rater = Rater(url, links(root)[7])
    kind = {"Content-Type": "application/json"}
    assert rater.ask("POST", "answer", b'"' + b"a" * MAX_BODY + b'"', **kind)[0] == 413
    assert rater.ask("POST", "answer", b'"' + b"a" * (MAX_BODY * 20) + b'"', **kind)[0] == 413
    for body in (b"", b"[]", b"1", b"{", b"[" * 8000, b"\xff", b'{"a": NaN'):
        assert rater.ask("POST", "batch", body, **kind)[0] == 400, body[:20]
    assert rater.ask("GET", "state", **{"X-Long": "a" * 20_000})[0] == 431
    assert rater.ask("PUT", "answer", b"{}", **kind)[0] == 405


def test_who_asks_too_much_waits_and_others_do_not(served):
    root, _, url = served
    greedy, other = Rater(url, links(root)[8]), Rater(url, links(root)[9])
    statuses = [greedy.ask("GET", "state") for _ in range(400)]
    refused = [headers for status, headers, _ in statuses if status == 429]
    assert refused
    assert refused[0]["Retry-After"] == "1"
    assert {status for status, _, _ in statuses} == {200, 429}
    assert other.get("state")[0] == 200


def test_wrong_links_are_slowed_down_and_right_ones_are_not(tmp_path):
    make_study(tmp_path)
    with study_server(tmp_path, "--raters", "3") as (_, url):
        stranger = Rater(url)
        statuses = [stranger.post("enter", {"token": "a" * 32})[0] for _ in range(60)]
        assert statuses[0] == 403
        assert statuses[-1] == 429
        assert stranger.post("enter", {"token": links(tmp_path)[1]})[0] == 200


def test_nothing_secret_is_logged(served):
    root, process, url = served
    rater = Rater(url, links(root)[1])
    name = rater.batch()["batch"]["questions"][0]["id"]
    rater.ask("GET", f"pictures/{name}")
    rater.ask("GET", f"no/such?token={links(root)[1]}")
    time.sleep(0.2)
    log = "".join(process.lines)
    assert "picture: 200" in log
    for secret in (*links(root).values(), name, *(cookie.value for cookie in rater.jar)):
        assert secret not in log
    assert "Traceback" not in log


def test_behind_a_prefix_and_a_tls_proxy(tmp_path):
    make_study(tmp_path)
    flags = ["--raters", "3", "--public-url", "https://example.org/a/rating", "--trust-proxy", "127.0.0.1"]
    with study_server(tmp_path, *flags) as (_, url):
        assert (tmp_path / "links.csv").read_text().count("https://example.org/a/rating/#") == 4
        forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "example.org", "X-Forwarded-For": "203.0.113.9"}
        body = json.dumps({"token": links(tmp_path)[1]}).encode()
        for base in (f"{url}/a/rating", url):  # proxies that leave the prefix, and that take it away
            rater = Rater(base, **forwarded)
            assert rater.ask("GET", "")[0] == 200
            ours = {"Content-Type": "application/json", "Origin": "https://example.org"}
            status, headers, _ = rater.ask("POST", "enter", body, **ours)
            assert status == 200
            assert "Path=/a/rating;" in headers["Set-Cookie"] + ";"
            assert "Secure" in headers["Set-Cookie"]
            session = headers["Set-Cookie"].partition(";")[0]
            assert rater.ask("GET", "state", Cookie=session)[0] == 200
            evil = {"Content-Type": "application/json", "Origin": "https://evil.example"}
            assert rater.ask("POST", "enter", body, **evil)[0] == 403
        connection = http.client.HTTPConnection(url.removeprefix("http://"))
        connection.request("GET", "/a/rating")  # without its slash the page would not find its parts
        with connection.getresponse() as response:
            assert (response.status, response.headers["Location"]) == (308, "/a/rating/")
        connection.close()
        # Each address the proxy names has its own measure of wrong links.
        first, second = (Rater(url, **{**forwarded, "X-Forwarded-For": f"203.0.113.{n}"}) for n in (1, 2))
        assert {first.post("enter", {"token": "a"})[0] for _ in range(30)} == {403, 429}
        assert second.post("enter", {"token": "a"})[0] == 403


def test_forwarded_headers_of_strangers_are_nothing(tmp_path):
    make_study(tmp_path)
    with study_server(tmp_path, "--raters", "3") as (_, url):
        forged = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "Origin": "https://evil.example"}
        body = json.dumps({"token": links(tmp_path)[1]}).encode()
        assert Rater(url).ask("POST", "enter", body, **forged, **{"Content-Type": "application/json"})[0] == 403
        statuses = set()
        for number in range(60):
            stranger = Rater(url, **{"X-Forwarded-For": f"203.0.113.{number}"})
            statuses.add(stranger.post("enter", {"token": "a"})[0])
        assert statuses == {403, 429}  # all from one address


def test_a_password_stands_before_everything(tmp_path):
    make_study(tmp_path)
    with study_server(tmp_path, "--raters", "3", "--auth", "us:hunter2") as (process, url):
        assert Rater(url).ask("GET", "")[0] == 401
        assert Rater(url, links(tmp_path)[1], Authorization="Basic dXM6aHVudGVyMg==").get("state")[0] == 200
        assert "hunter2" not in "".join(process.lines)


def test_warnings_tell_of_speed_at_once_and_of_known_answers_after_handing_in(tmp_path):
    make_study(tmp_path, batches=3, size=10)
    with study_server(tmp_path, "--raters", "3") as (_, url):
        rater = Rater(url, links(tmp_path)[1])
        state = rater.batch()
        warned = [rater.answer(question["id"], 0, 0.2)[1]["warnings"] for question in state["batch"]["questions"]]
        assert warned == [[]] * 7 + [["fast"]] * 3
        state = rater.batch(state["batch"]["id"])
        assert state["warnings"] == []  # one known answer decides nothing
        for question in state["batch"]["questions"]:
            assert set(rater.answer(question["id"], 0)[1]["warnings"]) <= {"fast"}
        state = rater.batch(state["batch"]["id"])
        assert state["warnings"] == ["checks"]  # two of two missed
        assert state["finished"] == 2


def test_50_raters_at_once_lose_nothing(tmp_path):
    make_study(tmp_path, batches=40, size=8)
    with study_server(tmp_path, "--raters", "50") as (_, url):
        load = drive(url.removeprefix("http://"), links(tmp_path), 3, 0.2)
    study = load_study(tmp_path)
    answers = read_page_answers(study)
    raters = Counter(one.question for one in answers)
    assert load.errors == []
    assert len(load.acknowledged) == len(answers) > 100
    assert Counter((one.rater, one.score) for one in answers) == Counter(
        (str(rater), score) for (rater, _), score in load.acknowledged.items()
    )
    assert max(raters.values()) <= 3
    assert len({(one.rater, one.question) for one in answers}) == len(answers)


def test_kill_9_at_work_loses_no_answer_that_was_acknowledged(tmp_path):
    make_study(tmp_path, batches=6, size=15, pictures=False)
    stored, lock = {}, threading.Lock()

    def rate(rater, number):
        """Answer until the server is gone."""
        done = None
        while batch := rater.batch(done)["batch"]:
            for question in batch["questions"]:
                if question["score"] is None:
                    status, _ = rater.answer(question["id"], number % 4)
                    with lock:
                        stored[number, question["id"]] = status
            done = batch["id"]

    with study_server(tmp_path, "--raters", "6") as (process, url):
        raters = {number: Rater(url, token) for number, token in links(tmp_path).items() if number}
        threads = [threading.Thread(target=_until_gone, args=(rate, one, number)) for number, one in raters.items()]
        for thread in threads:
            thread.start()
        while len(stored) < 60:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        for thread in threads:
            thread.join()
        port = int(url.rpartition(":")[2])
    assert 60 <= len(stored) < 6 * 15 * 3  # it was killed at work
    assert set(stored.values()) == {200}
    answers = read_page_answers(load_study(tmp_path))
    counted = {number: sum(one.rater == str(number) for one in answers) for number in raters}
    sent = {number: sum(who == number for who, _ in stored) for number in raters}
    assert all(sent[number] <= counted[number] <= sent[number] + 1 for number in raters)
    assert all(one.score == int(one.rater) % 4 for one in answers)
    with study_server(tmp_path, port=port) as (_, url):  # the same cookies still open it
        for number, rater in raters.items():
            state = rater.get("state")[1]
            scores = {one["id"]: one["score"] for one in state["batch"]["questions"]}
            assert {name for who, name in stored if who == number and name in scores} <= {
                name for name, score in scores.items() if score == number % 4
            }
            rate(rater, number)
    answers = read_page_answers(load_study(tmp_path))
    assert len(answers) == len({(one.rater, one.question) for one in answers}) == 6 * 15 * 3


def _until_gone(work, *args):
    try:
        work(*args)
    except (OSError, ValueError, http.client.HTTPException):  # cut off anywhere
        return


def test_wrong_use_names_the_cure(tmp_path):
    runner = CliRunner()
    assert isinstance(runner.invoke(serve, [str(tmp_path)]).exception, StudyError)
    make_study(tmp_path, pictures=False)
    result = runner.invoke(serve, [str(tmp_path), "--port", "0", "--raters", "2"])
    assert "set --raters to 3 or more" in str(result.exception)
    assert not (tmp_path / "answers.sqlite").exists()  # which would be a page that answers can be collected from
    result = runner.invoke(serve, [str(tmp_path), "--raters", "3", "--public-url", "example.org"])
    assert result.exit_code == 2
    assert "http://localhost:8080" in result.output
    assert "STUDY/links.csv" in runner.invoke(serve, ["--help"]).output
