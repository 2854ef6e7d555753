"""Reading photos safely: bytes from anywhere become an upright (H, W, 3) uint8 RGB array, or one typed error.

Pillow decodes; this module decides which of its decoders may see the bytes, checks the size the header claims before
any pixel is decoded, and turns every colour mode into RGB. Embedded colour profiles are not applied.
"""

from __future__ import annotations

import io
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, Final, Literal

import numpy as np
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from zgcore.errors import (
    ImageEmpty,
    ImageError,
    ImageFormatError,
    ImageIsDirectory,
    ImageMissing,
    ImageTooLarge,
    ImageTruncated,
    ImageUnreadable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

Source = str | os.PathLike | bytes | bytearray | BinaryIO
Resample = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]

MAX_PIXELS: Final = 100_000_000
SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"})
_CURE: Final = "convert it to JPEG, PNG, WebP, TIFF, BMP or GIF"
_SIGNATURE_BYTES: Final = 16


class _Tiff(TiffImagePlugin.TiffImageFile):
    """TIFF without Pillow's process-wide size warning while decoding; the caller's own limit was checked before."""

    def load_prepare(self) -> None:
        if self._im is None:
            self.im = Image.new(self.mode, self._tile_size).im
        super().load_prepare()


# The decoders are called by name rather than through Image.open: no other decoder can be reached by crafted bytes,
# and Pillow's process-wide size limit (a warning, then an error) does not act in place of `max_pixels`.
_DECODERS: Final[dict[str, tuple[tuple[bytes, ...], Callable[[IO[bytes]], ImageFile.ImageFile]]]] = {
    "JPEG": ((b"\xff\xd8\xff",), JpegImagePlugin.JpegImageFile),
    "PNG": ((b"\x89PNG\r\n\x1a\n",), PngImagePlugin.PngImageFile),
    "WebP": ((b"RIFF",), WebPImagePlugin.WebPImageFile),
    "TIFF": ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _Tiff),
    "BMP": ((b"BM",), BmpImagePlugin.BmpImageFile),
    "GIF": ((b"GIF87a", b"GIF89a"), GifImagePlugin.GifImageFile),
}

