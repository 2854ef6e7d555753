"""The picture people look at: segments coloured over the photo, outlined and named."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageDraw

from zgcore.colours import segment_colours
from zgcore.placement import LabelStyle, PlacedLabel, label_font, place_labels, plate_size, wrap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zgcore.segmentation import Segmentation

RANDOM_WEIGHTS_NOTE: Final = "random weights: labels mean nothing"


@dataclass(frozen=True)
class OverlayStyle:
    """How the overlay is drawn.

    line: outline width as a share of the image's shorter side. line_light: opacity of the white line; line_dark: of
    the dark rim on both its sides, which keeps it visible on white.
    plate: RGBA behind a label. note_plate: RGBA behind a warning. ink: RGB of the text.
    corner: radius of a plate as a share of the font size. rows: rows that are blended at once, which bounds memory.
    """

    line: float = 1 / 420
    line_light: float = 0.9
    line_dark: float = 0.45
    plate: tuple[int, int, int, int] = (13, 16, 23, 190)
    note_plate: tuple[int, int, int, int] = (176, 21, 46, 235)
    ink: tuple[int, int, int] = (255, 255, 255)
    corner: float = 0.4
    rows: int = 256
    label: LabelStyle = field(default_factory=LabelStyle)


def overlay(
    image: NDArray[np.uint8],
    segmentation: Segmentation,
    *,
    opacity: float = 0.5,
    labels: bool = True,
    style: OverlayStyle | None = None,
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 photo -> the same size with every segment coloured, outlined and, if `labels`, named.

    opacity: share of the colour, 0..1. A label stands inside its segment; where it does not fit, or the built-in font
    lacks its script, the segment's number (from 1, as in the gallery's list) stands for it. A segmentation made with
    random weights says so in the picture.

    Raises ValueError if the sizes of photo and segmentation differ or `opacity` is out of bounds.
    """
    style = style or OverlayStyle()
    if image.shape != (*segmentation.index_map.shape, 3):
        raise ValueError(f"the photo is {image.shape}, the segmentation {segmentation.index_map.shape}")
    if not 0.0 <= opacity <= 1.0:
        raise ValueError(f"opacity must be 0..1, not {opacity}")
    index_map = segmentation.index_map
    out = _blend(image, index_map, segment_colours(index_map, len(segmentation)), opacity, style.rows)
    _outline(out, index_map, style)
    note = _note(index_map.shape, style) if segmentation.random_weights else None
    placed = []
    if labels:
        reserved = _box(note) if note else None
        placed = place_labels(index_map, segmentation.labels, style.label, reserved=reserved)
    canvas = Image.fromarray(out)
    for label in placed:
        _draw_plate(canvas, label, style.plate, style)
    if note:
        _draw_plate(canvas, note, style.note_plate, style)
    return np.array(canvas)


def _blend(
    image: NDArray[np.uint8],
    index_map: NDArray[np.int32],
    colours: NDArray[np.uint8],
    opacity: float,
    rows: int,
) -> NDArray[np.uint8]:
    out = np.empty_like(image)
    mixed = colours.astype(np.float32) * opacity
    for top in range(0, len(image), rows):
        part = slice(top, top + rows)
        out[part] = np.rint(image[part] * np.float32(1.0 - opacity) + mixed[index_map[part]])
    return out


def outline(index_map: NDArray[np.int32], width: int) -> NDArray[np.bool_]:
    """(H, W) bool: a line of `width` pixels along every border between segments."""
    from scipy import ndimage  # here: loading it is a third of what a command that draws nothing takes to start

    edge = np.zeros(index_map.shape, dtype=bool)
    edge[:, :-1] |= index_map[:, 1:] != index_map[:, :-1]
    edge[:-1] |= index_map[1:] != index_map[:-1]
    return edge if width == 1 else ndimage.maximum_filter(edge, size=width)


def _outline(out: NDArray[np.uint8], index_map: NDArray[np.int32], style: OverlayStyle) -> None:
    from scipy import ndimage

    width = max(1, round(min(index_map.shape) * style.line))
    line = outline(index_map, width)
    rim = ndimage.maximum_filter(line, size=2 * max(1, width // 2) + 1) & ~line
    out[rim] = np.rint(out[rim] * np.float32(1.0 - style.line_dark))
    out[line] = np.rint(out[line] * np.float32(1.0 - style.line_light) + np.float32(255 * style.line_light))


def _note(shape: tuple[int, ...], style: OverlayStyle) -> PlacedLabel:
    """The warning in the lower left corner, as large as labels get, smaller or in more lines where that is too wide."""
    height, width = shape
    largest = max(style.label.floor, round(min(shape) * style.label.largest * 0.8))
    for size in range(largest, 4, -1):
        for count in range(1, 5):
            lines = wrap(RANDOM_WEIGHTS_NOTE, count) or (RANDOM_WEIGHTS_NOTE,)
            w, h = plate_size(lines, size, style.label)
            if w <= width and h <= height / 2:
                return PlacedLabel(-1, lines, w / 2, height - h / 2, w, h, size)
    return PlacedLabel(-1, lines, w / 2, height - h / 2, w, h, size)


def _box(label: PlacedLabel) -> tuple[int, int, int, int]:
    left, top = round(label.x - label.width / 2), round(label.y - label.height / 2)
    return max(0, left), max(0, top), left + label.width, top + label.height


def _draw_plate(canvas: Image.Image, label: PlacedLabel, fill: tuple[int, int, int, int], style: OverlayStyle) -> None:
    """Draw a label's plate and text. Four times as large and scaled down, since Pillow's shapes have hard edges."""
    over = 4
    size = (label.width, label.height)
    plate = Image.new("L", (label.width * over, label.height * over))
    corner = min(style.corner * label.size, label.height / 2) * over
    ImageDraw.Draw(plate).rounded_rectangle((0, 0, plate.width - 1, plate.height - 1), corner, fill=fill[3])
    plate = plate.resize(size, Image.Resampling.BOX)
    patch = Image.new("RGB", size, fill[:3])
    draw = ImageDraw.Draw(patch)
    middle = (len(label.lines) - 1) / 2
    for row, line in enumerate(label.lines):
        y = label.height / 2 + (row - middle) * style.label.spacing * label.size
        draw.text((label.width / 2, y), line, fill=style.ink, font=label_font(label.size), anchor="mm")
    # Text is opaque where the plate is not: the mask is the lighter of plate and ink.
    ink = patch.convert("L").point(lambda value: 255 if value > 128 else 0)
    mask = Image.composite(Image.new("L", size, 255), plate, ink)
    canvas.paste(patch, (round(label.x - label.width / 2), round(label.y - label.height / 2)), mask)
