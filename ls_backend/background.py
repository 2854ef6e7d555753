"""Tasks that did not fit into an answer: a queue on disk, and the thread that works it off and sends what it made.

The queue is an SQLite file in write-ahead mode. A task leaves it only after Label Studio has its prediction, so a
process that is killed loses nothing; the next one goes on. Of several processes on one folder one works, the holder of
a lock that the system releases when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import json
import logging
import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ls_backend.addresses import FetchDelayed
from ls_backend.label_studio_api import LabelStudioRefuses
from ls_backend.label_studio_ids import task_id
from ls_backend.labelling_config import parse_config
from ls_backend.messages import reason
from ls_backend.protocol import TaskError
from zgcore.errors import ImageError, ZeroguideError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ls_backend.label_studio_api import LabelStudioApi
    from ls_backend.metrics import Metrics
    from ls_backend.predicting import Predicted, Predictor

log = logging.getLogger(__name__)

MAX_TASKS: Final = 100_000  # in the queue; what comes on top is left out with a log line
FETCH_TRIES: Final = 12  # for an image that does not come, over about an hour; sending is tried without end
FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 600.0
LOCK_S: Final = 5.0  # how long a call waits for another process, at most
POLL_S: Final = 2.0  # how soon work that another process queued is seen
_TOKEN_REFUSED: Final = (401, 403)

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS tasks (
    id INTEGER PRIMARY KEY, project INTEGER, task INTEGER, body TEXT NOT NULL, config TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0, error TEXT, failed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (project, task)
)
"""
_HAS_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE name = 'tasks'"
_REMOVE: Final = "DELETE FROM tasks WHERE project IS ? AND task IS ? AND (task IS NOT NULL OR body = ?)"


@dataclass(frozen=True)
class Job:
    """A queued task. project, task: their numbers in Label Studio, None where the request had none."""

    id: int
    project: int | None
    task: int | None
    body: dict[str, Any]
    config: str
    tries: int


