"""Tables of answers: any usual dialect, bad rows named or counted, hostile files, and what spreadsheets would run."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ls_backend.studies import answers as module
from ls_backend.studies.answers import Answer, as_score, moment, read_answers, write_answers
from ls_backend.studies.crowd_csv import crowd_answers
from zgcore.errors import StudyError

TWO = [Answer("ann", "q1", 3), Answer("bob", "q1", 0)]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("rater,question,score\nann,q1,3\nbob,q1,0\n", "utf-8"),
        ("rater,question,score\r\nann,q1,3\r\nbob,q1,0", "utf-8-sig"),
        ("rater;question;score\nann;q1;3.0\nbob;q1;0,0\n", "utf-8"),
        ("rater\tquestion\tscore\rann\tq1\t3\rbob\tq1\t0\r", "utf-16"),
        (" Score | QUESTION|Rater\n3|q1|ann\n0|q1|bob\n", "utf-8"),
        ('"score","note","question","rater"\n"3","a, b\nc","q1","ann"\n\n,,,\n"0.0","","q1","bob"\n', "utf-8"),
        ("sep=;\nrater;question;score\n ann ;q1; 3 \nbob;q1;0\n", "utf-8"),
    ],
)
def test_dialects(tmp_path, text, encoding):
    path = tmp_path / "answers.csv"
    path.write_bytes(text.encode(encoding))
    assert read_answers(path).answers == TWO


def test_every_column_is_kept(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text(
        "of,expected,kind,label,segment,image,method,answered_at,seconds,batch,score,question,rater\n"
        'q1,0|2,Gold,"a ""cat""",4,street.jpg,ours,2026-11-21T10:00:00Z,"2,5",b1,2,q9,ann\n'
        ",,rating,,,,,,,,1,q8,ann\n"
    )
    one, two = read_answers(path).answers
    assert one == Answer(
        "ann", "q9", 2, batch="b1", seconds=2.5, answered_at="2026-11-21T10:00:00Z", method="ours", image="street.jpg",
        segment="4", label='a "cat"', kind="gold", expected=(0, 2), of="q1",
    )  # fmt: skip
    assert two.kind == "rated"


@pytest.mark.parametrize(("text", "score"), [("0", 0), ("3", 3), (" 2 ", 2), ("1.0", 1), ("2,000", 2), ("3.", 3)])
def test_scores(text, score):
    assert as_score(text) == score


@pytest.mark.parametrize("text", ["", "4", "-1", "1.5", "two", "nan", "1e0", "33", "\u0663", "3: correct"])
def test_what_is_no_score(text):
    with pytest.raises(ValueError, match="should be 0, 1, 2 or 3"):
        as_score(text)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("ann,q2,4", "score is '4', and should be 0, 1, 2 or 3"),
        ("ann,q2", "score is ''"),
        (",q2,1", "rater is empty"),
        ("ann, ,1", "question is empty"),
        ("ann,q2,1,soon", "seconds is 'soon'"),
        ("ann,q2,1,-3", "seconds is '-3'"),
        ("ann,q2,1,inf", "seconds is 'inf'"),
        ("ann,q2,1,2,silver", "kind is 'silver'"),
    ],
)
def test_bad_rows_are_named_or_counted(tmp_path, row, why):
    path = tmp_path / "answers.csv"
    path.write_text(f'rater,question,score,seconds,kind\n"ann\nlee",q1,3\n{row}\nbob,q1,0\n')
    with pytest.raises(StudyError) as caught:
        read_answers(path)
    assert f"{path}, line 4: " in str(caught.value)  # the first row takes two lines
    assert why in str(caught.value)
    assert "--skip-bad" in str(caught.value)
    table = read_answers(path, skip_bad=True)
    assert [answer.rater for answer in table.answers] == ["ann\nlee", "bob"]
    assert table.skipped == 1
    assert table.bad[0][0] == 4


@pytest.mark.parametrize("cell", ["", "  ", '""', "NA", "n/a", "NaN", "<NA>", "null", "*", ".", " . "])
def test_a_row_without_a_score_is_a_missing_rating(tmp_path, cell):
    path = tmp_path / "answers.csv"
    path.write_text(f"rater,question,score,seconds\nann,q1,3,\nann,q2,{cell},soon\n,q3,{cell},\n,,,\nbob,q1,0,\n")
    for skip_bad in (False, True):
        table = read_answers(path, skip_bad=skip_bad)
        assert table.answers == TWO
        assert (table.missing, table.skipped, table.bad) == (2, 0, [])  # the row of nothing is no rating


def test_a_platforms_table_counts_missing_ratings_too(tmp_path):
    path = tmp_path / "platform.csv"
    path.write_text("rater,question,score\nann,q1,3\nann,q2,\nbob,q1,five\n")
    answers, unread = crowd_answers(path)
    assert [(one.rater, one.score) for one in answers] == [("ann", 3)]
    assert unread == {"without a score from 0 to 3": 1, "in rows that cannot be read": 1}


