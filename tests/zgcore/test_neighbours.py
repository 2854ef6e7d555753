"""Lists that outlive merges: what they claim holds after every round, and they spare searches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import linkage

from tests.zgcore.test_nearest import forest, ward_distances
from zgcore import forest as forest_module
from zgcore.neighbours import Merging, Neighbours, merged_distance
from zgcore.ward import merge_tree

RNG = np.random.default_rng(0)


def claims_hold(clusters, live):
    """Every live row's bounds and radius are below the distances, and what it lists is alive, once each."""
    near, distances = clusters.neighbours, ward_distances(clusters)
    alive = set(live.tolist())
    for row in alive:
        listed = near.bound[row] < torch.inf
        entries = dict(zip(near.slot[row][listed].tolist(), near.bound[row][listed].tolist(), strict=True))
        assert len(entries) == int(listed.sum())
        assert set(entries) <= alive - {row}
        for other in alive - {row}:
            claimed = entries.get(other, near.radius[row].item())
            assert claimed <= distances[row, other].item() * (1 + 1e-9)
    return True


@pytest.mark.parametrize("k", [1, 3, 16])
def test_lists_tell_the_truth_after_every_round(monkeypatch, k):
    monkeypatch.setattr(forest_module, "NEIGHBOURS", k)
    centres = RNG.normal(size=(5, 6))
    clusters = forest(centres[RNG.integers(0, 5, 60)] + 0.3 * RNG.normal(size=(60, 6)), RNG.integers(1, 9, 60) * 1.0)
    rounds = []
    merge = clusters._merge

    def checked(one, other, live):
        stale, live = merge(one, other, live)
        rounds.append(claims_hold(clusters, live))
        return stale, live

    monkeypatch.setattr(clusters, "_merge", checked)
    clusters.grow()
    assert len(rounds) > 3
    assert len(clusters.merges.pairs) == 59


def test_most_rounds_need_few_searches(monkeypatch):
    searched = []
    listing = forest_module.list_by_products

    def counted(forest, rows, live, k):
        searched.append(len(rows))
        return listing(forest, rows, live, k)

    monkeypatch.setattr(forest_module, "list_by_products", counted)
    merge_tree(RNG.normal(size=(20, 16))[RNG.integers(0, 20, 1000)] + 0.3 * RNG.normal(size=(1000, 16)))
    assert searched[0] == 1000
    assert sum(searched[1:]) < 1000  # 524; without lists 3,244, every row whose nearest merged


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 50), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_short_lists_give_scipys_tree(n, c, k, seed, tightness):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(4, c))[rng.integers(0, 4, n)] + 10 ** (-6 * tightness) * rng.normal(size=(n, c))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forest_module, "NEIGHBOURS", k)
        ours, theirs = merge_tree(points), linkage(points, "ward")
    np.testing.assert_allclose(ours[:, 2], theirs[:, 2], rtol=1e-7)
    np.testing.assert_array_equal(ours[:, [0, 1, 3]], theirs[:, [0, 1, 3]])


def test_merged_distance_by_hand():
    # {0} and {2} on a line, 4 apart in squared height (2 * 1 * 1 / 2 * 2^2); the point 5 is 25 and 9 away; their mean 1
    # is 4 away: 2 * 2 * 1 / 3 * 16
    one, other, between, size = (torch.tensor(value, dtype=torch.float64) for value in (25.0, 9.0, 4.0, 1.0))
    assert merged_distance(one, other, between, size, size, size).item() == pytest.approx(64 / 3, rel=1e-11)


def test_follow_and_join_by_hand():
    """Points 0, 2, 5, 9 on a line; 0 and 2 merge (height 4). Squared heights to 5: 25 and 9, to 9: 81 and 49."""
    near = Neighbours(4, 2, torch.device("cpu"))
    rows = torch.arange(4)
    slots = torch.tensor([[1, 2], [0, 2], [1, 3], [2, 1]])
    bounds = torch.tensor([[4.0, 25.0], [4.0, 9.0], [9.0, 16.0], [16.0, 49.0]], dtype=torch.float64)
    radius = torch.tensor([81.0, 49.0, 25.0, 81.0], dtype=torch.float64)
    near.put(rows, slots, bounds, radius)
    one = torch.ones(1, dtype=torch.float64)
    merging = Merging(torch.tensor([0]), torch.tensor([1]), 4 * one, one, one)
    sizes = torch.ones(4, dtype=torch.float64)
    near.follow(rows, sizes, merging)
    # 2's entry for 1 becomes one for 0, with 25, its radius, for the part it does not list: (2*9 + 2*25 - 4) / 3;
    # 3's likewise: (2*49 + 2*81 - 4) / 3, both the true distances
    assert near.slot[2:].tolist() == [[0, 3], [2, 0]]
    np.testing.assert_allclose(near.bound[2:], [[64 / 3, 16], [16, 256 / 3]], rtol=1e-11)
    assert near.bound[:2, 0].tolist() == [np.inf, np.inf]  # the pair's entries for each other
    sizes[0] = 2
    near.join(sizes, merging)
    # both list 2: (2*25 + 2*9 - 4) / 3; what neither lists is at least min((81 + 49) / 2, 81 + 49 - 4) away
    assert near.bound[0].tolist() == [pytest.approx(64 / 3, rel=1e-11), np.inf]
    assert near.slot[0, 0] == 2
    assert near.radius[0].item() == pytest.approx(65, rel=1e-11)
