"""What labelstudio.json calls the photos of images that are no Label Studio tasks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ls_backend.exports.inputs import photo_path
from ls_backend.exports.labelstudio import data_uri, local_files_url
from ls_backend.merged import EMBED_LIMIT
from zgcore.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from ls_backend.exports.items import ImageItem, Items


@dataclass(frozen=True)
class PhotoLinks:
    """Gives what a browser loads for an item.

    Photos elsewhere keep their addresses. Files are named as Label Studio serves them from `root`, its
    LOCAL_FILES_DOCUMENT_ROOT; without one the photos themselves go in where `embed` says so, else their names.
    images: folder where photos are that the input does not know the place of.
    """

    images: Path | None
    root: Path | None
    embed: bool

    def __call__(self, item: ImageItem) -> str:
        """Raises ConfigError where a photo is not below `root`."""
        if "://" in item.path:
            return item.path
        path = local_photo(item, self.images)
        if self.root is not None:
            return self._served(path or self.root / item.file_name, self.root)
        if self.embed and path is not None:
            try:
                return data_uri(path)
            except (OSError, ImageError):  # it went away, or is none: the task stays, without a picture
                return item.file_name
        return item.file_name

    @staticmethod
    def _served(path: Path, root: Path) -> str:
        try:
            return local_files_url(path, root)
        except ValueError as error:
            raise ConfigError(f"{path} is not below --image-root {root}; name a folder above all photos") from error


def photos_fit(items: Items, images: Path | None) -> bool:
    """True where the photos of items that are no tasks are small enough, together, to travel inside the file."""
    photos = (local_photo(item, images) for item in items if item.data is None)
    return sum(path.stat().st_size for path in photos if path is not None) <= EMBED_LIMIT


def local_photo(item: ImageItem, images: Path | None) -> Path | None:
    """The photo on this machine: where the input says, else below `images`; None where it is not there."""
    path = Path(item.path) if os.path.isabs(item.path) else photo_path(item, images)
    return path if path is not None and path.is_file() else None
