"""The folder a run writes: one record an image the moment it is done, merged files at the end.

OUT/results/NAME.json     the record         OUT/annotations.json    COCO instances
OUT/results/NAME.npz      its embeddings     OUT/labelstudio.json    tasks with predictions
OUT/overlays/NAME.png     the picture        OUT/index.html          the gallery
"""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ls_backend.exports import NumberedRecord
from ls_backend.files import atomic_write, make_folder
from ls_backend.record import ImageRecord, RecordError, SourceFile
from zgcore.images import load_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ls_backend.record import RunStamp

LONGEST_NAME = 100
_UNSAFE = re.compile(r"[^\w.\- ]+")


@dataclass(frozen=True)
class Content:
    """A photo that was opened. file: what it was then. decode: gives its (H, W, 3) uint8 pixels, or ImageError."""

    file: SourceFile
    decode: Callable[[], NDArray[np.uint8]]


class Photo(Protocol):
    """One input of a run, wherever its bytes are.

    number: in the run, from 1. name: what its results are called. where: what its record calls it. shown: for messages.
    """

    @property
    def number(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def where(self) -> str: ...
    @property
    def shown(self) -> str: ...

    def read(self) -> Content:
        """Raises OSError or ImageError where its bytes cannot be had."""

    def is_unchanged(self, known: SourceFile) -> bool:
        """True if it is what a record was made from."""


@dataclass(frozen=True)
class Source:
    """A photo in a file."""

    number: int
    path: Path
    name: str

    @property
    def where(self) -> str:
        return os.path.abspath(self.path)

    @property
    def shown(self) -> str:
        return str(self.path)

    def read(self) -> Content:
        """The file is looked at before its pixels are: if it changes in between, it is made again."""
        file = fingerprint(self.path) if self.path.is_file() else unread(self.where)
        return Content(file, partial(load_image, self.path))

    def is_unchanged(self, known: SourceFile) -> bool:
        return is_unchanged(known, self.path)


def unread(where: str) -> SourceFile:
    """What is known of a photo whose bytes could not be had."""
    return SourceFile(where, 0, 0, "")


def name_sources(paths: Sequence[Path]) -> list[Source]:
    """Give every input a name of its own: the file's stem where that is unique, else the stem and 8 hex digits of its
    absolute path. The same inputs always get the same names; they differ on file systems that ignore case, too.
    """
    stems = [safe_stem(path) for path in paths]
    seen: dict[str, int] = {}
    for stem in stems:
        seen[stem.casefold()] = seen.get(stem.casefold(), 0) + 1
    sources = []
    for number, (path, stem) in enumerate(zip(paths, stems, strict=True), start=1):
        absolute = os.fsencode(os.path.abspath(path))
        name = stem if seen[stem.casefold()] == 1 else f"{stem}-{hashlib.sha256(absolute).hexdigest()[:8]}"
        sources.append(Source(number, path, name))
    return sources


def safe_stem(path: Path) -> str:
    """A stem that is a file name everywhere: no separators, no leading dot, at most 100 bytes."""
    readable = os.fsencode(path.stem).decode("utf-8", "replace")
    stem = _UNSAFE.sub("_", readable).strip(". ")
    return stem.encode()[:LONGEST_NAME].decode("utf-8", "ignore").strip(". ") or "image"


def fingerprint(path: Path) -> SourceFile:
    """Size, time and SHA-256 of a file. OSError where it cannot be read."""
    with path.open("rb") as handle:
        status = os.fstat(handle.fileno())
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return SourceFile(os.path.abspath(path), status.st_size, status.st_mtime_ns, digest)


def is_unchanged(known: SourceFile, path: Path) -> bool:
    """True if the file is the one the record was made from. A new time alone is settled by the file's SHA-256."""
    try:
        status = path.stat()
        if known.path != os.path.abspath(path) or known.size != status.st_size:
            return False
        return known.mtime_ns == status.st_mtime_ns or fingerprint(path).sha256 == known.sha256
    except OSError:
        return False


def read_embeddings(path: Path) -> NDArray[np.float32] | None:
    """(n, d) float32 of a .npz of `RunFolder.save`; None where the file is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays["embeddings"], dtype=np.float32)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        return None


class RunFolder:
    """Reading and writing the files of one run. OutputError where the folder cannot be made or written."""

    def __init__(self, root: Path, option: str = "--out") -> None:
        self.root = root
        self.results = root / "results"
        self.overlays = root / "overlays"
        for folder in (root, self.results, self.overlays):
            make_folder(folder, option)

    def record_path(self, name: str) -> Path:
        return self.results / f"{name}.json"

    def embeddings_path(self, name: str) -> Path:
        return self.results / f"{name}.npz"

    def overlay_path(self, name: str) -> Path:
        return self.overlays / f"{name}.png"

    def save(self, record: ImageRecord, embeddings: NDArray[np.float32]) -> None:
        """Write one image's embeddings, then its record: where a record is, its embeddings are whole."""
        with atomic_write(self.embeddings_path(record.name)) as handle:
            np.savez(handle, embeddings=np.asarray(embeddings, dtype=np.float32))
        self._write_record(record)

    def save_failure(self, record: ImageRecord) -> None:
        """Write why an image has no result, and take away what an earlier run left of it."""
        self._write_record(record)
        for path in (self.embeddings_path(record.name), self.overlay_path(record.name)):
            with suppress(OSError):
                path.unlink()

    def _write_record(self, record: ImageRecord) -> None:
        data = record.to_json()
        with atomic_write(self.record_path(record.name)) as handle:
            handle.write(data)

    def load(self, name: str) -> ImageRecord | None:
        """The record of that name; None where there is none or it is damaged."""
        try:
            return ImageRecord.from_json(self.record_path(name).read_bytes())
        except (OSError, RecordError):
            return None

    def result(self, name: str, stamp: RunStamp) -> ImageRecord | None:
        """The record of that name if it is a result made with these very settings, else None."""
        record = self.load(name)
        return record if record is not None and record.error is None and record.stamp == stamp else None

    def load_embeddings(self, name: str) -> NDArray[np.float32] | None:
        """(n, d) float32; None where the file is missing or damaged."""
        return read_embeddings(self.embeddings_path(name))

    def done(self, source: Photo, stamp: RunStamp) -> ImageRecord | None:
        """The whole record of an unchanged photo made with these very settings, or None: it must be made (again)."""
        record = self.result(source.name, stamp)
        if record is None:
            return None
        embeddings = self.load_embeddings(source.name)
        if embeddings is None or len(embeddings) != len(record.segments):
            return None
        return record if source.is_unchanged(record.source) else None

    def others(self, sources: Sequence[Source]) -> int:
        """How many records belong to images that are not among `sources`."""
        names = {source.name for source in sources}
        return sum(path.stem not in names for path in self.results.glob("*.json"))


@dataclass(frozen=True)
class RunRecords:
    """The results of a run's inputs, read from disk one at a time; inputs without a result of this run are left out."""

    folder: RunFolder
    sources: tuple[Source, ...]
    stamp: RunStamp
    root: Path

    def __iter__(self) -> Iterator[NumberedRecord]:
        for source in self.sources:
            record = self.folder.result(source.name, self.stamp)
            if record is not None and record.source.path == source.where:
                yield NumberedRecord(source.number, relative_name(source.path, self.root), record)

    def failures(self) -> Iterator[tuple[str, str]]:
        """File name and reason of the inputs that this run's settings gave no result for."""
        for source in self.sources:
            record = self.folder.load(source.name)
            if record is not None and record.error is not None and record.stamp == self.stamp:
                yield relative_name(source.path, self.root), record.error

    def photo(self, record: ImageRecord) -> NDArray[np.uint8]:
        return load_image(record.source.path)


def relative_name(path: Path, root: Path) -> str:
    """The path below `root` with forward slashes."""
    return os.path.relpath(path, root).replace(os.sep, "/")


def common_folder(paths: Sequence[Path]) -> Path:
    """The deepest folder that holds all of them."""
    folders = [os.path.dirname(os.path.abspath(path)) for path in paths]
    return type(paths[0])(os.path.commonpath(folders))
