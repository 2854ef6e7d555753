"""The API's client, `zeroguide doctor`, `connect` and `quickstart` with a real Label Studio."""

import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from ls_backend.cli import zeroguide
from ls_backend.connect import Connection, connect_project, template_config
from ls_backend.doctor_label_studio import UNBLOCK, LabelStudioDoctor
from ls_backend.fetch import Fetcher
from ls_backend.label_studio_api import LabelStudioApi, LabelStudioRefuses
from ls_backend.local_label_studio import LocalLabelStudio
from ls_backend.local_server import free_port
from ls_backend.pinned_http import basic_authorization
from ls_backend.quickstart import TITLE
from ls_backend.settings import BasicAuth, Secret, Settings
from tests.label_studio import photos
from tests.label_studio.studio import Studio, until
from tests.label_studio.test_faults import PLAIN
from zgcore.samples import sample_paths

BOXES = """<View><Image name="image" value="$image"/>
<RectangleLabels name="box" toName="image"><Label value="car"/></RectangleLabels></View>"""
SIZE = {"original_width": 4, "original_height": 4, "image_rotation": 0}
ACCEPTED = 'zeroguide_annotated_regions{outcome="accepted"}'
BOX = {
    "from_name": "box",
    "to_name": "image",
    "type": "rectanglelabels",
    "value": {"x": 1, "y": 1, "width": 5, "height": 5, "rectanglelabels": ["car"]},
    **SIZE,
}
MASK = {
    "id": "r",
    "from_name": "mask",
    "to_name": "image",
    "type": "brushlabels",
    "value": {"format": "rle", "rle": [1, 2, 3], "brushlabels": ["obj 1"]},
    **SIZE,
}


@pytest.fixture(scope="module")
def settings(studio):
    return Settings(label_studio_url=studio.url, label_studio_api_key=Secret(studio.token))


@pytest.fixture(scope="module")
def api(settings):
    return LabelStudioApi(settings.label_studio_url, settings)


def examined(settings, project, backend):
    return {finding.check: finding for finding in LabelStudioDoctor(settings, project, backend.url).findings()}


def test_tasks_come_back_in_order_and_in_full(api, settings, tmp_path):
    number = api.create_project(title="client", label_config=template_config("free_text"))["id"]
    assert number in [project["id"] for project in api.projects()]
    (tmp_path / 'ö "1".jpg').write_bytes(photos.photo("cat"))
    uploaded = api.upload_file(number, tmp_path / 'ö "1".jpg')
    assert Fetcher(settings).fetch(uploaded) == photos.photo("cat")
    wanted = [uploaded, *(f"http://x.example/{index}.jpg" for index in range(7))]
    tasks = api.import_tasks(number, ({"data": {"image": image}} for image in wanted))
    assert tasks == sorted(tasks)
    assert [task["data"]["image"] for task in api.tasks(number, page_size=3)] == wanted
    annotation = api.create_annotation(tasks[1], [MASK], lead_time=2.5)
    assert api.store_prediction(number, tasks[2], {"model_version": "v", "result": [MASK], "score": 0.5})
    assert not api.store_prediction(number, tasks[2], {"model_version": "v", "result": [MASK]})
    full = {task["id"]: task for task in api.tasks(number)}
    assert [one["result"] for one in full[tasks[1]]["annotations"]] == [[MASK]]
    (prediction,) = full[tasks[2]]["predictions"]
    assert (prediction["result"], prediction["model_version"], prediction["score"]) == ([MASK], "v", 0.5)
    exported = list(api.export_tasks(number))
    assert [task["id"] for task in exported] == tasks == list(api.task_ids(number))
    assert [one["lead_time"] for one in exported[1]["annotations"]] == [2.5]
    assert (exported[1]["annotations"][0]["id"], exported[2]["predictions"]) == (annotation["id"], [prediction["id"]])
    bare = {"filter": "filter:tasks:total_annotations", "operator": "equal", "type": "Number", "value": 0}
    assert list(api.task_ids(number, filters=[bare])) == [tasks[0], *tasks[2:]]


def test_predictions_that_label_studio_leaves_out_are_told(api):
    number = api.create_project(title="left out", label_config=template_config("free_text"))["id"]
    one, other = api.import_tasks(number, [{"data": {"image": "http://x.example/1.jpg"}}] * 2)
    wrong = {**MASK, "from_name": "nowhere"}
    assert api.import_predictions(number, [{"task": one, "result": [MASK]}, {"task": other, "result": [wrong]}]) == 1
    with pytest.raises(LabelStudioRefuses, match="does not fit the labelling config"):
        api.store_prediction(number, other, {"model_version": "v", "result": [wrong]})
    with pytest.raises(LabelStudioRefuses, match="answers 400: ") as caught:
        api.import_predictions(number, [{"task": 10**9, "result": [MASK]}])
    assert 'contains invalid "task" field' in caught.value.detail


