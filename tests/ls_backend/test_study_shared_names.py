"""Questions of a table that share a name: told apart by method, image and segment, and by nothing else."""

from __future__ import annotations

from ls_backend.studies.answers import Answer
from ls_backend.studies.raters import rater_statistics
from ls_backend.studies.ratings import Facts, ratings_of
from ls_backend.studies.shared_names import told_apart


def names(answers):
    return [answer.question for answer in told_apart(answers)]


def row(question, *cells, rater="a", score=0, **more):
    """cells: method, image, segment."""
    return Answer(rater, question, score, **dict(zip(("method", "image", "segment"), cells, strict=False)), **more)


def test_what_differs_is_in_the_name():
    rows = [row("q", "A", "i"), row("q", "B", "i"), row("q", "A", "i", rater="b"), row("p", "A", "i"), row("p", "A")]
    assert names(rows) == ["q (method A)", "q (method B)", "q (method A)", "p", "p"]
    rows = [row("q", "A", "i", "1"), row("q", "A", "i", "2"), row("q", "A", "j", "1")]
    assert names(rows) == ["q (image i, segment 1)", "q (image i, segment 2)", "q (image j, segment 1)"]


def test_other_columns_tell_nothing_apart():
    rows = [row("q", "A", label="cat"), row("q", "A", label="dog", kind="gold", batch="2", seconds=3.0)]
    assert told_apart(rows) == rows


def test_blank_cells_are_the_only_value_that_there_is():
    rows = [row("q", "A"), row("q", "", "i"), row("q"), row("q", "A", "i", "7")]
    assert names(rows) == ["q"] * 4
    rows = [row("q", "A", "i"), row("q", "B"), row("q", "B", "i"), row("q", "", "i")]
    assert names(rows) == ["q (method A)", "q (method B)", "q (method B)", "q (method ?)"]


def test_no_name_is_given_twice():
    rows = [row("q (method A)"), row("q", "A"), row("q", "B"), row("q", ""), row("q", "?")]
    found = names(rows)
    assert found == ["q (method A)", "q (method A)'", "q (method B)", "q (method ?)", "q (method ?)'"]


def test_a_second_answer_is_one_to_the_same_method():
    found = ratings_of([row("q", "A", score=3), row("q", "B", score=1), row("q", "A", score=0)])
    assert found.score.tolist() == [3, 1]
    assert [fact.method for fact in found.facts] == ["A", "B"]
    assert found.dropped == {"second answers of a rater to a question": 1}


def test_a_manifest_knows_better():
    found = ratings_of([row("q", "A"), row("q", "B")], {"q": Facts(method="C")})
    assert found.questions == ("q",)
    assert found.dropped == {"second answers of a rater to a question": 1}


def test_repeats_ask_the_question_of_their_own_method_again():
    asked = [row("q", "A", score=0), row("q", "B", score=3)]
    again = row("r", "B", score=3, of="q")
    assert told_apart([*asked, again])[2].of == "q (method B)"
    found = rater_statistics(ratings_of([*asked, again]))
    assert (found.repeats.tolist(), found.repeat_consistency.tolist()) == ([1], [1.0])
    assert rater_statistics(ratings_of([*asked, row("r", "A", score=3, of="q")])).repeat_consistency.tolist() == [0.0]
    assert rater_statistics(ratings_of([*asked, row("r", score=3, of="q")])).repeats.tolist() == [0]  # of which?
