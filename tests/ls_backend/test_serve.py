"""`zeroguide serve` as a process, and its settings on the command line."""

import os
import re
import signal
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from ls_backend.cli_serve import MOST_THREADS, SPARE_THREADS, make_server, serve
from ls_backend.settings import SETTINGS
from tests.ls_backend.bands import BandSegmenter
from tests.ls_backend.serving import Client, serving, settings_for, task
from zgcore.errors import ConfigError

ROOT = Path(__file__).parents[2]
RUN = "import sys; from ls_backend.cli_serve import serve; serve(sys.argv[1:])"


def environment(folder, **values):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZEROGUIDE_", "LABEL_STUDIO_"))}
    return {**kept, "ZEROGUIDE_DATA_DIR": str(folder), "OMP_NUM_THREADS": "1", **values}


def started(folder, *flags):
    """The process, and the address it prints."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "--preset", "untrained", "--device", "cpu", "--port", "0", *flags],
        cwd=ROOT,
        env=environment(folder),
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = []
    for line in process.stderr:
        lines.append(line)
        if found := re.search(r"listens on (http://\S+)", line):
            return process, found[1], lines
    raise AssertionError("".join(lines))


def test_serve_answers_and_stops_on_a_signal(tmp_path):
    process, url, _ = started(tmp_path, "--min-area", "0")
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=10) as response:
            assert response.status == 200
        (result,) = Client(url).predict([task(1)])
        assert result["result"]
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


def test_every_setting_has_a_flag_and_is_printed(tmp_path):
    result = CliRunner().invoke(serve, ["--help"])
    assert result.exit_code == 0
    for setting in SETTINGS:
        assert setting.flag in result.output
    flags = ["--print-settings", "--port", "1234", "--smooth", "--no-preload", "--auth", "me:hunter2"]
    flags += ["--fetch-allow-hosts", "a.example,*.b.example", "--fetch-max-mb", "7"]
    result = CliRunner(env=environment(tmp_path, LABEL_STUDIO_URL="http://ls:8080")).invoke(serve, flags)
    assert result.exit_code == 0, result.output
    assert "hunter2" not in result.output
    printed = tomllib.loads(result.output)
    assert (printed["port"], printed["smooth"], printed["preload"]) == (1234, True, False)
    assert printed["label_studio_url"] == "http://ls:8080"
    assert printed["fetch"]["allow_hosts"] == ["a.example", "*.b.example"]
    assert printed["fetch"]["max_mb"] == 7
    assert "port = 1234  # flag --port\n" in result.output
    assert "# match_threshold = 0.3  # preset\n" in result.output  # of mini


def test_wrong_settings_name_the_cure(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text("prot = 9\n")
    for flags, match in (
        (["--port", "x"], "flag --port: port must be a whole number 0..65535"),
        (["--config", str(file)], "there is no setting prot; did you mean port"),
        (["--preset", "mimi"], "did you mean 'mini'"),
    ):
        result = CliRunner(env=environment(tmp_path)).invoke(serve, flags)
        assert isinstance(result.exception, ConfigError)
        assert match in str(result.exception)


def test_a_taken_port_and_an_unusable_folder_are_told(tmp_path):
    with serving(settings_for(tmp_path / "one"), BandSegmenter()) as (client, _):
        port = client.url.rpartition(":")[2]
        flags = ["--preset", "untrained", "--port", port]
        result = CliRunner(env=environment(tmp_path / "two")).invoke(serve, flags)
        assert "cannot listen on 127.0.0.1:" in str(result.exception)
    (tmp_path / "file").write_text("")
    result = CliRunner(env=environment(tmp_path / "file" / "x")).invoke(serve, ["--preset", "untrained"])
    assert isinstance(result.exception, ConfigError)
    assert "choose another, --data-dir" in str(result.exception)


def test_more_places_than_threads_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=f"at most {MOST_THREADS - SPARE_THREADS}"):
        make_server(None, settings_for(tmp_path, queue_limit=MOST_THREADS))
