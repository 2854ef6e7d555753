"""The ML backend protocol over HTTP: a real waitress server, real models where the answer depends on them."""

import base64
import json
import logging
import re
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zgcore
from ls_backend import brush
from ls_backend.acceptance import Acceptance, Held, compare
from ls_backend.guards import authorised
from ls_backend.inference import model_version
from ls_backend.settings import BasicAuth, Secret
from tests.ls_backend.bands import BandSegmenter
from tests.ls_backend.loopback import Loopback, reply
from tests.ls_backend.serving import PALETTE, bands, serving, settings_for, task

STREET = (Path(zgcore.__file__).parent / "samples" / "street.jpg").read_bytes()


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A server with the smallest real model."""
    with serving(settings_for(tmp_path_factory.mktemp("data"))) as server:
        yield server


@pytest.fixture
def banded(tmp_path):
    """A server whose segments can be worked out: four bands of four pixels each."""
    with serving(settings_for(tmp_path), BandSegmenter()) as server:
        yield server


class Slow(BandSegmenter):
    """Waits for `go` in front of each image but the first `fast`."""

    def __init__(self, fast=0):
        super().__init__()
        self.fast = fast
        self.waiting = False
        self.go = threading.Event()

    def segment_many(self, images):
        if len(self.calls) >= self.fast:
            self.waiting = True
            self.go.wait(30)
        return super().segment_many(images)


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def metric(client, line):
    text = client.get("/metrics")[2].decode()
    found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


def test_a_project_connects_and_gets_masks_with_texts(untrained):
    client, backend = untrained
    assert client.get("/health")[0] == 200
    assert client.get("/ready")[0] == 503  # loaded by the first prediction
    body = {
        "project": "7.1795240125",
        "schema": PALETTE,
        "hostname": "http://x",
        "access_token": "t",
        "extra_params": {},
    }
    status, answer = client.post("/setup", body)
    assert (status, answer) == (200, {"model_version": backend.version})
    assert re.fullmatch(rf"untrained-{re.escape(zgcore.__version__)}-[0-9a-f]{{12}}", backend.version)
    assert json.loads(client.get("/versions")[2]) == {"versions": [backend.version]}

    (result,) = client.predict([task(1, STREET)])
    assert result["model_version"] == backend.version
    assert client.get("/ready")[0] == 200
    masks = [entry for entry in result["result"] if entry["type"] == "brushlabels"]
    texts = [entry for entry in result["result"] if entry["type"] == "textarea"]
    assert masks
    assert [entry["id"] for entry in masks] == [entry["id"] for entry in texts]
    height, width = zgcore.load_image(STREET).shape[:2]
    total = sum(brush.decode(bytes(entry["value"]["rle"]), height, width).sum() for entry in masks)
    assert total == height * width  # disjoint, and together the image
    assert {(entry["original_height"], entry["original_width"]) for entry in masks} == {(height, width)}


def test_mini_names_a_photo(tmp_path):
    with serving(settings_for(tmp_path, "mini", preload=True, min_area=0.002)) as (client, backend):
        until(lambda: client.get("/ready")[0] == 200, 120)
        (result,) = client.predict([task(1, STREET)])
        texts = [entry["value"]["text"][0] for entry in result["result"] if entry["type"] == "textarea"]
        assert "sky" in " ".join(texts)
        assert all(text.strip() for text in texts)
        assert backend.inference.match(["sky", "giraffe"], _Texts(["sky", "Sky "])) == ["sky", "sky"]


class _Texts:
    def __init__(self, labels):
        self.labels = labels


def test_results_come_in_order_whatever_happens_to_one(banded, caplog):
    client, _ = banded
    tasks = [
        task(11),
        task(12, b"\x89PNG\r\n\x1a\n broken"),
        {"id": 13, "data": {}},
        "no task",
        {"id": 14, "data": {"image": "http://127.0.0.1:1/secret"}},
        {"id": "\ud800", "data": None},
        task(15),
    ]
    with caplog.at_level(logging.ERROR):
        results = client.predict(tasks)
    assert [len(result["result"]) for result in results] == [8, 0, 0, 0, 0, 0, 8]
    assert [result["result"][0]["id"] for result in (results[0], results[6])] == ["image0-segment3"] * 2
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 5
    assert len({line.split(":")[0] for line in lines}) == 1  # the request's id
    assert metric(client, 'zeroguide_tasks_total{outcome="predicted"}') == 2
    assert metric(client, 'zeroguide_tasks_total{outcome="failed"}') == 5
    assert metric(client, 'zeroguide_failures_total{kind="FetchError"}') == 1
    page = client.get("/")[2].decode()
    assert page.count("<code>") == 5
    assert "task 13: " in page


def test_a_model_that_fails_fails_one_task(tmp_path):
    model = BandSegmenter(fails={2: RuntimeError("secret detail")})
    with serving(settings_for(tmp_path), model) as (client, _):
        assert [len(result["result"]) for result in client.predict([task(1), task(2), task(3)])] == [8, 0, 8]
        assert "secret detail" not in client.get("/")[2].decode()


def test_a_task_that_is_opened_again_comes_from_the_cache(tmp_path):
    model = BandSegmenter()
    with serving(settings_for(tmp_path), model) as (client, _):
        first = client.predict([task(1), task(1)])
        assert first[0] == first[1]
        assert model.calls == [1]
        assert client.predict([task(1)]) == first[:1]
        assert model.calls == [1]
        assert "from the cache" in client.get("/")[2].decode()
    again = BandSegmenter()
    with serving(settings_for(tmp_path), again) as (client, _):
        assert client.predict([task(1)]) == first[:1]
    assert again.calls == []


def test_the_version_changes_with_what_changes_results(tmp_path):
    version = model_version(settings_for(tmp_path))
    assert model_version(settings_for(tmp_path / "other", deadline_s=5, log_level="debug")) == version
    changed = [{"smooth": True}, {"min_area": 0.1}, {"max_regions": 3}, {"people_labels": "keep"}, {"preset": "mini"}]
    versions = {model_version(settings_for(tmp_path, **values)) for values in changed}
    assert len(versions | {version}) == 6


def test_a_config_without_brush_masks_is_said(banded, caplog):
    client, _ = banded
    choices = '<View><Image name="i" value="$image"/><Choices name="c" toName="i"><Choice value="a"/></Choices></View>'
    with caplog.at_level(logging.WARNING):
        assert client.predict([task(1), task(2)], "9.1", choices) == [{"result": []}, {"result": []}]
    assert any("project 9 gets no masks: masks need a BrushLabels" in line for line in caplog.messages)
    assert "project 9: masks need a BrushLabels" in client.get("/")[2].decode()


def test_the_config_of_setup_serves_where_predict_brings_none(banded):
    client, _ = banded
    assert client.post("/setup", {"project": "3.1", "schema": PALETTE})[0] == 200
    assert len(client.predict([task(1)], "3.99", None)[0]["result"]) == 8


def test_health_and_setup_answer_at_once_while_the_model_works(tmp_path):
    model = Slow()
    with serving(settings_for(tmp_path), model) as (client, _):
        threads = [threading.Thread(target=client.predict, args=([task(n)],)) for n in range(12)]
        for thread in threads:
            thread.start()
        until(lambda: metric(client, "zeroguide_predict_requests") == 12)
        for path in ("/health", "/versions", "/metrics"):
            assert client.get(path)[0] == 200
        assert client.post("/setup", {"project": "1.1", "schema": PALETTE})[0] == 200
        assert model.calls == []  # all of these answers came while the model had no image done
        model.go.set()
        for thread in threads:
            thread.join()
        assert sum(model.calls) == 12


def test_too_many_waiting_requests_are_sent_away(tmp_path):
    model = Slow()
    with serving(settings_for(tmp_path, queue_limit=2), model) as (client, _):
        threads = [threading.Thread(target=client.predict, args=([task(n)],)) for n in range(2)]
        for thread in threads:
            thread.start()
        until(lambda: metric(client, "zeroguide_predict_requests") == 2)
        status, headers, content = client.ask("POST", "/predict", {"tasks": [task(3)]})
        assert (status, headers["Retry-After"]) == (429, "10")
        assert json.loads(content)["request_id"] == headers["X-Request-ID"]
        model.go.set()
        for thread in threads:
            thread.join()
        assert client.post("/predict", {"tasks": []})[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"tasks": 3}',
        b'{"tasks": [], "project": []}',
        b'{"tasks": [], "label_config": 1}',
        b'{"tasks": null}',
        b'{"tasks": [' + b"1" * 5000 + b"]}",
    ],
)
def test_malformed_bodies_are_refused_in_json(banded, body):
    client, _ = banded
    status, headers, content = client.ask("POST", "/predict", body)
    assert status == 400
    answer = json.loads(content)
    assert answer["status"] == 400
    assert answer["request_id"] == headers["X-Request-ID"]
    assert "Traceback" not in content.decode()


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/no", 404), ("POST", "/health", 405), ("PUT", "/", 405)]
)
def test_wrong_addresses_and_methods_are_refused_in_json(banded, method, path, status):
    client, _ = banded
    found, headers, content = client.ask(method, path)
    assert (found, json.loads(content)["status"]) == (status, status)
    assert headers["Content-Type"] == "application/json"


def test_large_bodies_are_refused_in_json(tmp_path):
    with serving(settings_for(tmp_path, max_body_mb=0.01), BandSegmenter()) as (client, _):
        assert client.post("/predict", b'{"tasks": []}' + b" " * (10_000 - 13))[0] == 200
        status, answer = client.post("/predict", b'{"tasks": []}' + b" " * (10_001 - 13))
        assert (status, answer["status"]) == (413, 413)
        host, _, port = client.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            connection.sendall((b"400\r\n" + b" " * 1024 + b"\r\n") * 10)  # and no end
            head, _, body = _received(connection).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 413 ")
        assert json.loads(body)["status"] == 413


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 300_000 + b"\r\n\r\n", 431),
    ],
)
def test_what_never_reaches_the_app_is_logged_and_counted(tmp_path, caplog, sent, status):
    with serving(settings_for(tmp_path, max_body_mb=0.01), BandSegmenter()) as (client, _):
        host, _, port = client.url.removeprefix("http://").partition(":")
        with (
            caplog.at_level(logging.WARNING),
            socket.create_connection((host, int(port)), timeout=10) as connection,
        ):
            with suppress(ConnectionError):
                connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            answer = json.loads(_received(connection).partition(b"\r\n\r\n")[2])
        assert answer["status"] == status
        assert any(line.startswith(f"{answer['request_id']} none: {status} (") for line in caplog.messages)
        assert metric(client, f'zeroguide_requests_total{{endpoint="none",status="{status}"}}') == 1


def _received(connection):
    """All that comes until the server hangs up."""
    received = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            received += part
    return received


@pytest.mark.parametrize("charset", ["utf-8", "latin-1"])
def test_basic_auth_takes_letters_beyond_ascii(tmp_path, charset):
    auth = BasicAuth("jürgen", Secret("pässwort:1"))
    with serving(settings_for(tmp_path, auth=auth), BandSegmenter()) as (client, _):
        status, headers, content = client.get("/health")
        assert (status, headers["WWW-Authenticate"]) == (401, 'Basic realm="zeroguide", charset="UTF-8"')
        assert json.loads(content)["status"] == 401
        right = base64.b64encode("jürgen:pässwort:1".encode(charset)).decode()
        for path in ("/health", "/ready", "/versions", "/metrics", "/", "/openapi.yaml"):
            assert client.get(path)[0] == 401
            assert client.get(path, Authorization=f"Basic {right}")[0] in (200, 503)


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !", "Basic YTpi", "Bearer YTpj", "Basic w6TDtg==", "Basic \xe4"]
)
def test_wrong_credentials_are_refused(header):
    assert not authorised(header, BasicAuth("a", Secret("c")))
    assert authorised("basic YTpj", BasicAuth("a", Secret("c")))


def test_letters_that_latin1_lacks_are_not_taken_for_question_marks():
    auth = BasicAuth("a", Secret("日"))
    assert authorised("Basic " + base64.b64encode("a:日".encode()).decode(), auth)
    assert not authorised("Basic " + base64.b64encode(b"a:?").decode(), auth)


def test_secrets_are_not_logged(tmp_path, caplog):
    settings = settings_for(
        tmp_path,
        auth=BasicAuth("user", Secret("hunter2")),
        label_studio_url="http://127.0.0.1:1",
        label_studio_api_key=Secret("k" * 40),
    )
    with caplog.at_level(logging.DEBUG), serving(settings, BandSegmenter()) as (client, _):
        client.headers = {"Authorization": "Basic " + base64.b64encode(b"user:hunter2").decode()}
        client.post("/setup", {"project": "1.1", "schema": PALETTE, "access_token": "token-of-setup"})
        client.predict([{"id": 1, "data": {"image": "/data/upload/1/a.png"}}])
        page = client.get("/")[2].decode()
    for secret in ("hunter2", "k" * 40, "token-of-setup", "aHVudGVyMg"):
        assert secret not in caplog.text + page


def test_the_status_page_shows_the_work(banded):
    client, backend = banded
    client.post("/setup", {"project": "\ud800<b>", "schema": PALETTE})
    client.predict([task(1)])
    status, headers, content = client.get("/")
    page = content.decode()
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert backend.version in page
    assert "Project ?&lt;b&gt;" in page
    assert "Project 7" in page
    assert 'src="data:image/jpeg;base64,' in page
    assert "white &amp; &lt;b&gt;shiny&lt;/b&gt;" in page
    assert "LABEL_STUDIO_URL" in page
    assert (backend.log.recent[0].regions, backend.log.recent[0].cached) == (4, False)


def test_the_description_names_every_address(banded):
    client, _ = banded
    document = yaml.safe_load(client.get("/openapi.yaml")[2])
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    rules = banded_rules(client)
    assert described == rules


def banded_rules(client):
    """What the server answers to: a method that a path does not have is 405 and names those it has."""
    paths = ["/health", "/ready", "/versions", "/setup", "/predict", "/webhook", "/metrics", "/openapi.yaml", "/"]
    found = set()
    for path in paths:
        status, headers, _ = client.ask("PATCH", path)
        assert status == 405
        allowed = set(headers["Allow"].split(", ")) - {"HEAD", "OPTIONS"}
        found |= {(path, method.lower()) for method in allowed}
    return found


def annotated(result, **change):
    """A prediction's result as an annotation that somebody submitted."""
    return [{**entry, "origin": "prediction", **change} for entry in json.loads(json.dumps(result))]


