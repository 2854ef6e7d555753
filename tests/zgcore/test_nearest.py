"""Screening must never lose a nearest neighbour: its bounds are held against float64 differences."""

import numpy as np
import pytest
import torch

from zgcore.nearest import STUCK_CANDIDATES, Screen
from zgcore.ward import Forest, _Merges

RNG = np.random.default_rng(0)


def forest(points, weights=None):
    tensor = torch.from_numpy(points / np.abs(points).max())
    sizes = torch.ones(len(points), dtype=torch.float64) if weights is None else torch.from_numpy(weights)
    return Forest(tensor, sizes, np.arange(len(points)), _Merges())


def ward_distances(forest):
    points, weights = forest.centroids[: forest.used], forest.weights[: forest.used]
    squares = (points[:, None] - points).square().sum(-1)
    return squares * 2 / (1 / weights[:, None] + 1 / weights)


POINTS = {
    "spread": RNG.normal(size=(300, 12)),
    "tight": RNG.normal(size=(3, 12))[RNG.integers(0, 3, 300)] + 1e-5 * RNG.normal(size=(300, 12)),
    "outlier": np.vstack([RNG.normal(size=(299, 12)), np.full((1, 12), 1e6)]),
}


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("asking", [300, 20])  # all rows: both halves of a block serve; few: rows against all slots
def test_every_nearest_neighbour_is_among_the_candidates(name, weighted, asking):
    clusters = forest(POINTS[name], RNG.integers(1, 50, 300).astype(float) if weighted else None)
    exact = ward_distances(clusters).fill_diagonal_(torch.inf)
    rows = torch.arange(300)[-asking:]
    screen = Screen(clusters, rows, torch.arange(300))
    assert screen.symmetric == (asking == 300)
    row, slot = screen.candidates()
    assert (rows[row] != slot).all()
    pairs = set(zip(rows[row].tolist(), slot.tolist(), strict=True))
    assert pairs >= set(zip(rows.tolist(), exact[rows].argmin(dim=1).tolist(), strict=True))
    assert len(pairs) < 3 * asking  # and it does screen
    # tight groups are beyond products, and so is what the outlier sees: they are measured by differences
    assert screen.stuck[: asking - 1].any() == (name == "tight")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", POINTS)
def test_bounds_are_below_the_distances(name, weighted):
    clusters = forest(POINTS[name], RNG.integers(1, 50, 300).astype(float) if weighted else None)
    screen = Screen(clusters, torch.arange(300), torch.arange(300))
    lower = screen._lower_bounds(torch.arange(300), 0).double()
    assert (lower <= ward_distances(clusters)).all()


def test_dead_slots_are_nobodys_neighbour():
    clusters = forest(np.array([[0.0], [0.1], [1.0], [2.0]]))
    clusters._merge(torch.tensor([0]), torch.tensor([1]))  # slot 4, at 0.025 of the scale
    live = torch.tensor([2, 3, 4])
    for rows in (live, live[:1]):
        row, slot = Screen(clusters, rows, live).candidates()
        assert set(slot.tolist()) <= {2, 3, 4}
        assert set(row.tolist()) == set(range(len(rows)))


def test_equidistant_points_are_all_candidates():
    n = STUCK_CANDIDATES + 10
    row, _ = Screen(forest(np.eye(n)), torch.arange(n), torch.arange(n)).candidates()
    assert row.bincount().tolist() == [n - 1] * n
