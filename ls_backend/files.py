"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from zgcore.errors import ZeroguideError

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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise OutputError(f"cannot write {path}: {_why(error)}") from error
        raise


def _sync_folder(path: Path) -> None:
    """Have a name in a folder survive a power cut. Some network file systems cannot, and do it by themselves."""
    with suppress(OSError):
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


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
