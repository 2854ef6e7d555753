"""Results kept on disk by what the image shows and what made them, so that a task opened again is answered at once.

One SQLite file in write-ahead mode: several threads and processes share it, a killed process leaves nothing half
written, and a damaged file is thrown away and begun anew, since everything in it can be computed again. Documents are
JSON, compressed; nothing is unpickled. What was not asked for longest goes first.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import threading
import time
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""SHA-256 of the image's bytes (hex), model version."""

_Opened = tuple[int, int, int]  # process, device, inode

FILE_NAME: Final = "predictions.sqlite"
SCHEMA: Final = 1
PAGE_BYTES: Final = 4096
WAIT_SECONDS: Final = 5.0
JOURNAL_BYTES: Final = 4 * 2**20
COMPRESSION: Final = 1
_DAMAGED: Final = (11, 26)  # SQLITE_CORRUPT, SQLITE_NOTADB

_FILE_SETTINGS: Final = (f"page_size = {PAGE_BYTES}", "auto_vacuum = FULL", "journal_mode = WAL")
_CREATE: Final = f"""
DROP TABLE IF EXISTS predictions;
CREATE TABLE predictions (
    image TEXT NOT NULL, version TEXT NOT NULL, used INTEGER NOT NULL, size INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (image, version)
);
CREATE INDEX by_use ON predictions (used, size);
PRAGMA user_version = {SCHEMA};
"""
_EVICT: Final = """
DELETE FROM predictions WHERE rowid IN (
    SELECT rowid FROM (SELECT rowid, SUM(size) OVER (ORDER BY used DESC, rowid DESC) AS so_far FROM predictions)
    WHERE so_far > ?
)
"""


def image_key(data: bytes, model_version: str) -> Key:
    """The key of an image's bytes under one model version."""
    return hashlib.sha256(data).hexdigest(), model_version


class PredictionCache:
    """JSON documents by key, on disk, bounded.

    folder: made if it is not there; the cache is one file in it (and SQLite's two beside it).
    max_bytes: of documents as stored, in whole pages; a document above it is not kept, and 0 keeps none.

    No call raises because of the disk: a cache that cannot be read has no entries, and one that cannot be written
    keeps none; the log says why.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.path = folder / FILE_NAME
        self.max_bytes = max_bytes
        self._lock = threading.RLock()
        self._open: dict[_Opened, sqlite3.Connection] = {}
        if max_bytes > 0:
            with _tolerant(self, "open"):
                folder.mkdir(parents=True, exist_ok=True)
                self._prepare()

    def get(self, key: Key) -> Any | None:
        """The document of that key, or None. It then counts as used last."""
        body = None
        with _tolerant(self, "read"), self._connected() as connection:
            row = connection.execute("SELECT body FROM predictions WHERE image = ? AND version = ?", key).fetchone()
            if row is None:
                return None
            body = row[0]
            with suppress(sqlite3.OperationalError):  # busy or read-only: the document is at hand all the same
                connection.execute(
                    "UPDATE predictions SET used = ? WHERE image = ? AND version = ?", (time.time_ns(), *key)
                )
        return None if body is None else self._unpacked(key, body)

    def put(self, key: Key, document: Any) -> None:
        """Keep a document. ValueError or TypeError if it is not JSON (NaN is not)."""
        body = zlib.compress(json.dumps(document, allow_nan=False, separators=(",", ":")).encode(), COMPRESSION)
        size = -(-len(body) // PAGE_BYTES) * PAGE_BYTES
        if size > self.max_bytes:
            return
        with _tolerant(self, "write"), self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "INSERT OR REPLACE INTO predictions VALUES (?, ?, ?, ?, ?)", (*key, time.time_ns(), size, body)
            )
            connection.execute(_EVICT, (self.max_bytes,))
            connection.execute("COMMIT")

    def size(self) -> tuple[int, int]:
        """How many documents there are, and their bytes as `max_bytes` counts them."""
        with _tolerant(self, "read"), self._connected() as connection:
            count, total = connection.execute("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM predictions").fetchone()
            return int(count), int(total)
        return 0, 0

    def _unpacked(self, key: Key, body: bytes) -> Any | None:
        try:
            return json.loads(zlib.decompress(body))
        except (zlib.error, ValueError):
            log.warning("%s: an entry is damaged and was dropped", self.path)
            with _tolerant(self, "write"), self._connected() as connection:
                connection.execute("DELETE FROM predictions WHERE image = ? AND version = ?", key)
            return None

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one thread at a time.

        It stays open: closing the last one of a file writes the whole journal back. After a fork, or where somebody
        put another file in place, a new one is opened; the old one is left alone, as SQLite wants it in a child.
        """
        if self.max_bytes <= 0:
            raise _Disabled
        with self._lock:
            self.path.touch()
            connection = self._open.get(self._file())
            if connection is None:
                connection = self._connect()
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.rollback()

    def _connect(self) -> sqlite3.Connection:
        self.close()
        connection = sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
        self._open[self._file()] = connection
        return connection

    def _file(self) -> _Opened:
        """This process, and the file that the path means now."""
        status = self.path.stat()
        return os.getpid(), status.st_dev, status.st_ino

    def _prepare(self) -> None:
        """Make the table where there is none of this schema; of several processes one does."""
        with self._connected() as connection:
            for setting in _FILE_SETTINGS:
                connection.execute(f"PRAGMA {setting}")
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA:
                for statement in _CREATE.split(";"):
                    connection.execute(statement)
            connection.execute("COMMIT")

    def close(self) -> None:
        """Write everything back into the one file. The next call opens it again."""
        with self._lock:
            for opened in [opened for opened in self._open if opened[0] == os.getpid()]:
                self._open.pop(opened).close()

    def restart(self) -> None:
        """Throw the file away and begin a new one."""
        with self._lock:
            self.close()
            for suffix in ("", "-wal", "-shm"):
                with suppress(OSError):
                    self.path.with_name(self.path.name + suffix).unlink()
            self._prepare()


class _Disabled(Exception):
    """The cache was made with no room."""


@contextmanager
def _tolerant(cache: PredictionCache, doing: str) -> Iterator[None]:
    """The disk's failures become log lines; a damaged file, or one whose table was taken away, is begun anew."""
    try:
        yield
    except _Disabled:
        pass
    except (sqlite3.Error, OSError) as error:
        log.warning("cannot %s the prediction cache %s: %s", doing, cache.path, error)
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED or "no such table" in str(error):
            with suppress(sqlite3.Error, OSError):
                cache.restart()
