"""Web pages may not ask the server: not through a browser's own requests, and not by a name made to lead here."""

import json

import pytest

from ls_backend.guards import is_loopback, names_this_machine
from ls_backend.settings import BasicAuth, Secret
from tests.ls_backend.bands import BandSegmenter
from tests.ls_backend.serving import PALETTE, serving, settings_for, task

SETUP = {"project": "1.1", "schema": PALETTE}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(settings_for(tmp_path_factory.mktemp("data")), BandSegmenter()) as (client, _):
        yield client


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/setup", "/predict", "/webhook"])
def test_a_page_cannot_post(server, path, headers):
    body = json.dumps({**SETUP, "tasks": [task(1)]}).encode()
    status, answered, content = server.ask("POST", path, body, **{"Content-Type": "text/plain", **headers})
    assert status == 403
    answer = json.loads(content)
    assert (answer["status"], answer["request_id"]) == (403, answered["X-Request-ID"])
    assert server.ask("POST", path, body, **{"Content-Type": "text/plain"})[0] == 200


def test_pages_are_read_by_browsers(server):
    assert server.get("/", **{"Sec-Fetch-Site": "none"})[0] == 200
    assert server.get("/", **{"Sec-Fetch-Site": "cross-site"})[0] == 200  # a link; its page cannot read the answer


def test_names_that_lead_here_are_refused_without_a_password(server, tmp_path):
    for path in ("/", "/metrics", "/health"):
        assert server.get(path, Host="evil.example:9090")[0] == 403
        assert server.get(path, Host="localhost:9090")[0] == 200
    assert "--auth" in json.loads(server.get("/", Host="evil.example")[2])["error"]
    with serving(settings_for(tmp_path, auth=BasicAuth("a", Secret("b"))), BandSegmenter()) as (client, _):
        assert client.get("/health", Host="proxy.example", Authorization="Basic YTpi")[0] == 200


def test_a_server_for_other_machines_answers_to_any_name(tmp_path):
    with serving(settings_for(tmp_path, host="0.0.0.0"), BandSegmenter()) as (client, _):
        assert client.get("/health", Host="segments.example.org")[0] == 200


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost:9090", True),
        ("LOCALHOST", True),
        ("127.0.0.1:9090", True),
        ("[::1]:9090", True),
        ("192.168.1.5:9090", True),
        ("backend:9090", True),
        ("host.docker.internal:9090", True),
        ("app.localhost", True),
        ("", True),
        ("evil.example", False),
        ("evil.example.:9090", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("internal.example", False),
    ],
)
def test_names_of_this_machine(host, ours):
    assert names_this_machine(host) is ours


def test_what_is_loopback():
    hosts = ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "0.0.0.0", "::", "10.0.0.1", "a.example"]
    assert [is_loopback(host) for host in hosts] == [True] * 5 + [False] * 4
