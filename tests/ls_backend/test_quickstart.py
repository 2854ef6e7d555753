"""`zeroguide quickstart`, piece by piece; tests/label_studio has the real Label Studio."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from ls_backend.cli import main, zeroguide
from ls_backend.local_server import free_port
from ls_backend.quickstart import (
    TITLE,
    BackendStopped,
    connect_backend,
    predict_all,
    running_backend,
    sample_project,
    wait_for_backend,
)
from ls_backend.settings import Secret
from tests.ls_backend.loopback import Loopback, reply
from tests.ls_backend.serving import settings_for
from tests.ls_backend.studio_answers import KEY, Studio
from zgcore.samples import sample_paths


@pytest.fixture
def studio():
    """One that can be given new projects."""
    found = Studio()

    def create(query, body):
        number = max(found.projects, default=0) + 1
        found.projects[number] = found.new_project(number, body["label_config"]) | {"title": body["title"]}
        return 201, found.projects[number]

    routes = found.routes
    found.routes = lambda: [("POST", "/api/projects/", create), *routes()]
    return found


def test_the_photos_are_uploaded_once(studio):
    with studio.serve() as (api, _):
        numbers = {sample_project(api) for _ in range(2)}
    assert numbers == {2}
    assert studio.projects[2]["title"] == TITLE
    assert len(studio.uploads) == len(studio.tasks) == len(sample_paths()) == 8
    assert studio.tasks[1]["data"] == {"image": "/data/upload/1/1-a.jpg"}
    assert sample_paths()[0].read_bytes() in studio.uploads[0]


def test_a_backend_on_another_port_takes_the_place_of_the_old_one(studio, capsys):
    with studio.serve() as (api, _):
        for port in (9090, 9191, 9191):
            connect_backend(api, 1, f"http://127.0.0.1:{port}")
        studio.hooks[7] = {"id": 7, "url": "http://127.0.0.1:9090/webhook"}
        connect_backend(api, 1, "http://127.0.0.1:9191")
    assert [row["url"] for row in studio.backends.values()] == ["http://127.0.0.1:9191"]
    assert [hook["url"] for hook in studio.hooks.values()] == ["http://127.0.0.1:9191/webhook"]
    assert "ok       ML backend" in capsys.readouterr().out


def test_only_tasks_without_a_prediction_are_predicted(studio, capsys):
    for number in (1, 2, 3):
        studio.tasks[number] = {"id": number, "project": 1, "data": {"image": f"/data/upload/1/0123abcd-{number}.jpg"}}
    studio.predictions = [{"id": 1, "task": 1, "result": [{"type": "brushlabels"}, {"type": "textarea"}] * 2}]
    asked = []

    def retrieve(query, body):
        asked.extend(body["selectedItems"]["included"])
        if body["selectedItems"]["included"] == [2]:
            studio.predictions.append({"id": 2, "task": 2, "result": []})
        return 200, {"processed_items": 1}

    routes = studio.routes
    studio.routes = lambda: [("POST", "/api/dm/actions/", retrieve), *routes()]
    with studio.serve() as (api, _):
        predict_all(api, 1)
    assert asked == [2, 3]
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "  1.jpg: 2 masks"
    assert second.startswith("  2.jpg: 0 masks, ")
    assert third == "  3.jpg: no prediction, see the log"


def backend_settings(folder, **values):
    known = {"label_studio_url": "http://127.0.0.1:1", "label_studio_api_key": Secret(KEY)}
    settings = settings_for(folder, **known, **values)
    object.__setattr__(settings, "port", free_port())
    return settings


def test_the_backend_runs_with_its_own_settings_and_ends(tmp_path, monkeypatch):
    monkeypatch.setenv("BASIC_AUTH_USER", "me")  # of another backend
    monkeypatch.setenv("ZEROGUIDE_PRESET", "nonsense")
    settings, log = backend_settings(tmp_path / "data"), tmp_path / "log"
    with running_backend(settings, log) as process:
        version = wait_for_backend(process, f"http://127.0.0.1:{settings.port}", log)
        assert version.startswith("untrained-")
        assert process.poll() is None
    assert process.returncode == 0
    assert KEY not in log.read_text()


def test_a_backend_that_does_not_start_shows_why(tmp_path):
    settings, log = backend_settings(tmp_path / "data"), tmp_path / "log"
    (tmp_path / "data").write_text("no folder")
    with running_backend(settings, log) as process, pytest.raises(BackendStopped, match="choose another, --data-dir"):
        wait_for_backend(process, f"http://127.0.0.1:{settings.port}", log)


def test_another_server_is_not_taken_for_the_backend(tmp_path):
    """One that answers as a backend would, on the port that ours was to have."""
    settings, log = backend_settings(tmp_path / "data"), tmp_path / "log"
    with Loopback(lambda request, _: reply(200, b'{"status": "UP", "model_version": "foreign"}')) as other:
        object.__setattr__(settings, "port", other.port)
        taken = f"the backend cannot listen on 127.0.0.1:{other.port}: Address already in use; stop what does"
        with pytest.raises(BackendStopped, match=taken), running_backend(settings, log) as process:
            wait_for_backend(process, f"http://127.0.0.1:{other.port}", log)
    assert not log.exists()


def test_without_label_studio_it_says_how_to_install_it(tmp_path, capsys):
    assert main(["quickstart", "--label-studio", str(tmp_path), "--folder", str(tmp_path / "out")]) == 1
    assert "pip install label-studio==" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_errors_of_several_lines_stay_readable(tmp_path, capsys):
    """The end of a log is shown line by line."""
    program = tmp_path / "bin" / "label-studio"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho one; echo two\nexit 3\n")
    program.chmod(0o755)
    ports = ["--port", str(free_port()), "--backend-port", str(free_port())]
    code = main(["quickstart", "--label-studio", str(tmp_path), "--folder", str(tmp_path / "out"), *ports])
    assert code == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: Label Studio ended with exit code 3")
    assert error.endswith("\none\ntwo\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_backend_too(tmp_path, number):
    """While Label Studio is still starting."""
    program = tmp_path / "bin" / "label-studio"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nexec sleep 300\n")
    program.chmod(0o755)
    ports = ["--port", str(free_port()), "--backend-port", str(free_port())]
    command = [sys.executable, "-m", "ls_backend", "quickstart", "--label-studio", str(tmp_path), *ports]
    process = subprocess.Popen([*command, "--folder", str(tmp_path / "out")], start_new_session=True)
    try:
        end = time.monotonic() + 60
        while not (tmp_path / "started").exists() and time.monotonic() < end:
            time.sleep(0.1)
        children = _children(process.pid)
        assert len(children) == 2
        process.send_signal(number)
        time.sleep(0.2)
        process.send_signal(number)  # a closing terminal's come from the kernel and from the shell
        assert process.wait(120) == 130
        assert not any(_alive(child) for child in children)
    finally:
        process.kill()
        process.wait()


def _children(parent):
    """Numbers of the processes that a process has started (proc(5))."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def _alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_its_help_names_what_it_starts():
    result = CliRunner().invoke(zeroguide, ["quickstart", "--help"])
    assert "Start Label Studio and the backend on this machine" in result.output
