"""The image loop: photos are read ahead in threads, labelled, and written one by one; no photo takes another down."""

from __future__ import annotations

import logging
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from ls_backend.files import OutputError, atomic_write
from ls_backend.record import ImageRecord, RecordError, RunStamp, SourceFile, from_segmentation, to_segmentation
from ls_backend.run_folder import unread
from zgcore.errors import ImageError
from zgcore.stage_profile import stage
from zgcore.stream import Failure, read_ahead

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from ls_backend.run_folder import Photo, RunFolder
    from zgcore import Segmentation
    from zgcore.stream import SegmentStream

log = logging.getLogger(__name__)

Status = Literal["done", "skipped", "failed"]
LONGEST_MESSAGE: Final = 300
READING_THREADS: Final = 2
FEW_PHOTOS: Final = 3  # are done by the time that workers would be up


class Config(Protocol):
    """What the loop asks of a model's settings."""

    def digest(self) -> str: ...


class Segmenter(Protocol):
    """What the loop asks of a model; `zgcore.ZeroGuidance` is one."""

    @property
    def version(self) -> str: ...
    @property
    def preset(self) -> str: ...
    @property
    def random_weights(self) -> bool: ...
    @property
    def config(self) -> Config: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def precision(self) -> dict[str, torch.dtype]: ...

    def stream(self, *, workers: int | None, group: int) -> SegmentStream[Any]: ...


@dataclass(frozen=True)
class RunOptions:
    """How the loop runs.

    resume: keep whole results of unchanged photos made with the same settings.
    overlays: write overlays/NAME.png.
    batch: images the model gets together.
    workers: processes that refine masks beside it; None takes as many as pay off.
    """

    resume: bool = True
    overlays: bool = True
    batch: int = 1
    workers: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one input."""

    source: Photo
    status: Status
    record: ImageRecord


@dataclass(frozen=True)
class _Loaded:
    source: Photo
    file: SourceFile
    image: NDArray[np.uint8]


def stamp_of(model: Segmenter) -> RunStamp:
    """What a model's results are marked with."""
    return RunStamp(model.preset, model.config.digest(), model.version, model.random_weights)


def worker_count(workers: int | None, photos: int) -> int | None:
    """`RunOptions.workers` for so many photos: a few are done before a process would be up."""
    return 0 if workers is None and photos <= FEW_PHOTOS else workers


def label_images(
    model: Segmenter, folder: RunFolder, sources: Iterable[Photo], options: RunOptions
) -> Iterator[Outcome]:
    """Label photos and write each one's record, embeddings and overlay before its outcome is given.

    sources: taken one by one, a few ahead of the model.

    A photo that cannot be read, or that the model fails on, is an outcome like any other. Raises OutputError where the
    folder cannot be written. May be left at any time (KeyboardInterrupt): what was given is on disk.
    """
    stamp = stamp_of(model)
    prepare = partial(_prepare, folder, stamp=stamp, options=options)
    waiting: deque[_Loaded] = deque()  # in the model's stream

    def written(results: Iterable[Segmentation | Failure]) -> Iterator[Outcome]:
        for result in results:
            yield _written(folder, waiting.popleft(), result, stamp, options)

    with (
        closing(read_ahead(prepare, sources, depth=options.batch, threads=READING_THREADS)) as inputs,
        model.stream(workers=options.workers, group=options.batch) as stream,
    ):
        for ready in inputs:
            if isinstance(ready, _Loaded):
                waiting.append(ready)
                yield from written(stream.push(ready.image))
                continue
            if ready.status == "failed":
                folder.save_failure(ready.record)
            yield ready
        yield from written(stream.drain())


def _prepare(folder: RunFolder, source: Photo, *, stamp: RunStamp, options: RunOptions) -> Outcome | _Loaded:
    """In a reading thread: keep what is done, else read the photo."""
    if options.resume and (record := folder.done(source, stamp)):
        try:
            if options.overlays and not folder.overlay_path(source.name).is_file():
                write_overlay(folder, record, source.read().decode())
            return Outcome(source, "skipped", record)
        except (ImageError, RecordError) as error:
            log.debug("%s: its record is of no use, it is made again", source.shown, exc_info=error)
    file = unread(source.where)
    try:
        content = source.read()
        file = content.file
        with stage("decode", flops=False):
            return _Loaded(source, file, content.decode())
    except Exception as error:
        return _failure(source, file, stamp, error)


def _written(
    folder: RunFolder, item: _Loaded, result: Segmentation | Failure, stamp: RunStamp, options: RunOptions
) -> Outcome:
    if isinstance(result, Failure):
        return _saved_failure(folder, item, stamp, result.error)
    return _save(folder, item, result, stamp, options)


def _save(folder: RunFolder, item: _Loaded, result: Segmentation, stamp: RunStamp, options: RunOptions) -> Outcome:
    """Write one image's files. What the disk refuses ends the run; what the result lacks fails the image."""
    try:
        record = from_segmentation(item.source.name, item.file, stamp, result)
        if options.overlays:
            write_overlay(folder, record, item.image)
        else:
            folder.overlay_path(item.source.name).unlink(missing_ok=True)
        folder.save(record, result.embeddings)
    except OutputError:
        raise
    except Exception as error:
        return _saved_failure(folder, item, stamp, error)
    return Outcome(item.source, "done", record)


def write_overlay(folder: RunFolder, record: ImageRecord, image: NDArray[np.uint8]) -> None:
    """Write overlays/NAME.png from a record and its (H, W, 3) uint8 photo. RecordError where the two do not fit."""
    from PIL import Image

    from zgcore.render import overlay

    if image.shape[:2] != (record.height, record.width):
        raise RecordError(f"{record.name}: the photo is not of the size of its record")
    picture = Image.fromarray(overlay(image, to_segmentation(record)))
    with atomic_write(folder.overlay_path(record.name)) as handle:
        picture.save(handle, "PNG")


def _saved_failure(folder: RunFolder, item: _Loaded, stamp: RunStamp, error: Exception) -> Outcome:
    outcome = _failure(item.source, item.file, stamp, error)
    folder.save_failure(outcome.record)
    return outcome


def _failure(source: Photo, file: SourceFile, stamp: RunStamp, error: Exception) -> Outcome:
    log.debug("%s failed", source.shown, exc_info=error)
    return Outcome(source, "failed", ImageRecord(source.name, file, stamp, error=_short(source.shown, error)))


def _short(shown: str, error: Exception) -> str:
    """One line for the summary. Image errors name their file themselves."""
    lines = str(error).strip().splitlines()
    if isinstance(error, ImageError):
        message = lines[0] if lines else type(error).__name__
    elif isinstance(error, MemoryError):
        message = f"{shown}: not enough memory; try a smaller image"
    else:
        message = f"{shown}: {type(error).__name__}" + (f": {lines[0]}" if lines else "")
    return message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 1] + "…"
