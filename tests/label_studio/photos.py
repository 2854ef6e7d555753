"""Photos for Label Studio: small ones of the samples, and the awkward kinds."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import zgcore.samples

SAMPLES = Path(zgcore.samples.__file__).parent
NAMES = ("cat", "street", "giraffes", "kitchen", "riders", "cake")  # with what the small models name well first
SMALL = 320
ROTATED = 6  # EXIF orientation: the camera was turned, show it turned by 90 degrees clockwise
ORIENTATION = 0x0112


def picture(name, mirror=False):
    """A sample in small; mirrored it is another photo, with results of its own."""
    image = Image.open(SAMPLES / f"{name}.jpg").convert("RGB")
    image.thumbnail((SMALL, SMALL))
    return ImageOps.mirror(image) if mirror else image


def encoded(image, kind="JPEG", **how):
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 90} if kind == "JPEG" else {}), **how)
    return buffer.getvalue()


def photo(name, mirror=False):
    """JPEG of `picture`."""
    return encoded(picture(name, mirror))


def twelve():
    """Twelve different photos by file name."""
    return {f"{name}{'-mirrored' * mirror}.jpg": photo(name, mirror) for mirror in (False, True) for name in NAMES}


def fresh(name, number):
    """A photo that no other test has: its bytes differ, so that nothing of it is in any cache."""
    image = picture(name)
    image.putpixel((0, 0), (number % 256, number // 256, 0))
    return encoded(image, "PNG")


def turned(name):
    """JPEG of a photo that lies on its side and says in its EXIF how to turn it; PNG of what a viewer then shows."""
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATED
    lying = encoded(picture(name), exif=exif)
    with Image.open(io.BytesIO(lying)) as image:
        upright = ImageOps.exif_transpose(image)
    return lying, encoded(upright, "PNG")


def large(name):
    """JPEG of 4000 x 3000 pixels."""
    return encoded(picture(name).resize((4000, 3000), Image.Resampling.BICUBIC))


def broken(name):
    """The first bytes of a JPEG."""
    return photo(name)[:600]


def pixels(content):
    """(H, W, 3) uint8 of an image as a viewer shows it."""
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
