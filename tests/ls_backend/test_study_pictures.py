"""The pictures raters look at: outlines that show on anything, close looks at what is small."""

import io

import numpy as np
import pytest
from PIL import Image

from ls_backend.studies.pictures import PhotoPictures, PictureStyle, jpeg

BACKGROUNDS = {
    "white": np.full((480, 640, 3), 255, np.uint8),
    "black": np.zeros((480, 640, 3), np.uint8),
    "grey": np.full((480, 640, 3), 97, np.uint8),  # as white is once it is dimmed
    "busy": np.random.default_rng(0).integers(0, 256, (480, 640, 3)).astype(np.uint8),
    "stripes": np.kron(np.tile([[0], [255]], (120, 320)), np.ones((2, 2), np.uint8))[..., None]
    .repeat(3, 2)
    .astype(np.uint8),
}
STYLE = PictureStyle()
STANDS_OUT = 127  # levels between neighbours: half of black to white


def box(left, right, top, bottom, shape=(480, 640)):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def luminance(picture):
    return np.asarray(Image.fromarray(picture).convert("L"), dtype=float)


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_the_outline_shows_on_any_background(name):
    photo, mask = BACKGROUNDS[name], box(200, 440, 140, 340)
    picture = PhotoPictures(photo, STYLE).draw(mask)
    assert picture.shape == photo.shape
    levels = luminance(picture)
    for row in range(140, 340):  # from the segment out to the left, and to the right
        for outward in (levels[row, 194:202][::-1], levels[row, 438:446]):
            assert np.abs(np.diff(outward)).max() >= STANDS_OUT
            assert outward[2:6].tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_the_segment_is_as_it_was_and_the_rest_is_dim(name):
    photo, mask = BACKGROUNDS[name], box(200, 440, 140, 340)
    picture = PhotoPictures(photo, STYLE).draw(mask)
    assert (picture[mask] == photo[mask]).all()
    outside = ~box(196, 444, 136, 344)
    assert picture[outside].max() <= 97  # 0.38 of 255


def test_colour_is_taken_from_the_rest():
    photo = np.zeros((480, 640, 3), np.uint8)
    photo[..., 0] = 200
    picture = PhotoPictures(photo, STYLE).draw(box(200, 440, 140, 340))
    # grey of red is 60 (0.299 of 200): 0.4 * 200 + 0.6 * 60 = 116 in red and 36 elsewhere, of which 0.38 is left
    assert picture[0, 0].tolist() == [44, 14, 14]


def test_thin_segments_are_not_covered():
    photo, mask = BACKGROUNDS["busy"], box(50, 600, 240, 241)
    picture = PhotoPictures(photo, STYLE).draw(mask)[:, :640]
    assert (picture[240, 60:590] == photo[240, 60:590]).all()


def test_small_segments_are_shown_enlarged():
    photo = BACKGROUNDS["busy"].copy()
    photo[100:112, 300:312] = (250, 20, 20)
    pictures = PhotoPictures(photo, STYLE)
    page = pictures.draw(box(300, 312, 100, 112))  # a square of 12 in one of 24, 5% of 480: enlarged from 24 to 320
    assert page.shape == (480, 640 + 10 + 320, 3)
    assert (page[:480, 640:650] == STYLE.between).all()
    inset = page[:320, 650:]
    red = (inset[..., 0] > 200) & (inset[..., 1] < 90)
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    assert rows[0] == pytest.approx(80, abs=9)
    assert rows[-1] == pytest.approx(240, abs=9)
    assert columns[0] == pytest.approx(80, abs=9)
    assert columns[-1] == pytest.approx(240, abs=9)
    # a frame of black, white and black around 94..118, 294..318
    assert luminance(page)[106, 292:295].tolist() == [0, 255, 0]
    assert pictures.draw(box(200, 440, 140, 340)).shape == (480, 640, 3)


@pytest.mark.parametrize(
    ("mask", "enlarged"),
    [
        (box(0, 100, 0, 30), True),  # 0.98% of the photo
        (box(0, 170, 0, 18), True),  # 0.996%; in a square of 255, which 320 pixels show 1.25 times as large
        (box(0, 171, 0, 17), False),  # in one of 256.5, which they do not
        (box(0, 640, 0, 6), False),  # 1.25%, and as long as the photo
        (box(0, 90, 0, 90), True),  # 2.6%, in a square of less than a fifth of 480
        (box(0, 100, 0, 90), False),
    ],
)
def test_what_counts_as_small(mask, enlarged):
    assert (PhotoPictures(BACKGROUNDS["busy"], STYLE).draw(mask).shape[1] > 640) == enlarged


def test_of_scattered_parts_the_largest_is_enlarged():
    mask = box(10, 14, 10, 14) | box(500, 530, 300, 330)
    page = PhotoPictures(BACKGROUNDS["black"], STYLE).draw(mask)
    assert luminance(page)[315, 490:494].tolist() == [0, 255, 0, 0]  # the frame: 45 wide about 515


def test_broad_photos_have_the_close_look_below():
    photo = np.full((200, 1000, 3), 128, np.uint8)
    page = PhotoPictures(photo, STYLE).draw(box(500, 510, 100, 110, (200, 1000)))
    assert page.shape == (192 + 10 + 192, 960, 3)


def test_large_photos_are_scaled_down_and_a_single_pixel_is_not_lost():
    photo = np.full((3000, 4000, 3), 100, np.uint8)
    page = PhotoPictures(photo, STYLE).draw(box(2001, 2002, 1001, 1002, (3000, 4000)))
    assert page.shape == (720, 960 + 10 + 320, 3)
    assert (luminance(page)[:320, 970:] > 250).any()  # its outline


def test_small_photos_are_enlarged():
    photo = np.full((30, 40, 3), 100, np.uint8)
    assert PhotoPictures(photo, STYLE).draw(box(10, 30, 5, 25, (30, 40))).shape == (360, 480, 3)


def test_a_segment_that_is_the_whole_photo():
    photo = BACKGROUNDS["busy"]
    assert (PhotoPictures(photo, STYLE).draw(np.ones((480, 640), bool)) == photo).all()


def test_a_segment_without_pixels():
    with pytest.raises(ValueError, match="no pixels"):
        PhotoPictures(BACKGROUNDS["busy"], STYLE).draw(np.zeros((480, 640), bool))


def test_files_are_of_bounded_size():
    picture = BACKGROUNDS["busy"]
    assert len(jpeg(picture, STYLE)) > 200_000
    small = jpeg(picture, PictureStyle(most_bytes=150_000))
    assert len(small) <= 150_000
    with Image.open(io.BytesIO(small)) as image:
        assert (image.size, image.format) == ((640, 480), "JPEG")
