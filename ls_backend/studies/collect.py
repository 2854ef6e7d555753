"""`zeroguide study collect`: answers from wherever they were given into STUDY/answers.csv, the unusable ones counted.

The first usable answer of a rater to a question counts, and of a question the first ones up to the number of raters
the study asks for; those of raters who lost their place to another only fill up what is missing. Raters get numbers in
the order of their first answers; who they are stays in raters.csv, for the study's maker alone. Collecting again gives
the same files, with what was added since.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ls_backend.files import atomic_write
from ls_backend.studies.answers import Answer, as_score, read_answers, safe_cell, write_answers
from zgcore.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from ls_backend.studies.manifest import Study

RATERS_FILE: Final = "raters.csv"
CSV: Final = "csv"  # the source of all tables: a platform gives its results in several files
UNKNOWN: Final = "of questions that are not in the study"
CANCELLED: Final = "that were skipped or cancelled"
INVALID: Final = "without a score from 0 to 3"
NOBODY: Final = "without a rater"
DUPLICATE: Final = "by a rater who had answered the question before"
OVER_QUOTA: Final = "beyond the number of raters a question"
UNREADABLE: Final = "in rows that cannot be read"


@dataclass(frozen=True)
class RawAnswer:
    """An answer as it was found. source: where; rater: who, there. score, seconds: anything. answered_at: ISO 8601.

    source: "page", "label-studio" or "csv": the same name in the same source is the same person. spare: the rater lost
    the place to another.
    """

    source: str
    rater: str
    question: str
    score: object
    seconds: object = None
    answered_at: str = ""
    cancelled: bool = False
    spare: bool = False


@dataclass(frozen=True)
class Collected:
    """What was found. answers: the usable ones by question. dropped: how many were not, by reason.

    raters: source and name there, in the order of their numbers. complete: questions with all their answers.
    """

    answers: tuple[Answer, ...]
    dropped: dict[str, int]
    raters: tuple[tuple[str, str], ...]
    complete: int


def collect(study: Study, found: Iterable[RawAnswer], unread: Mapping[str, int] | None = None) -> Collected:
    """Choose the answers that count, and number their raters. unread: what was dropped before, by reason."""
    dropped = Counter(unread or {})
    by_question: dict[str, dict[tuple[str, str], tuple[RawAnswer, int]]] = defaultdict(dict)
    timed = (replace(raw, answered_at=moment(raw.answered_at)) for raw in found)
    for raw in sorted(timed, key=lambda raw: (raw.spare, *_when(raw))):
        score, reason = _score(raw, study)
        who = (raw.source, raw.rater)
        if reason is None and who in by_question[raw.question]:
            reason = DUPLICATE
        if reason is None and len(by_question[raw.question]) >= study.settings.raters:
            reason = OVER_QUOTA
        if reason is not None:
            dropped[reason] += 1
            continue
        by_question[raw.question][who] = (raw, score)
    kept = [entry for question in study.questions for entry in by_question.get(question.id, {}).values()]
    firsts: dict[tuple[str, str], tuple[bool, str]] = {}
    for raw, _ in kept:
        firsts[raw.source, raw.rater] = min(_when(raw), firsts.get((raw.source, raw.rater), _when(raw)))
    raters = sorted(firsts, key=lambda who: (firsts[who], who))
    numbers = {who: str(number) for number, who in enumerate(raters, start=1)}
    answers = tuple(
        Answer(
            rater=numbers[raw.source, raw.rater],
            question=raw.question,
            score=score,
            batch=str(study.by_id[raw.question].batch),
            seconds=_seconds(raw.seconds),
            answered_at=raw.answered_at,
        )
        for raw, score in kept
    )
    complete = sum(len(by_question.get(question.id, {})) == study.settings.raters for question in study.questions)
    return Collected(
        answers, {reason: count for reason, count in sorted(dropped.items()) if count}, tuple(raters), complete
    )


def moment(text: str) -> str:
    """A time in ISO 8601 as such in UTC, so that texts are in the order of times; empty where it is none."""
    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):  # the first hours of the year 1 east of Greenwich are none in UTC
        return ""


def _when(raw: RawAnswer) -> tuple[bool, str]:
    """To sort by: answers whose time is not known come last."""
    return raw.answered_at == "", raw.answered_at


def _score(raw: RawAnswer, study: Study) -> tuple[int, str | None]:
    """The score, or why there is none."""
    if raw.question not in study.by_id:
        return 0, UNKNOWN
    if raw.cancelled:
        return 0, CANCELLED
    if not raw.rater:
        return 0, NOBODY
    try:
        return as_score("" if isinstance(raw.score, bool) else str(raw.score)), None
    except ValueError:
        return 0, INVALID


def _seconds(value: Any) -> float | None:
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def check_keeps_answers(study: Study, collected: Collected, sources: Collection[str] | None = None) -> None:
    """StudyError where answers.csv has answers and these would lose all of them.

    sources: where answers were looked for, if nobody named that place: those of other sources would be lost.
    """
    if not study.answers.exists() or not read_answers(study.answers, skip_bad=True).answers:
        return
    if not collected.answers:
        raise StudyError(
            f"nothing that was found counts, and {study.answers} has answers already; they stay. Name the source by "
            "--from, or move the file away"
        )
    lost = sorted(_sources_before(study) - set(sources)) if sources is not None else []
    if lost:
        names = " ".join(f"--from {'FILE.csv' if source == CSV else source}" for source in lost)
        raise StudyError(
            f"{study.answers} has answers of other sources, which would be lost; name all sources: {names} "
            + " ".join(f"--from {source}" for source in sources or ())
        )


def _sources_before(study: Study) -> set[str]:
    """The sources that answers.csv was made of."""
    try:
        with (study.root / RATERS_FILE).open(encoding="utf-8", newline="") as file:
            return {row["source"] for row in csv.DictReader(file) if row.get("source")}
    except (OSError, ValueError, csv.Error):
        return set()


def write_collected(study: Study, collected: Collected) -> Path:
    """Write answers.csv, and raters.csv for its owner's eyes only."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("rater", "source", "name"))
    rows.writerows((number, source, safe_cell(name)) for number, (source, name) in enumerate(collected.raters, start=1))
    with atomic_write(study.root / RATERS_FILE) as handle:
        os.fchmod(handle.fileno(), 0o600)
        handle.write(text.getvalue().encode("utf-8", "replace"))
    write_answers(study.answers, collected.answers)
    return study.answers
