"""COCO's run lengths, read as carefully as anything that comes from outside.

`pycocotools.mask.decode` trusts its input: counts that end early give pixels of unset memory, and large ones allocate
what they claim. Here counts are read with a bound and have to add up to the image. Masks are encoded by pycocotools.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pycocotools import mask as coco_mask

from ls_backend.brush import MAX_PIXELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIRST, _MORE, _SIGN, _BITS = 48, 32, 16, 5
_MOST_DIGITS: Final = 7  # 35 bits: more than any run within MAX_PIXELS needs


@dataclass(frozen=True)
class Rle:
    """A mask as compressed counts. area: pixels. bbox: x, y, width, height of its pixels, zeros for an empty mask."""

    height: int
    width: int
    counts: str
    area: int
    bbox: tuple[int, int, int, int]

    def document(self) -> dict[str, Any]:
        """As COCO has it, and pycocotools takes it."""
        return {"size": [self.height, self.width], "counts": self.counts}

    def mask(self) -> NDArray[np.bool_]:
        """(height, width) bool."""
        return coco_mask.decode(self.document()).astype(bool)


def encode(mask: NDArray[np.bool_]) -> Rle:
    """(H, W) bool -> its runs, exact area and tight box."""
    height, width = mask.shape
    found = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    x, y, across, down = (int(value) for value in coco_mask.toBbox(found))
    return Rle(height, width, found["counts"].decode("ascii"), int(coco_mask.area(found)), (x, y, across, down))


def read(counts: object, height: int, width: int) -> Rle:
    """Counts of a file, compressed or a list of integers -> the same, checked.

    Raises ValueError for anything that is not the runs of an image of this size, or for one above MAX_PIXELS.
    """
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"a mask of {height} x {width} pixels is empty or above the limit of {MAX_PIXELS} pixels")
    runs = _uncompressed(counts) if isinstance(counts, str) else _integers(counts)
    if not runs or min(runs) < 0 or sum(runs) != height * width:
        raise ValueError(f"the runs of a COCO mask add up to {sum(runs)} and not to {height} x {width}")
    values = np.arange(len(runs)) % 2 == 1
    return encode(np.repeat(values, runs).reshape(width, height).T)


def _integers(counts: object) -> list[int]:
    if not isinstance(counts, list) or not all(type(run) is int for run in counts):
        raise ValueError("the counts of a COCO mask are a string or a list of integers")
    return counts


def _uncompressed(counts: str) -> list[int]:
    """The runs in a compressed string: digits of five bits, lowest first; from the third on less the run before last.

    Written as pycocotools' rleFrString is, with bounds.
    """
    runs: list[int] = []
    value = digits = 0
    for char in counts.encode("utf-8", "replace"):
        digit = char - _FIRST
        if not 0 <= digit < 64 or digits == _MOST_DIGITS:
            raise ValueError("the counts of a COCO mask hold what is no run length")
        value |= (digit & (_MORE - 1)) << (_BITS * digits)
        digits += 1
        if digit & _MORE:
            continue
        if digit & _SIGN:
            value -= 1 << (_BITS * digits)
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = digits = 0
    if digits:
        raise ValueError("the counts of a COCO mask end inside a run")
    return runs
