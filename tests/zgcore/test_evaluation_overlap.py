"""Tables of shared pixels: by hand, and against plain masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.zgcore.evaluation_pictures import encode, masks, prediction, truth
from zgcore.errors import EvaluationError
from zgcore.evaluation import overlap as overlap_module
from zgcore.evaluation.ground_truth import BACKGROUND, GroundTruth
from zgcore.evaluation.overlap import count, overlap
from zgcore.evaluation.partition import nearest, partition


def test_disjoint_segments_are_atoms():
    found = overlap(prediction(masks("0011 0011 2... 2...")), truth("aac. aacc a--- b---"))
    assert found.classes.tolist() == [0, 1, 2]
    rows = {tuple(member): (*counts, background) for member, counts, background in zip(
        found.members.tolist(), found.counts.tolist(), found.background.tolist(), strict=True
    )}  # fmt: skip
    assert rows == {
        (True, False, False): (4, 0, 0, 0),
        (False, True, False): (0, 0, 3, 0),  # of its four pixels one is void
        (False, False, True): (1, 1, 0, 0),
        (False, False, False): (0, 0, 0, 6),
    }


def test_overlapping_segments_are_split():
    stack = np.stack(
        [masks("000. 000. .... ....")[0], masks(".00. .00. .00. ....")[0], masks("0000 0000 0000 0000")[0]]
    )
    parts = partition(encode(stack), 4, 4)
    assert sorted(map(tuple, parts.members.tolist())) == [
        (False, False, True), (False, True, True), (True, False, True), (True, True, True)
    ]  # fmt: skip
    assert sorted(np.bincount(parts.atoms.ravel())) == [2, 2, 4, 8]
    assert parts.areas().tolist() == [6, 6, 16]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 8), st.integers(1, 9), st.integers(1, 9))
def test_any_segments_against_plain_masks(seed, n, height, width):
    rng = np.random.default_rng(seed)
    stack = rng.random((n, height, width)) < rng.random((n, 1, 1))
    true = rng.integers(-2, 3, (height, width)).astype(np.int32)
    parts = partition(encode(stack), height, width)
    assert (parts.members[parts.atoms] == np.moveaxis(stack, 0, -1)).all()
    assert len({tuple(row) for row in parts.members.tolist()}) == len(parts.members)
    assert set(np.unique(parts.atoms)) == set(range(len(parts.members)))  # no atom is empty
    assert parts.areas().tolist() == stack.sum(axis=(1, 2)).tolist()
    found = count(parts, GroundTruth(true))
    for k, mask in enumerate(stack):
        mine = found.members[:, k]
        assert found.counts[mine].sum(axis=0).tolist() == [int((mask & (true == c)).sum()) for c in found.classes]
        assert found.background[mine].sum() == (mask & (true == BACKGROUND)).sum()
    assert found.counts.sum() == (true >= 0).sum()


@pytest.mark.parametrize(("old", "new", "rows"), [
    (2, 4, [0, 0, 1, 1]),
    (8, 4, [1, 3, 5, 7]),  # the new pixel's centre lies on the border of 0 and 1: it is 1's first point
    (3, 4, [0, 1, 1, 2]),
    (4, 3, [0, 2, 3]),
    (5, 5, [0, 1, 2, 3, 4]),
])  # fmt: skip
def test_nearest_pixels(old, new, rows):
    assert nearest(old, new).tolist() == rows


def test_resized_as_pillow_does():
    rng = np.random.default_rng(3)
    numbers = rng.integers(0, 6, (37, 53)).astype(np.uint8)
    stack = numbers == np.arange(6)[:, None, None]
    for height, width in [(74, 106), (60, 90), (20, 31), (37, 100)]:
        wanted = np.asarray(Image.fromarray(numbers).resize((width, height), Image.Resampling.NEAREST))
        parts = partition(encode(stack), height, width)
        assert (parts.members[parts.atoms].argmax(axis=-1) == wanted).all()


def test_atoms_that_resizing_loses_count_nothing():
    found = overlap(prediction(masks("01111111 11111111 11111111 11111111")), truth("ab ab"))
    assert found.counts[found.members[:, 0]].sum() == 0
    assert found.counts[found.members[:, 1]].sum(axis=0).tolist() == [2, 2]


def test_counted_in_parts(monkeypatch):
    rng = np.random.default_rng(0)
    stack, true = rng.random((4, 30, 20)) < 0.4, GroundTruth(rng.integers(-2, 5, (30, 20)).astype(np.int32))
    whole = overlap(prediction(stack), true)
    monkeypatch.setattr(overlap_module, "CHUNK", 50)  # two rows at a time
    parts = overlap(prediction(stack), true)
    assert (parts.counts == whole.counts).all()
    assert (parts.background == whole.background).all()


def test_nothing_predicted():
    found = overlap(prediction(np.zeros((0, 4, 4), bool)), truth("aabb aabb aabb aab."))
    assert found.members.shape == (1, 0)
    assert found.counts.tolist() == [[8, 7]]


def test_void_alone():
    found = overlap(prediction(masks("00 11")), truth(".. .."))
    assert found.counts.shape == (2, 0)
    assert found.counts.sum() == found.background.sum() == 0


def test_masks_of_different_sizes_are_refused():
    made = encode(masks("01 01"))[:1] + encode(masks("012 012"))[:1]
    with pytest.raises(EvaluationError, match="differ in size: 3 x 2 beside 2 x 2"):
        partition(made, 2, 2)


@pytest.mark.parametrize("counts", [None, 3.5])
def test_what_is_no_mask_is_refused(counts):
    with pytest.raises(EvaluationError, match="no COCO run-length mask"):
        partition([{"size": [2, 2], "counts": counts}], 2, 2)


def test_an_unknown_class_is_refused():
    with pytest.raises(ValueError, match="a truth holds classes"):
        overlap(prediction(masks("00")), GroundTruth(np.array([[-3, 0]], np.int32)))
