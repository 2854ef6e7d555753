"""Answers from anywhere: which count, what is dropped and why, and that raters stay numbers."""

import dataclasses
import json

import pytest

from ls_backend import cli
from ls_backend.studies.answers import read_answers
from ls_backend.studies.collect import RawAnswer, collect, moment, write_collected
from ls_backend.studies.label_studio import label_studio_answers
from ls_backend.studies.manifest import write_study
from ls_backend.studies.page_database import Database
from ls_backend.studies.page_people import People
from ls_backend.studies.page_store import PageStore
from tests.ls_backend.studying import make_study
from tests.ls_backend.test_study_manifest import QUESTIONS, SETTINGS


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path, SETTINGS, QUESTIONS)


def raw(rater, question, score, minute=0, **more):
    return RawAnswer("page", rater, question, score, 5.0, f"2026-01-01T10:{minute:02}:00Z", **more)


def rows(collected):
    return [(answer.question, answer.rater, answer.score) for answer in collected.answers]


def test_raters_are_numbered_by_their_first_answers(study):
    found = collect(study, [raw("zoe", "q1", 3, 2), raw("abe", "q1", "2", 5), raw("abe", "q3", "0.0", 7)])
    assert rows(found) == [("q1", "1", 3), ("q1", "2", 2), ("q3", "2", 0)]
    assert found.raters == (("page", "zoe"), ("page", "abe"))
    assert (found.dropped, found.complete) == ({}, 0)
    assert [(one.batch, one.seconds) for one in found.answers] == [("1", 5.0)] * 3


@pytest.mark.parametrize("score", ["4", "-1", "", None, True, "two", 1.5, ["2"], float("nan")])
def test_what_is_no_score(study, score):
    found = collect(study, [raw("abe", "q1", score)])
    assert (found.answers, found.dropped) == ((), {"without a score from 0 to 3": 1})


@pytest.mark.parametrize("score", [2, "2", " 2 ", 2.0, "2.0"])
def test_what_is_a_score(study, score):
    assert rows(collect(study, [raw("abe", "q1", score)])) == [("q1", "1", 2)]


def test_what_is_dropped_is_counted(study):
    answers = [raw(who, "q1", 3, minute) for minute, who in enumerate(["a", "b", "c", "d", "e"])]  # d and e: too many
    answers += [raw("a", "q1", 0, 9), raw("b", "q1", 0, 9)]  # once more
    answers += [raw("a", "q9", 1), raw("a", "q3", 1, cancelled=True), raw("", "q3", 1), raw("a", "q3", 7)]
    found = collect(study, answers[::-1])  # the order of the time counts, not that of the source
    assert rows(found) == [("q1", "1", 3), ("q1", "2", 3), ("q1", "3", 3)]
    assert found.complete == 1
    assert found.dropped == {
        "beyond the number of raters a question": 2,
        "by a rater who had answered the question before": 2,
        "of questions that are not in the study": 1,
        "that were skipped or cancelled": 1,
        "without a rater": 1,
        "without a score from 0 to 3": 1,
    }


def test_who_lost_a_place_only_fills_up(study):
    """Of q1 the three who kept their places count, though d was first; of q3 there are two, and d is the third."""
    answers = [raw("d", "q1", 0, 1, spare=True), raw("d", "q3", 0, 1, spare=True), raw("e", "q3", 0, 2, spare=True)]
    answers += [raw(who, "q1", 3, minute) for minute, who in enumerate("abc", start=10)]
    answers += [raw(who, "q3", 2, minute) for minute, who in enumerate("ab", start=20)]
    found = collect(study, answers)
    assert [name for _, name in found.raters] == ["d", "a", "b", "c"]
    assert rows(found) == [
        ("q1", "2", 3),
        ("q1", "3", 3),
        ("q1", "4", 3),
        ("q3", "2", 2),
        ("q3", "3", 2),
        ("q3", "1", 0),
    ]
    assert found.dropped == {"beyond the number of raters a question": 2}  # d of q1, e of q3
    assert found.complete == 2


