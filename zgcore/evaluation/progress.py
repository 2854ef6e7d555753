"""What a run has done so far, a line an image: it survives kill -9, and a line cut short is as if never written."""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING, Final

from zgcore.errors import EvaluationError
from zgcore.evaluation.rows import ImageRows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

PROGRESS: Final = "progress.jsonl"


class Progress:
    """The lines of one run. Where an image is there twice, the later line holds.

    Opening reads which images are there, not what they hold. EvaluationError where the file cannot be read or written,
    or another process has it.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / PROGRESS
        self._places: dict[int, int] = {}  # position of an image -> its line's place in the file
        self._failed: set[int] = set()
        try:
            self._file = self.path.open("a+b")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until it is closed
            self._find_lines()
        except BlockingIOError:
            raise EvaluationError(
                f"{run} is being made by another process; wait for it, or choose another --out"
            ) from None
        except OSError as error:
            raise EvaluationError(f"{self.path} cannot be used: {error.strerror}; choose another --out") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._places)

    @property
    def done(self) -> set[int]:
        """Positions of images that are evaluated. Those that failed are not: they are tried again."""
        return self._places.keys() - self._failed

    def append(self, rows: ImageRows) -> None:
        """Keep one image; it is on disk when this returns. EvaluationError where the disk refuses."""
        line = json.dumps(vars(rows), allow_nan=False, separators=(",", ":")).encode() + b"\n"
        try:
            place = self._file.seek(0, os.SEEK_END)
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise EvaluationError(f"{self.path} cannot be written: {error.strerror}; make room and go on") from error
        self._know(rows, place)

    def __iter__(self) -> Iterator[ImageRows]:
        """The images in the order of their positions, one in memory at a time."""
        for _, place in sorted(self._places.items()):
            self._file.seek(place)
            yield ImageRows(**json.loads(self._file.readline()))

    def remove(self) -> None:
        """Take the file away, its work done."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _know(self, rows: ImageRows, place: int) -> None:
        position = rows.image["position"]
        self._places[position] = place
        (self._failed.add if rows.failed else self._failed.discard)(position)

    def _find_lines(self) -> None:
        self._file.seek(0)
        place = 0
        for line in self._file:
            try:
                rows = ImageRows(**json.loads(line))
                whole = line.endswith(b"\n") and type(rows.image["position"]) is int and "error" in rows.image
            except (ValueError, TypeError, KeyError, RecursionError):
                whole = False
            if not whole:  # the process was killed while it wrote: what follows cannot be trusted
                self._file.truncate(place)
                break
            self._know(rows, place)
            place += len(line)
