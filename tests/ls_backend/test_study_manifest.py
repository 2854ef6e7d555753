"""A study's manifest: what is written comes back, and damage is told."""

import dataclasses
import json

import pytest

from ls_backend.studies.manifest import Question, Rules, Source, StudySettings, load_study, write_study
from zgcore.errors import StudyError

SETTINGS = StudySettings(
    title="Größe",
    version="0.1.0",
    seed=3,
    labels="predicted",
    questions=None,
    rated=2,
    per_task=4,
    raters=3,
    gold=1,
    repeat=1,
    per_image=None,
    sizes=(0.01, 0.1),
    sources=(Source("ours", "run", "/runs/ours", "mini-1", 2, 5, {"segments without a label": 1}),),
    strata={"ours": {"small": (2, 1), "medium": (0, 0), "large": (3, 1)}},
    gold_from={"file": 1},
    picture={"longest": 960},
    rules=Rules(min_seconds=2.0),
)


def question(number, kind="rated", **fields):
    shape = {"height": 8, "width": 8, "counts": "0P2"}
    known = {"label": f"label {number}", "picture": f"{number}.jpg", "method": "ours", "image": "a", "segment": number}
    more = {"area": 0.5, "size": "large", "label_kind": "two words", "file": "/photos/a.png", **shape}
    return Question(id=f"q{number}", batch=1, position=number, kind=kind, **{**known, **more, **fields})


QUESTIONS = (question(1), question(2, "gold", expected=(2, 3)), question(3), question(4, "repeat", repeat_of="q1"))


def test_what_is_written_comes_back(tmp_path):
    written = write_study(tmp_path, SETTINGS, QUESTIONS)
    found = load_study(tmp_path)
    assert (found.settings, found.questions) == (SETTINGS, QUESTIONS)
    assert found == written
    assert found.by_id["q3"] is found.questions[2]
    assert found.batches == {1: QUESTIONS}
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_study(tmp_path, found.settings, found.questions)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_rater_sees_three_things(tmp_path):
    study = write_study(tmp_path, SETTINGS, QUESTIONS)
    assert dataclasses.asdict(study.shown(QUESTIONS[1])) == {"id": "q2", "label": "label 2", "picture": "2.jpg"}


def test_missing_pictures(tmp_path):
    study = write_study(tmp_path, SETTINGS, QUESTIONS)
    study.pictures.mkdir()
    (study.pictures / "3.jpg").touch()
    assert study.missing_pictures() == ["1.jpg", "2.jpg", "4.jpg"]


def test_a_folder_that_is_no_study(tmp_path):
    with pytest.raises(StudyError, match="zeroguide study create"):
        load_study(tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("study.json", '"schema": 1', '"schema": 2', "another version"),
        ("study.json", '"seed"', '"sead"', "damaged"),
        ("study.json", "{", "", "damaged"),
        ("questions.jsonl", '"kind":"gold"', '"kind":"rated"', "questions are missing"),
        ("questions.jsonl", '"kind":"gold"', '"kind":"rate"', "q2 is damaged"),
        ("questions.jsonl", '"expected":[2,3]', '"expected":[4]', "q2 is damaged"),
        ("questions.jsonl", '"repeat_of":"q1"', '"repeat_of":"q9"', "q4 is damaged"),
        ("questions.jsonl", '"picture":"3.jpg"', '"picture":"../3.jpg"', "q3 is damaged"),
        ("questions.jsonl", '"id":"q3"', '"id":"q1"', "two questions"),
        ("questions.jsonl", '"position":3', '"position":1', "two questions"),
        ("questions.jsonl", '"segment":3,', "", "line 3: damaged"),
        ("questions.jsonl", '{"id":"q3"', '"id":"q3"', "line 3: damaged"),
    ],
)
def test_damage_is_told(tmp_path, file, old, new, message):
    write_study(tmp_path, SETTINGS, QUESTIONS)
    text = (tmp_path / file).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(StudyError, match=message):
        load_study(tmp_path)


def test_questions_that_are_cut_off(tmp_path):
    write_study(tmp_path, SETTINGS, QUESTIONS)
    lines = (tmp_path / "questions.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "questions.jsonl").write_bytes(b"".join(lines[:2]))
    with pytest.raises(StudyError, match="questions are missing"):
        load_study(tmp_path)


def test_the_rules_stand_in_the_file(tmp_path):
    write_study(tmp_path, SETTINGS, QUESTIONS)
    assert json.loads((tmp_path / "study.json").read_bytes())["rules"] == {
        "min_gold_accuracy": 0.6,
        "min_repeat_consistency": 0.6,
        "min_seconds": 2.0,
        "max_same_score": 0.0,
        "min_checks": 2,
    }
