"""Pascal VOC segmentation: indexed PNGs of classes and of objects, in VOC's colours.

0 is background and 255 void, so a file holds 254 classes and an image 254 objects; the most frequent classes get the
numbers, the pixels of all others are void and counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from ls_backend.exports.names import OutputNames
from ls_backend.exports.output_folder import OutputFolder
from ls_backend.exports.paint import NOTHING, colours, count_unsaid, painted
from ls_backend.files import atomic_write

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

    from numpy.typing import NDArray

    from ls_backend.exports.categories import Survey
    from ls_backend.exports.items import ImageItem, Items

VOID: Final = 255


def write_voc(items: Items, survey: Survey, out: Path, lost: Counter[str]) -> Path:
    """Write `voc/SegmentationClass/*.png`, `voc/SegmentationObject/*.png`, `voc/labelmap.txt` (label:r,g,b) and the
    list of the images; returns the folder."""
    names, palette = OutputNames(), colours(np.arange(256))
    indices = _class_indices(survey)
    with OutputFolder(out / "voc") as folder:
        with atomic_write(folder.path("ImageSets/Segmentation/default.txt")) as handle:
            for item in items:
                count_unsaid(item, survey, lost)
                if not item.sized:
                    lost["images whose height and width nobody knows"] += 1
                    continue
                name = names(item.file_name, item.number, ".png")
                places = painted(item, lost)
                classes, objects = _pictures(item, places, survey, indices, lost)
                _write_png(folder.path(f"SegmentationClass/{name}"), classes, palette)
                _write_png(folder.path(f"SegmentationObject/{name}"), objects, palette)
                handle.write(f"{name.removesuffix('.png')}\n".encode())
        lost["PNGs whose names differ from their images'"] += names.changed
        with atomic_write(folder.path("labelmap.txt")) as handle:
            handle.write(b"# label:color_rgb:parts:actions\n")
            for name, index in {"background": 0, **indices, "void": VOID}.items():
                red, green, blue = palette[index].tolist()
                handle.write(f"{_plain(name)}:{red},{green},{blue}::\n".encode("utf-8", "replace"))
    return folder.root


def _class_indices(survey: Survey) -> dict[str, int]:
    """Category name to index, 1 to 254: in the order of the numbers, where need be of the most frequent alone."""
    frequent = sorted(survey.numbers, key=lambda name: (-survey.counts[name], name))[: VOID - 1]
    return {name: index for index, name in enumerate(sorted(frequent), start=1)}


def _pictures(
    item: ImageItem, places: NDArray[np.int32], survey: Survey, indices: dict[str, int], lost: Counter[str]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(H, W) class and (H, W) object indices."""
    shown = [place for place in np.unique(places).tolist() if place != NOTHING]
    classes = np.zeros(len(item.regions) + 1, dtype=np.uint8)  # the last is NOTHING's
    objects = np.zeros(len(item.regions) + 1, dtype=np.uint8)
    for number, place in enumerate(shown, start=1):
        name = survey.naming(item.regions[place])
        classes[place] = indices.get(name, VOID)
        objects[place] = number if number < VOID else VOID
        lost["regions of classes beyond the 254 most frequent, now void"] += name not in indices
        lost["regions beyond 254 of an image, void among its objects"] += number >= VOID
    return classes[places], objects[places]


def _write_png(path: Path, indices: NDArray[np.uint8], palette: NDArray[np.uint8]) -> None:
    image = Image.fromarray(indices)
    image.putpalette(palette.ravel().tolist())
    with atomic_write(path) as handle:
        image.save(handle, "PNG")


def _plain(name: str) -> str:
    """A name on one line without the separator."""
    return " ".join("".join(char if char.isprintable() and char != ":" else " " for char in name).split())
