"""`zeroguide doctor`: what it finds at fault, the cure it names, and that it leaves nothing behind."""

import base64
import json
import time
from dataclasses import replace

import pytest
from click.testing import CliRunner

from ls_backend.cli import main, zeroguide
from ls_backend.doctor import Finding, from_error
from ls_backend.doctor_label_studio import UNBLOCK, LabelStudioDoctor
from ls_backend.settings import BasicAuth, Secret
from tests.ls_backend.bands import BandSegmenter
from tests.ls_backend.loopback import Loopback, reply
from tests.ls_backend.serving import bands, data_uri, serving, settings_for
from tests.ls_backend.studio_answers import KEY, Studio, error
from zgcore.errors import ConfigError

AUTH = BasicAuth("me", Secret("hunter2"))


@pytest.fixture
def studio():
    """One whose first project has a photo of 16 x 12 pixels."""
    found = Studio()
    found.tasks[1] = {"id": 1, "project": 1, "data": {"image": data_uri(bands())}}
    return found


@pytest.fixture
def backend(tmp_path):
    """The address of a backend with a password."""
    with serving(settings_for(tmp_path, auth=AUTH), BandSegmenter()) as (client, _):
        yield client.url


def examined(studio, backend, project=1, key=KEY, auth=AUTH):
    """What is found of Label Studio, by check."""
    with studio.serve() as (_, settings):
        settings = replace(settings, auth=auth, label_studio_api_key=key and Secret(key))
        return {finding.check: finding for finding in LabelStudioDoctor(settings, project, backend).findings()}


def connected(studio, backend):
    """As `zeroguide connect` leaves it."""
    row = {"id": 1, "project": 1, "url": backend + "/", "title": "zeroguide", "state": "CO", "readable_state": "x"}
    studio.backends[1] = row
    headers = {"Authorization": "Basic bWU6aHVudGVyMg=="}  # base64 of me:hunter2
    studio.hooks[1] = {"id": 1, "url": backend + "/webhook", "headers": headers}


def test_all_is_well(studio, backend):
    connected(studio, backend)
    found = examined(studio, backend)
    assert {finding.state for finding in found.values()} == {"ok"}
    assert list(found) == [
        "Label Studio",
        "token",
        "backend",
        "backend address",
        "webhook address",
        "Label Studio to backend",
        "connection",
        "labelling config",
        "sample image",
    ]
    assert found["token"].message == "legacy token of a@example.com"
    assert found["sample image"].message == "task 1: 16 x 12 pixels, 0 kB"
    assert found["backend"].message.endswith(f"at {backend}, model loaded")
    assert not any(finding.cure for finding in found.values())


def test_nothing_is_made_or_changed(studio, backend):
    before = json.dumps([studio.projects, studio.tasks])
    examined(studio, backend)
    assert json.dumps([studio.projects, studio.tasks]) == before
    assert studio.backends == studio.hooks == {}
    assert {path for method, path, _ in studio.seen if method != "GET"} == {"/api/ml/", "/api/webhooks/"}


def test_a_label_studio_that_is_down_or_none(studio, backend):
    studio.refuses = lambda method, path: error(503, "starting") if path == "/api/version" else None
    found = examined(studio, backend)
    assert list(found) == ["Label Studio", "backend"]
    assert found["Label Studio"].state == "failed"
    assert "try: curl http://127.0.0.1:" in found["Label Studio"].cure
    studio.version = ""
    studio.refuses = lambda method, path: None
    assert "is not Label Studio" in examined(studio, backend)["Label Studio"].message


@pytest.mark.parametrize(("version", "state"), [("1.22.0", "warning"), ("1.23.0", "ok"), ("2.0.1", "ok")])
def test_an_old_label_studio_is_told(studio, backend, version, state):
    studio.version = version
    found = examined(studio, backend)["Label Studio"]
    assert found.state == state
    assert (found.cure == "pip install --upgrade label-studio") == (state == "warning")


def web_token(**values):
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, values))
    return ".".join((*parts, "signature"))


def test_tokens(studio, backend):
    assert examined(studio, backend, key=None)["token"].message.startswith("there is none")
    refused = examined(studio, backend, key="f" * 40)["token"]
    assert (refused.state, refused.message) == ("failed", "the legacy token is refused: Invalid token.")
    assert "/user/account/personal-access-token, then: export LABEL_STUDIO_API_KEY=TOKEN" in refused.cure
    assert "connection" not in examined(studio, backend, key="f" * 40)