def test_listing_tasks_predicts_none(api, backend):
    """Where a project predicts by itself, Label Studio's own list waits for the model."""
    number = api.create_project(title="by itself", label_config=template_config("free_text"))["id"]
    api.import_tasks(number, [{"data": {"image": "http://x.invalid/1.jpg"}}])
    list(connect_project(api, Connection(number, backend.url)))
    api.update_project(number, evaluate_predictions_automatically=True)
    before = backend.metric('zeroguide_tasks_total{outcome="failed"}')
    assert [task["predictions"] for task in api.tasks(number)] == [[]]
    assert len(list(api.task_ids(number))) == 1
    assert backend.metric('zeroguide_tasks_total{outcome="failed"}') == before


def test_connect_and_again(studio, api, backend):
    number = api.create_project(title="connect")["id"]
    arguments = ["connect", "--url", studio.url, "--project", str(number), "--backend-url", backend.url]
    runner = CliRunner(env={"LABEL_STUDIO_API_KEY": studio.token})
    for _ in range(2):
        result = runner.invoke(zeroguide, [*arguments, "--preannotate"])
        assert result.exit_code == 0, result.output
        assert result.output.splitlines()[-1] == f"Open {studio.url}/projects/{number}/data"
    (row,) = api.ml_backends(number)
    assert (row["url"], row["state"], row["model_version"]) == (backend.url, "CO", backend.version)
    assert [hook["url"] for hook in api.webhooks(number)] == [f"{backend.url}/webhook"]
    project = api.project(number)
    assert project["label_config"] == template_config("free_text").strip()
    assert (project["show_collab_predictions"], project["model_version"]) == (True, "zeroguide")


def test_a_backend_with_a_password_is_told_of_annotations(studio, settings, api, backend_of):
    """Label Studio makes the webhook without the password: what connecting by hand leaves, and `connect` puts right."""
    auth = BasicAuth("me", Secret("hunter2"))
    own = replace(settings, auth=auth)
    backend = backend_of("password", **PLAIN, BASIC_AUTH_USER="me", BASIC_AUTH_PASS="hunter2").start()
    backend.client.headers.update(basic_authorization("me", "hunter2"))
    number = api.create_project(title="password", label_config=template_config("free_text"))["id"]
    first, second = studio.upload(number, {f"{name}.jpg": photos.photo(name) for name in ("cat", "street")}).values()
    api.add_ml_backend(number, backend.url, auth=auth)
    studio.retrieve(number)
    results = {task: found[0]["result"] for task, found in studio.predictions(number).items()}
    found = examined(own, number, backend)["connection"]
    assert (found.state, "the webhook has no password, or another" in found.message) == ("warning", True)
    assert "hunter2" not in f"{found}"
    api.create_annotation(first, results[first])
    until(lambda: backend.metric('zeroguide_requests_total{endpoint="webhook",status="401"}') == 1, "it is refused")
    assert backend.metric(ACCEPTED) == 0

    assert {step.state for step in connect_project(api, Connection(number, backend.url, auth))} == {"ok"}
    assert examined(own, number, backend)["connection"].state == "ok"
    assert len(api.webhooks(number)) == 1
    api.create_annotation(second, results[second])
    count = sum(entry["type"] == "brushlabels" for entry in results[second])
    assert count > 0
    until(lambda: backend.metric(ACCEPTED) == count, "the regions of the second annotation are counted")


def test_connect_keeps_a_config_that_annotations_need(api, backend):
    number = api.create_project(title="boxes", label_config=BOXES)["id"]
    (task,) = api.import_tasks(number, [{"data": {"image": "http://x.example/1.jpg"}}])
    api.create_annotation(task, [BOX])
    with pytest.raises(ValueError, match="incompatible with provided labeling schema, we found: 1 with from_name=box"):
        list(connect_project(api, Connection(number, backend.url, set_config=True)))
    assert api.project(number)["label_config"] == BOXES
    assert api.ml_backends(number) == []


def test_connect_keeps_a_config_whose_labels_annotations_use(api, backend):
    own = template_config("free_text").strip().replace('"obj 1"', '"car"')
    number = api.create_project(title="labels", label_config=own)["id"]
    (task,) = api.import_tasks(number, [{"data": {"image": "http://x.example/1.jpg"}}])
    api.create_annotation(task, [{**MASK, "value": {**MASK["value"], "brushlabels": ["car"]}}])
    with pytest.raises(ValueError, match=r"These labels still exist in annotations or drafts: car \(1 annotation\)"):
        list(connect_project(api, Connection(number, backend.url, set_config=True)))
    assert api.project(number)["label_config"] == own


