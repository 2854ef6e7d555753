"""Reading what raters answered on a study's page; the server may run meanwhile."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ls_backend.studies.answers import Answer
from ls_backend.studies.page_database import Database

if TYPE_CHECKING:
    from ls_backend.studies.manifest import Study

_LATEST: Final = "SELECT question, rater, score, seconds, received, MAX(id) FROM answers GROUP BY rater, question"
_LOST: Final = "SELECT batch, rater FROM places WHERE released IS NOT NULL"


def read_page_answers(study: Study) -> list[Answer]:
    """The answers of STUDY/answers.sqlite in the order of questions, then of time.

    Of a rater's answers to a question the last one. Of a question at most as many as the study has raters for it: those
    of raters who lost their place to another only fill up what is missing. StudyError where nobody answered, or the
    file is another study's.
    """
    with Database(study, create=False) as database:
        lost, rows = set(database.rows(_LOST)), database.rows(_LATEST)
    found: dict[str, list[tuple[bool, float, Answer]]] = defaultdict(list)
    for question, rater, score, seconds, received, _ in rows:
        batch = study.by_id[question].batch
        when = datetime.fromtimestamp(received, UTC).isoformat(timespec="milliseconds")
        answer = Answer(str(rater), question, score, str(batch), round(seconds, 3), when)
        found[question].append(((batch, rater) in lost, received, answer))
    return [answer for question in study.questions for answer in _counted(found[question.id], study.settings.raters)]


def _counted(answers: list[tuple[bool, float, Answer]], most: int) -> list[Answer]:
    """At most so many answers in the order of time, of raters who lost their place the last."""
    kept = sorted(answers, key=lambda entry: entry[:2])[:most]
    return [answer for _, _, answer in sorted(kept, key=lambda entry: entry[1])]