def test_webhooks_count_what_people_did(banded):
    client, backend = banded
    results = client.predict([task(1), task(2)])
    first, second = (annotated(result["result"]) for result in results)
    event = {"action": "ANNOTATION_CREATED", "annotation": {"id": 5, "task": 1, "result": first}, "task": {"id": 1}}
    assert client.post("/webhook", event) == (200, {"status": "ok"})
    second[1]["value"]["text"] = ["another text"]  # region 0
    second[2]["value"]["rle"][-1] ^= 1  # region 1's mask is drawn over
    for entry in second:
        entry["id"] = "new-" + entry["id"]
    by_hand = {**second[0], "id": "drawn", "origin": "manual"}
    event = {
        "action": "ANNOTATIONS_CREATED",
        "annotation": [{"id": 6, "task": 2, "result": [*second[:6], by_hand]}],
        "task": [{"id": 2}],
    }
    client.post("/webhook", event)
    client.post("/webhook", {"action": "START_TRAINING", "annotation": [1, None, {"id": 10**30}]})
    client.post("/webhook", {"action": "ANNOTATION_CREATED", "annotation": {"id": 8, "task": 99, "result": first}})
    backend.acceptance.settle()
    totals = {"accepted": 5, "text_edited": 1, "mask_edited": 1, "added": 1, "deleted": 1, "annotations": 2}
    assert backend.acceptance.totals() == totals
    assert metric(client, 'zeroguide_annotated_regions{outcome="accepted"}') == 5
    assert '<dd id="deleted">1</dd>' in client.get("/")[2].decode()

    client.post("/webhook", {"action": "ANNOTATION_UPDATED", "annotation": {"id": 5, "task": 1, "result": first[:2]}})
    client.post("/webhook", {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 6}]})
    backend.acceptance.settle()
    totals = {"accepted": 1, "text_edited": 0, "mask_edited": 0, "added": 0, "deleted": 3, "annotations": 1}
    assert backend.acceptance.totals() == totals


