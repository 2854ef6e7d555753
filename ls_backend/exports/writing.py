"""The formats by their names, and how each is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ls_backend.exports.coco import Coco, MaskForm
from ls_backend.exports.labelstudio import item_pieces
from ls_backend.exports.panoptic import write_panoptic
from ls_backend.exports.table import write_csv
from ls_backend.exports.task_texts import TaskTexts
from ls_backend.exports.voc import write_voc
from ls_backend.exports.yolo import write_yolo
from ls_backend.files import atomic_write
from ls_backend.people import PeoplePolicy

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from ls_backend.exports.categories import Survey
    from ls_backend.exports.items import ImageItem, Items

FORMATS: Final = ("coco", "panoptic", "yolo", "voc", "labelstudio", "csv")


@dataclass(frozen=True)
class Export:
    """What every format is written from. info: the head of COCO files. image_url: what a browser loads for an image
    whose input is no Label Studio task. masks, tolerance: of COCO polygons (and YOLO's), see `Coco`. people: what
    becomes of a model's texts on people in Label Studio's tasks."""

    items: Items
    survey: Survey
    info: dict[str, Any]
    image_url: Callable[[ImageItem], str]
    masks: MaskForm = "rle"
    tolerance: float = 0.0
    people: PeoplePolicy = field(default_factory=PeoplePolicy)

    def write(self, name: str, out: Path, lost: Counter[str]) -> Path:
        """Write one of FORMATS into `out`, and count in `lost` what it cannot hold. Returns the file to begin with.

        Raises OutputError where it cannot be written.
        """
        if name == "coco":
            document = Coco(self.items, self.survey, self.info, lost, self.masks, self.tolerance)
            return _write(out / "annotations.json", document.pieces())
        if name == "panoptic":
            return write_panoptic(self.items, self.survey, self.info, out, lost)
        if name == "yolo":
            return write_yolo(self.items, self.survey, out, lost, self.tolerance)
        if name == "voc":
            return write_voc(self.items, self.survey, out, lost)
        if name == "labelstudio":
            return _write(out / "labelstudio.json", item_pieces(self._shown(lost), self.image_url, lost))
        return write_csv(self.items, self.survey, out, lost)

    def _shown(self, lost: Counter[str]) -> TaskTexts:
        return TaskTexts(self.items, self.survey.naming, self.people, lost)


def _write(path: Path, pieces: Iterable[str]) -> Path:
    with atomic_write(path) as handle:
        handle.writelines(piece.encode() for piece in pieces)
    return path
