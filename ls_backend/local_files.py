"""Files of this machine below one folder, whatever names and links say."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ls_backend.addresses import FetchError
from ls_backend.pinned_http import too_large

if TYPE_CHECKING:
    from pathlib import Path


def read_below(root: Path, name: str, shown: str, max_bytes: int) -> bytes | None:
    """The bytes of a regular file that lies below `root` once all links are resolved; None where there is none.

    name: relative to `root`, or absolute. shown: what messages call it.

    Raises FetchError where it lies elsewhere, is a folder, pipe or device, is too large, or cannot be opened.
    """
    top = os.path.realpath(root)
    try:
        real = os.path.realpath(os.path.join(top, name))
        if os.path.commonpath((top, real)) != top:
            raise FetchError(f"{shown}: leads out of fetch.local_root; move the file there or change the setting")
        content = _read_regular(open_below(top, os.path.relpath(real, top)), max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "not a valid file name"
        raise FetchError(f"{shown}: cannot be opened: {reason}; check its permissions and name") from None
    if content is None:
        raise FetchError(f"{shown}: is not a regular file; name an image file")
    if len(content) > max_bytes:
        raise too_large(shown, max_bytes)
    return content


def open_below(root: str, path: str) -> int:
    """Open a file by descending from `root` without following links, so that none can be put in after the check.

    Gives a file descriptor, which the caller closes. Raises OSError where a part of `path` is a link.
    """
    *folders, name = path.split(os.sep)
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = below
        # A named pipe would wait for a writer.
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here)
    finally:
        os.close(here)


def _read_regular(descriptor: int, size: int) -> bytes | None:
    """At most `size` bytes of an open file, which is closed; None where it is a folder, a pipe or a device."""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(size)
    finally:
        os.close(descriptor)
