"""The container files as far as they can be checked without an engine: what they name exists, and the settings fit."""

import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from ls_backend.settings import SETTINGS, BasicAuth, Secret, read_settings
from tests.ls_backend.bands import BandSegmenter
from tests.ls_backend.loopback import Loopback, reply
from tests.ls_backend.serving import serving, settings_for

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
FILLED_IN = {
    "LABEL_STUDIO_PASSWORD": "first$ecret",
    "LABEL_STUDIO_USER_TOKEN": "0123456789abcdef0123456789abcdef01234567",
    "BASIC_AUTH_PASS": "second secret",
}


def example_env():
    lines = (DOCKER / "example.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def substituted(text, values):
    """As the Compose specification's interpolation does for ${NAME:-default} and ${NAME:?message}."""

    def value(match):
        name, rule, rest = match.groups()
        if not values.get(name):
            assert rule == ":-", f"{name} must be set: {rest}"
            return rest
        return values[name]

    return re.sub(r"\$\{(\w+)(:[-?])([^}]*)\}", value, text)


def compose(values):
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    return {
        name: {variable: substituted(text, values) for variable, text in service["environment"].items()}
        for name, service in services.items()
    }


def image_environment():
    return dict(re.findall(r"\b(ZEROGUIDE_\w+)=(\S+)", (DOCKER / "Dockerfile").read_text()))


def test_the_two_are_set_up_for_each_other():
    found = compose({**example_env(), **FILLED_IN})
    studio, backend = found["label-studio"], {**image_environment(), **found["zeroguide"]}
    known = {name for setting in SETTINGS for name in setting.environment} | {"BASIC_AUTH_USER", "BASIC_AUTH_PASS"}
    assert set(backend) <= known
    settings = read_settings(environ=backend)
    assert settings.label_studio_url == "http://label-studio:8080"
    assert urlsplit(settings.label_studio_url).hostname in found
    assert (
        settings.label_studio_api_key.reveal()
        == studio["LABEL_STUDIO_USER_TOKEN"]
        == "0123456789abcdef" * 2 + "01234567"
    )
    assert (settings.auth.user, settings.auth.password.reveal()) == ("label-studio", "second secret")
    assert (settings.host, settings.port, str(settings.data_dir)) == ("0.0.0.0", 9090, "/data")
    assert (settings.preset, settings.weights) == ("mini", None)
    assert settings.deadline_s < float(studio["ML_TIMEOUT_PREDICT"])
    assert studio["LABEL_STUDIO_PASSWORD"] == "first$ecret"


@pytest.mark.parametrize("missing", sorted(FILLED_IN))
def test_a_secret_that_is_not_filled_in_stops_the_start(missing):
    with pytest.raises(AssertionError, match=f"{missing} must be set"):
        compose({**example_env(), **FILLED_IN, missing: ""})


def test_the_example_names_every_variable():
    used = re.findall(r"\$\{(\w+)", (DOCKER / "compose.yaml").read_text())
    assert set(used) - {"LABEL_STUDIO_HOST"} == set(example_env())


def test_what_is_copied_is_there_and_not_ignored():
    lines = re.findall(r"^COPY (.+)", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    copied = {source for line in lines for source in line.split()[:-1]}
    allowed = {line[1:] for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*wheel["packages"], *wheel.get("force-include", {}), project["project"]["readme"]} <= copied


def health(port):
    command = [sys.executable, str(DOCKER / "healthcheck.py")]
    result = subprocess.run(
        command, env={"ZEROGUIDE_PORT": str(port)}, capture_output=True, text=True, timeout=60, check=False
    )
    return result.returncode, result.stderr


def port_of(client):
    return urlsplit(client.url).port


@pytest.mark.parametrize("auth", [None, BasicAuth("me", Secret("hunter2"))])
def test_the_health_check_passes_with_and_without_a_password(tmp_path, auth):
    with serving(settings_for(tmp_path, auth=auth), BandSegmenter()) as (client, _):
        assert client.get("/health")[0] == (200 if auth is None else 401)
        assert health(port_of(client)) == (0, "")


def test_the_health_check_fails_where_nothing_or_something_else_answers():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        code, message = health(port)
    assert code == 1
    assert message.startswith(f"no answer on port {port}: ")
    with Loopback(lambda request, _: reply(502)) as broken:
        assert health(broken.port) == (1, f"port {broken.port} answers with status 502\n")
