"""What people do with predictions, from Label Studio's webhooks.

A region is compared with the prediction it came from by what it holds and not by its id, since the editor makes new
ids when somebody opens a prediction to change it:

  accepted       mask and text as predicted
  mask_edited    the mask is another (the text may be too)
  text_edited    the text is another, the mask is not
  added          drawn by hand
  deleted        predicted and no longer there

An annotation that is saved again counts as it is now. Kept on disk; events are written in a thread of their own, since
Label Studio waits only a second for an answer and a disk may be busy for longer.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Any, Final

from ls_backend.label_studio_ids import is_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

OUTCOMES: Final = ("accepted", "mask_edited", "text_edited", "added", "deleted")
MAX_WAITING: Final = 1000  # events and predictions; what comes on top is dropped with a log line
MAX_TASKS: Final = 100_000  # whose predictions are remembered
_SAVED: Final = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED")
_GONE: Final = "ANNOTATIONS_DELETED"

_SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS predicted (task INTEGER PRIMARY KEY, regions TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS annotations (
    id INTEGER PRIMARY KEY, {", ".join(f"{name} INTEGER NOT NULL" for name in OUTCOMES)}
);
"""
_FORGET_OLD: Final = """
DELETE FROM predicted WHERE task IN (SELECT task FROM predicted ORDER BY task DESC LIMIT -1 OFFSET ?)
"""


@dataclass(frozen=True)
class Held:
    """What a region holds. mask: digest of its run lengths. text: None where it has none. by_hand: nobody predicted
    it, as its origin says.
    """

    mask: str
    text: str | None
    by_hand: bool = False


def held_regions(result: Any) -> list[Held]:
    """The brush regions of a `result`, each with the text of the same id. Entries of another form are left out."""
    entries = [entry for entry in result if isinstance(entry, dict)] if isinstance(result, list) else []
    texts = {str(entry.get("id")): _text(entry) for entry in entries if entry.get("type") == "textarea"}
    return [
        Held(_digest(entry["value"]["rle"]), texts.get(str(entry.get("id"))), entry.get("origin") == "manual")
        for entry in entries
        if entry.get("type") == "brushlabels" and isinstance(entry.get("value"), dict) and "rle" in entry["value"]
    ]


def _text(entry: Mapping[str, Any]) -> str | None:
    value = entry.get("value")
    text = value.get("text") if isinstance(value, dict) else None
    if isinstance(text, list):
        return "\n".join(str(line) for line in text)
    return text if isinstance(text, str) else None


def _digest(rle: Any) -> str:
    """Of a mask's run lengths. The zero bytes at the end are padding, of which the editor writes one less than we do;
    where a last run is cut with them, the header still says how long it is.
    """
    if isinstance(rle, list):
        end = len(rle)
        while end and rle[end - 1] == 0:
            end -= 1
        rle = rle[:end]
    return hashlib.sha256(json.dumps(rle).encode()).hexdigest()[:16]


def compare(predicted: Sequence[Held], annotated: Sequence[Held]) -> Counter[str]:
    """Regions by `OUTCOMES`.

    Regions that agree most are paired first: mask and text, then the mask alone, then the text alone; what came from
    the prediction and agrees in neither was changed in both.
    """
    counts: Counter[str] = Counter(added=sum(region.by_hand for region in annotated))
    ours = [region for region in annotated if not region.by_hand]
    left = list(predicted)
    for outcome, same in (
        ("accepted", lambda one, other: (one.mask, one.text) == (other.mask, other.text)),
        ("text_edited", lambda one, other: one.mask == other.mask),
        ("mask_edited", lambda one, other: one.text == other.text),
        ("mask_edited", lambda one, other: True),
    ):
        for region in list(ours):
            match = next((other for other in left if same(region, other)), None)
            if match is not None:
                ours.remove(region)
                left.remove(match)
                counts[outcome] += 1
    counts["added"] += len(ours)
    counts["deleted"] += len(left)
    return counts


