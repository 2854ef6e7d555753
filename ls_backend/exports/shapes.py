"""Label Studio's regions as masks: brushes, rectangles, polygons and ellipses.

Coordinates are percent of the image, rotations degrees clockwise. A pixel belongs to a shape where its centre does;
polygons are filled as pycocotools fills them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pycocotools import mask as coco_mask

from ls_backend import brush
from ls_backend.exports import rle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MOST_LENGTH: Final = 10_000_000  # pixels; pycocotools takes 40 bytes for each
_KINDS: Final = ("brush", "rectangle", "polygon", "ellipse")
SHAPES: Final = frozenset(name for kind in _KINDS for name in (kind, f"{kind}labels"))
"""The types of entries that mark pixels."""


def region_mask(kind: str, value: dict[str, Any], height: int, width: int) -> rle.Rle:
    """The pixels of one region.

    kind: of SHAPES, or of any entry whose value has runs. value: as Label Studio has it. Raises ValueError for what
    is none, or lies far outside the image.
    """
    if "rle" in value:
        return rle.encode(brush.decode(value["rle"], height, width))
    if height < 1 or width < 1 or height * width > brush.MAX_PIXELS:
        raise ValueError(f"an image of {height} x {width} pixels is empty or above the limit")
    name = kind.removesuffix("labels")
    if name == "rectangle":
        return polygon_mask([_rectangle(value, height, width)], height, width)
    if name == "ellipse":
        return rle.encode(_ellipse(value, height, width))
    if name == "polygon":
        return polygon_mask([_polygon(value, height, width)], height, width)
    raise ValueError(f"a {kind} without a mask")


def polygon_mask(parts: Sequence[NDArray[np.float64]], height: int, width: int) -> rle.Rle:
    """`fill` for polygons from outside. ValueError where points are missing, far outside, or the outline so long that
    filling it would take more memory than the image is worth."""
    length = 0.0
    for points in parts:
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
            raise ValueError("a polygon has three points or more")
        if not (np.isfinite(points).all() and (abs(points) <= 2.0 * max(height, width)).all()):
            raise ValueError("a polygon lies far outside its image")
        length += float(abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum())
    if not parts or length > min(MOST_LENGTH, 4 * height * width + 1000 * (height + width)):
        raise ValueError(f"the outline of a polygon is {length:,.0f} pixels long")
    return rle.encode(fill(parts, height, width))


def fill(parts: Sequence[NDArray[np.float64]], height: int, width: int) -> NDArray[np.bool_]:
    """(height, width) bool: the union of polygons, each (n, 2) x and y in pixels. No polygon, no pixels."""
    if not parts:
        return np.zeros((height, width), dtype=bool)
    found = coco_mask.frPyObjects([points.ravel().tolist() for points in parts], height, width)
    return coco_mask.decode(coco_mask.merge(found)).astype(bool)


def _rectangle(value: dict[str, Any], height: int, width: int) -> NDArray[np.float64]:
    """(4, 2) corners; turned about the first."""
    x, y, across, down = (_number(value, name) for name in ("x", "y", "width", "height"))
    corners = np.array([[0, 0], [across * width, 0], [across * width, down * height], [0, down * height]]) / 100
    return corners @ _turn(value).T + np.array([x * width, y * height]) / 100


def _polygon(value: dict[str, Any], height: int, width: int) -> NDArray[np.float64]:
    try:
        points = np.array(value["points"], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("a polygon without a list of points") from error
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError("the points of a polygon are pairs")
    return points * np.array([width, height]) / 100


def _ellipse(value: dict[str, Any], height: int, width: int) -> NDArray[np.bool_]:
    x, y, along, down = (_number(value, name) for name in ("x", "y", "radiusX", "radiusY"))
    if along <= 0 or down <= 0:
        return np.zeros((height, width), dtype=bool)
    right = np.arange(width)[None, :] + 0.5 - x * width / 100
    below = np.arange(height)[:, None] + 0.5 - y * height / 100
    turn = _turn(value)
    first = (right * turn[0, 0] + below * turn[1, 0]) / (along * width / 100)
    second = (right * turn[0, 1] + below * turn[1, 1]) / (down * height / 100)
    return first**2 + second**2 <= 1


def _turn(value: dict[str, Any]) -> NDArray[np.float64]:
    """(2, 2) the rotation, clockwise on the screen, where y grows downwards."""
    angle = math.radians(_number(value, "rotation") if value.get("rotation") is not None else 0.0)
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _number(value: dict[str, Any], name: str) -> float:
    found = value.get(name)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not abs(found) < 1e4:
        raise ValueError(f"a shape whose {name} is no number")
    return float(found)
