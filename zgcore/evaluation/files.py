"""Files of a run: whole or not there, also when the process is killed while it writes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from zgcore.errors import EvaluationError
from zgcore.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def run_file(path: Path) -> Iterator[IO[bytes]]:
    """`whole_file` for a run's results, its folder made if need be. EvaluationError where the disk refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            yield file
    except OSError as error:
        raise EvaluationError(f"{path} cannot be written: {error.strerror or error}; choose another --out") from error
