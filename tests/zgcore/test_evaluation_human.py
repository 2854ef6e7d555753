"""Human-verified IoU and recall by hand."""

from __future__ import annotations

import pytest

from tests.zgcore.evaluation_pictures import reassigned, scored
from zgcore.errors import EvaluationError
from zgcore.evaluation.human import HumanScores, human_notes, rated
from zgcore.evaluation.metric_config import MetricConfig
from zgcore.evaluation.scored import ST, TT
from zgcore.evaluation.summary import Summary

HALVES = "aabb aabb aabb aabb"
QUARTERS = "0011 0011 2233 2233"


@pytest.fixture
def image():
    # segments 0 and 2 are a, 1 and 3 are b; segment 3 is below the threshold of TT
    return scored(HALVES, QUARTERS, "photo", tt=reassigned("abab", [0.9, 0.8, 0.7, 0.3]))


def human(image, ratings, kinds=(TT,)):
    summary = Summary("ab", MetricConfig(resamples=20), ratings=dict.fromkeys(kinds, ratings))
    summary.add(image)
    return summary.document()["human"]


def of_images(images, ratings, kind=TT):
    scores = HumanScores("ab", kind, ratings, MetricConfig(resamples=20))
    for image in images:
        scores.add(image)
    return scores.document()


def right(name, similarity=1.0):
    """Both halves found; below a similarity of 0.5 nothing is kept."""
    return scored(HALVES, "0011 0011 0011 0011", name, tt=reassigned("ab", [similarity] * 2))


def test_points_take_the_place_of_similarity(image):
    found, unrated = rated(image, TT, {("photo", 0): 3, ("photo", 1): 1.5, ("other", 2): 3, ("photo", 3): 3}, 0.5)
    assert found.classes.tolist() == [0, 1, -1, -1]  # nobody rated 2, and 3 has no reassigned label
    assert found.similarity.tolist() == [3, 1.5, 0, 0]
    assert unrated == 1


def test_figures_by_points(image):
    ratings = {("photo", 0): 3.0, ("photo", 1): 1.0, ("photo", 2): 2.0}
    found = human(image, ratings, (TT, ST))
    assert set(found) == {TT}  # no ST was made
    tt = found[TT]
    assert (tt["images"], tt["rated"], tt["unrated"], tt["unmatched"]) == (1, 3, 0, 0)
    # 1: a 8/8, b 4/8. 2: a 8/8, b 0. 3: a 4/8, b 0.
    assert {least: entry["iou"] for least, entry in tt["least"].items()} == {"1": 0.75, "2": 0.5, "3": 0.25}
    assert {least: entry["recall"] for least, entry in tt["least"].items()} == {"1": 0.5, "2": 0.5, "3": 0.0}


def test_a_segment_rated_0_is_dropped_and_counts_as_rated(image):
    ratings = {("photo", k): 0.0 for k in range(3)}
    tt = human(image, ratings)[TT]
    assert (tt["rated"], tt["unrated"], tt["least"]["1"]["iou"]) == (3, 0, 0.0)


def test_kinds_are_rated_apart():
    both = scored(HALVES, QUARTERS, "photo", tt=reassigned("aaaa"), st=reassigned("abab"))
    assert rated(both, TT, {("photo", 1): 3}, 0.5)[0].classes.tolist() == [-1, 0, -1, -1]
    assert rated(both, ST, {("photo", 1): 3}, 0.5)[0].classes.tolist() == [-1, 1, -1, -1]
    summary = Summary("ab", MetricConfig(resamples=20), ratings={TT: {("photo", 1): 3}, ST: {("photo", 1): 1}})
    summary.add(both)
    found = summary.document()["human"]
    # segment 1, half of b: TT calls it a, wrong; ST calls it b, right by one point
    assert {kind: [one["iou"] for one in found[kind]["least"].values()] for kind in found} == {
        TT: [0.0, 0.0, 0.0],
        ST: [0.25, 0.0, 0.0],
    }


def test_images_that_nobody_rated_are_not_in_the_sample():
    """Four equal images, of one the left half was rated 3: half of its classes, and nothing is known of the others."""
    found = of_images([right(name) for name in "wxyz"], {("x", 0): 3.0})
    assert (found["images"], found["unseen"], found["rated"], found["unrated"]) == (1, 3, 1, 1)
    assert [one["iou"] for one in found["least"].values()] == [0.5, 0.5, 0.5]
    assert human_notes({TT: found}) == [
        "verified by people, TT: figures are of the 1 image with a rated segment; 3 images nobody rated, and those "
        "without a kept segment, are left out",
        "verified by people, TT: 1 kept segment is unrated, taken as wrong: figures are lower bounds",
    ]


@pytest.mark.parametrize("order", ["xyz", "zyx", "yxz"])
def test_images_without_a_kept_segment_count_where_all_others_were_rated(order):
    """z keeps nothing, so that nobody could be asked: its classes are missed."""
    images = {name: right(name, 0.1 if name == "z" else 1.0) for name in "xyz"}
    points = {(name, k): 3.0 for name in "xy" for k in range(2)}
    found = of_images([images[name] for name in order], points)
    assert (found["images"], found["unseen"], found["rated"], found["unrated"]) == (3, 0, 4, 0)
    assert found["least"][3]["iou"] == found["least"][3]["recall"] == pytest.approx(2 / 3)
    assert human_notes({TT: found}) == []
    sample = of_images([images[name] for name in order], {place: 3.0 for place in points if place[0] == "x"})
    assert (sample["images"], sample["unseen"], sample["least"][3]["iou"]) == (1, 1, 1.0)


def test_points_of_other_segments_are_told():
    points = {("x", 0): 3.0, ("x", 1): 3.0, ("x", 9): 3.0, ("zz", 0): 3.0, ("dropped", 0): 3.0}
    found = of_images([right("x"), right("dropped", 0.1)], points)
    assert (found["rated"], found["unmatched"], found["images"]) == (2, 3, 2)
    assert human_notes({TT: found}) == [
        "verified by people, TT: 3 scores are of segments that the run lacks or drops, and counted nowhere"
    ]


@pytest.mark.parametrize("place", [("zz", 0), ("x.png", 0), ("x", 9)])
def test_points_that_match_nothing_are_refused(place):
    with pytest.raises(
        EvaluationError, match=rf"none of the 1 scores .* segment {place[1]} of image '{place[0]}'.*'x'"
    ):
        of_images([right("x")], {place: 3.0})
    with pytest.raises(EvaluationError, match="there is no score"):
        of_images([right("x")], {})
