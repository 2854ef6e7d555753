"""YOLO segmentation: a text file an image, a line a polygon: class number, then x y pairs as shares of the image.

There is no way to write a hole, or that two polygons are one thing. Holes are filled, parts become lines of their own,
and both are counted. Layout as ultralytics reads it: `labels/` beside your `images/`, and `data.yaml`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import shapely

from ls_backend.exports.names import OutputNames
from ls_backend.exports.output_folder import OutputFolder
from ls_backend.exports.paint import count_unsaid
from ls_backend.exports.polygons import outlines
from ls_backend.files import atomic_write

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator
    from pathlib import Path

    from ls_backend.exports.categories import Survey
    from ls_backend.exports.items import ImageItem, Items, Region


def write_yolo(items: Items, survey: Survey, out: Path, lost: Counter[str], tolerance: float = 0.0) -> Path:
    """Write `yolo/data.yaml`, `yolo/images.txt` and `yolo/labels/*.txt`; returns the first. Class 0 is category 1.

    tolerance: pixels by which a polygon may leave the mask's edge to need fewer points.
    """
    names = OutputNames()
    with OutputFolder(out / "yolo") as folder:
        with atomic_write(folder.path("images.txt")) as listing:
            for item in items:
                path = folder.path("labels/" + names(item.file_name, item.number, ".txt"))
                with atomic_write(path) as handle:
                    handle.writelines(line.encode() for line in _lines(item, survey, lost, tolerance))
                listing.write(f"images/{_one_line(item.file_name or path.stem)}\n".encode("utf-8", "replace"))
                count_unsaid(item, survey, lost)
        lost["label files whose names differ from their images'"] += names.changed
        path = folder.path("data.yaml")
        with atomic_write(path) as handle:
            handle.write(b"path: .\ntrain: images.txt\nval: images.txt\nnames:\n")
            for name, number in survey.numbers.items():
                handle.write(f"  {number - 1}: {yaml_string(name)}\n".encode())
    return path


def _lines(item: ImageItem, survey: Survey, lost: Counter[str], tolerance: float) -> Iterator[str]:
    for region in item.regions:
        number = survey.number(region) - 1
        for polygon in _polygons(region, lost, tolerance):
            shares = polygon / [item.width, item.height]
            yield f"{number} " + " ".join(f"{share:.6g}" for share in np.clip(shares, 0, 1).ravel()) + "\n"


def _polygons(region: Region, lost: Counter[str], tolerance: float) -> Iterator[np.ndarray]:
    """(n, 2) the outer rings of a region's parts, in pixels."""
    parts = outlines(region.rle.mask(), tolerance)
    if not parts:
        lost["regions without pixels"] += 1
    lost["regions cut into several lines, one a part"] += len(parts) > 1
    for part in parts:
        lost["holes that are filled"] += len(part.interiors)
        lost["pixels of filled holes"] += round(sum(shapely.Polygon(hole).area for hole in part.interiors))
        yield np.asarray(part.exterior.coords)[:-1]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def yaml_string(text: str) -> str:
    """A YAML string in double quotes, whatever the text holds: unprintable characters as escapes."""
    quoted = json.dumps(text, ensure_ascii=False)[1:-1]
    return '"' + "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in quoted) + '"'
