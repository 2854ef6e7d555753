"""Masks made fit for an editor: smooth outlines, no pinholes, no crumbs. All of it is a choice; the method does none.

Works on the index map, so that masks stay disjoint whatever is done to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMOOTHING: Final = 0.003
"""Standard deviation of the blur that smooths outlines, as a share of the image's shorter side."""


def smooth_outlines(index_map: NDArray[np.int32], sigma: float | None = None) -> NDArray[np.int32]:
    """(H, W) segment numbers -> the same, each pixel given to the segment whose blurred mask is largest there.

    sigma: of the blur (Pillow's three box blurs, in 256 levels), in pixels; by default SMOOTHING of the shorter side.
    On a tie the lower number wins. Corners get round and whiskers go; a segment thinner than the blur may lose all its
    pixels.
    """
    from scipy import ndimage  # here: loading it is a third of what a command that meets no mask takes to start

    sigma = SMOOTHING * min(index_map.shape) if sigma is None else sigma
    reach = _reach(sigma)
    best = np.zeros(index_map.shape, dtype=np.uint8)
    out = index_map.copy()
    for number, box in enumerate(ndimage.find_objects(index_map + 1)):
        if box is None:
            continue
        window = tuple(slice(max(0, side.start - reach), side.stop + reach) for side in box)
        mask = Image.fromarray((index_map[window] == number).astype(np.uint8) * 255)
        blurred = np.asarray(mask.filter(ImageFilter.GaussianBlur(sigma)))
        better = blurred > best[window]
        best[window][better] = blurred[better]
        out[window][better] = number
    return out


def _reach(sigma: float) -> int:
    """Pixels beyond which the blur of a mask is zero: a window with this margin gives what the whole image would."""
    return int(4 * sigma) + 4


def fill_holes(index_map: NDArray[np.int32], largest: float) -> NDArray[np.int32]:
    """(H, W) segment numbers -> the same, with the small holes of each segment given to it, lowest number first.

    A hole is enclosed by one segment on all sides (4-neighbours) and does not touch the image's edge. largest: its
    greatest area, as a share of the image. What filled it may be a segment of its own, which then has no pixels.
    """
    from scipy import ndimage

    limit = largest * index_map.size
    out = index_map.copy()
    for number, box in enumerate(ndimage.find_objects(index_map + 1)):
        if box is None:
            continue
        window = out[box]
        outside, _ = ndimage.label(np.pad(window != number, 1, constant_values=True))
        sizes = np.bincount(outside.ravel())
        small = sizes <= limit
        small[[0, outside[0, 0]]] = False  # the segment itself, and what surrounds it
        window[small[outside[1:-1, 1:-1]]] = number
    return out


def tidy(index_map: NDArray[np.int32], *, smooth: bool, largest_hole: float) -> NDArray[np.int32]:
    """Both of the above, as asked for; with a `largest_hole` of 0 holes stay."""
    if smooth:
        index_map = smooth_outlines(index_map)
    return fill_holes(index_map, largest_hole) if largest_hole else index_map


def worth_showing(areas: NDArray[np.int64], *, max_regions: int, min_area: float) -> list[int]:
    """The segments to show, largest first: at most `max_regions` (0: no limit), each at least `min_area` of the image.

    areas: (n,) pixels of segments that together cover the image. A segment without pixels is never shown.
    """
    least = max(1, min_area * int(areas.sum()))
    shown = [int(number) for number in np.argsort(-areas, kind="stable") if areas[number] >= least]
    return shown[:max_regions] if max_regions else shown