def test_personal_access_tokens(studio, backend):
    """The kind is told by the token itself, and so is when it ends."""
    access = web_token(token_type="access")

    def refresh(method, path):
        return (200, {"access": access}) if path == "/api/token/refresh/" else None

    studio.refuses = refresh
    route = studio.route

    def trusting(method, path, query, request):
        request.headers["authorization"] = f"Token {KEY}"
        return route(method, path, query, request)

    studio.route = trusting
    far, near = time.time() + 400 * 86400, time.time() + 2.5 * 86400
    found = examined(studio, backend, key=web_token(token_type="refresh", exp=far))["token"]
    assert (found.state, found.message) == ("ok", "personal access token of a@example.com")
    found = examined(studio, backend, key=web_token(token_type="refresh", exp=near))["token"]
    assert (found.state, found.message) == ("warning", "personal access token of a@example.com, which ends in 2 days")
    found = examined(studio, backend, key=access)["token"]
    assert (found.state, found.message) == ("warning", "an access token of a@example.com, which ends after minutes")
    studio.refuses = lambda method, path: error(401, "blacklisted") if path == "/api/token/refresh/" else None
    found = examined(studio, backend, key=web_token(token_type="refresh", exp=far))["token"]
    assert found.state == "failed"
    assert "Label Studio refuses the personal access token (status 401)" in found.message


def test_a_backend_that_is_none(studio, backend):
    wrong = examined(studio, backend, auth=BasicAuth("me", Secret("wrong")))["backend"]
    assert (wrong.state, wrong.cure[:22]) == ("failed", "export BASIC_AUTH_USER")
    with Loopback(lambda request, _: reply(200, b"<html>")) as other:
        found = examined(studio, f"http://127.0.0.1:{other.port}")["backend"]
        assert found.message.endswith("is no zeroguide (status 200)")
    gone = examined(studio, f"http://127.0.0.1:{other.port}")
    assert gone["backend"].state == "failed"
    assert gone["backend"].cure.startswith("zeroguide serve --label-studio-url http://127.0.0.1:")
    assert "Label Studio to backend" not in gone


def test_a_model_that_cannot_be_loaded(studio):
    def answer(request, _):
        ready = {"status": "not loaded", "error": "weights are missing"}
        if request.path == "/ready":
            return reply(503, json.dumps(ready).encode())
        return reply(200, b'{"status": "UP", "model_version": "v"}')

    with Loopback(answer) as server:
        found = examined(studio, f"http://127.0.0.1:{server.port}")["backend"]
    assert (found.state, found.message) == ("failed", "its model cannot be loaded: weights are missing")


@pytest.mark.parametrize(
    ("kind", "check", "setting"),
    [("ml", "backend address", "ML_BLOCK_LOCAL_IP"), ("webhooks", "webhook address", "SSRF_PROTECTION_ENABLED")],
)
def test_blocked_addresses(studio, backend, kind, check, setting):
    studio.blocked = {kind}
    found = examined(studio, backend)
    assert {name: finding.state for name, finding in found.items() if "address" in name} == {
        "backend address": "ok",
        "webhook address": "ok",
        check: "failed",
    }
    assert setting in found[check].message
    assert found[check].cure == UNBLOCK
    assert ("Label Studio to backend" in found) == (kind == "webhooks")


def test_a_backend_that_label_studio_does_not_reach(studio, backend):
    studio.unreachable = '<a href="x">HTTPConnectionPool</a>: Connection refused'
    found = examined(studio, backend)["Label Studio to backend"]
    assert found.state == "failed"
    assert found.message == f"Label Studio does not reach {backend}: HTTPConnectionPool: Connection refused"
    assert "--host 0.0.0.0 --auth USER:PASSWORD" in found.cure


def test_something_that_answers_everything_is_not_left_connected(studio, backend):
    connected(studio, backend)
    studio.deceived = True
    found = examined(studio, backend)["Label Studio to backend"]
    assert found.message.endswith("is no zeroguide")
    assert (list(studio.backends), list(studio.hooks)) == ([1], [1])


def test_without_projects_it_is_not_checked_whether_label_studio_reaches_it(studio, backend):
    studio.projects.clear()
    found = examined(studio, backend, project=None)
    assert found["Label Studio to backend"].state == "warning"
    assert "connection" not in found
    assert examined(studio, backend, project=9)["Label Studio to backend"].message == "there is no project 9"


def test_connections(studio, backend):
    none = examined(studio, backend)["connection"]
    assert none.message == 'project 1 "project 1" has no such backend'
    assert none.cure.endswith(f"--project 1 --backend-url {backend}")
    connected(studio, backend)
    studio.hooks.clear()
    assert "stored no webhook" in examined(studio, backend)["connection"].message
    studio.backends[1].update(state="ER", readable_state="Error", error_message="no model")
    found = examined(studio, backend)["connection"]
    assert (found.state, found.message) == ("failed", "Error: no model")
    studio.backends[0] = {"id": 0, "project": 1, "url": "http://other:9090", "state": "CO"}
    found = examined(studio, backend)["connection"]
    assert found.state == "failed"
    assert found.message == "project 1 has another backend first, http://other:9090, and only that is asked"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic bWU6d3Jvbmc="}])  # base64 of me:wrong
