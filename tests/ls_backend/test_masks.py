"""Masks made fit for an editor, on maps small enough to check by eye."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageFilter
from scipy import ndimage

from ls_backend.masks import fill_holes, smooth_outlines, tidy, worth_showing


def index_map(rows):
    return np.array([[int(cell) for cell in row] for row in rows.split()], dtype=np.int32)


def test_a_small_hole_is_filled_and_its_neighbourhood_stays():
    before = index_map("00000 01110 01210 01110 00000")
    after = index_map("00000 01110 01110 01110 00000")
    assert np.array_equal(fill_holes(before, largest=1 / 25), after)


def test_a_hole_above_the_limit_stays():
    before = index_map("1111 1001 1111")
    assert np.array_equal(fill_holes(before, largest=1 / 12), before)
    assert np.array_equal(fill_holes(before, largest=2 / 12), index_map("1111 1111 1111"))


def test_a_hole_of_two_segments_is_filled_as_one():
    assert np.array_equal(fill_holes(index_map("0000 0120 0000"), largest=0.2), np.zeros((3, 4), np.int32))


def test_a_bay_at_the_edge_is_no_hole():
    before = index_map("111 101 101")
    assert np.array_equal(fill_holes(before, largest=1.0), before)


def test_a_gap_on_the_diagonal_does_not_open_a_hole():
    assert np.array_equal(fill_holes(index_map("1110 1011 1101 0111"), largest=0.1)[1:3, 1:3], np.ones((2, 2)))


def test_the_map_that_came_in_is_not_changed():
    before = index_map("000 010 000")
    fill_holes(before, largest=1.0)
    smooth_outlines(before, sigma=1.0)
    assert np.array_equal(before, index_map("000 010 000"))


def test_a_straight_edge_stays_where_it_is_and_a_whisker_goes():
    straight = np.zeros((40, 40), dtype=np.int32)
    straight[:, 20:] = 1
    assert np.array_equal(smooth_outlines(straight, sigma=2.0), straight)
    whisker = straight.copy()
    whisker[20, 5:20] = 1
    assert np.count_nonzero(smooth_outlines(whisker, sigma=2.0) != straight) <= 4


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.int32, st.tuples(st.integers(1, 30), st.integers(1, 30)), elements=st.integers(0, 4)),
    st.floats(0.3, 3.0),
)
def test_working_in_windows_gives_what_the_whole_image_gives(labels, sigma):
    blurred = np.array(
        [
            Image.fromarray((labels == number).astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(sigma))
            for number in range(5)
        ]
    )
    assert np.array_equal(smooth_outlines(labels, sigma), blurred.argmax(axis=0))


def test_a_corner_is_rounded_as_a_gaussian_would():
    labels = np.zeros((120, 120), dtype=np.int32)
    labels[60:, 60:] = 1
    exact = ndimage.gaussian_filter(labels.astype(float), 6.0) > 0.5
    assert np.count_nonzero((smooth_outlines(labels, 6.0) == 1) != exact) <= 10
    assert np.count_nonzero((labels == 1) != exact) > 20


def test_an_image_too_small_to_smooth_is_left_alone():
    before = index_map("01 10")
    assert np.array_equal(smooth_outlines(before), before)


def test_tidy_does_what_it_is_asked():
    labels = np.zeros((400, 400), dtype=np.int32)
    labels[200, 200] = 1  # gone by smoothing as by filling
    assert np.array_equal(tidy(labels, smooth=False, largest_hole=0.0), labels)
    assert not tidy(labels, smooth=True, largest_hole=0.0).any()
    assert not tidy(labels, smooth=False, largest_hole=0.001).any()


@pytest.mark.parametrize(
    ("max_regions", "min_area", "shown"),
    [(0, 0.0, [1, 0, 3, 2]), (2, 0.0, [1, 0]), (0, 0.2, [1, 0, 3]), (0, 0.21, [1]), (1, 0.9, [])],
)
def test_the_largest_segments_are_shown(max_regions, min_area, shown):
    assert worth_showing(np.array([20, 50, 10, 20]), max_regions=max_regions, min_area=min_area) == shown


def test_a_segment_without_pixels_is_never_shown():
    assert worth_showing(np.array([0, 3]), max_regions=0, min_area=0.0) == [1]
