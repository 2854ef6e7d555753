"""Which rater answers which batch, and what was answered.

A batch has as many places as the study wants raters for a question. A rater takes a place in a batch that is not theirs
already, and keeps it until it is answered; a place whose rater was not heard of for a while may be given to another.
Then what its first rater said stays, and comes last when answers are counted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from ls_backend.studies.page_database import Database

Outcome = Literal["stored", "released", "finished", "refused"]

ABANDONED_S: Final = 2 * 3600.0
MOST_CHANGES: Final = 100  # of one answer; nobody means more


@dataclass(frozen=True)
class Work:
    """A batch in a rater's hands. scores, seconds: of the questions that are answered, by id; seconds on the page."""

    batch: int
    scores: Mapping[str, int]
    seconds: Mapping[str, float]


class PageStore:
    """Places and answers of a study. Every method may raise StudyError.

    abandoned_s: seconds without a word after which a place may be given to another rater. most_batches: of one rater,
    None for no limit.
    """

    def __init__(self, database: Database, abandoned_s: float = ABANDONED_S, most_batches: int | None = None) -> None:
        self._database = database
        self._abandoned_s = abandoned_s
        self._most_batches = most_batches
        self._raters = database.study.settings.raters

    def work(self, rater: int) -> Work | None:
        """What the rater has in hand; None before the first batch and between two."""
        found = self._database.rows(f"SELECT batch FROM places WHERE {_IN_HAND}", rater)
        return self._work(rater, found[0][0]) if found else None

    def heard(self, rater: int) -> None:
        """Note that the rater is there: what is in hand is not abandoned."""
        with self._database.writing() as db:
            db.execute(f"UPDATE places SET seen = ? WHERE {_IN_HAND}", (time.time(), rater))

    def finished(self, rater: int) -> list[int]:
        """The batches that the rater has handed in."""
        query = "SELECT batch FROM places WHERE rater = ? AND finished IS NOT NULL ORDER BY finished"
        return [batch for (batch,) in self._database.rows(query, rater)]

    def latest(self, rater: int) -> dict[str, tuple[int, float]]:
        """Score and seconds of all that the rater has answered, by id of the question."""
        return {question: (score, seconds) for question, score, seconds, _ in self._database.rows(_LATEST, rater)}

    def last_seconds(self, rater: int, count: int) -> list[float]:
        """Seconds of the rater's last answers, the newest first."""
        query = "SELECT seconds FROM answers WHERE rater = ? ORDER BY id DESC LIMIT ?"
        return [seconds for (seconds,) in self._database.rows(query, rater, count)]

    def batches(self, rater: int) -> list[int]:
        """All batches that the rater has or had a place in, the newest first."""
        query = "SELECT batch FROM places WHERE rater = ? ORDER BY seen DESC"
        return [batch for (batch,) in self._database.rows(query, rater)]

    def take(self, rater: int) -> Work | None:
        """A batch for the rater: what is in hand, or else another one; None where there is none to be had."""
        with self._database.writing() as db:
            found = db.execute(f"SELECT batch FROM places WHERE {_IN_HAND}", (rater,)).fetchone()
            batch = found[0] if found else self._give(db, rater, time.time())
        return None if batch is None else self._work(rater, batch)

    def finish(self, rater: int, batch: int) -> bool:
        """Hand a batch in: its answers stay as they are. Again it does nothing. False where answers are missing, and
        where the place has been given to another rater.
        """
        with self._database.writing() as db:
            done = db.execute(
                "UPDATE places SET finished = COALESCE(finished, ?) WHERE rater = ? AND batch = ?"
                " AND released IS NULL AND answered = (SELECT size FROM batches WHERE batch = places.batch)",
                (time.time(), rater, batch),
            )
            return done.rowcount == 1

    def answer(self, rater: int, question: str, key: str, score: int, seconds: float) -> Outcome:
        """Store an answer; on the disk when this returns. The same key again changes nothing.

        seconds: on the page, as the browser says. All questions of a batch together can have had no more than went by
        since it was taken: what is beyond that is not believed.
        "refused": the rater has no place in its batch, or has changed the answer too often. "finished": the batch was
        handed in. "released": stored, and the place has been given to another rater meanwhile.
        """
        batch, now = self._database.study.by_id[question].batch, time.time()
        with self._database.writing() as db:
            query = "SELECT taken, spent, finished, released FROM places WHERE batch = ? AND rater = ?"
            place = db.execute(query, (batch, rater)).fetchone()
            if place is None:
                return "refused"
            taken, spent, finished, released = place
            query = "SELECT key, seconds FROM answers WHERE rater = ? AND question = ? ORDER BY id"
            earlier = dict(db.execute(query, (rater, question)))
            if key not in earlier:
                if finished is not None:
                    return "finished"
                if len(earlier) > MOST_CHANGES:
                    return "refused"
                others = spent - next(reversed(earlier.values()), 0.0)
                seconds = min(seconds, max(0.0, now - taken - others))
                spent = others + seconds
                db.execute(
                    "INSERT INTO answers (rater, question, key, score, seconds, received) VALUES (?, ?, ?, ?, ?, ?)",
                    (rater, question, key, score, seconds, now),
                )
            db.execute(
                "UPDATE places SET seen = ?, spent = ?, answered = answered + ? WHERE batch = ? AND rater = ?",
                (now, spent, not earlier, batch, rater),
            )
        return "stored" if released is None else "released"

    def _work(self, rater: int, batch: int) -> Work:
        ids = {question.id for question in self._database.study.batches[batch]}
        latest = {question: answer for question, answer in self.latest(rater).items() if question in ids}
        return Work(batch, {q: score for q, (score, _) in latest.items()}, {q: s for q, (_, s) in latest.items()})

    def _give(self, db: sqlite3.Connection, rater: int, now: float) -> int | None:
        """A batch with a free place, or one with an abandoned place, or None; the place is then the rater's."""
        query = "SELECT COUNT(*) FROM places WHERE rater = ? AND released IS NULL"
        if self._most_batches is not None and db.execute(query, (rater,)).fetchone()[0] >= self._most_batches:
            return None
        if found := db.execute(_FREE, (rater, self._raters)).fetchone():
            batch = found[0]
        elif found := db.execute(_ABANDONED, (now - self._abandoned_s, rater)).fetchone():
            batch, other = found
            db.execute("UPDATE places SET released = ? WHERE batch = ? AND rater = ?", (now, batch, other))
        else:
            return None
        query = "SELECT place FROM places WHERE batch = ? AND released IS NULL"
        live = {place for (place,) in db.execute(query, (batch,))}
        place = min(set(range(1, self._raters + 1)) - live)
        db.execute(
            "INSERT INTO places (batch, rater, place, taken, seen) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (batch, rater) DO UPDATE SET place = excluded.place, seen = excluded.seen, released = NULL",
            (batch, rater, place, now, now),
        )
        return batch


_IN_HAND: Final = "rater = ? AND released IS NULL AND finished IS NULL"
_LATEST: Final = "SELECT question, score, seconds, MAX(id) FROM answers WHERE rater = ? GROUP BY question"
# Batches that others have begun come first: so most questions soon have all their raters, if a study ends early.
_FREE: Final = """
SELECT batches.batch FROM batches LEFT JOIN places ON places.batch = batches.batch AND places.released IS NULL
WHERE batches.batch NOT IN (SELECT batch FROM places WHERE rater = ? AND released IS NULL)
GROUP BY batches.batch HAVING COUNT(places.rater) < ? ORDER BY COUNT(places.rater) DESC, batches.batch LIMIT 1
"""
_ABANDONED: Final = """
SELECT batch, rater FROM places JOIN batches USING (batch)
WHERE released IS NULL AND finished IS NULL AND answered < size AND seen < ?
AND batch NOT IN (SELECT batch FROM places WHERE rater = ? AND released IS NULL) ORDER BY seen LIMIT 1
"""
