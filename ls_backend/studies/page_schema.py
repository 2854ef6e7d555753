"""The tables behind a study's page, and opening the file that holds them.

Answers are only ever added: of a rater's answers to a question the last one counts, the others are its history.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from zgcore.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ls_backend.studies.manifest import Study

FILE: Final = "answers.sqlite"
VERSION: Final = 2
APPLICATION: Final = 0x7A675331  # "zgS1"
BUSY_S: Final = 60.0

# people.number: raters from 1, 0 the organiser. places.place: 1 to the study's raters; free again once released, which
# happens when the place is given to somebody else. places.answered: questions with an answer; places.spent: sum of
# seconds of the answers that count. answers.seconds: how long the page showed the question, over all visits. Times are
# seconds since 1970.
_SCHEMA: Final = f"""
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE people (number INTEGER PRIMARY KEY, token BLOB NOT NULL UNIQUE);
CREATE TABLE sessions (hash BLOB PRIMARY KEY, person INTEGER NOT NULL REFERENCES people, made REAL NOT NULL)
    WITHOUT ROWID;
CREATE INDEX sessions_of ON sessions (person, made);
CREATE TABLE batches (batch INTEGER PRIMARY KEY, size INTEGER NOT NULL);
CREATE TABLE places (
    batch INTEGER NOT NULL REFERENCES batches,
    rater INTEGER NOT NULL REFERENCES people,
    place INTEGER NOT NULL,
    taken REAL NOT NULL,
    seen REAL NOT NULL,
    answered INTEGER NOT NULL DEFAULT 0,
    spent REAL NOT NULL DEFAULT 0,
    finished REAL,
    released REAL,
    PRIMARY KEY (batch, rater)
) WITHOUT ROWID;
CREATE UNIQUE INDEX live ON places (batch, place) WHERE released IS NULL;
CREATE INDEX places_of ON places (rater);
CREATE TABLE answers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rater INTEGER NOT NULL REFERENCES people,
    question TEXT NOT NULL,
    key TEXT NOT NULL,
    score INTEGER NOT NULL CHECK (score IN (0, 1, 2, 3)),
    seconds REAL NOT NULL,
    received REAL NOT NULL,
    UNIQUE (rater, question, key)
);
CREATE INDEX answers_of ON answers (rater, id);
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
COMMIT;
"""


def make(path: Path, study: Study) -> None:
    """Make the file of a study, if there is none, with its batches. StudyError where the disk refuses."""
    if path.is_file():
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with told(path):
        try:
            os.close(os.open(temporary, os.O_CREAT | os.O_RDWR, 0o600))  # what raters said is theirs
            with closing(sqlite3.connect(temporary)) as db, db:
                db.executescript(_SCHEMA)
                db.executemany("INSERT INTO batches VALUES (?, ?)", [(b, len(q)) for b, q in study.batches.items()])
                facts = {"study": fingerprint(study), "secret": secrets.token_bytes(32)}
                db.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
            with suppress(FileExistsError):  # another process was quicker
                os.link(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def opened(path: Path, study: Study) -> sqlite3.Connection:
    """A connection to the file of a study. StudyError where it is missing, or another's."""
    if not path.is_file():
        raise StudyError(f"{path}: nobody has answered on the page; start it with zeroguide study serve")
    with told(path):
        # Each thread has its own; one thread closes them all in the end.
        db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _check(db, path, study)
            db.execute("PRAGMA synchronous = FULL")  # an answer that was acknowledged survives a power cut
        except BaseException:
            db.close()
            raise
    return db


def fingerprint(study: Study) -> bytes:
    """Tells studies apart: of other questions, other batches, another order or another picture."""
    digest = hashlib.sha256()
    for question in study.questions:
        digest.update(f"{question.id}\0{question.batch}\0{question.label}\0{question.picture}\n".encode())
    return digest.digest()


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What SQLite and the disk refuse, as StudyError."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StudyError(
            f"{path}: the answers cannot be used: {error}; the study must be on a disk of this machine with room left"
        ) from error


def _check(db: sqlite3.Connection, path: Path, study: Study) -> None:
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        raise StudyError(f"{path}: is not a file of answers; move it away")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version != VERSION:
        raise StudyError(f"{path}: was written by another version of zeroguide (schema {version}); use that one")
    if db.execute("SELECT value FROM meta WHERE name = 'study'").fetchone()[0] != fingerprint(study):
        raise StudyError(f"{path}: answers another study; move it away, or serve the study that it belongs to")
