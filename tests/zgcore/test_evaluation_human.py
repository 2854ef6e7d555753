"""Human-verified IoU and recall by hand."""

from __future__ import annotations

import pytest

from tests.zgcore.evaluation_pictures import reassigned, scored
from zgcore.evaluation.human import rated
from zgcore.evaluation.metric_config import MetricConfig
from zgcore.evaluation.scored import ST, TT
from zgcore.evaluation.summary import Summary

HALVES = "aabb aabb aabb aabb"
QUARTERS = "0011 0011 2233 2233"


@pytest.fixture
def image():
    # segments 0 and 2 are a, 1 and 3 are b; segment 3 is below the threshold of TT
    return scored(HALVES, QUARTERS, "photo", tt=reassigned("abab", [0.9, 0.8, 0.7, 0.3]))


def human(image, ratings, **more):
    summary = Summary("ab", MetricConfig(resamples=20), ratings=ratings, **more)
    summary.add(image)
    return summary.document()["human"]


def test_points_take_the_place_of_similarity(image):
    found, unrated = rated(image, TT, {("photo", 0): 3, ("photo", 1): 1.5, ("other", 2): 3, ("photo", 3): 3}, 0.5)
    assert found.classes.tolist() == [0, 1, -1, -1]  # nobody rated 2, and 3 has no reassigned label
    assert found.similarity.tolist() == [3, 1.5, 0, 0]
    assert unrated == 1


def test_figures_by_points(image):
    ratings = {("photo", 0): 3.0, ("photo", 1): 1.0, ("photo", 2): 2.0}
    found = human(image, ratings)
    assert set(found) == {TT}  # no ST was made
    tt = found[TT]
    assert (tt["rated"], tt["unrated"]) == (3, 0)
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
    assert set(human(both, {("photo", 1): 3})) == {TT, ST}
    assert set(human(both, {("photo", 1): 3}, rated=[ST])) == {ST}  # points for ST's labels say nothing of TT's