def test_regions_are_paired_with_what_they_agree_with_most():
    predicted = [Held("m1", "cat"), Held("m2", "cat"), Held("m3", "dog")]
    found = [Held("m2", "cat"), Held("m1", "kitten"), Held("m9", "dog"), Held("m8", "tree", by_hand=True)]
    assert compare(predicted, found) == {"accepted": 1, "text_edited": 1, "mask_edited": 1, "added": 1, "deleted": 0}
    assert compare(predicted, []) == {"added": 0, "deleted": 3}
    assert compare([], [Held("m", None)]) == {"added": 1, "deleted": 0}


def test_a_mask_that_the_editor_wrote_anew_is_the_same_mask(banded):
    """Its encoder ends a mask without the spare zero byte that ours, as the SDK's, may write."""
    client, backend = banded
    (result,) = client.predict([task(1, bands(1, (20, 12)))])
    submitted = annotated(result["result"])
    for entry in (submitted[2], submitted[4]):  # the bands in the middle have eight bits of padding
        rle = entry["value"]["rle"]
        assert rle[-2:] == [0, 0]
        assert np.array_equal(brush.decode(bytes(rle), 12, 20), brush.decode(bytes(rle[:-1]), 12, 20))
        rle.pop()
    client.post("/webhook", {"action": "ANNOTATION_CREATED", "annotation": {"id": 5, "task": 1, "result": submitted}})
    backend.acceptance.settle()
    totals = {"accepted": 4, "text_edited": 0, "mask_edited": 0, "added": 0, "deleted": 0, "annotations": 1}
    assert backend.acceptance.totals() == totals


