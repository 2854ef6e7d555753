"""The adapter inside a real label-studio-ml 1.0.9, which needs an environment of its own (see label_studio_ml.txt)."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from ls_backend.inference import model_version
from tests.ls_backend.serving import PALETTE, Client, bands, serving, settings_for, task

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venv-label-studio-ml"
PROJECT = "7.1795240125"
SETUP = {"project": PROJECT, "schema": PALETTE, "hostname": "http://127.0.0.1:1", "access_token": "x" * 40}

inside = pytest.mark.skipif(
    not (VENV / ".installed").exists(), reason=f"label-studio-ml is not installed: make {VENV.name}/.installed"
)


def environment(folder, **values):
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ZEROGUIDE_", "LABEL_STUDIO_", "BASIC_AUTH_"))
    }
    return {
        **kept,
        "PATH": f"{VENV}/bin{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "ZEROGUIDE_PRESET": "untrained",
        "ZEROGUIDE_DEVICE": "cpu",
        "ZEROGUIDE_MIN_AREA": "0",
        "ZEROGUIDE_DATA_DIR": str(folder / "data"),
        **values,
    }


def python(folder, code, **values):
    """Run code with the environment's Python."""
    command = [f"{VENV}/bin/python", "-c", code]
    return subprocess.run(
        command, cwd=folder, env=environment(folder, **values), capture_output=True, text=True, timeout=120, check=False
    )


@contextmanager
def started(folder):
    """A client of what `label-studio-ml start` started."""
    (folder / "model.py").write_text("from ls_backend.adapter import ZeroGuide\n")
    command = [f"{VENV}/bin/label-studio-ml"]
    setting = {"cwd": folder, "env": environment(folder)}
    subprocess.run([*command, "init", "backend", "--script", "model.py:ZeroGuide"], **setting, check=True, timeout=120)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [f"{VENV}/bin/python", "backend/_wsgi.py", "--host", "127.0.0.1", "--port", str(port)],  # what `start` runs
            **setting,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        client = Client(f"http://127.0.0.1:{port}")
        wait_for(port, process, folder / "log")
        yield client
    finally:
        process.kill()
        process.wait()


def wait_for(port, process, log, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, log.read_text()
        time.sleep(0.2)
    raise AssertionError(log.read_text())


@inside
def test_it_predicts_what_the_server_predicts(tmp_path):
    settings = settings_for(tmp_path / "server")
    tasks = [task(1), task(2, b"\x89PNG\r\n\x1a\n broken"), {"id": 3, "data": {}}, task(4, bands(9, (32, 20)))]
    with serving(settings) as (client, _):
        expected = client.predict(tasks, PROJECT)
    with started(tmp_path) as client:
        assert client.get("/health")[0] == 200
        assert client.post("/setup", SETUP) == (200, {"model_version": "INITIAL"})
        body = {"tasks": tasks, "project": PROJECT, "label_config": PALETTE}
        params = {"login": None, "password": None, "context": {"result": []}}
        status, answer = client.post("/predict", {**body, "params": params})
        assert status == 200, answer
        again = client.post("/predict", {**body, "params": {"login": None, "password": None, "context": None}})[1]
    assert expected[0].pop("model_version") == expected[3].pop("model_version") == model_version(settings)
    assert answer == {"results": expected, "model_version": "INITIAL"}
    assert again == answer
    assert [bool(result["result"]) for result in expected] == [True, False, False, True]
    assert expected[3]["result"][0]["original_width"] == 32


@inside
def test_nothing_is_trained(tmp_path):
    code = """
from ls_backend.adapter import ZeroGuide
model = ZeroGuide(label_config=None, hostname="http://localhost:1", access_token="x")
print(model.process_event("ANNOTATION_CREATED", {"annotation": {"id": 1}}, "1", {"workdir": "."}))
"""
    result = python(tmp_path, code)
    assert (result.returncode, result.stdout) == (0, "None\n"), result.stderr
    assert not (tmp_path / "data").exists()


@inside
@pytest.mark.parametrize(
    "auth", [{"ZEROGUIDE_AUTH": "me:hunter2"}, {"BASIC_AUTH_USER": "me", "BASIC_AUTH_PASS": "hunter2"}]
)
def test_a_password_that_would_not_be_asked_for_is_refused(tmp_path, auth):
    code = "from ls_backend.adapter import ZeroGuide; ZeroGuide(label_config=None).predict([])"
    result = python(tmp_path, code, **auth)
    assert result.returncode == 1
    assert "ConfigError: a user and password are set and this server would not ask for them" in result.stderr
    assert "hunter2" not in result.stderr


@pytest.mark.skipif(importlib.util.find_spec("label_studio_ml") is not None, reason="label-studio-ml is installed")
def test_without_label_studio_ml_it_says_what_to_do():
    command = [sys.executable, "-c", "import ls_backend.adapter"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "ImportError: ls_backend.adapter runs inside label-studio-ml, and that cannot be imported (No module named "
        "'label_studio_ml'); install it as ls_backend/adapter.py says, or run `zeroguide serve`, which does not need it"
    )