_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def load_image(source: Source, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read a photo: (H, W, 3) uint8 RGB, upright.

    source: a path, the file's bytes, or a binary file object (read from where it stands).
    max_pixels: images whose header claims more are refused before anything is decoded.

    JPEG, PNG, WebP, TIFF, BMP and GIF; of animations and multi-page files the first picture. EXIF orientation is
    applied. Transparency is laid over white. 16-bit grey is divided by 257. Grey of other depths: integers in
    0..65535 count as 16-bit, floats in 0..1 are multiplied by 255, and anything outside is stretched linearly from
    its own minimum..maximum (values that are not finite become black).

    Raises ImageMissing, ImageIsDirectory, ImageUnreadable, ImageEmpty, ImageFormatError, ImageTruncated or
    ImageTooLarge, all ImageError; the message begins with the file's name ("image" for bytes).
    """
    if isinstance(source, (bytes, bytearray)):
        return _decode(io.BytesIO(source), "image", max_pixels)
    if isinstance(source, (str, os.PathLike)):
        with _opened(Path(source)) as file:
            return _decode(file, str(source), max_pixels)
    name = getattr(source, "name", None)
    return _decode(io.BytesIO(source.read()), name if isinstance(name, str) else "image", max_pixels)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ImageIsDirectory(f"{path}: is a folder, not an image; name a file in it")
        if not stat.S_ISREG(mode):  # opening a named pipe would wait for ever
            raise ImageUnreadable(f"{path}: is not a regular file")
        file = path.open("rb")
    except ImageError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageMissing(f"{path}: no such file; check the spelling") from error
    except PermissionError as error:
        raise ImageUnreadable(f"{path}: permission denied; allow this user to read it") from error
    except (OSError, ValueError) as error:  # a name the system cannot hold, a dead network share
        raise ImageUnreadable(f"{path}: cannot be opened: {error}") from error
    with file:
        yield file


def _decode(file: IO[bytes], name: str, max_pixels: int) -> NDArray[np.uint8]:
    start = file.read(_SIGNATURE_BYTES)
    if not start:
        raise ImageEmpty(f"{name}: the file is empty; copy it again from where it came from")
    kind = _kind(start)
    if kind is None:
        raise ImageFormatError(f"{name}: not an image in a supported format; {_CURE}")
    file.seek(0)
    damaged = f"{name}: the {kind} data is damaged or cut short; copy it again from where it came from"
    try:
        with _DECODERS[kind][1](file) as image:
            _check_size(image.size, name, max_pixels)
            image.load()
            # Read after load(): a PNG may carry its EXIF block behind the pixels, and Pillow turns TIFFs by itself.
            transpose = _UPRIGHT.get(_orientation(image))
            rgb = _to_rgb(image)
            return np.array(rgb if transpose is None else rgb.transpose(transpose))
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(f"{name}: {error}; scale it down") from error
    except NotImplementedError as error:
        raise ImageFormatError(f"{name}: this variant of {kind} is not supported ({error}); {_CURE}") from error
    # What Pillow's parsers raise on bytes that lie is not a closed list.
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError) as error:
        raise ImageTruncated(damaged) from error
    except Exception as error:
        if type(error).__module__ in ("struct", "zlib"):
            raise ImageTruncated(damaged) from error
        raise


def _kind(start: bytes) -> str | None:
    for kind, (signatures, _) in _DECODERS.items():
        if start.startswith(signatures):
            return kind if kind != "WebP" or start[8:12] == b"WEBP" else None
    return None


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageFormatError(f"{name}: the image is {width} x {height} and has no pixels")
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"{name}: {width} x {height} is more than the limit of {max_pixels:,} pixels; "
            "scale it down or raise the limit"
        )


def _orientation(image: ImageFile.ImageFile) -> int:
    """The EXIF orientation, 1..8; 1 where the block is absent or unreadable, as viewers do."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a broken side block must not cost the picture
        return 1
    return value if isinstance(value, int) else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode the six decoders give -> mode RGB. ImageFormatError for a colour space with no direct conversion."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_grey_to_8_bit(np.asarray(image), image.mode)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        page = Image.new("RGB", rgba.size, "white")
        page.paste(rgba, mask=rgba.getchannel("A"))
        return page
    try:
        return image.convert("RGB")
    except ValueError as error:
        raise NotImplementedError(f"colour mode {image.mode}") from error


def _grey_to_8_bit(grey: NDArray, mode: str) -> NDArray[np.uint8]:
    """(H, W) grey of mode I, I;16 or F -> (H, W) uint8, as load_image documents."""
    if mode.startswith("I;16"):
        return ((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)
    values = grey.astype(np.float64)
    finite = np.isfinite(values)
    low, high = (values[finite].min(), values[finite].max()) if finite.any() else (0.0, 0.0)
    ceiling = 1.0 if mode == "F" else 65535.0
    if low >= 0.0 and high <= ceiling:
        low, high = 0.0, ceiling
    scaled = (np.where(finite, values, low) - low) * (255.0 / (high - low) if high > low else 0.0)
    return np.floor(scaled + 0.5).astype(np.uint8)


def find_images(paths: Iterable[str | os.PathLike], *, recursive: bool = False) -> list[Path]:
    """The image files that `paths` mean, sorted, each once.

    A file is taken as named, whatever its suffix. A folder stands for the files in it with an image's suffix (in
    either case), with `recursive` also for those in the folders below; hidden files and folders are left out, and
    links to folders are not followed.

    Raises ImageMissing for a path that does not exist, ImageUnreadable for a folder that cannot be listed.
    """
    found: set[Path] = set()
    for path in map(Path, paths):
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError, ValueError) as error:
            raise ImageMissing(f"{path}: no such file or folder; check the spelling") from error
        except OSError as error:
            raise ImageUnreadable(f"{path}: cannot be read: {error.strerror}") from error
        found.update(_images_in(path, recursive) if is_folder else [path])
    return sorted(found)


def _images_in(folder: Path, recursive: bool) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise ImageUnreadable(f"{error.filename}: the folder cannot be listed: {error.strerror}") from error

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:
                yield Path(place, name)


def resize_shorter(image: NDArray[np.uint8], size: int, resample: Resample = "lanczos") -> NDArray[np.uint8]:
    """(H, W, 3) uint8 -> the same with its shorter side `size` pixels; the longer side is truncated, at least 1.

    640 x 428 at size 224 gives 334 x 224.
    """
    height, width = image.shape[:2]
    shorter = min(height, width)
    return _resize(image, width * size // shorter, height * size // shorter, resample)


def thumbnail(image: NDArray[np.uint8], longest: int, resample: Resample = "lanczos") -> NDArray[np.uint8]:
    """(H, W, 3) uint8 -> the same with its longer side at most `longest` pixels, never enlarged."""
    height, width = image.shape[:2]
    if max(height, width) <= longest:
        return image
    scale = longest / max(height, width)
    return _resize(image, max(1, round(width * scale)), max(1, round(height * scale)), resample)


def _resize(image: NDArray[np.uint8], width: int, height: int, resample: Resample) -> NDArray[np.uint8]:
    if image.shape[:2] == (height, width):
        return image
    method = Image.Resampling[resample.upper()]
    return np.array(Image.fromarray(image).resize((width, height), method))