def test_people_of_two_sources_are_two_people(study):
    answers = [raw("1", "q1", 3), dataclasses.replace(raw("1", "q1", 2, 1), source="label-studio")]
    assert rows(collect(study, answers)) == [("q1", "1", 3), ("q1", "2", 2)]


def test_times_that_are_none(study):
    answers = [
        dataclasses.replace(raw("a", f"q{n}", 1), seconds=s) for n, s in ((1, "x"), (2, -1), (3, "2.5"), (4, 10**400))
    ]
    assert [one.seconds for one in collect(study, answers).answers] == [None, None, 2.5, None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00.000+00:00"),
        ("2026-01-01T12:00:00.5+02:00", "2026-01-01T10:00:00.500+00:00"),
        ("2026-01-01 10:00", "2026-01-01T10:00:00.000+00:00"),
        ("yesterday", ""),
        ("0001-01-01T00:00:00+14:00", ""),  # in UTC it would be in the year 0
        ("9999-12-31T23:59:59-01:00", ""),
        ("", ""),
    ],
)
def test_moments(text, expected):
    assert moment(text) == expected


def test_files_hold_numbers_and_names_apart(study):
    found = collect(study, [raw("abe@example.com", "q1", 3), raw("=cmd()", "q1", 2, 1)])
    path = write_collected(study, found)
    assert read_answers(path).answers == list(found.answers)
    assert "example.com" not in path.read_text()
    names = study.root / "raters.csv"
    assert names.read_text() == "rater,source,name\n1,page,abe@example.com\n2,page,'=cmd()\n"
    assert names.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    write_collected(study, found)
    assert path.read_bytes() == before


class Project:
    """Tasks as Label Studio 1.23.2 exports them."""

    def __init__(self, *annotations, data=None):
        self.tasks = [{"id": 7, "data": {"question": "q1"} if data is None else data, "annotations": annotations}]

    def export_tasks(self, project):
        assert project == 5
        return self.tasks


def choice(value, name="score"):
    return {"type": "choices", "from_name": name, "to_name": "image", "value": value}


def annotation(*result, **more):
    created = {"completed_by": {"id": 2, "email": "a@example.com"}, "created_at": "2026-01-01T10:00:00Z"}
    return {**created, "result": list(result), "lead_time": 3.5, "was_cancelled": False, **more}


def test_annotations_become_answers():
    (found,) = label_studio_answers(Project(annotation(choice({"choices": ["2"]}))), 5)
    assert found == RawAnswer("label-studio", "2", "q1", "2", 3.5, "2026-01-01T10:00:00Z", False)


@pytest.mark.parametrize(
    "result",
    [
        [],
        [choice({"choices": []})],
        [choice({"choices": ["1", "2"]})],
        [choice({"choices": "2"})],
        [choice({})],
        [choice(None)],
        [choice({"choices": ["1"]}), choice({"choices": ["2"]})],
        [choice({"choices": ["1"]}, name="other")],
        ["x"],
    ],
)
def test_annotations_without_one_choice(study, result):
    found = collect(study, label_studio_answers(Project(annotation(*result)), 5))
    assert found.dropped == {"without a score from 0 to 3": 1}


def test_annotations_of_odd_shapes(study):
    odd = [annotation(choice({"choices": ["1"]}), **more) for more in ({"was_cancelled": True}, {"completed_by": None})]
    found = collect(study, label_studio_answers(Project(*odd, "x"), 5))
    assert found.dropped == {"that were skipped or cancelled": 1, "without a rater": 1}
    for data in ({}, {"question": ["q1"]}, "text"):
        good = Project(annotation(choice({"choices": ["1"]})), data=data)
        assert collect(study, label_studio_answers(good, 5)).dropped == {"of questions that are not in the study": 1}