def test_statistics_are_there_after_a_restart(tmp_path):
    one = Acceptance(tmp_path)
    one.predicted(1, [{"type": "brushlabels", "id": "a", "value": {"rle": [1, 2]}}])
    same = [{"type": "brushlabels", "id": "b", "value": {"rle": [1, 2]}}]
    one.event({"action": "ANNOTATION_CREATED", "annotation": {"id": 1, "task": 1, "result": same}})
    one.close()
    other = Acceptance(tmp_path)
    assert other.totals()["accepted"] == 1
    other.close()


def test_several_images_and_a_broken_one(tmp_path):
    config = PALETTE.replace('value="$image"', 'valueList="$images"')
    pages = {"/a": bands(1), "/b": bands(2)}
    with Loopback(lambda request, _: reply(200, pages[request.path]) if request.path in pages else reply(404)) as web:
        fetch = {"allow_networks": ("127.0.0.0/8",)}
        with serving(settings_for(tmp_path, fetch=fetch), BandSegmenter()) as (client, _):
            images = [f"http://127.0.0.1:{web.port}/{name}" for name in "axb"]
            (result,) = client.predict([{"id": 1, "data": {"images": images}}], config=config)
            assert sorted({entry["item_index"] for entry in result["result"]}) == [0, 2]
            assert metric(client, 'zeroguide_failures_total{kind="FetchError"}') == 1