class TaskQueue:
    """Tasks on disk. Every call opens a connection of its own, so threads and processes share nothing.

    Raises sqlite3.Error or OSError where the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "queue.sqlite"
        with self._connected():
            pass

    def add(self, project: int | None, tasks: Sequence[Mapping[str, Any]], config: str) -> int:
        """Queue tasks, each once: one that waits already is brought up to date. Returns how many found room.

        A task without a number is known by what it holds.
        """
        bodies = [json.dumps({"id": task.get("id"), "data": task.get("data")}) for task in tasks]
        rows = [(project, task_id(task), body) for task, body in zip(tasks, bodies, strict=True)]
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            room = MAX_TASKS - connection.execute("SELECT COUNT(*) FROM tasks").fetchone()[0]
            for row in rows[: max(0, room)]:
                connection.execute(_REMOVE, row)  # UNIQUE takes NULLs for different
                connection.execute(
                    "INSERT INTO tasks (project, task, body, config) VALUES (?, ?, ?, ?)", (*row, _storable(config))
                )
            connection.execute("COMMIT")
        return min(len(rows), max(0, room))

    def next(self, now: float) -> Job | None:
        """The task that has been due for longest, if any is. now: seconds since the epoch."""
        with self._connected() as connection:
            row = connection.execute(
                "SELECT id, project, task, body, config, tries FROM tasks WHERE failed = 0 AND due <= ? "
                "ORDER BY due, id LIMIT 1",
                (now,),
            ).fetchone()
        return None if row is None else Job(row[0], row[1], row[2], json.loads(row[3]), row[4], row[5])

    def done(self, job: Job) -> None:
        with self._connected() as connection:
            connection.execute("DELETE FROM tasks WHERE id = ?", (job.id,))

    def postpone(self, job: Job, error: str, now: float) -> None:
        """Try again later, each time after twice the pause."""
        due = now + min(FIRST_PAUSE_S * 2 ** min(job.tries, 30), LONGEST_PAUSE_S)
        with self._connected() as connection:
            connection.execute(
                "UPDATE tasks SET tries = tries + 1, due = ?, error = ? WHERE id = ?", (due, _storable(error), job.id)
            )

    def give_up(self, job: Job, error: str) -> None:
        """Keep the task and its reason, to be looked at; a new request for it or a restart tries it afresh."""
        with self._connected() as connection:
            connection.execute("UPDATE tasks SET failed = 1, error = ? WHERE id = ?", (_storable(error), job.id))

    def revive(self) -> None:
        """Try all tasks again, at once: what stood in the way may have been mended."""
        with self._connected() as connection:
            connection.execute("UPDATE tasks SET failed = 0, tries = 0, due = 0")

    def counts(self) -> dict[str, int]:
        """How many tasks are "waiting" and "failed"."""
        with self._connected() as connection:
            found = dict(connection.execute("SELECT failed, COUNT(*) FROM tasks GROUP BY failed").fetchall())
        return {"waiting": found.get(0, 0), "failed": found.get(1, 0)}

    def last_error(self) -> str | None:
        """Why the task that was tried last could not be finished."""
        with self._connected() as connection:
            row = connection.execute(
                "SELECT error FROM tasks WHERE error IS NOT NULL ORDER BY failed, due DESC LIMIT 1"
            ).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=LOCK_S, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")  # what was queued survives a power cut too
            if not connection.execute(_HAS_TABLE).fetchone():  # new, or somebody took the file away
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(_SCHEMA)
            yield connection


def _storable(text: str) -> str:
    """The text without halves of surrogate pairs, which no database takes."""
    return text.encode("utf-8", "replace").decode()


class _Hopeless(ZeroguideError):
    """A task that will fail again."""


class BackgroundWorker:
    """Works the queue off in a thread of its own. api: None where Label Studio may not be written to; predictions
    then wait in the cache until they are asked for. predicted: told of each prediction and its project.
    """

    def __init__(
        self,
        queue: TaskQueue,
        predictor: Predictor,
        api: LabelStudioApi | None,
        metrics: Metrics,
        predicted: Callable[[int | None, Predicted, Mapping[str, Any]], None],
    ) -> None:
        self.queue = queue
        self.api = api
        self._predictor = predictor
        self._metrics = metrics
        self._predicted = predicted
        self._stop = threading.Event()
        self._news = threading.Event()
        self._thread = threading.Thread(target=self._run, name="background", daemon=True)

    def start(self) -> None:
        """Begin, with what an earlier process left."""
        self.queue.revive()
        self._thread.start()

    def wake(self) -> None:
        """Look at the queue now."""
        self._news.set()

    def stop(self) -> None:
        """Take no further task; one whose models are closed meanwhile stays in the queue."""
        self._stop.set()
        self._news.set()

    def close(self) -> None:
        """Stop, and wait for the task in hand."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with (self.queue.path.with_name("queue.lock")).open("w") as lock:
            while not self._stop.is_set():
                try:
                    worked = _held(lock.fileno()) and self._work_one()
                except (sqlite3.Error, OSError) as error:
                    log.error("the background queue %s cannot be used: %s", self.queue.path, error)
                    worked = False
                if not worked:
                    self._news.wait(POLL_S)
                    self._news.clear()

    def _work_one(self) -> bool:
        """Finish, postpone or give up one task; False where none is due."""
        job = self.queue.next(time.time())
        if job is None:
            return False
        try:
            self._finish(job)
        except _Hopeless as error:
            self._give_up(job, error)
        except LabelStudioRefuses as error:
            if error.status in _TOKEN_REFUSED:  # the token's fault and not the task's: it may be mended
                self._failed(job, error)
            else:
                self._give_up(job, error)
        except Exception as error:
            self._failed(job, error)
        return True

    def _finish(self, job: Job) -> None:
        predicted = self._predict(job)
        if self.api is not None and job.project is not None and job.task is not None:
            with self._metrics.stage("send"):
                stored = self.api.store_prediction(job.project, job.task, predicted.document)
            what = "its prediction was sent" if stored else "Label Studio has its prediction already"
        else:
            what = "its prediction is kept for the next time it is asked for"
        self.queue.done(job)
        log.info("task %s of project %s: %s", job.task, job.project, what)
        self._predicted(job.project, predicted, job.body)

    def _predict(self, job: Job) -> Predicted:
        """Raises _Hopeless for an image or task that will not get better, any other error for one that may."""
        try:
            return self._predictor.finish(self._predictor.start(job.body, parse_config(job.config)))
        except (ImageError, TaskError) as error:
            passing = isinstance(error, FetchDelayed) and job.tries + 1 < FETCH_TRIES
            raise error if passing else _Hopeless(str(error)) from error

    def _give_up(self, job: Job, error: Exception) -> None:
        self._metrics.failed(error.__cause__ or error)
        log.error("task %s of project %s is given up: %s", job.task, job.project, reason(error))
        self.queue.give_up(job, reason(error))

    def _failed(self, job: Job, error: Exception) -> None:
        if self._stop.is_set():  # the models are being closed: the task stays as it is
            return
        self._metrics.failed(error)
        log.warning("task %s of project %s is tried again later: %s", job.task, job.project, reason(error))
        self.queue.postpone(job, reason(error), time.time())


def _held(descriptor: int) -> bool:
    """Take the lock, or find that we have it; False where another process does."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
