"""IoU and recall: each subtlety of the truth on 4 x 4 pixels worked out by hand, and random maps by other programs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from sklearn.metrics import confusion_matrix, jaccard_score

from tests.zgcore.evaluation_pictures import encode, masks, prediction, reassigned, scored, truth
from zgcore.errors import EvaluationError
from zgcore.evaluation.candidates import majority
from zgcore.evaluation.confusion import Confusion
from zgcore.evaluation.ground_truth import BACKGROUND, VOID, GroundTruth
from zgcore.evaluation.metric_config import MetricConfig
from zgcore.evaluation.overlap import overlap
from zgcore.evaluation.scored import ST, TT, Reassignment
from zgcore.evaluation.scores import class_areas
from zgcore.evaluation.summary import summarise

QUARTERS = "0011 0011 2233 2233"
HALVES = "aabb aabb aabb aabb"


def areas(true_picture, segments_picture, classes, similarity=None, thresholds=(0.5,)):
    found = overlap(prediction(masks(segments_picture)), truth(true_picture))
    return class_areas(found, reassigned(classes, similarity), thresholds)


def iou(*arguments, **more):
    return areas(*arguments, **more).iou().tolist()


def test_void_counts_nowhere():
    # a: I 8, P 8 + 2 of b (two void pixels do not count), G 8 -> 8/10. b: I 4, P 4, G 6 -> 4/6.
    found = areas("aa.b aa.b aabb aabb", "0001 0001 0001 0001", "ab")
    assert found.predicted.tolist() == [[10, 4]]
    assert found.truth.tolist() == [8, 6]
    assert found.class_iou()[0] == pytest.approx([8 / 10, 4 / 6])
    assert found.iou() == pytest.approx([(8 / 10 + 4 / 6) / 2])


def test_a_prediction_on_void_only_is_none():
    assert iou("aa.. aa.. aa.. aa..", "0011 0011 0011 0011", "ab") == [1.0]  # b was predicted where nobody knows


def test_background_counts_against_a_class_that_is_there():
    # I 4, P 8 with 4 of the background, G 4 -> 4/8
    assert iou("aa-- aa-- ---- ----", "0000 0000 .... ....", "a") == [0.5]


def test_background_does_not_count_against_a_class_that_is_absent():
    assert iou("aa-- aa-- ---- ----", "0000 0000 1111 1111", "ab") == [0.5]  # b lies on the background: not counted
    assert iou("aa-- aa-- ---- ----", "0000 0001 1111 1111", "ab") == [
        4 / 7
    ]  # still none: one pixel more of background
    # b takes one pixel of a: a is 3/8 (I 3, P 7, G 4), b scores 0, and the mean is over both
    assert iou("aa-- aa-- ---- ----", "0000 1000 .... ....", "ab") == [pytest.approx((3 / 8 + 0) / 2)]


def test_a_predicted_class_that_is_absent_scores_zero():
    found = areas("aaaa aaaa aaaa aaaa", "0011 0011 0011 0011", "ab")
    assert found.class_iou().tolist() == [[0.5, 0.0]]
    assert found.iou().tolist() == [0.25]
    assert found.hits(0.5).tolist() == [[0]]  # an IoU of 0.5 is not above 0.5
    assert found.hits(0.49).tolist() == [[1]]


def test_several_segments_of_one_class_are_united():
    # a: segments 0, 2 and 3: I 8, P 12, G 8 -> 8/12. b: segment 1: I 4, P 4, G 8 -> 4/8.
    assert iou(HALVES, QUARTERS, "abaa") == [pytest.approx((8 / 12 + 4 / 8) / 2)]


def test_a_segment_under_the_threshold_is_dropped():
    similarity = [0.9, 0.5, 0.9, 0.4]  # 0.5 reaches 0.5, 0.4 does not
    found = areas(HALVES, QUARTERS, "abaa", similarity, thresholds=(0.5, 0.4, 0.6, 0.95))
    # 0.5: a 8/8, b 4/8. 0.4: as above, 8/12 and 4/8. 0.6: a 1, b 0. 0.95: nothing is left, both are 0.
    assert found.iou() == pytest.approx([0.75, (8 / 12 + 0.5) / 2, 0.5, 0.0])
    assert found.hits([0.5])[:, 0].tolist() == [1, 1, 1, 0]
    assert found.recall([0.5])[:, 0].tolist() == [0.5, 0.5, 0.5, 0.0]


def test_thresholds_are_compared_as_float32():
    assert float(np.float32(0.7)) < 0.7  # and still a similarity of 0.7 reaches 0.7
    assert iou("aaaa aaaa aaaa aaaa", "0000 0000 0000 0000", "a", [0.7], thresholds=[0.7]) == [1.0]


def test_an_empty_prediction():
    assert iou(HALVES, ".... .... .... ....", "") == [0.0]  # two true classes, both missed
    found = areas(".... .... .... ....", ".... .... .... ....", "")
    assert np.isnan(found.iou()).tolist() == [True]  # nothing to find and nothing found: left out of averages
    assert np.isnan(found.recall([0.5])).all()


def test_segments_without_a_class_are_no_prediction():
    assert iou(HALVES, QUARTERS, "a.a.") == [0.5]  # a 8/8, b 0


def test_a_truth_of_one_class():
    assert iou("aaaa aaaa aaaa aaaa", QUARTERS, "aaaa") == [1.0]
    assert areas("aaaa aaaa aaaa aaaa", QUARTERS, "aaaa").recall(0.5).tolist() == [[1.0]]
    assert iou("bbbb bbbb bbbb bbbb", QUARTERS, "bbbb") == [1.0]


def test_masks_at_another_size():
    assert iou("aabb aabb aacc aacc", "01 02", "abc") == [1.0]  # 2 x 2 segments, each a block of four pixels
    # columns 0, 1, 1, 2 of 3: pixel centres at 1/8, 3/8, 5/8 and 7/8
    assert iou("abbc abbc abbc abbc", "012 012 012", "abc") == [1.0]


def test_overlapping_segments_of_two_classes():
    stack = np.stack([masks("000. 000. 000. 000.")[0], masks(".000 .000 .000 .000")[0]])
    found = class_areas(overlap(prediction(stack), truth(HALVES)), reassigned("ab"), [0.5])
    assert found.class_iou().tolist() == [[8 / 12, 8 / 12]]
    # of one class they are united, and the pixels that they share count once: I 8, P 16, G 8
    same = class_areas(overlap(prediction(stack), truth(HALVES)), reassigned("aa"), [0.5])
    assert same.class_iou().tolist() == [[0.5, 0.0]]


def test_confusion_by_hand():
    table = Confusion("ab")
    table.add(overlap(prediction(masks("0011 0011 .... ....")), truth("aab- aab- abb. aab.")), reassigned("ab"), 0.5)
    # a: 7 pixels, 4 under segment 0, 3 under none. b: 5, 2 under segment 1, 3 under none. Background: 2 under 1.
    assert table.matrix.tolist() == [[4, 0, 3], [0, 2, 3], [0, 2, 0]]
    assert table.document() == [
        {"truth": "a", "predicted": "(none)", "pixels": 3, "share": 3 / 7},
        {"truth": "b", "predicted": "(none)", "pixels": 3, "share": 3 / 5},
        {"truth": "(none)", "predicted": "b", "pixels": 2, "share": 1.0},
    ]


@pytest.mark.parametrize("seed", range(5))
def test_random_maps_by_other_programs(seed):
    rng = np.random.default_rng(seed)
    true, segments = rng.integers(0, 6, (23, 31)), rng.integers(0, 9, (23, 31))
    classes = rng.integers(0, 7, 9)  # class 6 is never in the truth
    found = overlap(prediction(segments == np.arange(9)[:, None, None]), GroundTruth(true.astype(np.int32)))
    reassignment = Reassignment(classes.astype(np.int32), np.ones(9, np.float32))
    areas = class_areas(found, reassignment, [0.5])
    labels = np.union1d(true, classes)
    predicted = classes[segments]
    assert areas.classes.tolist() == labels.tolist()
    assert areas.class_iou()[0] == pytest.approx(
        jaccard_score(true.ravel(), predicted.ravel(), labels=labels, average=None)
    )
    table = Confusion(range(7))
    table.add(found, reassignment, 0.5)
    assert (table.matrix[:7, :7] == confusion_matrix(true.ravel(), predicted.ravel(), labels=range(7))).all()
    assert table.matrix[7].sum() == table.matrix[:, 7].sum() == 0
    for column, number in enumerate(labels):
        pair = encode([true == number, predicted == number])
        assert areas.class_iou()[0, column] == pytest.approx(coco_mask.iou([pair[1]], [pair[0]], [0])[0, 0])


def plainly(true, stack, reassignment, threshold):
    """{class: (I, P, G)} of all counted classes, mask by mask."""
    found = {}
    kept = reassignment.similarity >= np.float32(threshold)
    present = set(true[true >= 0].tolist())
    for number in present | set(reassignment.classes[reassignment.classes >= 0].tolist()):
        segments = stack[kept & (reassignment.classes == number)]
        united = segments.any(axis=0) if len(segments) else np.zeros(true.shape, bool)
        counted = (true != VOID) & ((true != BACKGROUND) | (number in present))
        numbers = [int(mask.sum()) for mask in (united & (true == number), united & counted, true == number)]
        if numbers[1] + numbers[2]:
            found[number] = tuple(numbers)
    return found


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.lists(st.sampled_from([0, 0.25, 0.5, 0.7, 1]), min_size=1))
def test_overlapping_segments_and_thresholds_against_plain_masks(seed, n, thresholds):
    rng = np.random.default_rng(seed)
    true = rng.integers(-2, 4, (5, 7)).astype(np.int32)
    stack = rng.random((n, 5, 7)) < rng.random((n, 1, 1))
    reassignment = Reassignment(
        rng.integers(-1, 5, n).astype(np.int32), rng.choice([0.1, 0.25, 0.5, 0.7, 0.9], n).astype(np.float32)
    )
    found = class_areas(overlap(prediction(stack), GroundTruth(true)), reassignment, thresholds)
    for row, threshold in enumerate(thresholds):
        counted = np.flatnonzero(found.unions[row])
        assert {
            int(found.classes[k]): (int(found.intersections[row, k]), int(found.predicted[row, k]), int(found.truth[k]))
            for k in counted
        } == plainly(true, stack, reassignment, threshold)
        alone = class_areas(overlap(prediction(stack), GroundTruth(true)), reassignment, [threshold])
        assert np.array_equal(alone.iou(), found.iou()[[row]], equal_nan=True)
        assert np.array_equal(alone.hits([0.1, 0.5]), found.hits([0.1, 0.5])[[row]])


def test_majority_by_hand():
    found = majority(overlap(prediction(masks("0011 0011 2223 2224")), truth("aabb aba- a--. ---.")))
    # 0: 3 a, 1 b. 1: 2 b, 1 a, 1 background. 2: 1 a, 5 background, so none. 3 and 4: void, so none.
    assert found.classes.tolist() == [0, 1, -1, -1, -1]
    assert found.similarity == pytest.approx([3 / 4, 2 / 4, 0, 0, 0])


def test_summary_by_hand():
    images = [
        scored(HALVES, QUARTERS, "one", tt=reassigned("abaa", [0.9, 0.5, 0.9, 0.4])),  # a 1, b 1/2; of 2 classes 1 hit
        scored("aaaa aaaa aaaa aaaa", "0011 0011 0011 0011", "two", tt=reassigned("ac")),  # a 1/2, c 0; no hit
        scored(".... .... .... ....", QUARTERS, "three", tt=reassigned("abcd")),  # nothing to count
    ]
    found = summarise(images, "abcd", MetricConfig(resamples=50))
    tt = found["tt"]
    assert found["images"] == 3
    assert tt["images"] == 2
    assert tt["iou"] == pytest.approx((0.75 + 0.25) / 2)
    assert tt["recall"] == pytest.approx((1 / 2 + 0) / 2)
    assert tt["recall_pooled"] == pytest.approx(1 / 3)
    assert tt["iou_dataset"] == pytest.approx(
        (16 / 24 + 4 / 8) / 2
    )  # a: I 8 + 8, U 8 + 16; b: 4 of 8; c is in no truth
    assert tt["pixel_accuracy"] == pytest.approx((12 + 8) / 32)
    assert tt["kept"] == pytest.approx(9 / 10)
    assert tt["curve"]["iou"][tt["curve"]["similarity"].index(0.4)] == pytest.approx(((8 / 12 + 4 / 8) / 2 + 0.25) / 2)
    assert tt["curve"]["iou"][-1] == pytest.approx((0 + 0.25) / 2)  # at 1.0 only the second image's segments are left
    assert dict(zip(tt["recall_curve"]["iou"], tt["recall_curve"]["recall_pooled"], strict=True))[0.45] == 1.0
    assert {row["name"]: row["recall"] for row in tt["classes"]} == {"a": 0.5, "b": 0.0, "c": None}
    assert "st" not in found
    assert found["tgq"] is None
    low, high = tt["interval"]["iou"]
    assert low == pytest.approx(0.25)
    assert high == pytest.approx(0.75)


def test_text_generation_quality_by_hand():
    named = [reassigned("ab", [0.5, 0.49]), reassigned("a", [0.8])]
    images = [scored(HALVES, QUARTERS, f"{k}", named=each) for k, each in enumerate(named)]
    found = summarise(images, "ab", MetricConfig(resamples=20))
    assert found["tgq"] == pytest.approx(2 / 3)
    assert found["tgq_masks"] == 3
    assert found["tgq_curve"]["tgq"][found["tgq_curve"]["similarity"].index(0.6)] == pytest.approx(1 / 3)


def test_a_kind_that_only_some_images_have_is_refused():
    images = [
        scored(HALVES, QUARTERS, **{TT: reassigned("abab")}),
        scored(HALVES, QUARTERS, **{ST: reassigned("abab")}),
    ]
    with pytest.raises(EvaluationError, match="tt exists for 1 of 2 images"):
        summarise(images, "ab", MetricConfig(resamples=5))


def test_no_images():
    with pytest.raises(EvaluationError, match="no image was evaluated"):
        summarise([], "ab")