def hostile_json():
    """Values that a request may hold where it should not: wrong types, halves of letters, huge numbers, nesting."""
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=8)
    names = st.sampled_from(("id", "data", "image", "result", "value", "rle", "type", "origin", "text", "task"))
    return st.recursive(leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))


def hostile_body():
    values = hostile_json()
    actions = st.sampled_from(("ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATIONS_DELETED")) | values
    known = {
        "tasks": values | st.lists(values, max_size=3),
        "project": values,
        "label_config": values,
        "schema": values,
    }
    return (
        st.fixed_dictionaries({}, optional={**known, "action": actions, "annotation": values, "task": values}) | values
    )


@given(path=st.sampled_from(("/setup", "/predict", "/webhook")), body=hostile_body())
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_hostile_requests_never_break_the_server(served_once, path, body):
    client, _ = served_once
    status, headers, content = client.ask("POST", path, json.dumps(body).encode())
    assert status in (200, 400)
    answer = json.loads(content)
    if status == 200 and path == "/predict":
        assert len(answer["results"]) == len(body["tasks"])
    if status == 400:
        assert answer["request_id"] == headers["X-Request-ID"]


@pytest.fixture(scope="module")
def served_once(tmp_path_factory):
    """A server whose segments can be worked out; what was asked of it must not have broken its pages."""
    with serving(settings_for(tmp_path_factory.mktemp("data")), BandSegmenter()) as (client, backend):
        yield client, backend
        backend.acceptance.settle()
        assert client.get("/")[0] == client.get("/metrics")[0] == 200


def test_many_clients_at_once_are_all_answered(banded):
    client, backend = banded
    answers = []

    def ask(number):
        for step in range(5):
            (result,) = client.predict([task((number * 5 + step) % 40)])
            answers.append(len(result["result"]))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [8] * 160
    events = [{"action": "ANNOTATION_CREATED", "annotation": {"id": n, "task": n, "result": []}} for n in range(40)]
    assert [client.post("/webhook", event)[0] for event in events] == [200] * 40
    backend.acceptance.settle()
    assert backend.acceptance.totals()["deleted"] == 40 * 4  # every prediction was remembered
    assert metric(client, "zeroguide_predict_requests") == 0
    assert metric(client, 'zeroguide_requests_total{endpoint="predict",status="200"}') == 160
    assert backend.queue.counts() == {"waiting": 0, "failed": 0}
