"""Reading what raters answered on a study's page; the server may run meanwhile."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ls_backend.studies.answers import Answer
from ls_backend.studies.page_database import Database

if TYPE_CHECKING:
    from ls_backend.studies.manifest import Study

_LATEST: Final = "SELECT question, rater, score, seconds, received, MAX(id) FROM answers GROUP BY rater, question"
_LOST: Final = "SELECT batch, rater FROM places WHERE released IS NOT NULL"


@dataclass(frozen=True, slots=True)
class PageAnswer(Answer):
    """An answer of the page. spare: its rater lost the place to another; it only fills up what others leave missing."""

    spare: bool = False


def read_page_answers(study: Study) -> list[PageAnswer]:
    """Every rater's last answer to each question, of STUDY/answers.sqlite.

    In the order of questions; of a question the best first: spare ones last, and the earlier before the later. Where a
    question has more of them than the study has raters for it, those at the end are too many.
    StudyError where nobody answered, or the file is another study's.
    """
    with Database(study, create=False) as database:
        lost, rows = set(database.rows(_LOST)), database.rows(_LATEST)
    found: dict[str, list[tuple[bool, float, PageAnswer]]] = defaultdict(list)
    for question, rater, score, seconds, received, _ in rows:
        batch = study.by_id[question].batch
        spare = (batch, rater) in lost
        when = datetime.fromtimestamp(received, UTC).isoformat(timespec="milliseconds")
        answer = PageAnswer(str(rater), question, score, str(batch), round(seconds, 3), when, spare=spare)
        found[question].append((spare, received, answer))
    return [
        answer
        for question in study.questions
        for _, _, answer in sorted(found[question.id], key=lambda entry: entry[:2])
    ]
