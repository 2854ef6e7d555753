"""One region a pixel, for the formats that hold no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections import Counter

    from numpy.typing import NDArray

    from ls_backend.exports.categories import Survey
    from ls_backend.exports.items import ImageItem

NOTHING: Final = -1
WHOLE_IMAGE: Final = "whole-image entries (choices, texts, shapes without area)"


def painted(item: ImageItem, lost: Counter[str]) -> NDArray[np.int32]:
    """(H, W) int32: the place of the region that each pixel shows, NOTHING where there is none.

    Later regions lie on earlier ones, as Label Studio draws them; what they cover is counted. The item has a size.
    """
    out = np.full((item.height, item.width), NOTHING, dtype=np.int32)
    for place, region in enumerate(item.regions):
        mask = region.rle.mask()
        lost["pixels of regions that a later region covers"] += int((out[mask] != NOTHING).sum())
        out[mask] = place
    shown = set(np.unique(out).tolist())
    lost["regions that later ones cover whole, or that have no pixels"] += sum(
        place not in shown for place in range(len(item.regions))
    )
    return out


def count_unsaid(item: ImageItem, survey: Survey, lost: Counter[str], *, masks_alone: bool = True) -> None:
    """Count what a format of masks and class names says nothing of. masks_alone: it has no captions, scores or ids."""
    for region in item.regions:
        lost["further labels of regions with several"] += max(0, len(region.labels) - 1)
        if masks_alone:
            lost["captions that say more than the class"] += region.caption not in ("", survey.naming(region))
            lost["scores"] += region.score is not None
            lost["ids of regions, their annotators and origins"] += 1
    lost[WHOLE_IMAGE] += sum(len(result.rest) for result in item.results)


def colours(numbers: NDArray[np.integer]) -> NDArray[np.uint8]:
    """(...) numbers below 2**24 -> (..., 3) Pascal VOC's colours: no two alike, neighbours far apart, 0 black.

    The bits of a number, three at a time, become the bits of red, green and blue, from the highest down.
    """
    found = np.zeros((*numbers.shape, 3), dtype=np.uint8)
    for place in range(8):
        for channel in range(3):
            found[..., channel] |= ((numbers >> (3 * place + channel) & 1) << (7 - place)).astype(np.uint8)
    return found
