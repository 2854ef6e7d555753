"""What an image is called in a run's state: its absolute path, its address, or its task."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote_from_bytes, unquote, unquote_to_bytes

from ls_backend.addresses import Url, shortened

_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]+):", re.IGNORECASE)
_USER: Final = re.compile(r"(?<=://)[^/]*@")
_RAW: Final = "file:"  # a path that is not UTF-8, which no database holds as text
_TASK: Final = "task:"


def key_of(path: Path) -> str:
    """A file's key."""
    absolute = os.path.abspath(path)
    try:
        absolute.encode()
    except UnicodeEncodeError:
        return _RAW + quote_from_bytes(os.fsencode(absolute))
    return absolute


def path_of(key: str) -> Path | None:
    """The file of a key, None where it is not one."""
    if key.startswith(_RAW):
        return Path(os.fsdecode(unquote_to_bytes(key.removeprefix(_RAW))))
    return None if scheme_of(key) else Path(key)


def task_key(project: int, task: int) -> str:
    return f"{_TASK}{project}/{task}"


def unread_key(reference: str) -> str:
    """The key of an address of a kind that is not read, told apart from those of files and tasks."""
    return f"unread:{reference}" if reference.lower().startswith((_RAW, _TASK)) else reference


def is_task(key: str) -> bool:
    return key.startswith(_TASK)


def scheme_of(reference: str) -> str | None:
    """The scheme of an address in lower case, None for paths; one letter is a drive and no scheme."""
    found = _SCHEME.match(reference)
    return found[1].lower() if found else None


def shown(reference: str) -> str:
    """An address for people and records: without user, password and query, which may hold secrets."""
    with suppress(ValueError):
        return Url.parse(reference).shown
    bare, mark, _ = reference.partition("?")
    bare = _USER.sub("", bare)
    return shortened(bare + (mark and "?..."))


def stem_of(reference: str) -> Path:
    """What an address is called, as a path of one part."""
    path = unquote(reference.partition("?")[0].partition("#")[0]).rstrip("/")
    return Path(path.rpartition("/")[2] or "image")