class Acceptance:
    """Statistics of one data folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "acceptance.sqlite"
        self._thread = ThreadPoolExecutor(1, "acceptance")
        self._room = BoundedSemaphore(MAX_WAITING)
        # One for all threads, and kept: closing the last one of a file writes its journal back and waits for the disk.
        self._connection = sqlite3.connect(self.path, timeout=5, isolation_level=None, check_same_thread=False)
        self._lock = Lock()
        with self._connected() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last ones

    def predicted(self, task: int, result: Any) -> None:
        """Remember what a task was given; the database is written later."""
        with _never_failing():
            regions = json.dumps([[region.mask, region.text] for region in held_regions(result)])
            self._later(self._remember, task, regions)

    def event(self, payload: Mapping[str, Any]) -> None:
        """Take a webhook's payload, whatever it is; the database is written later."""
        annotations = payload.get("annotation", payload.get("annotations"))
        listed = annotations if isinstance(annotations, list) else [annotations]
        found = [annotation for annotation in listed if isinstance(annotation, dict) and is_id(annotation.get("id"))]
        if payload.get("action") == _GONE:
            self._later(self._forget, [annotation["id"] for annotation in found])
        elif payload.get("action") in _SAVED:
            task = payload.get("task")
            for annotation in found:
                numbers = (annotation.get("task"), task.get("id") if isinstance(task, dict) else None)
                number = next((found for found in numbers if is_id(found)), None)
                with _never_failing():
                    self._later(self._count, annotation["id"], number, held_regions(annotation.get("result")))

    def settle(self) -> None:
        """Wait until all that was taken is counted."""
        self._thread.submit(lambda: None).result()

    def totals(self) -> dict[str, int]:
        """Regions by `OUTCOMES` over all annotations, and how many "annotations" there are.

        Raises sqlite3.Error where the file is damaged.
        """
        sums = ", ".join(f"COALESCE(SUM({name}), 0)" for name in OUTCOMES)
        with self._connected() as connection:
            row = connection.execute(f"SELECT {sums}, COUNT(*) FROM annotations").fetchone()
        return dict(zip((*OUTCOMES, "annotations"), row, strict=True))

    def close(self) -> None:
        """Count what was taken, then stop."""
        self._thread.shutdown(wait=True)
        with self._lock:
            self._connection.close()

    def _later(self, work: Callable[..., None], *args: Any) -> None:
        if not self._room.acquire(blocking=False):
            log.warning("more than %d events and predictions wait to be counted; one was dropped", MAX_WAITING)
            return
        self._thread.submit(self._guarded, work, args)

    def _guarded(self, work: Callable[..., None], args: tuple[Any, ...]) -> None:
        try:
            with _never_failing():
                work(*args)
        finally:
            self._room.release()

    def _remember(self, task: int, regions: str) -> None:
        with self._connected() as connection:
            connection.execute("INSERT OR REPLACE INTO predicted VALUES (?, ?)", (task, regions))
            connection.execute(_FORGET_OLD, (MAX_TASKS,))

    def _count(self, annotation: int, task: int | None, held: Sequence[Held]) -> None:
        """Count one annotation, if the prediction of its task is known."""
        predicted = self._known(task)
        if predicted is None:
            return
        counts = compare(predicted, held)
        row = [annotation, *(counts[name] for name in OUTCOMES)]
        with self._connected() as connection:
            connection.execute(f"INSERT OR REPLACE INTO annotations VALUES ({', '.join('?' * len(row))})", row)

    def _known(self, task: int | None) -> list[Held] | None:
        with self._connected() as connection:
            row = connection.execute("SELECT regions FROM predicted WHERE task = ?", (task,)).fetchone()
        return None if row is None else [Held(mask, text) for mask, text in json.loads(row[0])]

    def _forget(self, ids: Iterable[int]) -> None:
        with self._connected() as connection:
            connection.executemany("DELETE FROM annotations WHERE id = ?", [(number,) for number in ids])

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one thread at a time, with its tables made where they are missing."""
        with self._lock:
            for statement in _SCHEMA.split(";"):
                self._connection.execute(statement)
            yield self._connection


@contextmanager
def _never_failing() -> Iterator[None]:
    """Statistics are never worth a failed request."""
    try:
        yield
    except Exception:
        log.exception("an annotation or a prediction could not be counted")
