"""The state of a run: which images there are and what became of each, shared by all processes that work at it.

An image is queued, running, done or failed. A process holds a lease that it renews; what it has in hand is running, and
goes back to the queue when the lease ends or the process is seen to be gone. Every change is one short transaction.
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ls_backend.jobs.owner import Owner
from ls_backend.jobs.schema import DONE, FAILED, RUNNING, STATES, opened, told

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

LEASE_S: Final = 60.0
MOST_ATTEMPTS: Final = 3  # at an image whose process ends each time
_ADDED_TOGETHER: Final = 1000
MISSING: Final = "missing"  # the mark of a file that is not there
LOST: Final = "the process ended while it was at this image"


@dataclass(frozen=True)
class NewImage:
    """An image to be listed.

    key: absolute path, address, or a task's; the same image always has the same. stem: what its results may be called.
    mark: changes when the image does. size: bytes of a local file. task, data: Label Studio's, data as JSON.
    """

    key: str
    stem: str
    mark: str
    size: int = 0
    task: int | None = None
    data: str | None = None


@dataclass(frozen=True)
class Added:
    """What became of images that were listed. changed: how many are new or changed. away: how many are done or in
    hand and have no file at present; they stay as they are.
    """

    changed: int = 0
    away: int = 0

    def __add__(self, other: Added) -> Added:
        return Added(self.changed + other.changed, self.away + other.away)


@dataclass(frozen=True)
class Claimed:
    """An image in hand. attempts: this one included."""

    id: int
    key: str
    name: str
    mark: str
    attempts: int
    task: int | None
    data: str | None


@dataclass(frozen=True)
class Finished:
    """What became of an image in hand. error: why it failed; reason: the same without what is special to it."""

    id: int
    mark: str
    segments: int = 0
    error: str | None = None
    reason: str | None = None


class StateStore:
    """One connection to a run's state; each thread needs its own. Every method may raise StateError.

    create: make the file if it is not there.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        self._db = opened(path, create=create)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> StateStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no other process's write comes in between."""
        with told(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def rows(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, read as they are asked for."""
        with told(self.path):
            yield from self._db.execute(query, values)

    # What the run is.

    def get(self, name: str) -> Any:
        """A fact about the run, None where it is not known."""
        found = next(self.rows("SELECT value FROM meta WHERE name = ?", name), None)
        return None if found is None else json.loads(found[0])

    def set(self, **facts: Any) -> None:
        """Note facts about the run: anything that JSON holds."""
        with self.writing() as db:
            db.executemany("REPLACE INTO meta VALUES (?, ?)", [(name, json.dumps(v)) for name, v in facts.items()])

    def counts(self) -> dict[str, int]:
        """Images by state."""
        found = dict(self.rows("SELECT state, images FROM tally"))
        return {state: found[state] for state in STATES}

    def last_finished(self) -> float | None:
        """When an image was finished last; None before the first."""
        return next(self.rows("SELECT MAX(finished) FROM images WHERE finished IS NOT NULL"))[0]

    # Listing images.

    def add(self, images: Iterable[NewImage]) -> Added:
        """List images; those known are queued again if they have changed."""
        changed, chunk = Added(), list[NewImage]()
        for image in images:
            chunk.append(image)
            if len(chunk) == _ADDED_TOGETHER:
                changed += self._add(chunk)
                chunk.clear()
        return changed + self._add(chunk)

    def _add(self, images: Sequence[NewImage]) -> Added:
        with self.writing() as db:
            return sum((_add_one(db, image) for image in images), Added())

    # Working at them.

    def claim(self, owner: Owner, limit: int, *, tried: bool = True) -> list[Claimed]:
        """Take up to `limit` images in hand, the longest listed first; none once the run is cancelled.

        tried: whether this counts as an attempt at them even if the process ends. Not where images are worked at
        elsewhere, so that none of them can be what ended it.
        """
        return self._claim(owner, "attempts = 0 ORDER BY id", limit, tried)

    def claim_lost(self, owner: Owner, limit: int = 1, *, tried: bool = True) -> list[Claimed]:
        """Take images in hand whose process ended the last time.

        One of them may be what ends processes: who dies of it should have no others in hand, or they are lost again.
        """
        return self._claim(owner, "attempts > 0 ORDER BY attempts, id", limit, tried)

    def _claim(self, owner: Owner, which: str, limit: int, tried: bool) -> list[Claimed]:
        with self.writing() as db:
            self._renew(db, owner)
            _give_back_expired(db, time.time())
            if self.get("cancelled") is not None:
                return []
            ids = db.execute(
                f"SELECT id FROM images INDEXED BY queued WHERE state = 'queued' AND {which} LIMIT ?", (limit,)
            ).fetchall()
            return [
                Claimed(
                    *db.execute(
                        "UPDATE images SET state = 'running', owner = ?, attempts = attempts + ? WHERE id = ? "
                        "RETURNING id, key, name, mark, attempts + ?, task, data",
                        (owner.id, tried, number, not tried),
                    ).fetchone()
                )
                for (number,) in ids
            ]

    def finish(self, owner: Owner, finished: Sequence[Finished]) -> list[int]:
        """Note what became of images in hand; returns those that counted.

        One that meanwhile went to another process does not count; one whose file changed meanwhile is queued again.
        """
        now, counted = time.time(), []
        with self.writing() as db:
            for one in finished:
                state = DONE if one.error is None else FAILED
                cursor = db.execute(
                    "UPDATE images SET state = CASE mark WHEN :mark THEN :state ELSE 'queued' END, "
                    "attempts = CASE mark WHEN :mark THEN attempts ELSE 0 END, owner = NULL, finished = :now, "
                    "segments = :segments, error = :error, reason = :reason "
                    "WHERE id = :id AND owner = :owner AND state = 'running'",
                    {**vars(one), "state": state, "now": now, "owner": owner.id},
                )
                counted += [one.id] * cursor.rowcount
        return counted

    def release(self, owner: Owner, *, tried: bool = True) -> None:
        """Give up the lease, and put what is in hand back into the queue as if it had not been tried.

        tried: as it was claimed.
        """
        with self.writing() as db:
            db.execute(
                "UPDATE images SET state = 'queued', owner = NULL, attempts = MAX(0, attempts - ?) "
                "WHERE state = 'running' AND owner = ?",
                (tried, owner.id),
            )
            db.execute("DELETE FROM owners WHERE id = ?", (owner.id,))

    def let_go(self, owner: Owner, ids: Iterable[int], *, tried: bool = True) -> None:
        """Put images in hand back into the queue; the attempt counts, and after too many they have failed.

        tried: as they were claimed.
        """
        with self.writing() as db:
            for number in ids:
                if not tried:
                    db.execute(
                        "UPDATE images SET attempts = attempts + 1 WHERE id = ? AND owner = ?", (number, owner.id)
                    )
                _give_back(db, "id = ? AND owner = ?", (number, owner.id))

    def renew(self, owner: Owner) -> None:
        """Hold the lease for another minute."""
        with self.writing() as db:
            self._renew(db, owner)

    def _renew(self, db: sqlite3.Connection, owner: Owner) -> None:
        now = time.time()
        db.execute(
            "INSERT INTO owners VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET lease = excluded.lease",
            (owner.id, owner.machine, owner.pid, owner.born, now, now + LEASE_S),
        )

    def recover(self) -> None:
        """Put back into the queue what processes have in hand that are gone or silent for a minute."""
        dead = [known.id for known in self.owners() if known.is_dead]
        with self.writing() as db:
            for number in dead:
                db.execute("UPDATE owners SET lease = 0 WHERE id = ?", (number,))
            _give_back_expired(db, time.time())

    def owners(self) -> list[Owner]:
        """The processes that hold a lease."""
        found = self.rows("SELECT id, machine, pid, born FROM owners WHERE lease >= ? ORDER BY since", time.time())
        return [Owner(*row) for row in found]

    # What people decide.

    def retry(self, reason: str | None = None) -> int:
        """Queue failed images again, all or those of one reason; returns how many."""
        with self.writing() as db:
            which, values = ("", ()) if reason is None else (" AND reason = ?", (reason,))
            return db.execute(
                f"UPDATE images SET state = 'queued', attempts = 0 WHERE state = 'failed'{which}", values
            ).rowcount

    def redo(self, ids: Iterable[int] | None = None) -> int:
        """Queue images again that are done, all of them unless `ids` says which; returns how many."""
        again = "UPDATE images SET state = 'queued', attempts = 0 WHERE state = 'done'"
        with self.writing() as db:
            if ids is None:
                return db.execute(again).rowcount
            return sum(db.execute(again + " AND id = ?", (number,)).rowcount for number in ids)

    def cancel(self) -> None:
        """Let no more images be taken in hand, until `resume`."""
        self.set(cancelled=time.time())

    def resume(self) -> None:
        self.set(cancelled=None)

    # What a Label Studio project has of an image.

    def delivered(self, image: int) -> str | None:
        """SHA-256 of the photo whose result a project was given, or was about to be; None where it had none."""
        (found,) = next(self.rows("SELECT delivered FROM images WHERE id = ?", image))
        return None if found is None else str(found)

    def set_delivered(self, image: int, sha256: str) -> None:
        with self.writing() as db:
            db.execute("UPDATE images SET delivered = ? WHERE id = ?", (sha256, image))

    def set_task(self, image: int, task: int) -> None:
        """Note the Label Studio task of an image."""
        with self.writing() as db:
            db.execute("UPDATE images SET task = ? WHERE id = ?", (task, image))


def _add_one(db: sqlite3.Connection, image: NewImage) -> Added:
    known = db.execute("SELECT id, mark, state FROM images WHERE key = ?", (image.key,)).fetchone()
    if known is None:
        name = _free_name(db, image)
        db.execute(
            "INSERT INTO images (key, name, folded, mark, size, task, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (image.key, name, name.casefold(), image.mark, image.size, image.task, image.data),
        )
        return Added(changed=1)
    number, mark, state = known
    if mark == image.mark:
        return Added()
    if image.mark == MISSING and state in (DONE, RUNNING):  # a disk that is away takes no result with it
        return Added(away=1)
    db.execute(
        "UPDATE images SET mark = ?, size = ?, data = ?, attempts = 0, "
        "state = CASE state WHEN 'running' THEN state ELSE 'queued' END WHERE id = ?",
        (image.mark, image.size, image.data, number),
    )
    return Added(changed=1)


def _free_name(db: sqlite3.Connection, image: NewImage) -> str:
    """The stem, with 8 hex digits of the key where it is taken; names also differ where case does not count."""
    if db.execute("SELECT 1 FROM images WHERE folded = ?", (image.stem.casefold(),)).fetchone() is None:
        return image.stem
    return f"{image.stem}-{hashlib.sha256(image.key.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def _give_back_expired(db: sqlite3.Connection, now: float) -> None:
    for (gone,) in db.execute("SELECT id FROM owners WHERE lease < ?", (now,)).fetchall():
        _give_back(db, "owner = ?", (gone,))
        db.execute("DELETE FROM owners WHERE id = ?", (gone,))


def _give_back(db: sqlite3.Connection, which: str, values: tuple[Any, ...]) -> None:
    """Running images back into the queue. One that was lost so often may be what ends its processes: it has failed."""
    db.execute(
        f"UPDATE images SET state = 'failed', owner = NULL, finished = ?, error = name || ': ' || ?, reason = ? "
        f"WHERE state = 'running' AND attempts >= ? AND {which}",
        (time.time(), LOST, LOST, MOST_ATTEMPTS, *values),
    )
    db.execute(f"UPDATE images SET state = 'queued', owner = NULL WHERE state = 'running' AND {which}", values)
