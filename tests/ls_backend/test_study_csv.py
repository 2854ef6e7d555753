"""Tables for crowd platforms: one task a batch, nothing in them that raters must not know, and answers back."""

import csv
import json

import pytest

from ls_backend import cli
from ls_backend.studies.manifest import load_study
from tests.ls_backend.study_runs import write_run

BASE = "https://example.org/pictures/"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("csv")
    run = write_run(root / "secret-method", 12, labels=lambda number: ("=SUM(A1)", "two, words", 'a "tree"', "grün"))
    assert cli.main(["study", "create", str(run), "--out", str(root / "study"), "--gold", "1", "--per-task", "20",
                     "--gold-file", str(gold_file(root)), "--workers", "1"]) == 0  # fmt: skip
    return root / "study"


def gold_file(root):
    path = root / "gold.csv"
    path.write_text("image,segment,expected\nimage000,0,0\nimage001,1,3\nimage002,2,3\n")
    return path


def export(folder, path, *arguments):
    assert cli.main(["study", "export-csv", str(folder), "--picture-url", BASE, "--out", str(path), *arguments]) == 0
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def collect(folder, path, capsys, *more):
    capsys.readouterr()
    sources = [part for table in (path, *more) for part in ("--from", str(table))]
    assert cli.main(["study", "collect", str(folder), *sources, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def plan(question, worker):
    """The score that a made-up worker gives."""
    return (int(question[1:]) + worker) % 4


def test_a_row_a_task(folder, tmp_path):
    study = load_study(folder)
    rows = export(folder, tmp_path / "hits.csv")
    assert [row["hit"] for row in rows] == ["1", "2", "3"]  # 18 rated, 1 gold, 1 repeated: 20, 20 and 14
    for row, questions in zip(rows, study.batches.values(), strict=True):
        assert [row[f"question_{number}"] for number in range(1, 21)] == [
            *(question.id for question in questions),
            *[""] * (20 - len(questions)),
        ]
        for number, question in enumerate(questions, start=1):
            assert row[f"label_{number}"].removeprefix("'") == question.label
            assert row[f"picture_{number}"] == f"https://example.org/pictures/{question.picture}"
    assert {len(questions) for questions in study.batches.values()} == {20, 14}


def test_a_row_a_question(folder, tmp_path):
    study = load_study(folder)
    rows = export(folder, tmp_path / "rows.csv", "--layout", "rows")
    assert list(rows[0]) == ["hit", "position", "question", "label", "picture"]
    assert [(row["hit"], row["position"], row["question"]) for row in rows] == [
        (str(one.batch), str(one.position), one.id) for one in study.questions
    ]
    assert {row["label"] for row in rows} == {"'=SUM(A1)", "two, words", 'a "tree"', "grün"}


@pytest.mark.parametrize("layout", ["hits", "rows"])
def test_nothing_in_it_tells_what_raters_must_not_know(folder, tmp_path, layout):
    export(folder, tmp_path / "table.csv", "--layout", layout)
    text = (tmp_path / "table.csv").read_text(encoding="utf-8")
    for secret in ("secret-method", "image0", "gold", "rated", "repeat", "expected", str(folder.parent)):
        assert secret not in text


def test_a_platforms_results_come_back(folder, tmp_path, capsys):
    """As Mechanical Turk gives them: a row a task and worker, input and answers beside each other."""
    tasks = export(folder, tmp_path / "hits.csv")
    results = tmp_path / "results.csv"
    with results.open("w", encoding="utf-8", newline="") as file:
        names = [name for name in tasks[0] if name.startswith("question_")]
        head = ["HITId", "WorkerId", "AssignmentStatus", "SubmitTime", "WorkTimeInSeconds"]
        table = csv.DictWriter(file, [*head, *(f"Input.{n}" for n in names), *(f"Answer.score_{n[9:]}" for n in names)])
        table.writeheader()
        for worker in range(4):
            for task in tasks:
                asked = {name: task[name] for name in names if task[name]}
                row = {f"Input.{name}": question for name, question in asked.items()}
                row |= {f"Answer.score_{name[9:]}": plan(question, worker) for name, question in asked.items()}
                status = "Rejected" if worker == 1 else "Approved"
                facts = [task["hit"], f"W{worker}", status, f"Thu Jan 01 1{worker}:00:00 PST 2026", 4 * len(asked)]
                table.writerow(row | dict(zip(head, facts, strict=True)))
    found = collect(folder, results, capsys)
    assert (found["answers"], found["complete"], found["raters"]) == (54 * 3, 54, 3)
    assert found["dropped"] == {"that were skipped or cancelled": 54}
    with (folder / "answers.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            worker = {"1": 0, "2": 2, "3": 3}[row["rater"]]
            assert (int(row["score"]), float(row["seconds"])) == (plan(row["question"], worker), 4.0)
            assert row["answered_at"] == f"2026-01-01T{18 + worker}:00:00.000+00:00"


def test_a_plain_table_comes_back(folder, tmp_path, capsys):
    table = tmp_path / "answers.csv"
    table.write_text(
        "question;rater;score\nq0001;ann;2\nq0001;bob;9\nq0002;ann;0\nq9999;ann;1\nq0001;ann;3\nq0003;ann;\nq0003;bob;NA\n"
    )
    found = collect(folder, table, capsys)
    assert (found["answers"], found["raters"]) == (2, 1)
    assert found["dropped"] == {
        "by a rater who had answered the question before": 1,
        "in rows that cannot be read": 1,
        "of questions that are not in the study": 1,
        "without a score from 0 to 3": 2,
    }


def test_a_worker_is_one_person_in_all_downloads(folder, tmp_path, capsys):
    """Ann's first answer is in both tables; bob is written with a space in one of them."""
    first, second = tmp_path / "monday.csv", tmp_path / "tuesday.csv"
    first.write_text("rater,question,score\nann,q0001,2\nbob,q0001,1\n")
    second.write_text("rater,question,score\nann,q0001,2\nann,q0002,3\n bob ,q0002,0\n")
    found = collect(folder, first, capsys, second)
    assert (found["answers"], found["raters"], found["complete"]) == (4, 2, 0)
    assert found["dropped"] == {"by a rater who had answered the question before": 1}
    with (folder / "answers.csv").open(encoding="utf-8") as file:
        rows = [(row["rater"], row["question"], row["score"]) for row in csv.DictReader(file)]
    assert rows == [("1", "q0001", "2"), ("2", "q0001", "1"), ("1", "q0002", "3"), ("2", "q0002", "0")]
    assert (folder / "raters.csv").read_text() == "rater,source,name\n1,csv,ann\n2,csv,bob\n"


def test_a_worker_is_one_person_in_all_results_of_a_platform(folder, tmp_path, capsys):
    head = "WorkerId,AssignmentStatus,Input.question_1,Answer.score_1\n"
    first, second = tmp_path / "one.csv", tmp_path / "two.csv"
    first.write_text(head + "W1,Approved,q0001,2\nW2,Approved,q0001,1\n")
    second.write_text(head + "W1 ,Approved,q0001,3\n W2,Approved,q0001,1\nW3,Approved, q0001,0\n")
    found = collect(folder, first, capsys, second)
    assert (found["answers"], found["raters"], found["complete"]) == (3, 3, 1)
    assert found["dropped"] == {"by a rater who had answered the question before": 2}
    with (folder / "answers.csv").open(encoding="utf-8") as file:
        assert [row["score"] for row in csv.DictReader(file)] == ["2", "1", "0"]


def test_without_a_source_it_says_what_to_do(folder, capsys):
    assert cli.main(["study", "collect", str(folder)]) == 2
    assert "neither a page nor a project" in capsys.readouterr().err


def test_pictures_must_be_there(folder, tmp_path, capsys):
    study = load_study(folder)
    picture = study.pictures / study.questions[0].picture
    content = picture.read_bytes()
    picture.unlink()
    try:
        assert cli.main(["study", "export-csv", str(folder), "--picture-url", BASE, "--out", str(tmp_path / "x")]) == 2
        assert "1 pictures are missing; run the same zeroguide study create again" in capsys.readouterr().err
    finally:
        picture.write_bytes(content)
