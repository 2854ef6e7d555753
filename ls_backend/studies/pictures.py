"""The picture of a question: the photo with one segment as it is and the rest dimmed, an outline, and a close look.

The outline lies outside the segment, so that thin ones are not covered: a black line, and a white one around it. White
stands out against all that is dimmed and against dark segments, black against white ones. Small segments are shown a
second time beside the photo, enlarged from its own pixels, with a frame around the place in the photo.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image
from scipy import ndimage

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

WHITE, BLACK = 255, 0
MIN_QUALITY: Final = 35


@dataclass(frozen=True)
class PictureStyle:
    """How questions are drawn. Lengths in pixels of the picture, shares of the photo.

    longest: side of the photo as shown; smallest: smaller photos are enlarged up to this, so that outlines are not
    wider than what they surround. dim: brightness that is left outside the segment; grey: share of the colour that is
    taken there. line: width of each of the outline's two lines. inset_area, inset_side: segments that cover less of the
    photo, or whose largest part fits into a square of this share of its shorter side, are enlarged. margin: side of
    what is enlarged, by the longer side of that part. inset: side of the enlargement, which is left out where it would
    be less than `least_zoom` times as large. gap: between the two, in the colour `between`. quality, most_bytes: of the
    JPEG; the quality is lowered until it fits.
    """

    longest: int = 960
    smallest: int = 480
    dim: float = 0.38
    grey: float = 0.6
    line: int = 2
    inset_area: float = 0.01
    inset_side: float = 0.2
    margin: float = 1.5
    least_zoom: float = 1.25
    inset: int = 320
    gap: int = 10
    between: tuple[int, int, int] = (24, 26, 31)
    quality: int = 85
    most_bytes: int = 400_000


class PhotoPictures:
    """Draws the questions about one photo. photo: (H, W, 3) uint8."""

    def __init__(self, photo: NDArray[np.uint8], style: PictureStyle | None = None) -> None:
        self.photo = photo
        self.style = style or PictureStyle()

    def draw(self, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """(h, w) bool, of the photo's proportions -> (H', W', 3) uint8. ValueError for an empty mask."""
        if not mask.any():
            raise ValueError("the segment has no pixels")
        shown = _resized(mask, self._size)
        picture = _highlighted(self._shown, self._dimmed, shown, self.style.line)
        part = self._part(mask)
        if part is None:
            return picture
        _frame(picture, [side * length for side, length in zip(part, (*self._size, *self._size), strict=True)])
        return self._beside(picture, self._enlarged(mask, part))

    @cached_property
    def _size(self) -> tuple[int, int]:
        """Height and width of the photo as shown."""
        height, width = self.photo.shape[:2]
        longest = max(height, width)
        scale = min(max(longest, self.style.smallest), self.style.longest) / longest
        return max(1, round(height * scale)), max(1, round(width * scale))

    @property
    def _inset(self) -> int:
        """Side of an enlargement."""
        return min(self.style.inset, self._size[0])

    @cached_property
    def _shown(self) -> NDArray[np.uint8]:
        return _resized(self.photo, self._size)

    @cached_property
    def _dimmed(self) -> NDArray[np.uint8]:
        return _dim(self._shown, self.style)

    def _part(self, mask: NDArray[np.bool_]) -> tuple[float, float, float, float] | None:
        """Top, left, bottom, right of the square to enlarge, as shares of the photo; None where there is no need."""
        height, width = mask.shape
        top, left, bottom, right = _largest_part(mask)
        side = max(bottom - top, right - left)
        if mask.mean() >= self.style.inset_area and side >= self.style.inset_side * min(height, width):
            return None
        side = min(max(side * self.style.margin, 0.05 * min(height, width), 1.0), height, width)
        if side / height * self._size[0] * self.style.least_zoom > self._inset:
            return None
        y = min(max((top + bottom - side) / 2, 0.0), height - side)
        x = min(max((left + right - side) / 2, 0.0), width - side)
        return y / height, x / width, (y + side) / height, (x + side) / width

    def _enlarged(self, mask: NDArray[np.bool_], part: tuple[float, float, float, float]) -> NDArray[np.uint8]:
        size = (self._inset, self._inset)
        close = _resized(self.photo, size, part)
        inside = _resized(mask, size, part)
        return _highlighted(close, _dim(close, self.style), inside, self.style.line)

    def _beside(self, picture: NDArray[np.uint8], inset: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Both on one page: side by side, or below each other where the photo is a broad one."""
        (height, width), side, gap = picture.shape[:2], len(inset), self.style.gap
        below = width > 1.8 * height
        size = (height + gap + side, width) if below else (height, width + gap + side)
        page = np.full((*size, 3), self.style.between, dtype=np.uint8)
        page[:height, :width] = picture
        if below:
            page[height + gap :, :side] = inset
        else:
            page[:side, width + gap :] = inset
        return page


def jpeg(picture: NDArray[np.uint8], style: PictureStyle) -> bytes:
    """A JPEG of at most `style.most_bytes`, as far as quality can do that."""
    image = Image.fromarray(picture)
    for quality in range(style.quality, MIN_QUALITY - 1, -10):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= style.most_bytes:
            break
    return buffer.getvalue()


def _dim(picture: NDArray[np.uint8], style: PictureStyle) -> NDArray[np.uint8]:
    image = Image.fromarray(picture)
    grey = image.convert("L").convert("RGB")
    return np.asarray(Image.blend(image, grey, style.grey).point(lambda level: level * style.dim))


def _highlighted(
    picture: NDArray[np.uint8], dimmed: NDArray[np.uint8], mask: NDArray[np.bool_], line: int
) -> NDArray[np.uint8]:
    """The segment as it is, the rest dimmed, between them a black and a white line."""
    out = np.where(mask[..., None], picture, dimmed)
    inner = _grown(mask, line)
    out[_grown(inner, line) & ~inner] = WHITE
    out[inner & ~mask] = BLACK
    return out


def _grown(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """By so many pixels up, down, left and right."""
    for _ in range(pixels):
        out = mask.copy()
        out[1:] |= mask[:-1]
        out[:-1] |= mask[1:]
        out[:, 1:] |= mask[:, :-1]
        out[:, :-1] |= mask[:, 1:]
        mask = out
    return mask


def _frame(picture: NDArray[np.uint8], box: list[float]) -> None:
    """A rectangle of a white and a black line, in place."""
    top, left, bottom, right = (round(side) for side in box)
    for step, level in ((0, BLACK), (1, WHITE), (2, BLACK)):
        y0, x0 = max(top - step, 0), max(left - step, 0)
        y1, x1 = min(bottom + step, len(picture) - 1), min(right + step, picture.shape[1] - 1)
        picture[y0, x0 : x1 + 1] = picture[y1, x0 : x1 + 1] = level
        picture[y0 : y1 + 1, x0] = picture[y0 : y1 + 1, x1] = level


def _largest_part(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of the largest connected part, looked for on at most 512 x 512 pixels."""
    step = -(-max(mask.shape) // 512)
    small = mask[::step, ::step]
    if step > 1 and not small.any():
        small, step = mask, 1
    parts, count = ndimage.label(small)
    largest = 1 if count == 1 else int(np.bincount(parts.ravel())[1:].argmax()) + 1
    rows, columns = ndimage.find_objects(parts)[largest - 1]
    height, width = mask.shape
    return (
        rows.start * step,
        columns.start * step,
        min(rows.stop * step, height),
        min(columns.stop * step, width),
    )


def _resized(
    pixels: NDArray[Any], size: tuple[int, int], part: tuple[float, float, float, float] | None = None
) -> NDArray[Any]:
    """A photo, or a mask, at (height, width). part: only this of it, as shares: top, left, bottom, right.

    A mask is never lost: where no pixel is half covered, those that are touched count.
    """
    height, width = pixels.shape[:2]
    if part is None and (height, width) == size:
        return pixels
    box = None if part is None else (part[1] * width, part[0] * height, part[3] * width, part[2] * height)
    if pixels.dtype != bool:
        image = Image.fromarray(pixels)
        return np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC, box, reducing_gap=2.0))
    levels = Image.fromarray(pixels.view(np.uint8) * 255)
    covered = np.asarray(levels.resize(size[::-1], Image.Resampling.BILINEAR, box))
    found = covered >= 128
    return found if found.any() else covered > 0
