"""The results of a run as the merged files need them, read from state and disk one at a time."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ls_backend import merged
from ls_backend.exports import NumberedRecord
from ls_backend.jobs.keys import path_of
from ls_backend.jobs.store import Claimed
from ls_backend.run_folder import relative_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from ls_backend.jobs.photos import Photos
    from ls_backend.jobs.store import StateStore
    from ls_backend.record import ImageRecord, RunStamp
    from ls_backend.run_folder import RunFolder

_COLUMNS = "id, key, name, mark, attempts, task, data"


class StoreRecords:
    """A run's results. image_root: folder that file names are relative to; the one that holds them all by default.

    `damaged`: numbers of the images whose record a walk through them found missing or damaged.
    """

    def __init__(
        self, store: StateStore, folder: RunFolder, stamp: RunStamp, photos: Photos, image_root: Path | None
    ) -> None:
        self.store, self.folder, self.stamp = store, folder, stamp
        self.damaged: set[int] = set()
        self._photos = photos
        self._image_root = image_root

    def __iter__(self) -> Iterator[NumberedRecord]:
        for image in self._images("done"):
            record = self.folder.result(image.name, self.stamp)
            if record is None:
                self.damaged.add(image.id)
            else:
                yield NumberedRecord(image.id, self._file_name(image), record)

    def failures(self) -> Iterator[tuple[str, str]]:
        for image in self._images("failed"):
            (error,) = next(self.store.rows("SELECT error FROM images WHERE id = ?", image.id))
            yield self._file_name(image), error or ""

    def photo(self, record: ImageRecord) -> NDArray[np.uint8]:
        return self._photos.load(self._one("folded", record.name.casefold()))

    def links(self) -> Callable[[NumberedRecord], str]:
        """How labelstudio.json names the photos; see `merged.image_links`. Photos elsewhere keep their addresses."""
        (size,) = next(self.store.rows("SELECT SUM(size) FROM images"))
        embed = self._image_root is None and (size or 0) <= merged.EMBED_LIMIT
        root = self._image_root or self.root.resolve().parent

        def link(entry: NumberedRecord) -> str:
            image = self._one("id", entry.number)
            path = path_of(image.key)
            if path is None:
                return self._photos.address(image)
            return merged.embedded(entry) if embed else merged.served_url(path, root)

        return link

    @cached_property
    def root(self) -> Path:
        """The deepest folder that holds all photos that are files."""
        common = ""
        for (key,) in self.store.rows("SELECT key FROM images"):
            if (path := path_of(key)) is not None:
                folder = os.path.dirname(path)
                common = os.path.commonpath((common, folder)) if common else folder
        return Path(common or os.getcwd())

    def _file_name(self, image: Claimed) -> str:
        path = path_of(image.key)
        return self._photos.of(image).where if path is None else relative_name(path, self._image_root or self.root)

    def _one(self, column: str, value: object) -> Claimed:
        return Claimed(*next(self.store.rows(f"SELECT {_COLUMNS} FROM images WHERE {column} = ?", value)))

    def _images(self, state: str) -> Iterator[Claimed]:
        for row in self.store.rows(f"SELECT {_COLUMNS} FROM images WHERE state = ? ORDER BY id", state):
            yield Claimed(*row)
