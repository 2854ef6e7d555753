"""A listed image as something that can be read: a file, or bytes from elsewhere."""

from __future__ import annotations

import hashlib
import io
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from ls_backend.jobs.keys import is_task, path_of, shown
from ls_backend.record import SourceFile
from ls_backend.run_folder import Content, Source
from zgcore.images import MAX_PIXELS, load_image

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from ls_backend.jobs.store import Claimed
    from ls_backend.run_folder import Photo

UNTOLD: Final = 0  # time of what has none


class Tasks(Protocol):
    """Label Studio's part in reading images: which one a task shows."""

    def reference(self, image: Claimed) -> str:
        """Address, path or data: URI. TaskError where the task has no image, or several."""


class _Named(io.BytesIO):
    """Bytes that say in error messages where they are from."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


class RemotePhoto:
    """A photo whose bytes are fetched; two are the same if their bytes are.

    reference: gives the address. fetch: address to bytes, FetchError where they cannot be had.
    """

    def __init__(
        self,
        number: int,
        name: str,
        where: str,
        reference: Callable[[], str],
        fetch: Callable[[str], bytes],
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.number, self.name, self.where = number, name, where
        self._reference, self._fetch, self._max_pixels = reference, fetch, max_pixels
        self._data: bytes | None = None  # between a look at it and its reading

    @property
    def shown(self) -> str:
        return self.where

    def read(self) -> Content:
        data, self._data = self._fetched(), None
        file = SourceFile(self.where, len(data), UNTOLD, hashlib.sha256(data).hexdigest())
        return Content(file, partial(load_image, _Named(data, self.where), max_pixels=self._max_pixels))

    def is_unchanged(self, known: SourceFile) -> bool:
        if known.path != self.where:
            return False
        try:
            self._data = self._fetched()
        except Exception:
            return False  # reading it says why
        return hashlib.sha256(self._data).hexdigest() == known.sha256

    def _fetched(self) -> bytes:
        return self._fetch(self._reference()) if self._data is None else self._data


class Photos:
    """Images of a run as photos. fetch: for those elsewhere. tasks: for those of a Label Studio project."""

    def __init__(self, fetch: Callable[[str], bytes], tasks: Tasks | None = None, max_pixels: int = MAX_PIXELS) -> None:
        self._fetch, self._tasks, self._max_pixels = fetch, tasks, max_pixels

    def of(self, image: Claimed) -> Photo:
        path = path_of(image.key)
        if path is not None:
            return Source(image.id, path, image.name)
        reference = partial(self.address, image)
        return RemotePhoto(image.id, image.name, shown(image.key), reference, self._fetch, self._max_pixels)

    def address(self, image: Claimed) -> str:
        """Where an image that is no file is fetched from."""
        return self._tasks.reference(image) if self._tasks and is_task(image.key) else image.key

    def load(self, image: Claimed) -> NDArray[np.uint8]:
        """The (H, W, 3) pixels. ImageError where they cannot be had."""
        return self.of(image).read().decode()
