"""Reading images: every mode, format and orientation against values worked out by hand, and every way it can fail."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zgcore import errors
from zgcore.images import find_images, load_image, resize_shorter, thumbnail


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height: int = 24, width: int = 20) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 10)) + chunk(b"IEND", b"")
    )


def palette(transparency=None) -> Image.Image:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.putpixel((1, 0), 1)
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


def pixels(mode: str, *values) -> Image.Image:
    image = Image.new(mode, (len(values), 1))
    for x, value in enumerate(values):
        image.putpixel((x, 0), value)
    return image


# Over white: out = (value * alpha + 255 * (255 - alpha)) / 255. 51 is a fifth of 255, 102 two fifths.
# CMYK: red = (255 - cyan) * (255 - black) / 255.
# 16 bit: v / 257, rounded; 32896 = 128 * 257.
MODES = {
    "1": (pixels("1", 0, 255), "PNG", [(0, 0, 0), (255, 255, 255)]),
    "L": (pixels("L", 0, 77), "PNG", [(0, 0, 0), (77, 77, 77)]),
    "L tiff": (pixels("L", 0, 77), "TIFF", [(0, 0, 0), (77, 77, 77)]),
    "LA": (pixels("LA", (0, 51), (100, 255)), "PNG", [(204, 204, 204), (100, 100, 100)]),
    "P": (palette(), "PNG", [(10, 20, 30), (200, 100, 0)]),
    "P gif": (palette(), "GIF", [(10, 20, 30), (200, 100, 0)]),
    "P one clear colour": (palette(1), "PNG", [(10, 20, 30), (255, 255, 255)]),
    "P alpha table": (palette(bytes([102, 255])), "PNG", [(157, 161, 165), (200, 100, 0)]),
    "P bmp": (palette(), "BMP", [(10, 20, 30), (200, 100, 0)]),
    "RGB png": (pixels("RGB", (1, 2, 3), (250, 0, 7)), "PNG", [(1, 2, 3), (250, 0, 7)]),
    "RGB bmp": (pixels("RGB", (1, 2, 3), (250, 0, 7)), "BMP", [(1, 2, 3), (250, 0, 7)]),
    "RGB tiff": (pixels("RGB", (1, 2, 3), (250, 0, 7)), "TIFF", [(1, 2, 3), (250, 0, 7)]),
    "RGBA": (pixels("RGBA", (0, 100, 255, 51), (9, 8, 7, 255)), "PNG", [(204, 224, 255), (9, 8, 7)]),
    "RGBA clear": (pixels("RGBA", (0, 0, 0, 0), (9, 8, 7, 255)), "TIFF", [(255, 255, 255), (9, 8, 7)]),
    "CMYK": (pixels("CMYK", (255, 0, 0, 0), (0, 51, 102, 0)), "TIFF", [(0, 255, 255), (255, 204, 153)]),
    "CMYK black": (pixels("CMYK", (0, 0, 0, 255), (102, 0, 0, 51)), "TIFF", [(0, 0, 0), (122, 204, 204)]),
    "I;16": (Image.fromarray(np.array([[32896, 65535]], np.uint16)), "PNG", [(128,) * 3, (255,) * 3]),
    "I;16 rounding": (Image.fromarray(np.array([[128, 129]], np.uint16)), "TIFF", [(0,) * 3, (1,) * 3]),
    "I as 16 bit": (Image.fromarray(np.array([[257, 65535]], np.int32)), "TIFF", [(1,) * 3, (255,) * 3]),
    "I stretched": (Image.fromarray(np.array([[-100, 100]], np.int32)), "TIFF", [(0,) * 3, (255,) * 3]),
    "F of 0..1": (Image.fromarray(np.array([[0.2, 1.0]], np.float32)), "TIFF", [(51,) * 3, (255,) * 3]),
    "F stretched": (Image.fromarray(np.array([[-5.0, 45.0]], np.float32)), "TIFF", [(0,) * 3, (255,) * 3]),
    "F not finite": (Image.fromarray(np.array([[np.nan, 0.4]], np.float32)), "TIFF", [(0,) * 3, (102,) * 3]),
}


@pytest.mark.parametrize("case", MODES)
def test_every_mode_becomes_rgb(case):
    image, kind, expected = MODES[case]
    options = {"transparency": image.info["transparency"]} if "transparency" in image.info else {}
    got = load_image(encoded(image, kind, **options))
    assert got.dtype == np.uint8
    assert got.shape == (1, 2, 3)
    assert [tuple(map(int, p)) for p in got[0]] == expected
    assert got.flags.writeable


def test_lossless_webp_with_alpha():
    data = encoded(pixels("RGBA", (0, 100, 255, 51), (9, 8, 7, 255)), "WEBP", lossless=True, exact=True)
    assert load_image(data)[0].tolist() == [[204, 224, 255], [9, 8, 7]]


def test_flat_jpeg_and_adobe_cmyk_jpeg():
    assert load_image(encoded(Image.new("L", (8, 8), 90), "JPEG", quality=100))[3, 3].tolist() == [90, 90, 90]
    # Pillow writes CMYK JPEGs the way Adobe does, inverted and marked so.
    data = encoded(Image.new("CMYK", (8, 8), (0, 51, 102, 0)), "JPEG", quality=100)
    assert b"Adobe" in data
    assert np.abs(load_image(data).astype(int) - [255, 204, 153]).max() <= 2


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (3, 2), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "TIFF", "PNG"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert np.all(load_image(data) == [255, 0, 0]), kind


#     stored   1 2 3   each number is where EXIF's definition of the orientation puts it when shown upright
#              4 5 6
UPRIGHT = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.array([[1, 2, 3], [4, 5, 6]], np.uint8) * 30).convert("RGB")
    options = {"lossless": True} if kind == "WEBP" else {}
    got = load_image(encoded(stored, kind, exif=exif, **options))
    assert (got[..., 0] // 30).tolist() == UPRIGHT[orientation]


def test_jpeg_orientation_and_broken_exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.new("L", (16, 8), 50)
    assert load_image(encoded(wide, "JPEG", exif=exif)).shape == (16, 8, 3)
    assert load_image(encoded(wide, "JPEG", exif=b"Exif\0\0not a TIFF block")).shape == (8, 16, 3)
    exif[0x0112] = 77
    assert load_image(encoded(wide, "JPEG", exif=exif)).shape == (8, 16, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_thin_images(kind, size):
    assert load_image(encoded(Image.new("RGB", size), kind)).shape == (size[1], size[0], 3)


def test_all_kinds_of_source(tmp_path):
    data = encoded(noise(), "PNG")
    path = tmp_path / "ein Bild ü.png"
    path.write_bytes(data)
    expected = load_image(data)
    for source in (path, str(path), bytearray(data), io.BytesIO(data), path.open("rb")):
        np.testing.assert_array_equal(load_image(source), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.filterwarnings("ignore:Truncated File Read", "ignore:Corrupt EXIF")
def test_truncated_files(kind, tmp_path):
    data = encoded(noise(), kind)
    path = tmp_path / f"half.{kind.lower()}"
    for share in (0.05, 0.3, 0.6, 0.9):
        path.write_bytes(data[: max(20, int(len(data) * share))])
        with pytest.raises(errors.ImageTruncated, match=r"damaged or cut short") as caught:
            load_image(path)
        assert str(caught.value).startswith(str(path))


def test_damaged_pixels_are_told():
    data = bytearray(encoded(noise(), "PNG"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(errors.ImageTruncated, match=r"^image: the PNG data"):
        load_image(bytes(data))


def test_bomb_is_refused_before_decoding():
    with pytest.raises(errors.ImageTooLarge, match=r"^image: 100000 x 100000 .* 100,000,000 pixels"):
        load_image(png_claiming(100_000, 100_000))
    # The same small body under an allowed size is read, and found to be cut short: the header alone decided above.
    with pytest.raises(errors.ImageTruncated):
        load_image(png_claiming(100, 100))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_limit_is_ours_and_pillows_stays_silent(kind, monkeypatch):
    data = encoded(Image.new("RGB", (5, 4)), kind)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12)  # 20 pixels would make Image.open warn
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(data, max_pixels=20).shape == (4, 5, 3)
    with pytest.raises(errors.ImageTooLarge, match="5 x 4 is more than the limit of 19 pixels"):
        load_image(data, max_pixels=19)


@pytest.mark.parametrize(
    "data", [b"hello, this is text", b"%PDF-1.7", b"RIFF\0\0\0\0WAVEfmt ", b"\x89", b"P6 1 1 255 abc"]
)
def test_not_an_image(data):
    with pytest.raises(errors.ImageFormatError, match=r"^image: .*convert it to JPEG"):
        load_image(data)


def test_no_pixels():
    with pytest.raises(errors.ImageError, match=r"^image: "):
        load_image(png_claiming(0, 5))


def test_paths_that_are_no_files(tmp_path):
    with pytest.raises(errors.ImageMissing, match=r"nowhere\.jpg: no such file"):
        load_image(tmp_path / "nowhere.jpg")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(errors.ImageMissing):
        load_image(tmp_path / "file" / "below.jpg")
    with pytest.raises(errors.ImageIsDirectory, match="is a folder"):
        load_image(tmp_path)
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(errors.ImageEmpty, match=r"empty\.jpg: the file is empty"):
        load_image(tmp_path / "empty.jpg")
    with pytest.raises(errors.ImageEmpty, match=r"^image: "):
        load_image(b"")
    with pytest.raises(errors.ImageUnreadable, match="cannot be opened"):
        load_image("x" * 5000)
    with pytest.raises(errors.ImageUnreadable, match="cannot be opened"):
        load_image("nul\0byte.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(errors.ImageUnreadable, match="not a regular file"):
        load_image(tmp_path / "pipe.jpg")


def test_permission_denied(tmp_path):
    path = tmp_path / "secret.png"
    path.write_bytes(encoded(noise(), "PNG"))
    path.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)  # root may read everything, so become nobody for a moment
    try:
        with pytest.raises(errors.ImageUnreadable, match=r"secret\.png: permission denied"):
            load_image(path)
        if root:
            with pytest.raises(errors.ImageUnreadable, match="secret"):
                find_images([path])
    finally:
        if root:
            os.seteuid(0)


def test_errors_are_what_python_programs_catch():
    with pytest.raises(FileNotFoundError):
        load_image("/nonexistent/photo.jpg")
    assert issubclass(errors.ImageUnreadable, PermissionError)


def test_find_images(tmp_path, monkeypatch):
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.jpg", "deep/c.webp", "deep/er/d.tiff", ".git/e.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert find_images(["."]) == [Path("a.png"), Path("b.JPG")]
    assert find_images(["."], recursive=True) == [Path(p) for p in ("a.png", "b.JPG", "deep/c.webp", "deep/er/d.tiff")]
    assert find_images(["notes.txt", "deep"]) == [Path("deep/c.webp"), Path("notes.txt")]
    assert find_images(["a.png", "./a.png", "."]) == [Path("a.png"), Path("b.JPG")]
    assert find_images([tmp_path / "deep" / "er"]) == [tmp_path / "deep/er/d.tiff"]
    with pytest.raises(errors.ImageMissing, match=r"^c\.jpg: no such file or folder"):
        find_images(["a.png", "c.jpg"])


def test_find_images_does_not_follow_a_loop(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    assert find_images([tmp_path], recursive=True) == [tmp_path / "a.png"]


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((428, 640), 224, (224, 334)),  # 640 * 224 / 428 = 334.95
        ((640, 428), 224, (334, 224)),
        ((480, 640), 240, (240, 320)),
        ((1, 1), 8, (8, 8)),
        ((1, 5), 4, (4, 20)),
        ((300, 200), 3, (4, 3)),
    ],
)
def test_resize_shorter(shape, size, expected):
    assert resize_shorter(np.zeros((*shape, 3), np.uint8), size).shape == (*expected, 3)


def test_resize_keeps_a_flat_colour_and_the_size_it_has():
    flat = np.full((10, 20, 3), (3, 99, 250), np.uint8)
    assert np.all(resize_shorter(flat, 7, "bicubic") == (3, 99, 250))
    np.testing.assert_array_equal(resize_shorter(flat, 10), flat)
    checked = np.arange(4, dtype=np.uint8).reshape(2, 2, 1).repeat(3, axis=2)
    assert resize_shorter(checked, 4, "nearest")[..., 0].tolist() == [
        [0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "expected"), [((50, 100), (20, 40)), ((30, 40), (30, 40)), ((1, 400), (1, 40)), ((90, 60), (40, 27))]
)
def test_thumbnail(shape, expected):
    assert thumbnail(np.zeros((*shape, 3), np.uint8), 40).shape == (*expected, 3)
