"""Pictures of a report: photo, true classes and segments side by side, in the colours of the classes.

A segment has the colour of the class it was reassigned to, so that what is right has one colour in both pictures; a
segment without a class is grey.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from zgcore.colours import PALETTE
from zgcore.errors import EvaluationError, ImageError
from zgcore.evaluation import formats
from zgcore.evaluation.partition import nearest
from zgcore.evaluation.report_model import Card, Picture, Tag, short
from zgcore.images import load_image, thumbnail
from zgcore.placement import LabelStyle, clean_text, poles
from zgcore.render import outline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from zgcore.evaluation.records import SegmentRecord

SIDE: Final = 440  # pixels, longer side of a picture
JPEG_QUALITY: Final = 78
OPACITY: Final = 0.62
NO_CLASS: Final = "8d93a1"
_PAPER: Final = 236  # grey under masks where the photo is missing
_SMALLEST: Final = 0.004  # share of the picture below which a segment gets no number in it


@dataclass(frozen=True)
class Shown:
    """One image as a card shows it.

    file: of the photo. truth: (H, W) int32 index map, None where the data set is gone; present: its classes.
    ious: of classes in this image by the method the card is about.
    """

    name: str
    file: str
    facts: str
    present: Sequence[int]
    truth: NDArray[np.int32] | None
    ious: Mapping[int, float]


@dataclass(frozen=True)
class Segments:
    """One run's segments of an image. kind: of reassignment. threshold: similarity a class must reach."""

    title: str
    records: Sequence[SegmentRecord]
    kind: str
    threshold: float

    def class_of(self, record: SegmentRecord) -> int:
        """The class that counts, -1 for none."""
        found = record.reassigned.get(self.kind)
        return found[0] if found and found[0] >= 0 and found[2] >= self.threshold else -1


def card(shown: Shown, runs: Sequence[Segments], classes: Sequence[str], *, photo: bool = True) -> Card:
    """The card of one image. photo: show the photo itself too."""
    pixels, note = _photo(shown, runs)
    met = dict.fromkeys(
        [*shown.present, *(k for run in runs for record in run.records if (k := run.class_of(record)) >= 0)]
    )
    colours = {k: "#" + PALETTE[number % len(PALETTE)] for number, k in enumerate(met)}
    height, width = pixels.shape[:2]
    pictures = [Picture("photo", None if note else _jpeg(pixels), width, height, note=note)] if photo else []
    pictures.append(_truth(shown, pixels, classes, colours))
    pictures += [_predicted(run, pixels, colours, "" if photo else note) for run in runs]
    return Card(clean_text(shown.name), shown.facts, tuple(pictures))


def _photo(shown: Shown, runs: Sequence[Segments]) -> tuple[NDArray[np.uint8], str]:
    """The photo as a thumbnail, and why it is plain paper instead."""
    try:
        return thumbnail(load_image(shown.file), SIDE), ""
    except (ImageError, ValueError) as error:  # ValueError: a path that no file can have
        sizes = [record.mask["size"] for run in runs for record in run.records]
        height, width = shown.truth.shape if shown.truth is not None else sizes[0] if sizes else (3, 4)
        scale = SIDE / max(height, width)
        shape = (max(1, round(height * scale)), max(1, round(width * scale)), 3)
        return np.full(shape, _PAPER, np.uint8), clean_text(f"The photo is missing: {error}")


def _truth(shown: Shown, pixels: NDArray[np.uint8], classes: Sequence[str], colours: Mapping[int, str]) -> Picture:
    tags = tuple(
        Tag(clean_text(classes[k]), colours[k], note=f"IoU {formats.percent(shown.ious[k])}" if k in shown.ious else "")
        for k in shown.present
    )
    height, width = pixels.shape[:2]
    if shown.truth is None:
        return Picture("true classes", None, width, height, tags, "The data set's masks are not at hand.")
    truth = _resized(shown.truth, height, width)
    return Picture("true classes", _painted(pixels, truth, colours), width, height, tags)


def _predicted(run: Segments, pixels: NDArray[np.uint8], colours: Mapping[int, str], note: str) -> Picture:
    height, width = pixels.shape[:2]
    index_map = _index_map(run.records, height, width)
    of = [run.class_of(record) for record in run.records]
    painted = _painted(pixels, index_map, {i: colours.get(k, "#" + NO_CLASS) for i, k in enumerate(of)})
    tags = tuple(_tags(run, index_map, of, colours))
    return Picture(clean_text(run.title), painted, width, height, tags, note)


def _tags(run: Segments, index_map: NDArray[np.int32], of: Sequence[int], colours: Mapping[int, str]) -> list[Tag]:
    anchors = np.nan_to_num(poles(index_map, len(of), LabelStyle()), nan=0.5) if len(of) else np.empty((0, 2))
    areas = np.bincount(index_map[index_map >= 0], minlength=len(of))
    tags = []
    for number, (record, k) in enumerate(zip(run.records, of, strict=True)):
        found = record.reassigned.get(run.kind)
        to = f"→ {short(found[1])} {formats.decimal(found[2])}" if k >= 0 and found else "→ no class"
        shown_number = number + 1 if areas[number] >= _SMALLEST * index_map.size else 0
        x, y = (float(share) for share in anchors[number])
        tags.append(Tag(short(record.text), colours.get(k, "#" + NO_CLASS), shown_number, to, x, y))
    return tags


def _index_map(records: Sequence[SegmentRecord], height: int, width: int) -> NDArray[np.int32]:
    """(height, width) int32, each pixel's segment, -1 where there is none; small ones lie on large ones."""
    out = np.full((height, width), -1, np.int32)
    for number in sorted(range(len(records)), key=lambda i: -records[i].area):
        out[_resized(_decoded(records[number]), height, width) > 0] = number
    return out


def _decoded(record: SegmentRecord) -> NDArray[np.uint8]:
    """(h, w) of a segment. EvaluationError where its run lengths are damaged."""
    from pycocotools import mask as coco

    try:
        counts = record.mask["counts"]
        return coco.decode({**record.mask, "counts": counts.encode("ascii") if isinstance(counts, str) else counts})
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise EvaluationError(
            f"{record.image}: the mask of segment {record.segment} is damaged ({error}); make the run again"
        ) from error


def _resized(values: NDArray, height: int, width: int) -> NDArray:
    """(h, w) -> (height, width), each pixel the one that its centre lies in."""
    return values[nearest(values.shape[0], height)][:, nearest(values.shape[1], width)]


def _painted(pixels: NDArray[np.uint8], index_map: NDArray[np.int32], colours: Mapping[int, str]) -> bytes:
    """JPEG of the photo under the colours of a map; what has none stays as it is, darkened a little."""
    out = pixels.astype(np.float32) * 0.8
    for index in np.unique(index_map):
        if (colour := colours.get(int(index))) and index >= 0:
            where = index_map == index
            out[where] = pixels[where] * (1 - OPACITY) + OPACITY * np.array(list(bytes.fromhex(colour[1:])))
    out[outline(index_map, 1)] = 250
    return _jpeg(np.rint(out).astype(np.uint8))


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return buffer.getvalue()
