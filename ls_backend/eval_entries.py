"""One entry of a file of predictions: COCO's results, and regions of a COCO document, in the form that is kept."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ls_backend.exports import rle

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_TEXT: Final = 1_000  # characters; what systems write of a segment has some dozens
LARGEST_ID: Final = (1 << 63) - 1  # that a database keeps
_TEXTS: Final = ("caption", "label", "category", "category_name")
_LARGEST_SCORE: Final = float(np.finfo(np.float32).max)

Entry = dict[str, Any]  # text, score, height, width, counts


def entry_of(text: str, score: float | None, mask: rle.Rle) -> Entry:
    """Without a score, or with one that is no number, it is certain. Scores end where float32 does, texts too."""
    known = 1.0 if score is None or not math.isfinite(score) else float(score)
    known = min(max(known, -_LARGEST_SCORE), _LARGEST_SCORE)
    text = text[:LONGEST_TEXT]
    return {"text": text, "score": known, "height": mask.height, "width": mask.width, "counts": mask.counts}


def result_text(result: Any, names: Mapping[int, str]) -> str:
    """What one of COCO's results says. names: of category ids. ValueError where it says nothing, or is no result."""
    if not isinstance(result, dict):
        raise ValueError("it is no object")
    for key in _TEXTS:
        if isinstance(value := result.get(key), str) and value.strip():
            return value
    category = result.get("category_id")
    if type(category) is not int or not names:
        raise ValueError(f"it says no text ({', '.join(_TEXTS)}); with category_id, give a document with categories")
    if category not in names:
        raise ValueError(f"its category_id {category} is none of the data set's")
    return names[category]


def result_entry(result: Mapping[str, Any], text: str) -> Entry:
    """The entry of one of COCO's results. ValueError, TypeError or KeyError where its mask cannot be read."""
    shape = result["segmentation"]
    if not isinstance(shape, dict):
        raise ValueError("its segmentation is no run lengths; polygons need a document with the images' sizes")
    height, width = shape["size"]
    if type(height) is not int or type(width) is not int:
        raise ValueError("its size is no numbers of pixels")
    score = result.get("score")
    mask = rle.read(shape["counts"], height, width)
    return entry_of(text, score if isinstance(score, (int, float)) else None, mask)


def result_image(result: Mapping[str, Any]) -> str | int:
    """A file's name, or a number of 0 to LARGEST_ID. ValueError for anything else, KeyError for nothing."""
    image = result["image_id"]
    if type(image) is int and 0 <= image <= LARGEST_ID:
        return image
    if isinstance(image, str) and image:
        return image
    raise ValueError("its image_id is neither a number nor a file name")
