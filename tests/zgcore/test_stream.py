"""Overlapping stages give what one image at a time gives, in order, whatever fails in between."""

import numpy as np
import pytest

from zgcore import Segmentation, ZeroGuidance, load_image
from zgcore.errors import ImageMissing
from zgcore.samples import sample_paths
from zgcore.stream import Failure, SegmentStream, read_ahead

SMALL = {"dino__size": 64, "crf__size": 32, "crf__refine_size": 64}
QUICK_MINI = {"zerocap__max_tokens": 1, "zerocap__iterations": 1, "zerocap__first_candidates": 256}


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    return [load_image(path) for path in sample_paths()[:5]]


@pytest.fixture(scope="module")
def untrained() -> ZeroGuidance:
    return ZeroGuidance.from_preset("untrained", device="cpu", **SMALL)


@pytest.fixture(scope="module")
def alone(untrained, photos) -> list[Segmentation]:
    return [untrained(photo) for photo in photos]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.index_map.dtype == other.index_map.dtype
        assert one.index_map.tobytes() == other.index_map.tobytes()
        assert one.labels == other.labels
        assert one.nodes == other.nodes


@pytest.mark.parametrize(("workers", "group"), [(0, 1), (0, 3), (1, 1), (1, 5), (2, 2), (2, 7)])
def test_the_same_masks_and_labels_as_alone(untrained, photos, alone, workers, group):
    assert_same(untrained.segment_stream(photos, workers=workers, group=group), alone)


@pytest.fixture(scope="module")
def mini(photos) -> tuple[ZeroGuidance, list[Segmentation]]:
    model = ZeroGuidance.from_preset("mini", device="cpu", **QUICK_MINI)
    return model, [model(photo) for photo in photos[:2]]


@pytest.mark.parametrize(("workers", "group"), [(0, 2), (1, 1), (2, 2)])
def test_the_same_masks_and_labels_as_alone_with_mini(mini, photos, workers, group):
    model, expected = mini
    assert_same(model.segment_stream(photos[:2], workers=workers, group=group), expected)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_image_stands_in_its_place_and_takes_no_other_down(untrained, photos, alone, workers):
    inputs = [photos[0], "missing.jpg", np.zeros((4, 4), np.uint8), sample_paths()[1], b"", photos[2]]
    results = list(untrained.segment_stream(inputs, workers=workers, group=2))
    assert [isinstance(result, Failure) for result in results] == [False, True, True, False, True, False]
    assert isinstance(results[1].error, ImageMissing)
    assert isinstance(results[2].error, ValueError)
    assert_same([results[0], results[3], results[5]], alone[:3])


def test_no_images(untrained):
    assert list(untrained.segment_stream([])) == []


class Steps:
    """The stages of a stream as numbers: begin adds 1, finish multiplies by ten; 13 cannot begin, 20 not finish."""

    def __init__(self) -> None:
        self.under_way = self.most = 0
        self.groups: list[int] = []

    def begin(self, image):
        if image == 13:
            raise ValueError("unlucky")
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        return image + 1

    def finish(self, begun):
        self.groups.append(len(begun))
        if 21 in begun:
            raise RuntimeError("score")
        self.under_way -= len(begun)
        return [10 * one for one in begun]


@pytest.mark.parametrize(("group", "ahead", "groups"), [(1, 0, [1] * 5), (2, 0, [2, 2, 1]), (2, 3, [2, 2, 1])])
def test_groups_in_order_and_never_more_under_way(group, ahead, groups):
    steps, found, ready = Steps(), [], []
    with SegmentStream(steps.begin, steps.finish, group=group, ahead=ahead) as stream:
        for number in range(5):
            found += stream.push(number)
            ready.append(len(found))
        found += stream.drain()
    assert found == [10, 20, 30, 40, 50]
    assert ready == [group * ((number + 1 - ahead) // group) if number >= ahead else 0 for number in range(5)]
    assert steps.groups == groups
    assert steps.most <= group + ahead


def test_failures_keep_their_places():
    steps = Steps()
    with SegmentStream(steps.begin, steps.finish, group=4) as stream:
        assert stream.push(1) == stream.push(13) == stream.push(20) == []
        found = stream.push(2)
    assert [found[0], found[3]] == [20, 30]
    assert [str(found[index].error) for index in (1, 2)] == ["unlucky", "score"]
    assert steps.groups == [3, 1, 1, 1]


def test_the_end_is_told_even_after_an_error():
    closed = []
    with pytest.raises(KeyboardInterrupt), SegmentStream(int, list, close=lambda: closed.append(True)):
        raise KeyboardInterrupt
    assert closed == [True]


@pytest.mark.parametrize("wrong", [{"group": 0}, {"ahead": -1}])
def test_impossible_groups(wrong):
    with pytest.raises(ValueError, match="group must be at least 1"):
        SegmentStream(int, list, **wrong)


@pytest.mark.parametrize("threads", [1, 3])
def test_reading_ahead_is_bounded_and_in_order(threads):
    read = []

    def square(number):
        read.append(number)
        return number * number

    results = read_ahead(square, range(100), depth=2, threads=threads)
    assert next(results) == 0
    assert next(results) == 1
    assert max(read) <= 3  # one in use, two beyond it
    assert list(results) == [number * number for number in range(2, 100)]


def test_what_reading_raises_comes_in_its_turn():
    results = read_ahead(lambda number: 6 // number, [3, 2, 0, 1])
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)
