"""Predictions into a project: in the words of a vocabulary, of the photo as it is now, whatever one image does."""

import json
from pathlib import Path

import numpy as np
import pytest

from ls_backend import cli, cli_prelabel
from tests.ls_backend.bands import BandSegmenter
from tests.ls_backend.runs import red
from tests.ls_backend.studio_answers import KEY, Studio, error
from zgcore.vocabulary.labels import Label, Member
from zgcore.vocabulary.vocabulary import Vocabulary
from zgcore.vocabulary.yaml_file import vocabulary_text

TARGET = "label-studio:1"


class Searched(Studio):
    """Also finds tasks by what is in their data, and changes it. fails_on: the end of a file's name."""

    fails_on = "nothing"

    def routes(self):
        return [*super().routes(), ("PATCH", r"/api/tasks/(\d+)/", self.patch_task)]

    def patch_task(self, number, query, body):
        self.tasks[number]["data"] = body["data"]
        return 200, self.tasks[number]

    def import_tasks(self, number, query, body):
        if isinstance(body, list) and body[0]["data"]["file_name"].endswith(self.fails_on):
            return error(500, "a bug")
        return super().import_tasks(number, query, body)

    def list_tasks(self, query, **_):
        status, answer = super().list_tasks(query | {"page_size": ["1000"]})
        for wanted in json.loads(query["query"][0])["filters"]["items"][:-1]:
            field = wanted["filter"].rpartition(".")[2]
            answer["tasks"] = [task for task in answer["tasks"] if task["data"].get(field) == wanted["value"]]
        return status, answer


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_prelabel, "build_model", lambda options: BandSegmenter())
    monkeypatch.setattr("ls_backend.jobs.delivery.FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("ls_backend.label_studio_http.FIRST_PAUSE_S", 0.01)
    monkeypatch.setenv("ZEROGUIDE_DATA_DIR", "data")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", KEY)
    Path("photos").mkdir()
    found = Searched()
    with found.serve() as (api, _):
        monkeypatch.setenv("LABEL_STUDIO_URL", api.url)
        yield found


def prelabel(capsys, *arguments):
    """Exit code and the JSON of a run in this process."""
    code = cli.main(["prelabel", *arguments, "--to", TARGET, "--json"])
    out, err = capsys.readouterr()
    assert out, err
    return code, json.loads(out)


def texts(studio):
    """What each prediction says."""
    entries = [one["result"] for one in studio.predictions]
    return [[entry["value"]["text"][0] for entry in result if entry["type"] == "textarea"] for result in entries]


def test_texts_arrive_in_the_words_of_a_vocabulary_which_the_embeddings_choose(studio, capsys):
    red("photos/a.png", 10)  # one band: "dark", whose embedding is (0, 1, 2)
    night = Member("dark", 3, centre=np.array([0, 1, 2], np.float32) / np.sqrt(np.float32(5)))
    ink = Member("dark", 2, centre=np.array([1, 0, 0], np.float32))
    words = Vocabulary((Label("night", (night,)), Label("ink", (ink,))))
    Path("words.yaml").write_text(vocabulary_text(words))
    assert prelabel(capsys, "photos")[0] == 0
    assert texts(studio) == [["dark"]]
    assert prelabel(capsys, "--vocabulary", "words.yaml")[0] == 0
    assert texts(studio) == [["dark"], ["night"]]
    plain, harmonised = studio.predictions
    assert plain["model_version"] != harmonised["model_version"]
    assert harmonised["result"][0]["meta"] == {"text": ["before the vocabulary: dark"]}
    assert prelabel(capsys, "--vocabulary", "words.yaml")[0] == 0
    assert len(studio.predictions) == 2


def test_a_photo_that_changed_takes_the_place_of_the_old_one(studio, capsys):
    red("photos/a.png", 10)
    red("photos/b.png", 10)
    assert prelabel(capsys, "photos")[0] == 0
    addresses = {number: task["data"]["image"] for number, task in studio.tasks.items()}
    red("photos/a.png", 100)
    assert prelabel(capsys, "photos")[0] == 0
    assert len(studio.tasks) == 2
    (changed,) = [number for number, task in studio.tasks.items() if task["data"]["image"] != addresses[number]]
    assert studio.tasks[changed]["data"]["file_name"].endswith("/a.png")
    assert Path("photos/a.png").read_bytes() in studio.uploads[-1]
    assert {one["task"]: len(one["result"]) // 2 for one in studio.predictions} == {1: 2, 2: 1}
    assert len(studio.predictions) == 2


def test_a_photo_that_changed_after_people_annotated_it_fails_and_says_so(studio, capsys):
    red("photos/a.png", 10)
    prelabel(capsys, "photos")
    studio.tasks[1]["annotations"] = [{"id": 1, "result": []}]
    before = dict(studio.tasks[1]), list(studio.predictions)
    red("photos/a.png", 100)
    code, document = prelabel(capsys, "photos")
    assert (code, document["failed"]) == (1, 1)
    assert document["reasons"][0]["reason"].startswith("its photo has changed since people annotated it")
    assert (studio.tasks[1], studio.predictions) == before


def test_one_task_that_label_studio_fails_on_stops_no_other(studio, capsys):
    for name in "abc":
        red(f"photos/{name}.png", 10)
    studio.fails_on = "/b.png"
    code, document = prelabel(capsys, "photos")
    assert (code, document["done"], document["failed"]) == (1, 2, 1)
    assert document["reasons"][0]["reason"].startswith("Label Studio answers 500: a bug")
    assert sorted(one["task"] for one in studio.predictions) == sorted(studio.tasks) == [1, 2]
