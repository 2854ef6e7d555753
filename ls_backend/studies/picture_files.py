"""All pictures of a study, made in processes of their own: each photo is read once, pictures that are there stay."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pycocotools import mask as coco_mask

from ls_backend.files import make_folder
from ls_backend.studies.pictures import PhotoPictures, PictureStyle, jpeg
from zgcore.errors import ImageError, StudyError
from zgcore.images import load_image
from zgcore.refine_workers import start_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

    from ls_backend.studies.manifest import Question, Study

MOST_WORKERS: Final = 8
AHEAD: Final = 2  # photos handed to each worker before it is done with one: what is held stays small
_JPEG_END: Final = b"\xff\xd9"


@dataclass(frozen=True)
class PhotoTask:
    """The pictures to be made of one photo: file name, and height, width and run lengths of the mask."""

    photo: str
    pictures: tuple[tuple[str, int, int, str], ...]


def default_workers() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_WORKERS, cores)


def write_pictures(
    study: Study, style: PictureStyle, workers: int | None = None, tell: Callable[[int, int], None] = lambda *_: None
) -> int:
    """Make the pictures that are missing; returns how many. tell: gets how many of how many are made, now and then.

    StudyError where a photo cannot be read; OutputError where the folder cannot be written. Stopped at any moment, the
    next call goes on.
    """
    make_folder(study.pictures)
    tasks = photo_tasks(study)
    total = sum(len(task.pictures) for task in tasks)
    made = 0
    tell(made, total)
    for count in _made(tasks, study.pictures, style, default_workers() if workers is None else workers):
        made += count
        tell(made, total)
    return made


def photo_tasks(study: Study) -> list[PhotoTask]:
    """What is to be drawn, by photo."""
    there = {entry.name for entry in os.scandir(study.pictures) if _is_whole(Path(entry.path))}
    wanted = {question.picture: question for question in study.questions if question.picture not in there}

    def photo(question: Question) -> str:
        return question.file

    return [
        PhotoTask(file, tuple((one.picture, one.height, one.width, one.counts) for one in questions))
        for file, questions in itertools.groupby(sorted(wanted.values(), key=photo), key=photo)
    ]


def _is_whole(path: Path) -> bool:
    """Pictures are not synced to disk one by one: after a power cut one may have a name and no content."""
    try:
        with path.open("rb") as file:
            file.seek(-len(_JPEG_END), os.SEEK_END)
            return file.read() == _JPEG_END
    except OSError:
        return False


def _made(tasks: Iterable[PhotoTask], folder: Path, style: PictureStyle, workers: int) -> Iterator[int]:
    """How many pictures each photo gave, in the order of their ends."""
    if workers <= 1:
        for task in tasks:
            yield draw_photo(task, folder, style)
        return
    left = iter(tasks)
    try:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), start_worker) as pool:
            running: set[Future[int]] = set()
            while True:
                for task in itertools.islice(left, workers * AHEAD - len(running)):
                    running.add(pool.submit(draw_photo, task, folder, style))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
    except BrokenProcessPool as error:
        raise StudyError(
            "a process that draws pictures was killed, perhaps for want of memory; run the command again, it goes on, "
            "perhaps with fewer --workers"
        ) from error


def draw_photo(task: PhotoTask, folder: Path, style: PictureStyle) -> int:
    """Draw all pictures of one photo; how many. Runs in a worker."""
    try:
        pictures = PhotoPictures(load_image(task.photo), style)
    except ImageError as error:
        raise StudyError(f"{error}; without its photo a question cannot be shown") from error
    for name, height, width, counts in task.pictures:
        mask = coco_mask.decode({"size": [height, width], "counts": counts}).astype(bool)
        write_picture(folder / name, pictures.draw(mask), style)
    return len(task.pictures)


def write_picture(path: Path, picture: NDArray[np.uint8], style: PictureStyle) -> None:
    """Write a JPEG that appears whole, without waiting for the disk: see `_is_whole`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(jpeg(picture, style))
    os.replace(temporary, path)
