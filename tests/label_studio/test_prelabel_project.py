"""Runs from and into a real Label Studio project: tasks made once, predictions sent once, whatever happens."""

import itertools
import json
import socket
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from ls_backend import cli, cli_prelabel
from ls_backend.brush import decode
from ls_backend.jobs.delivery import ProjectDelivery
from tests.ls_backend.bands import NAMES, BandSegmenter
from tests.ls_backend.runs import make_photos
from tests.ls_backend.serving import Client
from zgcore.images import load_image

CONFIG = "free_text.xml"


@pytest.fixture
def model(tmp_path, monkeypatch, studio):
    segmenter = BandSegmenter()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZEROGUIDE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("LABEL_STUDIO_URL", studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", studio.token)
    monkeypatch.setattr(cli_prelabel, "build_model", lambda options: segmenter)
    return segmenter


@pytest.fixture
def project(studio):
    return studio.project("prelabel", CONFIG)


def prelabel(capsys, *arguments):
    """Exit code and the JSON of a run in this process."""
    code = cli.main(["prelabel", *map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    assert out, err
    return code, json.loads(out)


def tasks(studio, project):
    """Tasks by number, with predictions."""
    answer = studio.call("GET", f"/api/tasks?project={project}&fields=all&page_size=100")
    return {task["id"]: task for task in answer["tasks"]}


def texts(task):
    """The texts of each prediction of a task."""
    return [
        [entry["value"]["text"][0] for entry in one["result"] if entry["type"] == "textarea"]
        for one in task["predictions"]
    ]


def bands(path):
    """What the model of bands.py finds in a photo: the mask of each name."""
    found = load_image(path)[..., 0] // 64
    return {NAMES[band]: found == band for band in np.unique(found)}


def test_photos_become_tasks_with_predictions_once(model, studio, project, capsys):
    paths = make_photos(Path("photos"), 3, size=(64, 48))
    target = f"label-studio:{project}"
    code, document = prelabel(capsys, "photos", "--to", target)
    assert (code, document["done"], document["target"]) == (0, 3, f"{studio.url}/projects/{project}")
    found = tasks(studio, project)
    assert len(found) == 3
    by_name = {Path(task["data"]["file_name"]).name: task for task in found.values()}
    for path in paths:
        task = by_name[path.name]
        assert task["data"]["image"].startswith(f"/data/upload/{project}/")
        photo = Client(studio.url, {"Authorization": f"Token {studio.token}"}).get(task["data"]["image"])[2]
        assert photo == path.read_bytes()
        (prediction,) = task["predictions"]
        expected = bands(path)
        masks = {entry["id"]: entry for entry in prediction["result"] if entry["type"] == "brushlabels"}
        named = {
            entry["id"]: entry["value"]["text"][0] for entry in prediction["result"] if entry["type"] == "textarea"
        }
        assert {text: np.array_equal(decode(masks[key]["value"]["rle"], 48, 64), expected[text]) for key, text in
                named.items()} == dict.fromkeys(expected, True)  # fmt: skip

    assert prelabel(capsys, "--to", target, "--no-resume")[0] == 0  # all made again and handed over again
    assert len(model.calls) == 6
    assert tasks(studio, project) == found


def test_a_photo_that_changed_takes_the_place_of_the_old_one(model, studio, project, capsys):
    first, second = make_photos(Path("photos"), 2, size=(64, 48))
    target = f"label-studio:{project}"
    assert prelabel(capsys, "photos", "--to", target)[0] == 0
    before = tasks(studio, project)
    first.write_bytes(make_photos(Path("other"), 3, size=(64, 48))[2].read_bytes())
    assert prelabel(capsys, "photos", "--to", target)[0] == 0
    after = tasks(studio, project)
    (changed,) = [number for number in before if before[number]["data"] != after[number]["data"]]
    assert set(after) == set(before)
    assert {name: after[changed]["data"][name] for name in ("file_name", "zeroguide_id")} == {
        name: before[changed]["data"][name] for name in ("file_name", "zeroguide_id")
    }
    client = Client(studio.url, {"Authorization": f"Token {studio.token}"})
    assert client.get(after[changed]["data"]["image"])[2] == first.read_bytes()
    assert [sorted(found) for found in texts(after[changed])] == [sorted(bands(first))]
    (same,) = set(after) - {changed}
    assert after[same] == before[same]

    body = {"result": after[changed]["predictions"][0]["result"]}
    studio.call("POST", f"/api/tasks/{changed}/annotations/", body)
    first.write_bytes(second.read_bytes())
    code, document = prelabel(capsys, "photos", "--to", target)
    assert (code, document["failed"]) == (1, 1)
    assert document["reasons"][0]["reason"].startswith("its photo has changed since people annotated it")
    assert tasks(studio, project)[changed]["data"] == after[changed]["data"]


def test_what_was_stored_before_a_crash_is_not_stored_again(model, studio, project, capsys, monkeypatch):
    """The process ends after Label Studio has the predictions and before the state says so."""
    make_photos(Path("photos"), 3, size=(64, 48))
    target = f"http://{studio.url.removeprefix('http://')}/projects/{project}/data"
    deliver = ProjectDelivery.deliver

    def ends(self, images):
        deliver(self, images)
        raise KeyboardInterrupt

    monkeypatch.setattr(ProjectDelivery, "deliver", ends)
    code, document = prelabel(capsys, "photos", "--to", target)
    assert (code, document["done"], document["queued"]) == (130, 0, 3)
    before = tasks(studio, project)
    assert [len(task["predictions"]) for task in before.values()] == [1, 1, 1]
    monkeypatch.setattr(ProjectDelivery, "deliver", deliver)
    code, document = prelabel(capsys, "--to", target)
    assert (code, document["done"]) == (0, 3)
    assert tasks(studio, project) == before
    assert len(model.calls) == 3  # their records were whole: the model was not asked again


def test_a_project_as_source_with_its_filters(model, studio, project, capsys):
    paths = make_photos(Path("photos"), 3, size=(64, 48))
    numbers = studio.upload(project, {path.name: path.read_bytes() for path in paths})
    labelled, predicted, plain = (numbers[path.name] for path in paths)
    studio.call("POST", f"/api/tasks/{labelled}/annotations/", {"result": []})
    here = f"label-studio:{project}"
    code, document = prelabel(capsys, here, "--tasks", "unlabelled", "--to", here)
    assert (code, document["done"]) == (0, 2)
    found = tasks(studio, project)
    assert {number: len(task["predictions"]) for number, task in found.items()} == {labelled: 0, predicted: 1, plain: 1}
    assert texts(found[plain]) == [sorted(bands(paths[2]), key=lambda name: -bands(paths[2])[name].sum())]

    code, document = prelabel(capsys, here, "--tasks", "unpredicted", "--to", "folder")
    assert (code, document["done"]) == (0, 1)
    (record,) = Path("folder/results").glob("*.json")
    assert json.loads(record.read_bytes())["source"]["path"] == f"task:{project}/{labelled}"

    code, document = prelabel(capsys, here, "--to", here)
    assert (code, document["done"]) == (0, 3)
    assert [len(task["predictions"]) for task in tasks(studio, project).values()] == [1, 1, 1]


def test_tasks_that_cannot_be_done_fail_alone(model, studio, project, capsys):
    (path,) = make_photos(Path("photos"), 1, size=(64, 48))
    studio.upload(project, {path.name: path.read_bytes()})
    body = [{"data": {"image": "/data/upload/none.png"}}, {"data": {"text": "no image"}}]
    for task in body:
        studio.ask("POST", f"/api/projects/{project}/import", [task])
    here = f"label-studio:{project}"
    code, document = prelabel(capsys, here, "--to", here)
    stored = tasks(studio, project)
    assert (code, document["done"], document["failed"]) == (1, 1, len(stored) - 1)
    assert len(stored) >= 2
    assert sum(len(task["predictions"]) for task in stored.values()) == 1


def test_tasks_do_not_go_from_one_project_into_another(model, studio, project, capsys):
    other = studio.project("other", CONFIG)
    assert cli.main(["prelabel", f"label-studio:{project}", "--to", f"label-studio:{other}"]) == 2
    assert "tasks of one project cannot go into another" in capsys.readouterr().err


def test_a_new_project_is_made(model, studio, capsys):
    make_photos(Path("photos"), 1, size=(64, 48))
    code, document = prelabel(capsys, "photos", "--to", "label-studio:new")
    assert code == 0
    number = int(document["target"].rpartition("/")[2])
    ((task,),) = [list(tasks(studio, number).values())]
    assert len(task["predictions"]) == 1


def test_a_token_that_is_refused_ends_the_run_and_nothing_is_lost(model, studio, project, capsys, monkeypatch):
    make_photos(Path("photos"), 1, size=(64, 48))
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "0" * 40)
    assert cli.main(["prelabel", "photos", "--to", f"label-studio:{project}"]) == 1
    assert "refuses label_studio_api_key" in capsys.readouterr().err


class FlakyProxy:
    """Forwards to Label Studio; every third connection ends before its answer comes back, as on a bad network."""

    def __init__(self, url):
        host, _, port = url.removeprefix("http://").partition(":")
        self._to = host, int(port)
        self._count = itertools.count(1)
        self.lost = []

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._forward, args=(connection,), daemon=True).start()

    def _forward(self, client):
        with suppress(OSError), client, socket.create_connection(self._to) as server:
            with client.makefile("rb") as file:
                lines = list(itertools.takewhile(lambda line: line.strip(), file))
                names = dict(line.decode().lower().strip().partition(": ")[::2] for line in lines[1:])
                body = file.read(int(names.get("content-length", 0)))
            kept = [line for line in lines if not line.lower().startswith(b"connection:")]
            server.sendall(b"".join(kept) + b"Connection: close\r\n\r\n" + body)
            answer = b"".join(iter(lambda: server.recv(65536), b""))
            if next(self._count) % 3 == 0:
                self.lost.append(lines[0].decode().split()[0])
            else:
                client.sendall(answer)


def test_a_bad_network_loses_and_doubles_nothing(model, studio, project, capsys, monkeypatch):
    """Answers are lost after Label Studio has done what was asked, so that nobody knows."""
    monkeypatch.setattr("ls_backend.jobs.delivery.FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr("ls_backend.label_studio_http.FIRST_PAUSE_S", 0.05)
    paths = make_photos(Path("photos"), 5, size=(64, 48))
    with FlakyProxy(studio.url) as proxy:
        target = f"{proxy.url}/projects/{project}"
        code = 1
        for _ in range(5):  # where the run as a whole could not begin
            if (code := cli.main(["prelabel", "photos", "--to", target])) == 0:
                break
        assert code == 0, capsys.readouterr().err
        assert "POST" in proxy.lost
    found = tasks(studio, project)
    assert sorted(Path(task["data"]["file_name"]).name for task in found.values()) == [path.name for path in paths]
    assert [len(task["predictions"]) for task in found.values()] == [1] * 5
