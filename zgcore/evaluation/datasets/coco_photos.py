"""The photos that COCO panoptic and COCO-Stuff share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from zgcore.evaluation.datasets.layout import find, photos_in

if TYPE_CHECKING:
    from pathlib import Path

PHOTOS: Final = "unpack http://images.cocodataset.org/zips/val2017.zip (1 GB) there"


def photos_of(root: Path, cure: str) -> dict[str, Path]:
    """Name -> photo of the validation split."""
    return photos_in(find(root, ("val2017", "images/val2017"), cure), {".jpg"}, cure)
