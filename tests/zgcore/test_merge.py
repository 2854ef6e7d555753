"""Merging on a hand-made tree with hand-made similarities: every branch of the rule."""

import math

import numpy as np
import pytest

from zgcore.config import MergeConfig
from zgcore.merge import Described, Merging, cosine, similarity


def at(image_degrees: float, text_degrees: float | None = None, label: str = "") -> Described:
    """A segment whose embeddings point at given angles, so that cosines can be read off."""
    image, text = (
        np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))], dtype=np.float32)
        for angle in (image_degrees, image_degrees if text_degrees is None else text_degrees)
    )
    return Described(image, label, 0.0, text)


def test_similarity_is_half_image_half_text():
    assert similarity(at(0, 0), at(60, 0), 0.5) == pytest.approx(0.75)
    assert similarity(at(0, 0), at(60, 90), 0.5) == pytest.approx(0.25)
    assert similarity(at(0, 0), at(60, 90), 1.0) == pytest.approx(0.5)
    assert cosine(np.zeros(2, np.float32), np.ones(2, np.float32)) == 0.0


#        0
#      /   \
#     1     2
#    / \   / \
#   3   4 5   6
#  / \
# 7   8
LEAVES = (4, 5, 6, 7, 8)


def merge(angles: dict[int, float], parents: dict[int, float], **settings: float) -> tuple[list[list[int]], list[int]]:
    """Run the rule; `parents` gives the angle a merged node gets. Returns the rounds and the final nodes."""
    merging = Merging({leaf: at(angles[leaf]) for leaf in LEAVES}, MergeConfig(**settings))
    rounds = []
    while proposed := merging.propose():
        rounds.append(proposed)
        merging.accept({node: at(parents[node]) for node in proposed})
    return rounds, sorted(merging.segments)


def test_independent_pairs_merge_in_one_round_and_parents_go_on():
    angles = {7: 0, 8: 10, 4: 5, 5: 90, 6: 95}
    rounds, final = merge(angles, {3: 5, 2: 92, 1: 5})
    assert rounds == [[2, 3], [1]]  # 2 and 3 together, then 3 with 4; 1 and 2 are 87 degrees apart
    assert final == [1, 2]


def test_everything_merges_to_the_root():
    angles = dict.fromkeys(LEAVES, 0)
    rounds, final = merge(angles, {3: 0, 2: 0, 1: 0, 0: 0})
    assert rounds == [[2, 3], [1], [0]]
    assert final == [0]


def test_a_failed_pair_stops_its_branch():
    """7 and 8 fail, so 3 never exists and 4 keeps standing alone, however alike it is to either."""
    angles = {7: 0, 8: 60, 4: 0, 5: 90, 6: 90}
    rounds, final = merge(angles, {2: 90})
    assert rounds == [[2]]
    assert final == [2, 4, 7, 8]


def test_a_merged_parent_is_judged_by_its_own_embedding():
    """Children agree, but the union means something else: it stays apart from its sibling."""
    angles = {7: 0, 8: 0, 4: 0, 5: 0, 6: 90}
    rounds, final = merge(angles, {3: 80})
    assert rounds == [[3]]
    assert final == [3, 4, 5, 6]


def test_the_threshold_itself_merges():
    pair = {5: at(0, 0), 6: at(0, 0)}
    assert Merging(pair, MergeConfig(threshold=1.0)).propose() == [2]
    assert Merging({5: at(0, 0), 6: at(90, 0)}, MergeConfig(threshold=0.51)).propose() == []
    assert Merging({5: at(0, 0), 6: at(90, 0)}, MergeConfig(threshold=0.49)).propose() == [2]


def test_a_single_leaf_is_done():
    merging = Merging({0: at(0)}, MergeConfig())
    assert merging.propose() == []
    assert list(merging.segments) == [0]


def test_max_segments_merges_the_most_similar_pair_first():
    angles = {7: 0, 8: 80, 4: 0, 5: 0, 6: 40}
    rounds, final = merge(angles, {2: 90, 3: 45}, max_segments=4)
    assert rounds == [[2]]  # 5 and 6 are 40 degrees apart, 7 and 8 are 80
    assert final == [2, 4, 7, 8]


def test_max_segments_goes_on_until_it_holds():
    angles = {7: 0, 8: 80, 4: 0, 5: 0, 6: 40}
    rounds, final = merge(angles, {2: 90, 3: 45, 1: 40, 0: 0}, max_segments=1)
    assert final == [0]
    assert rounds[0] == [2, 3]


def test_max_segments_does_not_disturb_what_fits():
    angles = {7: 0, 8: 80, 4: 0, 5: 0, 6: 80}
    assert merge(angles, {}, max_segments=5) == ([], sorted(LEAVES))
