"""The tables of a run's state, and opening the file that holds them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from zgcore.errors import ZeroguideError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION: Final = 2
APPLICATION: Final = 0x7A675231  # "zgR1", told apart from other SQLite files by it
BUSY_S: Final = 60.0  # for another process's write to end; they take milliseconds

QUEUED, RUNNING, DONE, FAILED = STATES = ("queued", "running", "done", "failed")

# Counts are kept by triggers: to count a million rows for every look at a run would cost more than its own writes.
# The indexes are partial, so that none grows with the images that are done.
_SCHEMA: Final = f"""
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE owners (
    id TEXT PRIMARY KEY, machine TEXT NOT NULL, pid INTEGER NOT NULL, born TEXT NOT NULL,
    since REAL NOT NULL, lease REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE images (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    folded TEXT NOT NULL UNIQUE,
    mark TEXT NOT NULL,
    size INTEGER NOT NULL,
    task INTEGER,
    data TEXT,
    delivered TEXT,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN {STATES}),
    attempts INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    finished REAL,
    segments INTEGER,
    reason TEXT,
    error TEXT
);
CREATE INDEX queued ON images (attempts, id) WHERE state = 'queued';
CREATE INDEX running ON images (owner) WHERE state = 'running';
CREATE INDEX failed ON images (reason) WHERE state = 'failed';
CREATE INDEX finished ON images (finished) WHERE finished IS NOT NULL;
CREATE TABLE tally (state TEXT PRIMARY KEY, images INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO tally VALUES ('queued', 0), ('running', 0), ('done', 0), ('failed', 0);
CREATE TRIGGER added AFTER INSERT ON images BEGIN
    UPDATE tally SET images = images + 1 WHERE state = NEW.state;
END;
CREATE TRIGGER moved AFTER UPDATE OF state ON images WHEN OLD.state <> NEW.state BEGIN
    UPDATE tally SET images = images - 1 WHERE state = OLD.state;
    UPDATE tally SET images = images + 1 WHERE state = NEW.state;
END;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
COMMIT;
"""


class StateError(ZeroguideError):
    """The file with a run's state is missing, of another kind or version, or the disk refuses it."""

    exit_code = 2


def opened(path: Path, *, create: bool) -> sqlite3.Connection:
    """A connection to a run's state. Raises StateError where the file is not one, or not there unless `create`."""
    if create:
        with told(path):
            _create(path)
    if not path.is_file():
        raise StateError(f"{path}: there is no such run; zeroguide jobs list shows those that there are")
    with told(path):
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        try:
            _check(connection, path)
            # A power cut may then undo the last commits but never harm the file; what they said is said again by the
            # records of the images, which are synced to disk before.
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
    return connection


def _create(path: Path) -> None:
    """Make the file whole and then put it in place, unless there is one: several processes may start together."""
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_RDWR, 0o600))  # addresses in it may carry signatures
        with closing(sqlite3.connect(temporary)) as connection:
            connection.executescript(_SCHEMA)
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    if _number(connection, "application_id") != APPLICATION:
        raise StateError(f"{path}: is not the state of a run; choose another folder")
    if _number(connection, "user_version") == 1:
        _add_delivered(connection)
    if (version := _number(connection, "user_version")) != VERSION:
        raise StateError(f"{path}: was written by another version of zeroguide (schema {version}); use that one")


def _add_delivered(connection: sqlite3.Connection) -> None:
    """From version 1, in which nobody noted what a project was given."""
    connection.execute("BEGIN IMMEDIATE")
    if _number(connection, "user_version") == 1:  # no other process was quicker
        connection.execute("ALTER TABLE images ADD COLUMN delivered TEXT")
        connection.execute("PRAGMA user_version = 2")
    connection.execute("COMMIT")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return connection.execute(f"PRAGMA {pragma}").fetchone()[0]


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What SQLite and the disk refuse, as StateError."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StateError(
            f"{path}: the run's state cannot be used: {error}; it must be on a disk of this machine with room left"
        ) from error
