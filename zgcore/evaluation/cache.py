"""Results of stages kept on disk between runs, so that an ablation or a sweep computes only what it changes.

A file a stage and image, named by the image's content and by all that the stage's result depends on; nothing is ever
looked at that was made otherwise. Files hold plain arrays; damaged ones are as if they were not there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from huggingface_hub.constants import HF_ASSETS_CACHE

from zgcore.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Arrays = dict[str, NDArray]

log = logging.getLogger(__name__)

GIGABYTES: Final = 20.0
_FORMAT: Final = 1  # a change of what files hold, or of the stages' arithmetic, makes all earlier files unknown
_DAMAGED: Final = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)
_LOOK_EVERY: Final = 512  # files written between looks at the folder's size
_KEPT: Final = 0.9  # of the limit, after old files went


def default_folder() -> Path:
    """Beside the model hub's own cache (HF_HOME)."""
    return Path(HF_ASSETS_CACHE) / "zeroguide" / "evaluation"


def digest(*parts: Any) -> str:
    """24 hex digits of JSON-able values: which stage's result it is."""
    return hashlib.sha256(json.dumps([_FORMAT, *parts], sort_keys=True).encode()).hexdigest()[:24]


class StageCache(Protocol):
    """What predictors ask of a cache."""

    def get(self, stage: str, image: str, key: str) -> Arrays | None:
        """The arrays of an image's stage; None where they are not known. image: hex digits of its content."""

    def put(self, stage: str, image: str, key: str, arrays: Arrays) -> None:
        """Keep them. Never raises: what cannot be kept is computed again."""


class NoCache:
    """Remembers nothing."""

    def get(self, stage: str, image: str, key: str) -> Arrays | None:
        return None

    def put(self, stage: str, image: str, key: str, arrays: Arrays) -> None:
        pass


class DiskCache:
    """A folder, shared by any number of processes. gigabytes: the files used longest ago go when there are more."""

    def __init__(self, folder: Path, gigabytes: float = GIGABYTES) -> None:
        self.folder = folder
        self.limit = int(gigabytes * 2**30)
        self._written = 0

    def get(self, stage: str, image: str, key: str) -> Arrays | None:
        path = self._path(stage, image, key)
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            os.utime(path)  # used now
        except FileNotFoundError:
            return None
        except _DAMAGED as error:
            log.warning("%s is damaged and made again: %s", path, error)
            return None
        return arrays

    def put(self, stage: str, image: str, key: str, arrays: Arrays) -> None:
        path = self._path(stage, image, key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as file:
                np.savez_compressed(file, allow_pickle=False, **arrays)
        except OSError as error:
            log.warning("%s is not kept: %s", path, error)
            return
        if self._written % _LOOK_EVERY == 0:
            self.shrink()
        self._written += 1

    def shrink(self) -> None:
        """Take away the files used longest ago where the limit is exceeded."""
        files = sorted(self._files())
        size = sum(bytes_ for _, bytes_, _ in files)
        if size <= self.limit:
            return
        for _, bytes_, path in files:
            if size <= self.limit * _KEPT:
                break
            path.unlink(missing_ok=True)
            size -= bytes_

    def _path(self, stage: str, image: str, key: str) -> Path:
        return self.folder / stage / image[:2] / f"{image[:32]}-{key}.npz"

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        """Time of last use, bytes and path of every file, also of drafts that killed processes left."""
        for path in (*self.folder.glob("*/??/*.npz"), *self.folder.glob("*/??/.*.tmp")):
            try:
                status = path.stat()
            except OSError:  # another process took it away
                continue
            yield status.st_mtime_ns, status.st_size, path
