"""The files that gather a run: written whole at its end, and after Ctrl-C, with one record in memory at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ls_backend.exports.coco import coco_pieces
from ls_backend.exports.labelstudio import data_uri, local_files_url, task_pieces
from ls_backend.files import OutputError, atomic_write
from ls_backend.record import RecordError, to_segmentation
from zgcore.errors import ConfigError, ImageError
from zgcore.gallery import gallery_item, templates_folder, write_gallery

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ls_backend.exports import NumberedRecord
    from ls_backend.people import PeoplePolicy
    from ls_backend.record import ImageRecord, RunStamp
    from ls_backend.run_folder import RunFolder
    from zgcore.gallery import GalleryItem

FORMATS = ("coco", "labelstudio", "png", "html")
EMBED_LIMIT = 100 * 2**20
"""Bytes of photos that labelstudio.json carries itself. Label Studio takes uploads of up to 250 MB."""

LABELLING_CONFIG = "free_text.xml"


class RunResults(Protocol):
    """A run as the merged files need it: its records, in the order of their numbers, as often as they are asked for."""

    @property
    def folder(self) -> RunFolder: ...
    @property
    def stamp(self) -> RunStamp: ...
    def __iter__(self) -> Iterator[NumberedRecord]: ...

    def failures(self) -> Iterator[tuple[str, str]]:
        """File name and reason of the images without a result."""

    def photo(self, record: ImageRecord) -> NDArray[np.uint8]:
        """The (H, W, 3) photo of a record. ImageError where it cannot be had any more."""


def write_merged(
    records: RunResults,
    formats: Collection[str],
    image_url: Callable[[NumberedRecord], str],
    people: PeoplePolicy | None = None,
) -> dict[str, Path]:
    """Write annotations.json, labelstudio.json with its labelling config, and index.html, as `formats` ask for.

    people: what becomes of texts that describe people in labelstudio.json, and counts them; they become neutral where
    it is not given. Returns the files by what they are. Raises OutputError where the folder cannot be written.
    """
    root, written = records.folder.root, {}
    if "coco" in formats:
        written["coco"] = _write(root / "annotations.json", coco_pieces(records, records.stamp))
    if "labelstudio" in formats:
        written["labelstudio"] = _write(root / "labelstudio.json", task_pieces(records, image_url, people))
        written["labelstudio_config"] = root / "labelstudio_config.xml"
        with atomic_write(written["labelstudio_config"]) as handle:
            handle.write(templates_folder().joinpath(LABELLING_CONFIG).read_bytes())
    if "png" in formats:
        written["png"] = records.folder.overlays
    if "html" in formats:
        written["html"] = write_pages(records, "png" in formats)
    return written


def people_notes(people: PeoplePolicy) -> list[str]:
    """What the policy on texts that describe people did in labelstudio.json, for the user."""
    done = (("replaced", "were made neutral"), ("flagged", "may describe people and are flagged"))
    return [
        f"{people.counts[key]} texts in labelstudio.json {what} (--people-labels)"
        for key, what in done
        if people.counts[key]
    ]


def _write(path: Path, pieces: Iterable[str]) -> Path:
    with atomic_write(path) as handle:
        handle.writelines(piece.encode() for piece in pieces)
    return path


def write_pages(records: RunResults, overlays: bool) -> Path:
    """Write index.html and its further pages; pages of a longer earlier run go. Returns index.html."""
    root, failures = records.folder.root, list(records.failures())

    def items() -> Iterator[GalleryItem]:
        for entry in records:
            overlay = f"overlays/{entry.record.name}.png" if overlays else ""
            try:
                photo = records.photo(entry.record)
                yield gallery_item(entry.file_name, photo, to_segmentation(entry.record), overlay=overlay)
            except (ImageError, RecordError, ValueError) as error:  # the photo went or changed since it was labelled
                failures.append((entry.file_name, str(error)))

    try:
        pages = write_gallery(
            root, items(), preset=records.stamp.preset, version=records.stamp.model_version, failures=failures
        )
        for page in set(root.glob("index-*.html")) - set(pages):
            if page.stem.removeprefix("index-").isdecimal():
                page.unlink()
    except OSError as error:
        raise OutputError(f"cannot write the gallery into {root}: {error.strerror or error}") from error
    return pages[0]


def image_links(paths: Sequence[Path], image_root: Path | None) -> Callable[[NumberedRecord], str]:
    """How labelstudio.json names its photos.

    With `image_root`, Label Studio's LOCAL_FILES_DOCUMENT_ROOT, as files that it serves from there. Without, the
    photos travel inside the file, so that one upload shows everything; above EMBED_LIMIT that is no longer practical,
    and they are named as files served from the parent of the folder that holds them all.

    Raises ConfigError where a photo is not below `image_root`.
    """
    if image_root is not None:
        return _served(paths, image_root)
    if sum(path.stat().st_size for path in paths if path.is_file()) > EMBED_LIMIT:
        return _served(paths, default_image_root(paths))
    return embedded


def default_image_root(paths: Sequence[Path]) -> Path:
    """A document root for the photos: their storage has to be a folder strictly below it, hence the parent."""
    from ls_backend.run_folder import common_folder

    return common_folder(paths).resolve().parent


def embeds(links: Callable[[NumberedRecord], str]) -> bool:
    """True if the photos travel inside labelstudio.json."""
    return links is embedded


def embedded(entry: NumberedRecord) -> str:
    """The photo itself, as an address."""
    try:
        return data_uri(Path(entry.record.source.path))
    except (OSError, ImageError):  # the photo went away since it was labelled: its task stays, without a picture
        return entry.file_name


def served_url(path: Path, root: Path) -> str:
    """A photo's address as Label Studio serves it from `root`. ConfigError where it is not below."""
    try:
        return local_files_url(path, root)
    except ValueError as error:
        raise ConfigError(f"{path} is not below --image-root {root}; name a folder above all photos") from error


def _served(paths: Sequence[Path], root: Path) -> Callable[[NumberedRecord], str]:
    urls = {os.path.abspath(path): served_url(path, root) for path in paths}
    return lambda entry: urls[entry.record.source.path]
