"""How far a study has come, for its organiser: by batch, and by rater, who are numbers."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from ls_backend.status_page import ago
from ls_backend.studies.attention import checks
from ls_backend.studies.tokens import ORGANISER

if TYPE_CHECKING:
    from ls_backend.studies.page_database import Database


@dataclass(frozen=True)
class RaterProgress:
    """seconds: median of what a question took on the page, None before the first. checks, right: known answers of
    batches that were handed in, and those that were found. seen: when the rater was heard of last, as words.
    """

    number: int
    batches: int
    answers: int
    seconds: float | None
    checks: int
    right: int
    seen: str


@dataclass(frozen=True)
class BatchProgress:
    """places: rater and answers of each place that is taken."""

    batch: int
    size: int
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Progress:
    """answers: on places that count, of `wanted`."""

    answers: int
    wanted: int
    done: int
    raters_wanted: int
    batches: tuple[BatchProgress, ...]
    raters: tuple[RaterProgress, ...]

    @property
    def percent(self) -> int:
        return 100 * self.answers // self.wanted if self.wanted else 100

    @property
    def seconds(self) -> float | None:
        """Median of the raters' medians."""
        known = [one.seconds for one in self.raters if one.seconds is not None]
        return median(known) if known else None


def progress(database: Database) -> Progress:
    """The state of the study now. StudyError where the file cannot be read."""
    study = database.study
    places: dict[int, list[tuple[int, int]]] = {batch: [] for batch in study.batches}
    live = database.rows("SELECT batch, rater, answered FROM places WHERE released IS NULL ORDER BY batch, place")
    for batch, rater, answered in live:
        places[batch].append((rater, answered))
    batches = tuple(BatchProgress(b, len(q), tuple(places[b])) for b, q in study.batches.items())
    full = [sum(answered == one.size for _, answered in one.places) for one in batches]
    return Progress(
        answers=sum(answered for _, _, answered in live),
        wanted=len(study.questions) * study.settings.raters,
        done=sum(count == study.settings.raters for count in full),
        raters_wanted=study.settings.raters,
        batches=batches,
        raters=tuple(_raters(database)),
    )


def _raters(database: Database) -> list[RaterProgress]:
    study = database.study
    scores: dict[int, dict[str, int]] = {}
    seconds: dict[int, list[float]] = {}
    for rater, question, score, spent, _ in database.rows(
        "SELECT rater, question, score, seconds, MAX(id) FROM answers GROUP BY rater, question"
    ):
        scores.setdefault(rater, {})[question] = score
        seconds.setdefault(rater, []).append(spent)
    handed_in: dict[int, list[int]] = {}
    for rater, batch in database.rows("SELECT rater, batch FROM places WHERE finished IS NOT NULL"):
        handed_in.setdefault(rater, []).append(batch)
    seen = dict(database.rows("SELECT rater, MAX(seen) FROM places GROUP BY rater"))
    found = []
    for (number,) in database.rows("SELECT number FROM people WHERE number <> ? ORDER BY number", ORGANISER):
        own, done = scores.get(number, {}), handed_in.get(number, [])
        asked, right = checks(own, [question for batch in done for question in study.batches[batch]])
        spent = median(seconds[number]) if number in seconds else None
        heard = ago(seen[number]) if number in seen else "never"
        found.append(RaterProgress(number, len(done), len(own), spent, asked, right, heard))
    return found
