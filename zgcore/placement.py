"""Where a label goes: wholly inside its segment, near the point farthest from the segment's border."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import ImageFont

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class LabelStyle:
    """How labels are set.

    largest, smallest: font size as a share of the image's shorter side. floor: smallest legible size in pixels.
    segment_share: largest font size as a share of the square root of the segment's area.
    shrink: factor from one size that is tried to the next. lines: into how many lines a label may be wrapped.
    pad: plate around the text as a share of the font size, (sideways, up and down).
    spacing: line height as a share of the font size. max_characters: longer labels end in an ellipsis.
    coverage: share of the plate that must lie inside the segment, so that pinholes in a mask do not matter.
    search_side: longest side, in pixels, of the map in which places are looked for.
    """

    largest: float = 0.052
    smallest: float = 0.024
    floor: int = 9
    segment_share: float = 0.16
    shrink: float = 0.86
    lines: int = 3
    pad: tuple[float, float] = (0.45, 0.24)
    spacing: float = 1.18
    max_characters: int = 60
    coverage: float = 0.97
    search_side: int = 512


@dataclass(frozen=True)
class PlacedLabel:
    """A label that found its place. x, y: centre in image pixels; width, height: of its plate; size: font size."""

    segment: int
    lines: tuple[str, ...]
    x: float
    y: float
    width: int
    height: int
    size: int


@lru_cache(maxsize=64)
def label_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's built-in font at a size in pixels."""
    return ImageFont.load_default(size)


def clean_text(text: str) -> str:
    """One line of text that can be measured, drawn and written as UTF-8: no control characters, no lone surrogates."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def place_labels(
    index_map: NDArray[np.int32],
    labels: Sequence[str],
    style: LabelStyle,
    *,
    reserved: tuple[int, int, int, int] | None = None,
) -> list[PlacedLabel]:
    """Places for the labels of an (H, W) map; no two plates overlap, and each lies inside its segment.

    A label that does not fit in full, or that the font cannot draw, becomes the segment's number (from 1); a segment
    too small for that is left out. reserved: (left, top, right, bottom) pixels to keep clear.
    """
    from scipy import ndimage  # here: loading it is a third of what a command that draws nothing takes to start

    step = -(-max(index_map.shape) // style.search_side)
    small = index_map[::step, ::step]
    blocked = np.zeros(small.shape, dtype=bool)
    if reserved is not None:
        left, top, right, bottom = reserved
        blocked[top // step : -(-bottom // step), left // step : -(-right // step)] = True
    shorter = min(index_map.shape)
    placed = []
    for segment, box in enumerate(ndimage.find_objects(small + 1, max_label=len(labels))):
        if box is None:
            continue
        mask = small[box] == segment
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        area = float(mask.sum()) * step * step
        for lines, size in _settings(labels[segment], segment + 1, shorter, area, style):
            width, height = plate_size(lines, size, style)
            spot = _best_spot(mask, depth, blocked[box], -(-width // step), -(-height // step), style.coverage)
            if spot is None:
                continue
            y, x = spot[0] + box[0].start, spot[1] + box[1].start
            h, w = -(-height // step), -(-width // step)
            blocked[y : y + h, x : x + w] = True
            placed.append(PlacedLabel(segment, lines, (x + w / 2) * step, (y + h / 2) * step, width, height, size))
            break
    return placed


def poles(index_map: NDArray[np.int32], count: int, style: LabelStyle) -> NDArray[np.float64]:
    """(count, 2) x, y of each segment's pole of inaccessibility, as shares of the image; nan if it is empty."""
    from scipy import ndimage

    step = -(-max(index_map.shape) // style.search_side)
    small = index_map[::step, ::step]
    points = np.full((count, 2), np.nan)
    for segment, box in enumerate(ndimage.find_objects(small + 1, max_label=count)):
        if box is None:
            continue
        depth = ndimage.distance_transform_edt(np.pad(small[box] == segment, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        points[segment] = (
            (x + box[1].start + 0.5) / small.shape[1],
            (y + box[0].start + 0.5) / small.shape[0],
        )
    return points


def plate_size(lines: Sequence[str], size: int, style: LabelStyle) -> tuple[int, int]:
    """(width, height) in pixels of the plate behind `lines` at a font size."""
    width = max(label_font(size).getlength(line) for line in lines)
    return (
        int(np.ceil(width + 2 * style.pad[0] * size)),
        int(np.ceil((len(lines) * style.spacing + 2 * style.pad[1]) * size)),
    )


def wrap(text: str, lines: int) -> tuple[str, ...] | None:
    """`text` in exactly that many lines, as even as its words allow; None if it has too few words."""
    if lines == 1:
        return (text,)
    for width in range(-(-len(text) // lines), len(text)):
        wrapped = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
        if len(wrapped) <= lines:
            return tuple(wrapped) if len(wrapped) == lines else None
    return None


def _settings(
    label: str, number: int, shorter: int, area: float, style: LabelStyle
) -> Iterator[tuple[tuple[str, ...], int]]:
    """(lines, font size) to try, best first: large before small, few lines before many, the number last."""
    smallest = max(style.floor, round(shorter * style.smallest))
    largest = max(smallest, round(min(shorter * style.largest, area**0.5 * style.segment_share)))
    text = clean_text(label)
    if len(text) > style.max_characters:
        text = text[: style.max_characters - 3].rstrip() + "..."
    sizes = [largest]
    while (smaller := int(sizes[-1] * style.shrink)) >= smallest:
        sizes.append(smaller)
    if text and _drawable(text):
        wrapped = [found for lines in range(1, style.lines + 1) if (found := wrap(text, lines))]
        yield from ((lines, size) for size in sizes for lines in wrapped)
    yield from (((str(number),), size) for size in sizes)


def _drawable(text: str) -> bool:
    """False if the built-in font would show a character as its box for the unknown."""
    return all(_has_glyph(character) for character in set(text))


@lru_cache(maxsize=4096)
def _has_glyph(character: str) -> bool:
    if character == " ":
        return True
    font = label_font(20)
    return bytes(font.getmask(character)) != bytes(font.getmask("\U0010fffe"))


def _best_spot(
    mask: NDArray[np.bool_],
    depth: NDArray[np.float64],
    blocked: NDArray[np.bool_],
    width: int,
    height: int,
    coverage: float,
) -> tuple[int, int] | None:
    """(top, left) of the width x height box that fits and whose centre lies deepest in the segment, or None."""
    rows, columns = mask.shape
    if width > columns or height > rows:
        return None
    inside = _box_sums(mask, width, height)
    fits = (inside >= coverage * width * height) & (_box_sums(blocked, width, height) == 0)
    if not fits.any():
        return None
    centre = depth[height // 2 : height // 2 + rows - height + 1, width // 2 : width // 2 + columns - width + 1]
    top, left = np.unravel_index(int(np.where(fits, centre, -1.0).argmax()), fits.shape)
    return int(top), int(left)


def _box_sums(values: NDArray[np.bool_], width: int, height: int) -> NDArray[np.int64]:
    """(H - height + 1, W - width + 1) sums over every box of that size, from one summed-area table."""
    table = np.pad(values.cumsum(axis=0, dtype=np.int64).cumsum(axis=1), ((1, 0), (1, 0)))
    return table[height:, width:] - table[:-height, width:] - table[height:, :-width] + table[:-height, :-width]