def test_a_webhook_without_the_password_is_told_and_no_password_shown(studio, backend, headers):
    connected(studio, backend)
    studio.hooks[1]["headers"] = headers
    found = examined(studio, backend)["connection"]
    assert (found.state, "the webhook has no password, or another" in found.message) == ("warning", True)
    assert found.cure.startswith("zeroguide connect --url ")
    told = found.message + found.cure
    assert not any(secret in told for secret in ("hunter2", "bWU6", "wrong"))
    assert examined(studio, backend, auth=None)["connection"].state == "ok"


def test_configs(studio, backend):
    project = studio.projects[1]
    project["label_config"] = '<View><Image name="image" value="$image"/><Rectangle name="r" toName="image"/></View>'
    found = examined(studio, backend)
    assert found["labelling config"].state == "failed"
    assert found["labelling config"].cure.endswith("--project 1 --set-config")
    assert "sample image" not in found
    project["label_config"] = '<View><Image name="image" value="$image"/><BrushLabels name="m" toName="image">'
    project["label_config"] += '<Label value="a"/></BrushLabels></View>'
    found = examined(studio, backend)["labelling config"]
    assert (found.state, found.cure[:24]) == ("warning", 'add <TextArea name="capt')


def test_sample_images(studio, backend):
    studio.tasks[1]["data"] = {"image": "http://127.0.0.1:1/a.jpg"}
    found = examined(studio, backend)["sample image"]
    assert found.state == "failed"
    assert "is not a public address, so it is not read" in found.message + found.cure
    studio.tasks[1]["data"] = {"photo": "x"}
    assert 'asks for "$image"' in examined(studio, backend)["sample image"].cure
    studio.tasks.clear()
    assert examined(studio, backend)["sample image"].state == "warning"


def test_errors_are_parted_into_message_and_cure():
    assert from_error("x", ConfigError("a; b; do c")) == Finding("x", "failed", "a; b", "do c")
    assert from_error("x", ConfigError("a; b"), "c") == Finding("x", "failed", "a; b", "c")
    assert from_error("x", ConfigError("do a")) == Finding("x", "failed", "do a", "do a")


# The command


def run(studio, *arguments, key=KEY, folder=None, **environment):
    with studio.serve() as (_, settings):
        own = {
            "LABEL_STUDIO_URL": settings.label_studio_url,
            "LABEL_STUDIO_API_KEY": key,
            "BASIC_AUTH_USER": "me",
            "BASIC_AUTH_PASS": "hunter2",
            "ZEROGUIDE_DATA_DIR": str(folder),
            "ZEROGUIDE_PRESET": "untrained",
            "ZEROGUIDE_DEVICE": "cpu",
            **environment,
        }
        return CliRunner(env=own).invoke(zeroguide, ["doctor", *arguments])


def test_the_command_prints_a_line_for_each_check_and_says_whether_all_is_well(studio, backend, tmp_path):
    connected(studio, backend)
    result = run(studio, "--project", "1", "--backend", backend, folder=tmp_path / "data")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith("ok       Label Studio             1.23.2 at http://127.0.0.1:")
    assert [line[9:32].strip() for line in lines[9:14]] == ["disk", "device", "weights", "", "memory"]
    assert lines[-1] == "13 checks: 12 ok, 1 warnings, 0 failed."  # the weights are random
    studio.backends.clear()
    studio.blocked = {"ml"}
    result = run(studio, "--project", "1", "--backend", backend, folder=tmp_path / "data")
    assert result.exit_code == 1
    assert f"-> {UNBLOCK}\n" in result.output


def test_the_command_as_json(studio, backend, tmp_path):
    result = run(studio, "--json", "--backend", backend, key="f" * 40, folder=tmp_path)
    document = json.loads(result.output)
    assert (result.exit_code, document["ok"]) == (1, False)
    assert document["checks"][1] == {
        "check": "token",
        "state": "failed",
        "message": "the legacy token is refused: Invalid token.",
        "cure": document["checks"][1]["cure"],
    }
    assert [check["check"] for check in document["checks"]] == [
        "Label Studio", "token", "backend", "disk", "device", "weights", "memory",
    ]  # fmt: skip


def test_secrets_are_not_shown(studio, backend, tmp_path):
    result = run(studio, "--json", "--backend", backend, key="s3cret" * 7, folder=tmp_path, BASIC_AUTH_PASS="pa55word")
    assert "s3cret" not in result.output
    assert "pa55word" not in result.output


def test_without_an_address_it_is_wrong_use(capsys, monkeypatch):
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_HOST", "ZEROGUIDE_LABEL_STUDIO_URL"):
        monkeypatch.delenv(name, raising=False)
    assert main(["doctor"]) == 2
    assert "where is Label Studio? Name it: --url http://localhost:8080" in capsys.readouterr().err
    assert main(["doctor", "--url", "http://me:s3cret@host"]) == 2
    assert "s3cret" not in capsys.readouterr().err
