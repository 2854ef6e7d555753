"""From answers to figures: the paper's averages by hand, a study's own questions, rules, and the command."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from krippendorff import alpha

from ls_backend.cli import main
from ls_backend.studies.analyse import analyse, figures_of
from ls_backend.studies.answers import Answer, write_answers
from ls_backend.studies.manifest import Rules, Source
from ls_backend.studies.ratings import ratings_of
from ls_backend.studies.report import study_report
from tests.ls_backend.rating_studies import answers, honest, question, random, study
from tests.zgcore.evaluation_runs import make_run
from zgcore.errors import StudyError

FIRST, SECOND = {"q1": 0, "q2": 1, "q3": 2, "q4": 3}, {"q1": 0, "q2": 0, "q3": 3, "q4": 3}


def figures(table, **settings):
    return figures_of(analyse(ratings_of(table), title="made", rounds=200, **settings))


def rounds(*batches):
    """Answers batch by batch, a rater each."""
    return [Answer(f"r{n}", name, score) for n, batch in enumerate(batches) for name, score in batch.items()]


def test_each_batch_of_raters_alone_and_then_averaged():
    found = figures(rounds(FIRST, SECOND, {"q1": 3, "q3": 2}))  # the third has half the answers, which is enough
    assert [list(batch["distribution"].values()) for batch in found["batches"]] == [
        [0.25, 0.25, 0.25, 0.25], [0.5, 0, 0, 0.5], [0, 0, 0.5, 0.5],
    ]  # fmt: skip
    assert found["distribution"] == pytest.approx({"0": 0.25, "1": 0.25 / 3, "2": 0.25, "3": 1.25 / 3}, abs=1e-6)
    assert found["at_least"] == pytest.approx({"1": 0.75, "2": 2 / 3, "3": 1.25 / 3}, abs=1e-6)
    assert found["mean"] == pytest.approx((1.5 + 1.5 + 2.5) / 3, abs=1e-6)
    assert found["pooled"] == {"0": 0.3, "1": 0.1, "2": 0.2, "3": 0.4}
    assert found["answers_in_no_batch"] == 0
    assert (found["answers"], found["questions"], found["raters"], found["images"]) == (10, 4, 3, None)


def test_batches_go_by_the_time_of_answers():
    early, late = "2026-01-01T10:00:00+00:00", "2026-01-01T10:30:00+01:00"  # the later text is the earlier time
    table = [Answer("a", "q1", 1, answered_at=early), Answer("b", "q1", 2, answered_at=late)]
    assert [batch["distribution"]["2"] for batch in figures(table)["batches"]] == [1, 0]
    untimed = [Answer("a", "q1", 1, answered_at=early), Answer("b", "q1", 2)]
    assert [batch["distribution"]["2"] for batch in figures(untimed)["batches"]] == [0, 1]


def test_answers_beyond_the_batches_are_in_no_average():
    many = {f"q{n}": n % 4 for n in range(40)}
    table = rounds(many, many, many, {"q0": 3, "q1": 3})  # a fourth batch of one question in twenty
    found = figures(table)
    assert found["distribution"] == dict.fromkeys("0123", 0.25)
    assert found["answers_in_no_batch"] == 2
    assert figures(table, quota=2)["answers_in_no_batch"] == 42
    assert found["pooled"]["3"] == pytest.approx(32 / 122, abs=1e-6)


def test_a_batch_with_under_half_of_the_largest_is_in_no_average():
    found = figures(rounds(FIRST, SECOND, {"q1": 3}))  # as a third of the average the one answer would make it 58% of 3
    assert found["distribution"] == {"0": 0.375, "1": 0.125, "2": 0.125, "3": 0.375}
    assert [batch["answers"] for batch in found["batches"]] == [4, 4]
    assert (found["answers"], found["answers_in_no_batch"]) == (8, 1)
    assert found["pooled"] == pytest.approx({"0": 3 / 9, "1": 1 / 9, "2": 1 / 9, "3": 4 / 9}, abs=1e-6)
    assert found["averaging"] == {"least_share_of_largest_batch": 0.5}
    assert "1 answer left out of the average of batches" in study_report(found).notes[0]
    assert "a batch with under 50% of the answers of the largest." in study_report(found).notes[0]


def test_a_batch_may_be_sparse_in_one_method_only():
    ours, other = ({f"{name}{n}": n for n in range(4)} for name in ("ours", "other"))
    table = [
        replace(one, method=one.question[:-1]) for one in rounds({**ours, **other}, {**other, "ours0": 3})
    ]  # the second batch has 5 of 8 answers, and of the method "ours" 1 of 4
    found = figures(table)
    assert found["methods"]["ours"]["distribution"] == dict.fromkeys("0123", 0.25)
    assert [batch["answers"] for batch in found["methods"]["ours"]["batches"]] == [4]
    assert [batch["answers"] for batch in found["methods"]["other"]["batches"]] == [4, 4]
    assert found["distribution"] == {"0": 0.225, "1": 0.225, "2": 0.225, "3": 0.325}  # of 2 2 2 2 and 1 1 1 2
    assert found["answers_in_no_batch"] == 0


def test_a_batch_may_be_sparse_without_those_left_out():
    table = [Answer("slow", f"q{n}", n, seconds=10) for n in range(4)]
    table += [Answer("quick", f"q{n}", 0, seconds=1) for n in range(3)]
    table.append(Answer("third", "q3", 3, seconds=10))
    found = figures(table, rules=Rules(min_seconds=5, min_checks=1))
    assert found["distribution"] == {"0": 0.5, "1": 0.125, "2": 0.125, "3": 0.25}
    assert found["answers_in_no_batch"] == 0
    assert len(found["exclusion"]["excluded"]) == 1
    assert found["cleaned"]["distribution"] == dict.fromkeys("0123", 0.25)  # of the second batch one answer stays
    assert (found["cleaned"]["answers"], found["cleaned"]["answers_in_no_batch"]) == (4, 1)
    assert found["cleaned"]["pooled"] == {"0": 0.2, "1": 0.2, "2": 0.2, "3": 0.4}


def test_methods_that_share_names_of_questions_are_both_there():
    table = [
        Answer(rater, f"q{n}", score, method=method, image=f"img{n}")
        for rater in "AB" for n in range(4) for method, score in (("ours", 3), ("base", 1))
    ]  # fmt: skip
    found = figures(table)
    assert (found["answers"], found["questions"], found["raters"], found["images"]) == (16, 8, 2, 4)
    assert found["dropped"] == {}
    assert found["distribution"] == {"0": 0, "1": 0.5, "2": 0, "3": 0.5}
    assert {name: (one["answers"], one["mean"]) for name, one in found["methods"].items()} == {
        "base": (8, 1), "ours": (8, 3),
    }  # fmt: skip
    (pair,) = found["comparisons"]
    assert (pair["paired_by"], pair["images"], pair["win_rate"], pair["difference"]) == ("image", 4, 0, -2)


def test_agreement_is_of_all_answers():
    table = rounds(FIRST, SECOND, {"q1": 3, "q3": 2})
    counts = np.array([[2, 0, 0, 1], [1, 1, 0, 0], [0, 0, 2, 1], [0, 0, 0, 2]])
    found = figures(table)
    assert found["alpha_nominal"] == pytest.approx(alpha(value_counts=counts, level_of_measurement="nominal"), abs=1e-6)
    assert found["alpha_ordinal"] == pytest.approx(alpha(value_counts=counts, level_of_measurement="ordinal"), abs=1e-6)


def test_where_nothing_can_be_told():
    found = figures([Answer("a", "q1", 2)])
    assert found["alpha_ordinal"] is None
    assert "two raters" in found["alpha_ordinal_reason"]
    assert found["distribution"] == {"0": 0, "1": 0, "2": 1, "3": 0}
    assert found["distribution_interval"]["2"] is None
    assert found["comparisons"] == []
    json.dumps(found, allow_nan=False)
    with pytest.raises(StudyError, match="no answer to a rated question"):
        figures([Answer("a", "g1", 2, kind="gold", expected=(2,))])
    with pytest.raises(StudyError, match="no answer"):
        figures([])


def test_second_answers_gold_and_repeats_are_no_results():
    table = [
        *rounds(FIRST, SECOND),
        Answer("r0", "q1", 3),
        Answer("r0", "g", 3, expected=(3,)),
        Answer("r1", "r", 3, of="q1"),
    ]
    found = figures(table)
    assert found["distribution"] == figures(rounds(FIRST, SECOND))["distribution"]
    assert found["dropped"] == {"second answers of a rater to a question": 1}
    assert [one["gold_accuracy"] for one in found["rater_statistics"]] == [1, None]


def test_raters_who_are_numbers_keep_them():
    numbered = [Answer("12", "q1", 1), Answer("7", "q1", 2)]
    assert [one["rater"] for one in figures(numbered)["rater_statistics"]] == [7, 12]
    accounts = [Answer("5837201", "q1", 1), Answer("5837177", "q1", 2)]
    assert [one["rater"] for one in figures(accounts)["rater_statistics"]] == [1, 2]


def test_the_command_on_a_table(tmp_path, capsys):
    true = np.random.default_rng(0).choice(4, 60, p=[0.4, 0.2, 0.2, 0.2])
    table = [replace(one, rater=f"{one.rater}@example.org") for one in answers(true, 6, {2: random})]
    write_answers(tmp_path / "a.csv", table)
    assert main(["study", "analyse", "--answers", str(tmp_path / "a.csv"), "--out", str(tmp_path / "one")]) == 0
    told = capsys.readouterr()
    assert "the paper's study" in told.out
    assert str(tmp_path / "one" / "index.html") in told.out
    found = json.loads((tmp_path / "one" / "figures.json").read_text())
    assert set(found["distribution"]) == set("0123")
    assert sum(found["distribution"].values()) == pytest.approx(1, abs=1e-5)
    assert all(isinstance(found[name], float) for name in ("alpha_ordinal", "alpha_nominal"))
    assert found["paper"]["distribution"] == {"0": 0.36, "1": 0.208, "2": 0.239, "3": 0.193}
    with (tmp_path / "one" / "scores.csv").open(newline="") as file:
        scores = list(csv.DictReader(file))
    assert len(scores) == 60
    assert float(scores[0]["score"]) == np.mean([one.score for one in table if one.question == "q0"]).round(6)
    raters = (tmp_path / "one" / "raters.csv").read_text()
    assert [line.split(",")[0] for line in raters.splitlines()[1:]] == list("123456")
    everything = b"".join(path.read_bytes() for path in (tmp_path / "one").iterdir())
    assert b"example.org" not in everything
    assert (
        main(["study", "analyse", "--answers", str(tmp_path / "a.csv"), "--out", str(tmp_path / "two"), "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out) == found
    for name in ("figures.json", "index.html", "scores.csv", "raters.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    bad = tmp_path / "bad.csv"
    bad.write_text("rater,question,score\na,q1,1\nb,q1,five\nc,q1,2\nd,q1,\ne,q1,NA\n")
    for arguments, what in (
        ([], "name a study, or a table with --answers"),
        (["--answers", str(tmp_path / "none.csv")], "cannot be read"),
        (["--answers", str(bad)], "bad.csv, line 3: score is 'five'"),
        ([str(tmp_path / "nowhere")], "is no study"),
    ):
        assert main(["study", "analyse", *arguments]) == 2
        assert what in capsys.readouterr().err
    assert main(["study", "analyse", "--answers", str(bad), "--skip-bad", "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "left out: line 3: score is 'five'" in told
    assert "Left out: 2 missing ratings." in told
    found = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert found["dropped"] == {"missing ratings": 2, "rows that cannot be read": 1}
    assert found["answers"] == 2


@pytest.fixture
def checked(tmp_path):
    """A study of 40 segments, each with a label of two methods, and gold: rater 4 answers at random and fails it."""
    rng = np.random.default_rng(8)
    questions, table = [], []
    for n in range(80):
        method = ("ours", "other")[n % 2]
        questions.append(
            question(n, method=method, image=f"image{n // 8}", counts=f"mask{n // 2}", size=("small", "large")[n > 39])
        )
    questions += [question(80 + n, kind="gold", expected=(3,), method="ours") for n in range(4)]
    made = study(tmp_path / "study", questions, Rules(min_gold_accuracy=0.9, min_seconds=0))
    for n, one in enumerate(questions):
        true = (
            one.expected[0] if one.expected else int(rng.integers(2, 4) if one.method == "ours" else rng.integers(0, 2))
        )
        for rater in ("1", "2", "3", "4")[n % 2 : n % 2 + 3] if one.kind == "rated" else "1234":
            said = random(true, rng) if rater == "4" else honest(true, rng) if one.kind == "rated" else true
            table.append(Answer(rater, one.id, said))
    write_answers(made.answers, [*table, Answer("1", "q999", 3)])
    return made


def test_a_study_with_its_rules(checked, capsys):
    assert main(["study", "analyse", str(checked.root)]) == 0
    out = checked.root / "analysis"
    found = json.loads((out / "figures.json").read_text())
    assert found["title"] == "Made study"
    assert found["exclusion"]["excluded"] == [4]
    assert found["dropped"] == {"answers to questions that are not in the study": 1}
    assert (found["raters"], found["cleaned"]["raters"]) == (4, 3)
    assert (found["answers"], found["cleaned"]["answers"]) == (240, 200)
    assert found["cleaned"]["alpha_ordinal"] > found["alpha_ordinal"]
    (pair,) = found["comparisons"]
    assert (pair["method"], pair["other"], pair["paired_by"], pair["images"]) == ("other", "ours", "segment", 10)
    assert pair["win_rate_interval"][1] < 0.5
    assert pair["p_holm"] == pytest.approx(
        2 / 1024, abs=1e-6
    )  # every image is lost: of 2^10 arrangements this and its contrary
    assert found["by_size"].keys() == {"small", "large"}
    assert found["methods"]["ours"]["mean"] > found["methods"]["other"]["mean"] + 1
    assert found["human"] is None
    (fourth,) = [one for one in found["rater_statistics"] if one["rater"] == 4]
    assert fourth["reasons"][0].startswith("known answers right")
    with (out / "scores.csv").open(newline="") as file:
        assert sum(int(row["ratings"]) for row in csv.DictReader(file)) == 200  # of the raters who stay
    assert "without those left out" in capsys.readouterr().out


def test_rules_may_leave_nobody(tmp_path):
    made = study(tmp_path / "study", [question(0), question(1)], Rules(min_seconds=5, min_checks=1))
    write_answers(made.answers, [Answer(rater, q.id, 2, seconds=1) for q in made.questions for rater in "12"])
    assert main(["study", "analyse", str(made.root)]) == 0
    found = json.loads((made.root / "analysis" / "figures.json").read_text())
    assert found["exclusion"]["excluded"] == [1, 2]
    assert found["cleaned"]["distribution"] == dict.fromkeys("0123")
    assert found["cleaned"]["alpha_ordinal"] is None
    assert found["distribution"]["2"] == 1


def test_a_column_of_anything_is_no_method():
    table = [Answer("a", f"q{n}", 1, method=f"m{n}") for n in range(31)]
    with pytest.raises(StudyError, match="31 methods are more than 30"):
        figures(table)


def test_a_study_without_answers_names_the_next_step(tmp_path, capsys):
    made = study(tmp_path / "study", [question(0)])
    assert main(["study", "analyse", str(made.root)]) == 2
    assert f"zeroguide study collect {made.root}" in capsys.readouterr().err


@pytest.fixture
def reassigned(tmp_path):
    """A study of every segment that ST keeps in a run whose figures were worked out by hand; see `evaluation_runs`."""
    run = make_run(tmp_path / "run", tmp_path / "data")
    segments = {("meadow", 0): 3, ("meadow", 1): 3, ("garden", 0): 2, ("field", 0): 0}
    questions = [question(n, image=image, segment=k) for n, (image, k) in enumerate(segments)]
    source = Source("ours", "evaluation", str(run), "1", 3, 4)
    made = study(tmp_path / "study", questions, sources=(source,), labels="reassigned", reassigned_by="st")
    write_answers(
        made.answers, [Answer(rater, q.id, segments[q.image, q.segment]) for q in questions for rater in "abc"]
    )
    return made


def test_human_verification(reassigned):
    assert main(["study", "analyse", str(reassigned.root)]) == 0
    found = json.loads((reassigned.root / "analysis" / "figures.json").read_text())["human"]["ours"]
    assert (found["kind"], found["images"], found["rated"], found["unrated"]) == ("st", 3, 4, 0)
    # meadow is right; of garden the cat's 8 of 12 pixels and no grass; the grass of field was said to be wrong
    least = {k: (one["iou"], one["recall"]) for k, one in found["least"].items()}
    assert least["1"] == least["2"] == pytest.approx(((1 + 1 / 3 + 0) / 3, (1 + 1 / 2 + 0) / 3))
    assert least["3"] == pytest.approx((1 / 3, 1 / 3))
    with (reassigned.root / "analysis" / "scores.csv").open(newline="") as file:
        rows = [(row["image"], row["segment"], row["score"]) for row in csv.DictReader(file)]
    assert rows[2] == ("garden", "0", "2.0")


def test_human_verification_without_the_run(reassigned):
    Path(reassigned.settings.sources[0].path, "run.json").unlink()
    assert main(["study", "analyse", str(reassigned.root)]) == 0
    found = json.loads((reassigned.root / "analysis" / "figures.json").read_text())["human"]["ours"]
    assert "is not the folder of an evaluation run" in found["reason"]
