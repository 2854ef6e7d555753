"""Tables for crowd platforms: the questions out, one task (HIT) a batch, and the answers back in.

Two layouts. "hits": a row a batch, with the columns question_1, label_1, picture_1, question_2, ...: what Mechanical
Turk takes as the input of a batch, and gives back as Input.question_1 ... beside Answer.score_1 ... and WorkerId.
"rows": a row a question with its hit and position, for platforms that group rows; answers come back with the columns
rater, question and score.
"""

from __future__ import annotations

import csv
import io
import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from ls_backend.files import atomic_write
from ls_backend.studies.answers import MAX_CELL, read_answers, safe_cell
from ls_backend.studies.collect import CSV, INVALID, UNREADABLE, RawAnswer
from ls_backend.studies.label_studio import picture_url
from zgcore.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ls_backend.studies.manifest import Study

LAYOUTS: Final = ("hits", "rows")
_WORKER: Final = "WorkerId"
_QUESTION: Final = re.compile(r"Input\.question_(\d+)")
_TURK_TIME: Final = re.compile(r"\w{3} (\w{3} \d\d? \d\d:\d\d:\d\d) (PST|PDT|UTC|GMT) (\d{4})")
_ZONES: Final = {"PST": -8, "PDT": -7, "UTC": 0, "GMT": 0}
_REFUSED: Final = ("Rejected",)  # the study's maker has thrown the whole task out


def write_questions(study: Study, path: Path, base_url: str, layout: str) -> int:
    """Write the table; returns how many tasks it has. base_url: under which the study's pictures/ is served.

    Raters see what `Study.shown` gives and nothing else.
    """
    if missing := study.missing_pictures():
        raise StudyError(f"{len(missing)} pictures are missing; run the same zeroguide study create again")
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\r\n")
    rows.writerows(_hits(study, base_url) if layout == "hits" else _rows(study, base_url))
    with atomic_write(path) as handle:
        handle.write(text.getvalue().encode("utf-8"))
    return len(study.batches)


def _hits(study: Study, base_url: str) -> Iterator[list[str]]:
    longest = max(len(questions) for questions in study.batches.values())
    numbers = range(1, longest + 1)
    yield ["hit", *(f"{name}_{number}" for number in numbers for name in ("question", "label", "picture"))]
    for batch, questions in study.batches.items():
        row = [str(batch)]
        for question in questions:
            shown = study.shown(question)
            row += [shown.id, safe_cell(shown.label), picture_url(base_url, shown.picture)]
        yield row + [""] * (1 + 3 * longest - len(row))


def _rows(study: Study, base_url: str) -> Iterator[list[str]]:
    yield ["hit", "position", "question", "label", "picture"]
    for question in study.questions:
        shown = study.shown(question)
        row = [str(question.batch), str(question.position), shown.id, safe_cell(shown.label)]
        yield [*row, picture_url(base_url, shown.picture)]


def crowd_answers(path: Path) -> tuple[list[RawAnswer], dict[str, int]]:
    """Answers of a platform's table, and how many rows are none, by reason. StudyError where it is no such table.

    A worker is the same person in every table.
    """
    if _is_hits(path):
        return list(_turk_answers(path)), {}
    table = read_answers(path, skip_bad=True)
    found = [RawAnswer(CSV, one.rater, one.question, one.score, one.seconds, one.answered_at) for one in table.answers]
    return found, {UNREADABLE: table.skipped, INVALID: table.missing}


def _is_hits(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            header = next(csv.reader([file.readline(MAX_CELL * 20)]), [])
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror or error}") from None
    return _WORKER in header and any(_QUESTION.fullmatch(name) for name in header)


def _turk_answers(path: Path) -> Iterator[RawAnswer]:
    """A row is a task that one worker did: its questions share the time."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                yield from _turk_row(row)
    except (UnicodeError, csv.Error) as error:
        raise StudyError(f"{path}: no CSV in UTF-8 ({error})") from None


def _turk_row(row: dict[str, Any]) -> Iterator[RawAnswer]:
    asked = {found[1]: value for name, value in row.items() if name and value and (found := _QUESTION.fullmatch(name))}
    try:
        seconds = float(row.get("WorkTimeInSeconds") or "") / len(asked)
    except (ValueError, ZeroDivisionError):
        seconds = None
    for number, question in asked.items():
        yield RawAnswer(
            source=CSV,
            rater=str(row.get(_WORKER) or "").strip(),
            question=question.strip(),
            score=row.get(f"Answer.score_{number}"),
            seconds=seconds,
            answered_at=_turk_time(str(row.get("SubmitTime") or "")),
            cancelled=row.get("AssignmentStatus") in _REFUSED,
        )


def _turk_time(text: str) -> str:
    """ "Thu Jan 01 10:00:00 PST 2026", as Mechanical Turk writes it, in ISO 8601; other texts as they are."""
    found = _TURK_TIME.fullmatch(text.strip())
    if found is None:
        return text
    try:
        when = datetime.strptime(f"{found[1]} {found[3]}", "%b %d %H:%M:%S %Y")
    except ValueError:
        return text
    return when.replace(tzinfo=timezone(timedelta(hours=_ZONES[found[2]]))).isoformat()
