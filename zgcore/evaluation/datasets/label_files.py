"""Reading files of class ids: PNG, TIFF and MATLAB, each with the limits that strangers' files need."""

from __future__ import annotations

import struct
import zlib
from typing import IO, TYPE_CHECKING, Final

import numpy as np
from PIL import PngImagePlugin, TiffImagePlugin

from zgcore.errors import EvaluationError
from zgcore.evaluation.datasets.matlab import whole_matrix
from zgcore.images import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import ImageFile

_AGAIN: Final = "copy or unpack it again"
_IDS: Final = frozenset({"1", "L", "P", "I;16", "I;16B"})
_MAX_BYTES: Final = 1 << 28  # of a MATLAB file; real ones have some 10,000
_MAX_ID: Final = 65535
_SPREAD: Final = {"L;2": 85, "L;4": 17}  # Pillow spreads grey of 2 and 4 bits over 0..255
_DECODERS: Final[dict[str, Callable[[IO[bytes]], ImageFile.ImageFile]]] = {
    ".png": PngImagePlugin.PngImageFile,
    ".tif": TiffImagePlugin.TiffImageFile,
}


def read_ids(path: Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.unsignedinteger]:
    """(H, W) uint8 or uint16 ids of an indexed or grey PNG of 1 to 16 bits, or of a grey TIFF. Palettes say nothing.

    Raises EvaluationError for a file that is missing, too large, damaged, or a colour picture.
    """
    pixels, raw = _pixels(path, _IDS, "an indexed or grey image; save class ids, not colours", max_pixels)
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8)
    return pixels // np.uint8(_SPREAD[raw]) if raw in _SPREAD else pixels


def read_colour_ids(path: Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint32]:
    """(H, W) uint32 ids of a COCO panoptic PNG: red + 256 green + 256^2 blue. Raises as read_ids."""
    pixels, _ = _pixels(path, {"RGB"}, "an RGB image, as COCO panoptic segments are", max_pixels)
    red, green, blue = np.moveaxis(pixels.astype(np.uint32), 2, 0)
    return red + 256 * green + 65536 * blue


def read_label_map(path: Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint16]:
    """(H, W) uint16 ids of a MATLAB file's LabelMap, as Pascal Context has them. Raises as read_ids."""
    try:
        if _regular(path).stat().st_size > _MAX_BYTES:
            raise EvaluationError(f"{path}: is larger than a file of labels can be; {_AGAIN}")
        values = whole_matrix(path.read_bytes(), "LabelMap", lambda shape: _check_size(path, shape, max_pixels))
    except (OSError, ValueError, struct.error, zlib.error) as error:
        raise EvaluationError(f"{path}: is damaged, or not a MATLAB 5 file; {_AGAIN}") from error
    except TypeError as error:
        raise EvaluationError(f"{path}: its LabelMap is not of whole numbers; {_AGAIN}") from error
    if values is None:
        raise EvaluationError(f"{path}: has no LabelMap; take trainval/*.mat of Pascal Context")
    if values.min() < 0 or values.max() > _MAX_ID:
        raise EvaluationError(f"{path}: its LabelMap goes beyond ids of 0 to {_MAX_ID}; {_AGAIN}")
    return values.astype(np.uint16)


def _pixels(path: Path, modes: frozenset[str] | set[str], what: str, max_pixels: int) -> tuple[NDArray, str]:
    """Pixels, and Pillow's name for how the file holds them."""
    try:
        with _regular(path).open("rb") as file, _DECODERS[path.suffix](file) as image:
            _check_size(path, image.size, max_pixels)
            if image.mode not in modes:
                raise EvaluationError(f"{path}: is a picture of mode {image.mode}; it must be {what}")
            raw = image.tile[0].args
            image.load()
            return np.array(image), raw if isinstance(raw, str) else ""
    except (EvaluationError, MemoryError):
        raise
    except Exception as error:  # what Pillow's parsers raise on bytes that lie is not a closed list
        kind = path.suffix[1:].upper()
        raise EvaluationError(f"{path}: is no {kind}, or damaged or cut short; {_AGAIN}") from error


def _regular(path: Path) -> Path:
    if not path.is_file():  # opening a named pipe would wait for ever
        raise EvaluationError(f"{path}: is missing, or not a file; {_AGAIN}")
    return path


def _check_size(path: Path, shape: tuple[int, ...], max_pixels: int) -> None:
    if len(shape) != 2 or min(shape) < 1:
        raise EvaluationError(f"{path}: its labels are {' x '.join(map(str, shape))}, not height x width; {_AGAIN}")
    if shape[0] * shape[1] > max_pixels:
        raise EvaluationError(f"{path}: {shape[0]} x {shape[1]} is more than the limit of {max_pixels:,} pixels")
