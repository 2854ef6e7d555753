"""What `zeroguide export` reads, told apart by what it is: tasks, COCO, a run's folder, a project in Label Studio."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

import ijson

from ls_backend.exports.nesting import ShallowFile
from ls_backend.exports.read_coco import coco_items
from ls_backend.exports.read_labelstudio import task_items
from ls_backend.exports.read_run import is_run, run_items
from zgcore import __version__
from zgcore.errors import ConfigError, ImageError
from zgcore.images import load_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ls_backend.exports.choose import Choice
    from ls_backend.exports.items import ImageItem
    from ls_backend.exports.losses import Losses
    from ls_backend.label_studio_api import LabelStudioApi
    from zgcore.vocabulary import Vocabulary

Kind = Literal["tasks", "coco", "run", "project"]
_NOT_JSON: Final = "export the project from Label Studio as JSON (not JSON-MIN or CSV), or name a COCO file"


@dataclass
class Input:
    """Something to export. kind: what it is. info: what is known of it, for the head of an export; may grow while the
    items are read. vocabulary: for the texts of a run, which have embeddings. total: bytes of the file, None where that
    is no measure."""

    kind: Kind
    path: Path | None = None
    api: LabelStudioApi | None = None
    project: int = 0
    vocabulary: Vocabulary | None = None
    info: dict[str, Any] = field(
        default_factory=lambda: {
            "description": "Regions with free-text labels",
            "version": __version__,
            "generator": f"zeroguide {__version__}",
        }
    )

    @property
    def total(self) -> int | None:
        return self.path.stat().st_size if self.path is not None and self.kind in ("tasks", "coco") else None

    def items(self, choice: Choice, losses: Losses, tick: Callable[[int], None]) -> Iterator[ImageItem]:
        """The items. tick: gets the bytes of the file that are read. Raises ConfigError where the file is broken."""
        if self.kind == "run":
            assert self.path is not None
            yield from run_items(self.path, losses, self.info, self.vocabulary)
        elif self.kind == "project":
            assert self.api is not None
            needs_predictions = choice.sources != "annotations"
            tasks = (self.api.tasks if needs_predictions else self.api.export_tasks)(self.project)
            yield from _all_tasks(tasks, choice, losses)
        else:
            yield from self._file_items(choice, losses, tick)

    def _file_items(self, choice: Choice, losses: Losses, tick: Callable[[int], None]) -> Iterator[ImageItem]:
        assert self.path is not None
        number = 0
        with self.path.open("rb") as opened:
            file = ShallowFile(opened, str(self.path))
            try:
                found = (
                    coco_items(file, losses)
                    if self.kind == "coco"
                    else _all_tasks(ijson.items(file, "item", use_float=True), choice, losses)
                )
                for number, item in enumerate(found, start=1):  # noqa: B007  # told when the file breaks off
                    tick(file.tell())
                    yield item
            except (ijson.JSONError, UnicodeDecodeError) as error:
                reason = " ".join(str(error).split())[:200]
                raise ConfigError(
                    f"{self.path}: no whole JSON after {number} images ({reason}); fetch the file again"
                ) from error


def open_input(path: Path) -> Input:
    """A file or folder to export. ConfigError where it is none."""
    if path.is_dir():
        if not is_run(path):
            raise ConfigError(f"{path} has no results/; name the folder that zeroguide label or prelabel wrote (--out)")
        return Input("run", path)
    try:
        with path.open("rb") as file:
            return Input(_kind(file, path), path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error


def _kind(file: BinaryIO, path: Path) -> Kind:
    try:
        _, event, _ = next(iter(ijson.parse(ShallowFile(file, str(path)))))
    except (ijson.JSONError, StopIteration) as error:
        raise ConfigError(f"{path} is no JSON; {_NOT_JSON}") from error
    if event == "start_array":
        return "tasks"
    if event == "start_map":
        return "coco"
    raise ConfigError(f"{path} is neither a list of tasks nor a COCO document; {_NOT_JSON}")


def _all_tasks(tasks: Iterable[Any], choice: Choice, losses: Losses) -> Iterator[ImageItem]:
    for position, task in enumerate(tasks):
        try:
            yield from task_items(task, position, choice, losses)
        except (ValueError, TypeError, RecursionError) as error:
            losses.skip("tasks that cannot be read", f"task {position + 1} of the input: {error}")


def with_size(item: ImageItem, images: Path | None) -> ImageItem:
    """The item with its image's size, where nothing else tells it, from the photo below `images`."""
    if item.sized or (path := photo_path(item, images)) is None:
        return item
    try:
        height, width = load_image(path).shape[:2]
    except ImageError:
        return item
    return replace(item, height=height, width=width)


def photo_path(item: ImageItem, images: Path | None) -> Path | None:
    """The photo of an item below a folder of photos; None where it is not there.

    It is looked for under its whole relative name, then under its last part.
    """
    if images is None or not item.file_name:
        return None
    candidates = (images / item.file_name, images / Path(item.file_name).name)
    return next((path for path in candidates if path.is_file()), None)