def test_answers_of_the_page(tmp_path, capsys):
    made = make_study(tmp_path / "study", batches=1, pictures=False)
    with Database(made) as database:
        People(database).add(3)
        store = PageStore(database)
        for rater in (2, 3):
            assert store.take(rater).batch == 1
            for question in made.questions:
                assert store.answer(rater, question.id, f"key-{question.id}", rater, 2.5) == "stored"
        assert store.answer(2, made.questions[0].id, "another", 0, 1.0) == "stored"  # a second thought
    assert cli.main(["study", "collect", str(made.root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["answers"], found["wanted"], found["raters"], found["dropped"]) == (10, 15, 2, {})
    answers = read_answers(made.answers).answers
    assert (answers[0].question, {one.score for one in answers[:2]}) == (made.questions[0].id, {0, 3})
    assert [one.score for one in answers[2:]] == [2, 3] * 4
    names = [line.split(",") for line in (made.root / "raters.csv").read_text().splitlines()]
    assert sorted(names[1:], key=lambda row: row[2]) == [["1", "page", "2"], ["2", "page", "3"]]


def answered(made, database, rater, score):
    """The rater takes the first batch and answers all of it."""
    store = PageStore(database)
    store.take(rater)
    for question in made.questions:
        store.answer(rater, question.id, f"key-{question.id}", score, 2.5)


def test_answers_beyond_the_quota_are_counted(tmp_path, capsys):
    """Three may answer; the second was not heard of and lost the place to the third, and answered late all the same."""
    made = make_study(tmp_path / "study", batches=1, raters=2, pictures=False)
    with Database(made) as database:
        People(database).add(3)
        answered(made, database, 1, 1)
        assert PageStore(database).take(2).batch == 1
        assert PageStore(database, abandoned_s=-1.0).take(3).batch == 1
        for rater in (2, 3):
            for question in made.questions:
                PageStore(database).answer(rater, question.id, f"key-{question.id}", rater, 2.5)
    assert cli.main(["study", "collect", str(made.root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["answers"], found["complete"]) == (10, 5)
    assert found["dropped"] == {"beyond the number of raters a question": 5}
    assert {one.score for one in read_answers(made.answers).answers} == {1, 3}


def test_answers_that_are_there_are_not_lost(tmp_path, capsys):
    made = make_study(tmp_path / "study", batches=1, pictures=False)
    table = tmp_path / "ann.csv"
    table.write_text("rater,question,score\nann,q00001,2\n")
    assert cli.main(["study", "collect", str(made.root), "--from", str(table)]) == 0
    before = made.answers.read_bytes()
    with Database(made) as database:  # a page that nobody has answered on
        People(database).add(1)
        capsys.readouterr()
        assert cli.main(["study", "collect", str(made.root)]) == 2
        assert "answers.csv has answers already; they stay" in capsys.readouterr().err
        assert made.answers.read_bytes() == before
        answered(made, database, 1, 3)
    assert cli.main(["study", "collect", str(made.root)]) == 2
    assert (
        "other sources, which would be lost; name all sources: --from FILE.csv --from page" in capsys.readouterr().err
    )
    assert made.answers.read_bytes() == before
    table.write_text("rater,question,score\nann,q99999,2\n")  # of another study
    assert cli.main(["study", "collect", str(made.root), "--from", str(table)]) == 2
    assert made.answers.read_bytes() == before
    table.write_text("rater,question,score\nann,q00001,2\n")
    assert cli.main(["study", "collect", str(made.root), "--from", str(table), "--from", "page"]) == 0
    assert [(one.question, one.score) for one in read_answers(made.answers).answers] == [
        ("q00001", 3), ("q00001", 2), ("q00002", 3), ("q00003", 3), ("q00004", 3), ("q00005", 3),
    ]  # fmt: skip
    assert cli.main(["study", "collect", str(made.root), "--from", "page"]) == 0  # by name one source alone will do
    assert len(read_answers(made.answers).answers) == 5


def test_collecting_nothing_twice(tmp_path, capsys):
    made = make_study(tmp_path / "study", batches=1, pictures=False)
    with Database(made) as database:
        People(database).add(1)
    for _ in range(2):
        assert cli.main(["study", "collect", str(made.root)]) == 0
        assert "0 of 15 answers by 0 raters" in capsys.readouterr().out
    assert read_answers(made.answers).answers == []
