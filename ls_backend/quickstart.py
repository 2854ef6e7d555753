"""`make labelstudio`: Label Studio and the backend on this machine, connected, with the sample photos to look at.

What is stored stays in the folder, and the next start goes on with it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ls_backend.addresses import FetchError
from ls_backend.cli_label_studio import print_finding
from ls_backend.connect import Connection, connect_project, template_config
from ls_backend.doctor_label_studio import ask_backend
from ls_backend.label_studio_api import LabelStudioApi
from ls_backend.label_studio_parts import same_address
from ls_backend.local_label_studio import LocalLabelStudio
from ls_backend.local_server import HOST, POLL_S, LocalServer
from ls_backend.settings import Secret, Settings
from zgcore.errors import ZeroguideError
from zgcore.samples import sample_paths

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE: Final = "zeroguide: sample photos"
START_S: Final = 180.0
STOP_S: Final = 60.0  # the image in hand is finished
_PREFIX: Final = re.compile("^[0-9a-f]{8}-")  # Label Studio's, of uploaded files
_FOREIGN: Final = ("ZEROGUIDE_", "LABEL_STUDIO_", "BASIC_AUTH_")  # variables of another backend's settings


class BackendStopped(ZeroguideError):
    """The backend did not start, or ended."""


@contextmanager
def running_backend(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`zeroguide serve` as a process that writes to `log`; stopped at the end.

    Raises BackendStopped where its port is taken.
    """
    assert settings.label_studio_url is not None
    assert settings.label_studio_api_key is not None
    command = [sys.executable, "-m", "ls_backend", "serve", "--preset", settings.preset, "--preload"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    own = {
        "LABEL_STUDIO_URL": settings.label_studio_url,
        "LABEL_STUDIO_API_KEY": settings.label_studio_api_key.reveal(),
        "ZEROGUIDE_PORT": str(settings.port),
        "ZEROGUIDE_DATA_DIR": str(settings.data_dir),
    }
    server = _server(log)
    server.refuse_taken(settings.port)
    process = server.launch(command, {**kept, **own})
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_backend(process: subprocess.Popen[bytes], url: str, log: Path) -> str:
    """Wait until the backend answers, and give its version. Raises BackendStopped with the end of its log."""

    def version() -> str | None:
        try:
            status, health = ask_backend(url, "/health")
        except FetchError:
            return None
        return str(health.get("model_version")) if status == 200 else None

    return _server(log).wait(process, version, START_S)


def _server(log: Path) -> LocalServer:
    return LocalServer("the backend", log, BackendStopped)


def sample_project(api: LabelStudioApi) -> int:
    """The project with the sample photos, made if it is not there."""
    known = next((project for project in api.projects() if project.get("title") == TITLE), None)
    number = known["id"] if known else api.create_project(title=TITLE, label_config=template_config("free_text"))["id"]
    if next(api.task_ids(number), None) is None:
        photos = [api.upload_file(number, path) for path in sample_paths()]
        api.import_tasks(number, [{"data": {"image": photo}} for photo in photos])
    return number


def connect_backend(api: LabelStudioApi, project: int, url: str) -> None:
    """Connect the project to the backend, and to no other: it may have listened on another port before."""
    for other in api.ml_backends(project):
        if not same_address(other.get("url"), url):
            api.delete_ml_backend(other["id"])
    for hook in api.webhooks(project):
        if not same_address(hook.get("url"), f"{url}/webhook"):
            api.delete_webhook(hook["id"])
    for step in connect_project(api, Connection(project, url, preannotate=True)):
        print_finding(step)


def predict_all(api: LabelStudioApi, project: int) -> None:
    """Have every task predicted that is not yet, one after the other, telling of each."""
    for task in api.tasks(project):
        name = _PREFIX.sub("", Path(str(task["data"].get("image"))).name)
        began, fresh = time.monotonic(), not task["predictions"]
        if fresh:
            api.retrieve_predictions(project, [task["id"]])
        regions = [_regions(prediction) for prediction in api.predictions(task["id"])]
        took = f", {time.monotonic() - began:.1f} s" if fresh else ""
        click.echo(f"  {name}: {max(regions)} masks{took}" if regions else f"  {name}: no prediction, see the log")


def _regions(prediction: dict[str, Any]) -> int:
    return sum(region.get("type") == "brushlabels" for region in prediction.get("result") or [])


def start(label_studio: Path, folder: Path, port: int, backend_port: int, preset: str) -> None:
    """Start both, connect them, predict the photos, and go on until one of them ends or Ctrl-C.

    label_studio: its program. folder: for all that both store. Raises LabelStudioError and BackendStopped.
    """
    studio = LocalLabelStudio(label_studio, folder, port=port)
    settings = Settings(
        preset=preset,
        port=backend_port,
        data_dir=studio.folder / "zeroguide",
        label_studio_url=studio.url,
        label_studio_api_key=Secret(studio.account.token),
    )
    log, url = studio.folder / "zeroguide.log", f"http://{HOST}:{backend_port}"
    click.echo("Starting Label Studio (half a minute the first time) and the backend ...")
    with running_backend(settings, log) as backend, studio:
        version = wait_for_backend(backend, url, log)
        api = LabelStudioApi(studio.url, settings)
        project = sample_project(api)
        connect_backend(api, project, url)
        click.echo(
            f"\n  open      {studio.url}/projects/{project}/data\n  user      {studio.account.email}\n"
            f"  password  {studio.account.password}\n  backend   {url} ({version}), log in {log}\n"
        )
        predict_all(api, project)
        click.echo("\nOpen a photo to see masks and texts. Ctrl-C stops both; what they stored stays.")
        _go_on(studio, backend, log)


def _go_on(studio: LocalLabelStudio, backend: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for Ctrl-C; the error of whichever ends before."""
    try:
        while studio.running and backend.poll() is None:
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        click.echo("\nStopping both.")
        return
    if (code := backend.poll()) is not None:
        raise _server(log).ended(code)
    studio.wait()
