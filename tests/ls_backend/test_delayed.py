"""Tasks whose image does not come now but may later: not answered as empty, queued, and sent when it came."""

import json
import logging
import socket
import sqlite3

import pytest

from tests.ls_backend.bands import BandSegmenter
from tests.ls_backend.loopback import Loopback, reply
from tests.ls_backend.serving import LEGACY, PALETTE, PredictionStore, bands, serving, settings_for, task
from tests.ls_backend.test_app import Slow, metric, until
from tests.ls_backend.test_background import with_store

LOOPBACK = {"allow_networks": ("127.0.0.0/8",), "timeout_s": 5}


class Host:
    """An image host that answers with `status` until told otherwise; None hangs up."""

    def __init__(self, status):
        self.status = status

    def __call__(self, request, connection):
        if self.status is None:
            return b""
        return reply(self.status, bands(1) if self.status == 200 else b"")


def elsewhere(web, number=1):
    return {"id": number, "data": {"image": f"http://127.0.0.1:{web.port}/{number}.png"}}


@pytest.mark.parametrize("status", [None, 500, 503, 429])
def test_an_image_host_that_is_down_costs_no_task(tmp_path, status, caplog):
    store, host = PredictionStore(), Host(status)
    with (
        Loopback(host) as web,
        store.serve() as label_studio,
        serving(with_store(tmp_path, label_studio, fetch=LOOPBACK), BandSegmenter()) as (client, backend),
    ):
        with caplog.at_level(logging.WARNING):
            results = client.predict([task(9), elsewhere(web, 1), elsewhere(web, 2)])
        assert [len(result["result"]) for result in results[:1]] == [8]
        assert results[1:] == [[], []]  # of which nothing is stored, so that it is asked for again
        assert any("2 tasks have images that did not come (1, 2); 2 are queued" in line for line in caplog.messages)
        assert metric(client, 'zeroguide_tasks_total{outcome="failed"}') == 2
        host.status = 200
        assert len(client.predict([elsewhere(web, 1)])[0]["result"]) == 8  # asked again, it is there
        until(lambda: backend.queue.counts() == {"waiting": 0, "failed": 0})
    assert sorted(one["task"] for one in store.predictions) == [1, 2]


def test_a_host_that_nobody_listens_on_may_come_back(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        away = {"id": 1, "data": {"image": f"http://127.0.0.1:{closed.getsockname()[1]}/a.png"}}
        with serving(settings_for(tmp_path, fetch=LOOPBACK), BandSegmenter()) as (client, backend):
            assert client.predict([away]) == [[]]
            assert backend.queue.counts() == {"waiting": 1, "failed": 0}


def test_failures_that_stay_are_answered_as_empty(tmp_path):
    contents = {"/404.png": reply(404), "/page.png": reply(200, b"<html>"), "/bad.png": reply(200, b"no image")}
    with Loopback(lambda request, _: contents[request.path]) as web:
        allowed = {**LOOPBACK, "allow_networks": (), "allow_hosts": (f"127.0.0.1:{web.port}",)}
        with serving(settings_for(tmp_path, fetch=allowed), BandSegmenter()) as (client, backend):
            addresses = [f"http://127.0.0.1:{web.port}{path}" for path in contents]
            addresses += ["http://127.0.0.1:1/forbidden.png", "http://169.254.169.254/", "ftp://example.org/a", ""]
            tasks = [{"id": number, "data": {"image": address}} for number, address in enumerate(addresses)]
            assert client.predict(tasks) == [{"result": []}] * len(tasks)
            assert backend.queue.counts() == {"waiting": 0, "failed": 0}


def test_a_token_that_is_refused_leaves_tasks_to_be_asked_for_again(tmp_path):
    with Loopback(lambda request, _: reply(401)) as label_studio:
        settings = with_store(tmp_path, label_studio)
        with serving(settings, BandSegmenter()) as (client, _):
            assert client.predict([{"id": 1, "data": {"image": "/data/upload/1/a.png"}}]) == [[]]
            assert LEGACY not in client.get("/")[2].decode()


def test_a_queue_that_cannot_be_written_costs_no_finished_result(tmp_path, caplog):
    model = Slow(fast=1)
    with serving(settings_for(tmp_path, deadline_s=1.0), model) as (client, backend):
        client.predict([task(1)])
        other = sqlite3.connect(backend.queue.path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        try:
            with caplog.at_level(logging.WARNING):
                body = {"tasks": [task(1), task(2)], "project": "7.1", "label_config": PALETTE}
                status, headers, content = client.ask("POST", "/predict", body)
        finally:
            other.close()
        assert status == 200
        first, second = json.loads(content)["results"]
        assert len(first["result"]) == 8
        assert second == []
        (line,) = [line for line in caplog.messages if line.startswith(headers["X-Request-ID"])]
        assert "1 tasks did not fit into 1 s (2); they cannot be queued (OperationalError: database is locked)" in line
        assert metric(client, 'zeroguide_failures_total{kind="OperationalError"}') == 1
        model.go.set()
