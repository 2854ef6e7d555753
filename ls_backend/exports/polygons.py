"""Masks as polygons that are the very mask: corners of pixels, holes, several parts.

An outline runs along the edges of pixels, so that whoever fills it by pixel centres, as pycocotools does, gets every
pixel back. COCO and YOLO have no holes: `keyhole_rings` cuts each open along a horizontal line, there and back, which
encloses nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from shapely import Polygon


def outlines(mask: NDArray[np.bool_], tolerance: float = 0.0) -> list[Polygon]:
    """(H, W) bool -> its connected parts (pixels that share an edge), each with its holes; in x, y of pixel corners.

    Sorted by bounds, and each ring starts at its first corner, so that the same mask gives the same polygons.
    tolerance: pixels by which an outline may be moved to need fewer points; 0 keeps every pixel.
    """
    padded = np.pad(mask, ((0, 0), (1, 1))).astype(np.int8)
    change = np.diff(padded, axis=1)
    rows, starts = np.nonzero(change == 1)
    ends = np.nonzero(change == -1)[1]
    runs = shapely.box(starts, rows, ends, rows + 1)
    joined = shapely.simplify(shapely.union_all(runs), tolerance)
    parts = [part for part in shapely.get_parts(shapely.normalize(joined)) if not part.is_empty]
    return sorted(parts, key=lambda part: (part.bounds, part.area))


def keyhole_rings(polygon: Polygon) -> NDArray[np.float64]:
    """(n, 2) one closed walk around a polygon and its holes, its first point not repeated.

    From the leftmost corner of each hole, leftmost hole first, a bridge runs left to the nearest edge.
    """
    ring = _open(polygon.exterior.coords)
    holes = sorted((_open(hole.coords) for hole in polygon.interiors), key=lambda hole: hole.tolist()[_leftmost(hole)])
    for hole in holes:
        ring = _bridged(ring, hole)
    return ring


def _open(coordinates: Sequence[tuple[float, ...]]) -> NDArray[np.float64]:
    return np.asarray(coordinates, dtype=np.float64)[:-1]


def _leftmost(ring: NDArray[np.float64]) -> int:
    return int(np.lexsort((ring[:, 1], ring[:, 0]))[0])


def _bridged(ring: NDArray[np.float64], hole: NDArray[np.float64]) -> NDArray[np.float64]:
    hole = np.roll(hole, -_leftmost(hole), axis=0)
    x, y = hole[0]
    start, end = ring, np.roll(ring, -1, axis=0)
    low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    steep = high > low
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = start[:, 0] + (y - start[:, 1]) / (end[:, 1] - start[:, 1]) * (end[:, 0] - start[:, 0])
    crossing = np.where(steep & (low <= y) & (y <= high) & (crossing <= x), crossing, -np.inf)
    edge = int(np.argmax(crossing))
    landing = np.array([[crossing[edge], y]])
    return np.concatenate((ring[: edge + 1], landing, hole, hole[:1], landing, ring[edge + 1 :]))
