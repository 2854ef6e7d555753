"""Boundary F-scores by hand, and against distances worked out pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.zgcore.evaluation_pictures import truth
from zgcore.evaluation import boundary as module
from zgcore.evaluation.boundary import boundary, boundary_counts, boundary_score, fill_thin_void, within
from zgcore.evaluation.ground_truth import VOID


def test_boundary_pixels_by_hand():
    found = boundary(truth("aabb aabb aabb aaab").index_map)
    assert found.astype(int).tolist() == [[0, 1, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]]


def test_no_boundary_beside_void():
    assert not boundary(truth("aa.. aa.. .... ....").index_map).any()
    assert boundary(truth("a-.b a-.b").index_map).astype(int).tolist() == [[1, 0, 0, 0], [1, 0, 0, 0]]


def columns(*widths):
    """(40, sum) regions side by side."""
    return np.repeat(np.arange(len(widths), dtype=np.int32), widths)[None].repeat(40, axis=0)


@pytest.mark.parametrize(("shift", "share"), [(0, 1.0), (2, 1.0), (3, 0.0), (-2, 1.0), (-3, 0.0)])
def test_tolerance_of_two_pixels(shift, share):
    counts = boundary_counts(columns(20 + shift, 20 - shift), columns(20, 20))  # the diagonal is 57: 0.42 px, so 2
    assert counts == (40 * share, 40, 40 * share, 40)


def test_tolerance_grows_with_the_image():
    true = np.repeat(columns(400, 400), 15, axis=0)  # 800 x 600: the diagonal is 1000, the tolerance 7.5
    for shift, share in [(7, 1.0), (8, 0.0)]:
        moved = np.repeat(columns(400 + shift, 400 - shift), 15, axis=0)
        assert boundary_score(np.array(boundary_counts(moved, true))).tolist() == [share, share, share]


def test_precision_and_recall_by_hand():
    # predicted lines at 10, 20, 30; true ones at 20 and 35
    counts = boundary_counts(columns(10, 10, 10, 10), columns(20, 15, 5))
    assert counts == (40, 120, 40, 80)
    assert boundary_score(np.array(counts)) == pytest.approx([1 / 3, 1 / 2, 0.4])


def test_nothing_to_find_or_nothing_found():
    assert all(math.isnan(value) for value in boundary_score(np.array(boundary_counts(columns(40), columns(40)))))
    assert boundary_score(np.array([0, 40, 0, 0])) == pytest.approx([0, np.nan, 0], nan_ok=True)
    assert boundary_score(np.array([0, 0, 0, 40])) == pytest.approx([np.nan, 0, 0], nan_ok=True)


def test_thin_void_is_halved_and_deep_void_counts_nowhere():
    thin = columns(18, 4, 18)
    thin[thin == 1] = VOID
    assert (fill_thin_void(thin, 2.0)[0] == [0] * 20 + [2] * 20).all()
    assert boundary_counts(columns(20, 20), thin) == (40, 40, 40, 40)
    deep = columns(10, 20, 10)
    deep[deep == 1] = VOID
    assert boundary_counts(columns(10, 30), deep) == (0, 0, 0, 0)  # a guess in the void, or beside it
    assert boundary_counts(columns(5, 35), deep) == (0, 40, 0, 0)  # a wrong one far from it


def test_everything_void():
    assert boundary_counts(columns(20, 20), np.full((40, 40), VOID, np.int32)) == (0, 0, 0, 0)


@pytest.mark.parametrize("reach", [1.0, 2.0, 3.7])
def test_within_against_all_distances(reach, monkeypatch):
    rng = np.random.default_rng(1)
    pixels = rng.random((30, 17)) < 0.02
    monkeypatch.setattr(module, "AT_ONCE", 17 * 7)  # bands of seven rows
    y, x = np.indices(pixels.shape)
    wanted = np.zeros(pixels.shape, bool)
    for row, column in np.argwhere(pixels):
        wanted |= (y - row) ** 2 + (x - column) ** 2 <= reach**2
    assert (within(pixels, reach) == wanted).all()


def test_void_is_filled_alike_in_bands(monkeypatch):
    rng = np.random.default_rng(2)
    true = np.kron(rng.integers(0, 4, (6, 5)), np.ones((7, 7), int)).astype(np.int32)
    true[rng.random(true.shape) < 0.6] = VOID
    whole = fill_thin_void(true, 1.0)  # at 1 px the nearest may be several: those must be of one class to compare
    monkeypatch.setattr(module, "AT_ONCE", 35 * 5)
    bands = fill_thin_void(true, 1.0)
    assert ((whole == VOID) == (bands == VOID)).all()
    assert (whole[true != VOID] == true[true != VOID]).all()
    assert set(np.unique(bands)) <= {VOID, 0, 1, 2, 3}
