"""Polygons that are the very mask, and run lengths read with care."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from ls_backend.exports import rle
from ls_backend.exports.polygons import keyhole_rings, outlines
from ls_backend.exports.shapes import fill, polygon_mask

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))
RING = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]], dtype=bool)


def test_a_ring_and_a_corner_are_two_parts_and_one_hole():
    ring, corner = outlines(RING)
    assert (ring.area, corner.area) == (8, 1)
    assert next(iter(corner.exterior.coords)) in [(3, 3), (3, 4), (4, 3), (4, 4)]
    (hole,) = ring.interiors
    assert shapely.Polygon(hole).bounds == (1, 1, 2, 2)
    assert ring.bounds == (0, 0, 3, 3)


def test_a_hole_is_reached_by_a_bridge_to_the_left():
    walk = keyhole_rings(outlines(RING)[0]).tolist()
    assert walk.count([0, 1]) == 2, "the bridge starts and ends on the left edge, at the height of the hole's corner"
    assert walk.count([1, 1]) == 2
    assert len(walk) == 4 + 4 + 3  # two squares, the bridge's two ends again, and the hole's first corner again


def test_a_tolerance_never_takes_a_whole_part_away():
    dots = np.zeros((6, 6), dtype=bool)
    dots[1, 1] = dots[4, 3] = True
    assert [part.area >= 0.5 for part in outlines(dots, tolerance=50)] == [True, True]


def test_straight_edges_have_no_points_between_their_ends():
    (square,) = outlines(np.ones((5, 7), dtype=bool))
    assert sorted(square.exterior.coords[:-1]) == [(0, 0), (0, 5), (7, 0), (7, 5)]


@settings(max_examples=200, deadline=None)
@given(MASKS)
def test_filling_the_polygons_gives_every_pixel_back(mask):
    parts = outlines(mask)
    assert sum(part.area for part in parts) == mask.sum()
    rings = [keyhole_rings(part) for part in parts]
    assert np.array_equal(fill(rings, *mask.shape), mask)
    assert all(np.array_equal(ring, np.round(ring)) for ring in rings)


def test_a_chessboard_and_a_comb_survive():
    chess = np.indices((9, 9)).sum(axis=0) % 2 == 0
    comb = np.ones((9, 15), dtype=bool)
    comb[1:-1, 1:-1:2] = False
    comb[4, 1:-1] = True
    for mask in (chess, ~chess, comb):
        assert np.array_equal(fill([keyhole_rings(part) for part in outlines(mask)], *mask.shape), mask)


def test_a_tolerance_takes_points_away():
    rows, columns = np.indices((40, 40))
    disc = (rows - 20) ** 2 + (columns - 20) ** 2 < 15**2
    (exact,), (coarse,) = outlines(disc), outlines(disc, tolerance=1.0)
    assert len(coarse.exterior.coords) < len(exact.exterior.coords) / 2
    assert abs(coarse.area - exact.area) < 0.1 * exact.area


@settings(max_examples=200, deadline=None)
@given(MASKS)
def test_run_lengths_are_read_as_pycocotools_writes_them(mask):
    height, width = mask.shape
    made = rle.encode(mask)
    x, y, across, down = made.bbox
    assert (made.area, np.count_nonzero(mask[y : y + down, x : x + across])) == (mask.sum(), mask.sum())
    assert rle.read(made.counts, height, width) == made
    plain = [len(run) for run in np.split(mask.T.ravel(), np.flatnonzero(np.diff(mask.T.ravel())) + 1)]
    assert rle.read([0, *plain] if mask[0, 0] else plain, height, width) == made
    assert np.array_equal(made.mask(), mask)


def test_long_runs_are_read():
    mask = np.zeros((3000, 4000), dtype=bool)
    mask[1000:, 3999] = True
    assert rle.read(rle.encode(mask).counts, 3000, 4000).area == 2000


OF_100 = coco_mask.encode(np.asfortranarray(np.ones((10, 10), np.uint8)))["counts"].decode()


@pytest.mark.parametrize(
    "counts",
    [OF_100, "", "abc", "o" * 50, "\xff\xff", "0", "\u20ac", [1, 2], [-1, 5], [True, 3], ["4"], [], None, 4, {}],
)
def test_counts_that_are_not_of_the_image_are_refused(counts):
    with pytest.raises(ValueError, match=r"COCO mask"):
        rle.read(counts, 2, 2)


def test_no_mask_above_the_limit_is_made():
    with pytest.raises(ValueError, match="limit"):
        rle.read([10**12], 10**6, 10**6)


@pytest.mark.parametrize(
    "points",
    [
        [[0, 0], [1, 1]],
        [[0, 0], [1, 1], [np.nan, 0]],
        [[0, 0], [1e9, 1], [0, 1]],
        [[0, 0], [4, 4]] * 2000,
    ],
)
def test_polygons_that_cost_more_than_their_image_are_refused(points):
    with pytest.raises(ValueError, match="polygon"):
        polygon_mask([np.array(points, dtype=float)], 4, 4)


@given(st.integers(0, 3), st.integers(0, 3), st.integers(1, 4), st.integers(1, 4))
def test_a_box_of_whole_pixels_is_those_pixels(x, y, across, down):
    corners = np.array([[x, y], [x + across, y], [x + across, y + down], [x, y + down]], dtype=float)
    expected = np.zeros((4, 4), dtype=bool)
    expected[y : y + down, x : x + across] = True
    assert np.array_equal(polygon_mask([corners], 4, 4).mask(), expected)
