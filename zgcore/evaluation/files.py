"""Files of a run and of the cache: whole or not there, also when the process is killed while it writes."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from zgcore.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes `path`'s place when the block ends well. Makes the folder. Safe beside other writers.

    Raises OSError where the disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


@contextmanager
def run_file(path: Path) -> Iterator[IO[bytes]]:
    """`whole_file` for a run's results. EvaluationError where the disk refuses."""
    try:
        with whole_file(path) as file:
            yield file
    except OSError as error:
        raise EvaluationError(f"{path} cannot be written: {error.strerror or error}; choose another --out") from error
