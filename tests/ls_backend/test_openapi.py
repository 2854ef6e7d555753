"""Two thousand malformed requests, made from the description that ships with the server: none breaks it."""

import json
from collections import Counter
from importlib.resources import files

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from tests.ls_backend.serving import PALETTE, serving, settings_for, task

load_all_checks()
DESCRIPTION = schemathesis.openapi.from_path(str(files("ls_backend").joinpath("openapi.yaml")))
CHECKED = CHECKS.get_by_names(
    ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
)
VALID = {
    "/setup": {"project": "7.1", "schema": PALETTE, "hostname": "http://x", "access_token": "t", "extra_params": None},
    "/predict": {"tasks": [task(1)], "project": "7.1", "label_config": PALETTE, "params": {"context": None}},
    "/webhook": {"action": "ANNOTATION_CREATED", "annotation": {"id": 1, "task": 1, "result": []}},
}
PROFILE = settings(
    deadline=None,
    database=None,
    derandomize=True,  # the same requests in every run
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server whose model is loaded, and a session; after the test it must still work."""
    with serving(settings_for(tmp_path_factory.mktemp("data"))) as (client, backend), requests.Session() as session:
        expected = client.predict([task(1)])
        assert expected[0]["result"]
        yield client, session
        backend.acceptance.settle()
        assert client.predict([task(1)]) == expected
        for path in ("/", "/metrics", "/health", "/ready", "/versions", "/openapi.yaml"):
            assert client.get(path)[0] == 200


def answered(status, text, request_id):
    """No failure of the server; an error is JSON with the request's id and no stack trace."""
    assert status < 500
    assert "Traceback" not in text
    if status >= 400:
        document = json.loads(text)
        assert (document["status"], document["request_id"]) == (status, request_id)


@pytest.mark.parametrize(("path", "count"), [("/setup", 400), ("/predict", 500), ("/webhook", 400)])
def test_requests_that_break_the_description_are_answered_as_it_says(server, path, count):
    client, session = server
    seen = Counter()

    @given(case=DESCRIPTION[path]["POST"].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    @settings(PROFILE, max_examples=count)
    def ask(case):
        response = case.call(base_url=client.url, session=session, timeout=60)
        seen[response.status_code] += 1
        case.validate_response(response, checks=CHECKED)
        answered(response.status_code, response.text, response.headers["x-request-id"][0])

    ask()
    assert sum(seen.values()) >= count
    assert set(seen) <= {200, 400}
    assert seen[400] > 0


@st.composite
def damaged(draw):
    """(path, method, headers, body): a right request with bytes changed, cut out or put in, and false headers."""
    path = draw(st.sampled_from(sorted(VALID)))
    body = bytearray(json.dumps(VALID[path]).encode())
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(body)))
        gone = draw(st.sampled_from((0, 1, 2, 64, len(body))))
        body[at : at + gone] = draw(st.sampled_from((b"[" * 3000, b'"\\ud800"', b"1e999", b"-", b"\xff"))
                                    | st.binary(max_size=8))  # fmt: skip
    headers = draw(
        st.dictionaries(
            st.sampled_from(
                ("Content-Type", "Content-Encoding", "Authorization", "Accept", "X-Forwarded-For", "Range")
            ),
            st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=20).map(str.strip),
            max_size=2,
        )
    )
    return path, draw(st.sampled_from(("POST",) * 6 + ("GET", "PUT", "DELETE", "OPTIONS"))), headers, bytes(body)


def test_damaged_requests_are_answered(server):
    client, session = server
    seen = Counter()

    @given(damaged())
    @settings(PROFILE, max_examples=700)
    def ask(request):
        path, method, headers, body = request
        encoded = {name: value.encode("latin-1") for name, value in headers.items()}
        response = session.request(method, client.url + path, headers=encoded, data=body, timeout=60)
        seen[response.status_code] += 1
        answered(response.status_code, response.text, response.headers["X-Request-ID"])

    ask()
    assert sum(seen.values()) >= 700
    assert {200, 400, 405} <= set(seen) <= {200, 400, 405, 415}
