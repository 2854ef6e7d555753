"""Files and folders of results: whole or not there, and errors that name the option to change."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from zgcore.errors import ZeroguideError
from zgcore.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LEFTOVER = re.compile(r"^\..+\.(\d+)\.tmp$")


class OutputError(ZeroguideError):
    """The folder for the results cannot be written: wrong path, no permission, disk full."""

    exit_code = 2


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that appears at `path` whole, and synced to disk, or not at all.

    Raises OutputError where the operating system refuses.
    """
    try:
        with whole_file(path) as handle:
            yield handle
    except OSError as error:
        raise OutputError(f"cannot write {path}: {_why(error)}") from error


def make_folder(path: Path, option: str = "--out") -> None:
    """Create a folder and prove that it can be written; OutputError otherwise. option: which chooses another."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path}: {_why(error)}; choose another with {option}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise OutputError(f"no permission to write into {path}; choose another folder with {option}")
    remove_leftovers(path)


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files of processes that were killed; those of running ones stay."""
    for path in folder.glob(".*.tmp"):
        match = _LEFTOVER.match(path.name)
        if match and not _is_running(int(match[1])):
            with suppress(OSError):
                path.unlink()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