@pytest.mark.parametrize("cell", ["4", "-1", "2.5", "two", "none", "-", "0|1", "inf", "**", ".."])
def test_a_wrong_score_is_no_missing_one(tmp_path, cell):
    path = tmp_path / "answers.csv"
    path.write_text(f"rater,question,score\nann,q1,3\nann,q2,{cell}\nbob,q1,0\n")
    with pytest.raises(StudyError, match=r"line 3: score is .*, and should be 0, 1, 2 or 3"):
        read_answers(path)
    table = read_answers(path, skip_bad=True)
    assert (table.answers, table.missing, table.skipped) == (TWO, 0, 1)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "rater, question, score are missing"),
        ("rater,question\nann,q1\n", "score is missing"),
        ("rate,question,score\nann,q1,1\n", 'rater is missing (is "rate" meant?)'),
        ("ann,q1,1\n", "must name the columns rater, question, score"),
    ],
)
def test_headers(tmp_path, text, what):
    path = tmp_path / "answers.csv"
    path.write_text(text)
    with pytest.raises(StudyError) as caught:
        read_answers(path)
    assert what in str(caught.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(StudyError, match="cannot be read"):
        read_answers(tmp_path / "none.csv")
    with pytest.raises(StudyError, match="cannot be read"):
        read_answers(tmp_path)
    (tmp_path / "latin.csv").write_bytes("rater,question,score\nJos\xe9,q1,1\n".encode("latin-1"))
    with pytest.raises(StudyError, match="not UTF-8"):
        read_answers(tmp_path / "latin.csv")


def test_hostile_files_are_refused_and_never_held_whole(tmp_path, monkeypatch):
    path = tmp_path / "answers.csv"
    path.write_bytes(b"rater,question,score\n" + b"x" * 300_000 + b",q1,1\n")
    with pytest.raises(StudyError, match=r"line 2: no CSV \(a line of more than 200,000 characters\)"):
        read_answers(path)
    path.write_bytes(b'rater,question,score\n"' + b"x\n" * 100_000 + b'",q1,1\n')
    with pytest.raises(StudyError, match=r"line 2: no CSV \(field larger than field limit"):
        read_answers(path)
    path.write_bytes(b"rater,question,score\n" + b"x" * 20_000 + b",q1,1\n")
    with pytest.raises(StudyError, match="more than 10,000 characters"):
        read_answers(path)
    path.write_bytes(b"," * 150_000 + b"\n")
    with pytest.raises(StudyError, match="must name the columns"):
        read_answers(path)
    monkeypatch.setattr(module, "MAX_ROWS", 2)
    path.write_text("rater,question,score\n" + "ann,q1,1\n" * 3)
    with pytest.raises(StudyError, match="more than 2 answers"):
        read_answers(path)
    with path.open("wb") as file:
        file.truncate(module.MAX_BYTES + 1)
    with pytest.raises(StudyError, match="larger than 256 MB"):
        read_answers(path)


def test_nothing_that_a_spreadsheet_runs_is_written(tmp_path):
    path = tmp_path / "answers.csv"
    names = ["=1+1", "+49", "-5", "@SUM(A1)", "'=quoted", "  =led", "plain", "\uff1dwide", "a\0b", "O'Hara", "'single"]
    assert write_answers(path, [Answer(name, f"={name}", 1, label=name) for name in names]) == len(names)
    with path.open(newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d"))]
    back = [answer.rater for answer in read_answers(path).answers]
    assert back == [name.replace("\0", "\ufffd") for name in names]


NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20).map(str.strip)


@given(
    st.lists(
        st.builds(
            Answer, rater=NAMES.filter(bool), question=NAMES.filter(bool), score=st.integers(0, 3), batch=NAMES,
            seconds=st.none() | st.floats(0, 1e6), answered_at=NAMES, method=NAMES, image=NAMES, segment=NAMES,
            label=NAMES, kind=st.sampled_from(("", "rated", "gold", "repeat")),
            expected=st.sets(st.integers(0, 3)).map(lambda scores: tuple(sorted(scores))), of=NAMES,
        ),
        max_size=4,
    )
)  # fmt: skip
def test_round_trip(tmp_path_factory, answers):
    path = tmp_path_factory.mktemp("answers") / "answers.csv"
    write_answers(path, answers)
    assert read_answers(path).answers == answers


def test_times():
    assert moment("1970-01-01T00:01:00Z") == 60
    assert moment("1970-01-01T01:01:00+01:00") == 60
    assert moment("1970-01-01 00:01") == 60  # no zone is UTC
    assert moment("yesterday") != moment("yesterday")  # NaN
