"""Segments -> atoms: pixels that lie under the same segments. Overlapping masks become disjoint, nothing is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as coco_mask

from zgcore.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class Partition:
    """atoms: (H, W) int32, each pixel's atom. members: (a, n) bool, whether a segment covers an atom."""

    atoms: NDArray[np.int32]
    members: NDArray[np.bool_]

    def areas(self) -> NDArray[np.int64]:
        """(n,) pixels of each segment."""
        pixels = np.bincount(self.atoms.ravel(order="K"), minlength=len(self.members))
        return pixels @ self.members


def partition(masks: Sequence[dict[str, Any]], height: int, width: int) -> Partition:
    """Atoms of n COCO run-length masks, at a size of (height, width).

    Masks of another size are resized to the nearest pixel: the one that the new pixel's centre lies in, so that pixel i
    of H takes from floor((i + 1/2) h / H). One mask is decoded at a time: memory does not grow with their number.
    EvaluationError where a mask is damaged or its size differs from the first one's.
    """
    size = tuple(masks[0]["size"]) if masks else (height, width)
    atoms, members = _split(masks, size)
    if size != (height, width):
        atoms = atoms[nearest(size[0], height)][:, nearest(size[1], width)]
    return Partition(atoms, members)


def nearest(old: int, new: int) -> NDArray[np.int64]:
    """(new,) of `old` pixels the one that each new pixel's centre lies in, without rounding errors."""
    return (2 * np.arange(new, dtype=np.int64) + 1) * old // (2 * new)


def _split(masks: Sequence[dict[str, Any]], size: tuple[int, ...]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Each mask splits the atoms that it covers in part: (h, w) atoms, and (a, n) members."""
    height, width = size
    flat = np.zeros(height * width, dtype=np.int32)  # column by column, as run-length masks are
    members = np.zeros((1, len(masks)), dtype=bool)
    pixels = np.array([flat.size], dtype=np.int64)
    for number, mask in enumerate(masks):
        columns, inside = _decode(mask, size)
        window = flat[columns]
        old = window[inside]
        covered = np.bincount(old, minlength=len(members))
        whole, split = covered == pixels, (covered > 0) & (covered < pixels)
        members[whole & (covered > 0), number] = True
        fresh = members[split]
        fresh[:, number] = True
        names = np.arange(len(members), dtype=np.int32)
        names[split] = len(members) + np.arange(len(fresh))
        window[inside] = names[old]
        pixels = np.concatenate([pixels - np.where(split, covered, 0), covered[split]])
        members = np.concatenate([members, fresh])
    return flat.reshape(width, height).T, members


def _decode(mask: dict[str, Any], size: tuple[int, ...]) -> tuple[slice, NDArray[np.bool_]]:
    """The columns of the bounding box, as a slice of pixels column by column, and which of those are in the mask."""
    if tuple(mask["size"]) != size:
        raise EvaluationError(
            f"masks of one image differ in size: {_by(mask['size'])} beside {_by(size)}; write all at the image's size"
        )
    try:
        decoded = coco_mask.decode(mask)  # (h, w) uint8, column by column
        left, _, width, _ = (int(value) for value in coco_mask.toBbox(mask))
    except (ValueError, TypeError, KeyError) as error:
        raise EvaluationError(f"a mask is no COCO run-length mask ({error}); write it with pycocotools") from None
    inside = decoded[:, left : left + width].ravel(order="F").view(bool)
    return slice(left * size[0], (left + width) * size[0]), inside


def _by(size: Sequence[int]) -> str:
    return f"{size[1]} x {size[0]}"
