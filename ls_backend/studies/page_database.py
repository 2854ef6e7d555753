"""The file of a study's page for many threads: a connection each, and one write at a time."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ls_backend.studies.page_schema import FILE, make, opened, told

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from ls_backend.studies.manifest import Study


class Database:
    """The answers of a study, made if there are none. Every method may raise StudyError."""

    def __init__(self, study: Study, *, create: bool = True) -> None:
        self.study = study
        self.path: Path = study.root / FILE
        self._own = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.Lock()  # a queue; SQLite's own waiting is by turns of sleep, and unfair
        if create:
            make(self.path, study)
        self._connection()

    def close(self) -> None:
        """Close the connections of all threads, which must have ended their work."""
        with self._lock:
            while self._all:
                self._all.pop().close()
        self._own = threading.local()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is on the disk when it ends; no other write comes in between, of no process."""
        db = self._connection()
        with told(self.path), self._lock:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with told(self.path):
            return self._connection().execute(query, values).fetchall()

    def _connection(self) -> sqlite3.Connection:
        found = getattr(self._own, "db", None)
        if found is None:
            found = self._own.db = opened(self.path, self.study)
            with self._lock:
                self._all.append(found)
        return found