def test_the_doctor_finds_nothing_wrong_and_leaves_nothing_behind(studio, settings, api, backend):
    number = api.create_project(title="healthy", label_config=template_config("free_text"))["id"]
    studio.upload(number, {"cat.jpg": photos.photo("cat")})
    found = examined(settings, number, backend)
    assert [name for name, finding in found.items() if finding.state != "ok"] == ["connection"]
    assert api.ml_backends(number) == api.webhooks(number) == []
    list(connect_project(api, Connection(number, backend.url)))
    found = examined(settings, number, backend)
    assert {finding.state for finding in found.values()} == {"ok"}, found
    height, width = photos.pixels(photos.photo("cat")).shape[:2]
    assert f"{width} x {height} pixels" in found["sample image"].message


def test_the_doctor_tells_tokens_apart(studio, settings, backend, personal):
    for key, state, words in (
        (studio.token, "ok", "legacy token of "),
        (personal, "ok", "personal access token of "),
        ("f" * 40, "failed", "the legacy token is refused: Invalid token."),
        (personal[:-4] + "AAAA", "failed", "refuses the personal access token"),
    ):
        found = examined(replace(settings, label_studio_api_key=Secret(key)), None, backend)["token"]
        assert (found.state, words in found.message) == (state, True), found


def copy_of(label_studio, folder):
    """Its data, taken while it runs: a new database takes it half a minute."""
    folder.mkdir()
    shutil.copy(label_studio.folder / "account.json", folder)
    name = "label_studio.sqlite3"
    with sqlite3.connect(label_studio.folder / name) as source, sqlite3.connect(folder / name) as target:
        source.backup(target)
    return folder


def test_the_doctor_finds_addresses_that_are_blocked(label_studio, backend, settings, api, tmp_path):
    """One after the other: with the first switch off and the second on the backend is stored, its webhook is not."""
    number = api.create_project(title="blocked", label_config=template_config("free_text"))["id"]
    folder = copy_of(label_studio, tmp_path / "blocked")
    blocks = {"ML_BLOCK_LOCAL_IP": "false", "SSRF_PROTECTION_ENABLED": "true"}
    with LocalLabelStudio(label_studio.program, folder, port=free_port(), settings=blocks) as blocked:
        own = replace(settings, label_studio_url=blocked.url)
        blocked_api = LabelStudioApi(blocked.url, own)
        steps = {step.check: step for step in connect_project(blocked_api, Connection(number, backend.url))}
        assert (steps["ML backend"].state, steps["webhook"].state) == ("ok", "warning")
        found = examined(own, number, backend)
        assert (found["backend address"].state, found["Label Studio to backend"].state) == ("ok", "ok")
        assert (found["webhook address"].state, found["webhook address"].cure) == ("failed", UNBLOCK)
        assert "stored no webhook" in found["connection"].message
    blocks["ML_BLOCK_LOCAL_IP"] = "true"
    with LocalLabelStudio(label_studio.program, folder, port=free_port(), settings=blocks) as blocked:
        arguments = ["doctor", "--url", blocked.url, "--project", str(number), "--backend", backend.url, "--json"]
        environment = {"LABEL_STUDIO_API_KEY": label_studio.account.token, "ZEROGUIDE_PRESET": "untrained"}
        result = CliRunner(env={**environment, "ZEROGUIDE_DATA_DIR": str(tmp_path)}).invoke(zeroguide, arguments)
        states = {check["check"]: check["state"] for check in json.loads(result.output)["checks"]}
        assert result.exit_code == 1
        assert (states["backend address"], states["webhook address"]) == ("failed", "failed")
        with pytest.raises(LabelStudioRefuses, match="refuses private addresses"):
            LabelStudioApi(blocked.url, settings).add_ml_backend(number, backend.url)


def test_a_newcomer_sees_the_photos_predicted_and_ctrl_c_ends_all(label_studio, tmp_path):
    folder, port, backend_port = copy_of(label_studio, tmp_path / "quickstart"), free_port(), free_port()
    command = [sys.executable, "-m", "ls_backend", "quickstart", "--folder", folder, "--preset", "untrained"]
    command += ["--label-studio", label_studio.program.parents[1], "--port", port, "--backend-port", backend_port]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    try:
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if "Ctrl-C stops both" in line:
                break
        account = label_studio.account
        assert f"password  {account.password}" in lines
        told = [line for line in lines if " masks, " in line]
        assert [line.partition(":")[0] for line in told] == [path.name for path in sample_paths()]
        running = Studio(f"http://127.0.0.1:{port}", account.token)
        (project,) = (
            one for one in running.call("GET", "/api/projects?page_size=100")["results"] if one["title"] == TITLE
        )
        assert f"open      {running.url}/projects/{project['id']}/data" in lines
        assert project["model_version"] == "zeroguide"
        stored = running.predictions(project["id"]).values()
        assert [len(predictions) for predictions in stored] == [1] * 8
        assert all(predictions[0]["result"] for predictions in stored)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()
    for number in (port, backend_port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", number)) != 0
