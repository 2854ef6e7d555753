"""What SOURCE means: folders, globs, lists, COCO files, web addresses and object stores, as images to be listed.

A source is read as it is listed, and an image that is not there is listed too: it fails when its turn comes, with a
reason, and takes no other down.
"""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ijson

from ls_backend.addresses import FetchError
from ls_backend.find_photos import find_photos
from ls_backend.jobs.keys import key_of, scheme_of, shown, stem_of, unread_key
from ls_backend.jobs.store import MISSING, NewImage
from ls_backend.run_folder import safe_stem
from ls_backend.settings import OBJECT_STORES
from zgcore.errors import ConfigError
from zgcore.images import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LISTS: Final = (".txt", ".lst")
_MAGIC: Final = "*?["
_MARKS: Final = (
    "ETag",
    "etag",
    "md5Hash",
    "content_md5",
    "LastModified",
    "updated",
    "last_modified",
    "mtime",
    "created",
)


@dataclass(frozen=True)
class Reading:
    """How sources are read.

    out: the run's own folder, whose pictures are no photos. images: folder of a COCO file's photos. object_store: an
    object store's fsspec file system by its scheme.
    """

    out: Path
    recursive: bool = False
    images: Path | None = None
    object_store: Callable[[str], Any] | None = None


def listed(source: str, reading: Reading) -> Iterator[NewImage]:
    """The images of one SOURCE. ImageError, ConfigError or UsageError where it names none at all."""
    if source.startswith("@"):
        yield from _list(Path(source[1:]), reading)
        return
    scheme = None if os.path.exists(source) else scheme_of(source)
    if scheme in OBJECT_STORES:
        yield from _objects(source, scheme, reading)
    elif scheme in ("http", "https"):
        yield _address(source)
    elif scheme is not None:
        raise ConfigError(f"{shown(source)}: addresses of kind {scheme}: are not read; use http, s3, gs or az")
    elif Path(source).suffix.lower() == ".json" and Path(source).is_file():
        yield from _coco(Path(source), reading)
    elif Path(source).suffix.lower() in LISTS and Path(source).is_file():
        yield from _list(Path(source), reading)
    else:
        yield from _files(source, reading)


def file_image(path: Path) -> NewImage:
    """A file, marked with its size and time; one that is not there is listed all the same."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # no name of a file at all
        return NewImage(key_of(path), safe_stem(path), MISSING)
    return NewImage(key_of(path), safe_stem(path), f"{status.st_size}:{status.st_mtime_ns}", status.st_size)


def _address(reference: str, mark: str = "") -> NewImage:
    return NewImage(reference, safe_stem(stem_of(reference)), mark)


def _files(source: str, reading: Reading) -> Iterator[NewImage]:
    """A file, a folder, or a glob that the shell has left alone ("**" goes down any number of folders)."""
    paths = [Path(source)]
    if any(sign in source for sign in _MAGIC) and not paths[0].exists():
        paths = [Path(match) for match in glob.glob(source, recursive=True)]
        if not paths:
            raise ConfigError(f"{source}: no file matches")
    yield from map(file_image, find_photos(paths, recursive=reading.recursive, out=reading.out))


def _list(path: Path, reading: Reading) -> Iterator[NewImage]:
    """One path or address a line; paths are relative to the list's folder. Empty lines and those of "#" are passed."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                entry = line.strip()
                if not entry or entry.startswith("#"):
                    continue
                yield from _entry(entry, path.parent, reading)
    except OSError as error:
        raise ConfigError(f"{path}: the list cannot be read: {error.strerror}") from error


def _entry(entry: str, folder: Path, reading: Reading) -> Iterator[NewImage]:
    """A line of a list: a path that is there, whatever it looks like, else an address; other kinds fail in turn."""
    scheme = scheme_of(entry)
    if scheme is None or os.path.exists(folder / entry):
        yield file_image(folder / entry)
    elif scheme in ("http", "https", *OBJECT_STORES):
        yield from listed(entry, reading)
    else:
        yield _address(unread_key(entry))


def _coco(path: Path, reading: Reading) -> Iterator[NewImage]:
    """The images of a COCO file: files below `reading.images` (its own folder by default), else their addresses."""
    folder, empty = reading.images or path.parent, True
    try:
        with path.open("rb") as file:
            for image in ijson.items(file, "images.item"):
                empty = False
                yield _coco_image(str(image["file_name"]), str(image.get("coco_url") or ""), folder)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (ijson.JSONError, ValueError, TypeError, LookupError, AttributeError):
        raise ConfigError(f'{path}: is no COCO file: it needs "images", each with "file_name"') from None
    if empty:
        raise ConfigError(f'{path}: is no COCO file: it needs "images", each with "file_name"')


def _coco_image(name: str, url: str, folder: Path) -> NewImage:
    if scheme_of(name) in ("http", "https", *OBJECT_STORES):
        return _address(name)
    if url and not (folder / name).exists():
        return _address(url)
    return file_image(folder / name)


def _objects(source: str, scheme: str, reading: Reading) -> Iterator[NewImage]:
    """Images in an object store: one object, those below a prefix, or those that match a glob."""
    if Path(source).suffix.lower() in SUFFIXES and not any(sign in source for sign in _MAGIC):
        yield _address(source)
        return
    if reading.object_store is None:
        raise ConfigError(f"{shown(source)}: object stores cannot be listed here")
    store, empty = reading.object_store(scheme), True
    try:
        for name, mark in _matches(store, source.partition("://")[2]):
            empty = False
            yield _address(f"{scheme}://{name}", mark)  # the stores' own libraries have several names for a scheme
    except Exception as error:  # the stores' own libraries raise what they like; their texts may hold keys
        raise FetchError(
            f"{shown(source)}: cannot be listed ({type(error).__name__}); check that it is there and that this "
            "machine's cloud credentials may list it"
        ) from None
    if empty:
        raise ConfigError(f"{shown(source)}: holds no images")


def _matches(store: Any, path: str) -> Iterator[tuple[str, str]]:
    """Bucket with key, and mark, of the images in a store, a folder at a time."""
    if any(sign in path for sign in _MAGIC):
        folders: Any = [("", {}, store.glob(path, detail=True))]
    else:
        folders = store.walk(path, detail=True)
    for _, _, files in folders:
        for info in files.values():
            name = str(info["name"]).lstrip("/")
            if info.get("type") == "file" and Path(name).suffix.lower() in SUFFIXES:
                yield name, _mark(info)


def _mark(info: Mapping[str, Any]) -> str:
    """What an object store tells of an object that changes when it does."""
    return " ".join(str(info[name]) for name in ("size", *_MARKS) if info.get(name) is not None)
