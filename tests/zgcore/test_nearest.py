"""Lists must never lose a nearest neighbour: bounds and radii are held against float64 differences."""

import numpy as np
import pytest
import torch

from zgcore.forest import Forest, Merges
from zgcore.nearest import BLOCK_BYTES, list_by_differences, list_by_products, smallest

RNG = np.random.default_rng(0)


def forest(points, weights=None):
    tensor = torch.from_numpy(points / np.abs(points).max())
    sizes = torch.ones(len(points), dtype=torch.float64) if weights is None else torch.from_numpy(weights.copy())
    return Forest(tensor, sizes, np.arange(len(points)), Merges())


def ward_distances(forest):
    squares = (forest.centroids[:, None] - forest.centroids).square().sum(-1)
    distances = squares * 2 / (1 / forest.weights[:, None] + 1 / forest.weights)
    return distances.fill_diagonal_(torch.inf)


POINTS = {
    "spread": RNG.normal(size=(300, 12)),
    "tight": RNG.normal(size=(3, 12))[RNG.integers(0, 3, 300)] + 1e-5 * RNG.normal(size=(300, 12)),
    "outlier": np.vstack([RNG.normal(size=(299, 12)), np.full((1, 12), 1e6)]),
}
TINY_BLOCKS = {"cpu": 1 << 14, "cuda": 1 << 14}  # many blocks for 300 points


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("listing", [list_by_products, list_by_differences])
def test_listed_bounds_and_radius_are_below_the_distances(name, weighted, listing, monkeypatch):
    for device, size in TINY_BLOCKS.items():
        monkeypatch.setitem(BLOCK_BYTES, device, size)
    clusters = forest(POINTS[name], RNG.integers(1, 50, 300).astype(float) if weighted else None)
    live = torch.cat([torch.arange(0, 200), torch.arange(210, 300)])  # ten are dead
    exact = ward_distances(clusters)
    asked = []
    for rows, slots, bounds, radius in listing(clusters, live[5:], live, 4):
        asked += rows.tolist()
        assert slots.shape == bounds.shape == (len(rows), 4)
        assert set(slots.flatten().tolist()) <= set(live.tolist())
        assert (slots != rows[:, None]).all()
        assert (bounds <= exact[rows[:, None], slots]).all()
        unlisted = exact[rows].scatter(1, slots, torch.inf)[:, live]
        assert (radius <= unlisted.amin(dim=1) * (1 + 1e-11)).all()
    assert asked == live[5:].tolist()


def test_differences_prove_what_products_cannot():
    clusters = forest(POINTS["tight"])
    live = torch.arange(300)
    exact = ward_distances(clusters).amin(dim=1)
    proven = {}
    for listing in (list_by_products, list_by_differences):
        (_, _, _, radius), *more = listing(clusters, live, live, 8)
        assert not more
        proven[listing] = (exact <= radius).tolist()
    assert not any(proven[list_by_products])
    assert all(proven[list_by_differences])


def test_fewer_clusters_than_a_list_holds():
    clusters = forest(np.array([[0.0], [1.0], [4.0]]))
    live = torch.arange(3)
    ((_, slots, bounds, radius),) = list_by_products(clusters, live, live, 8)
    listed = [set(row[bound < torch.inf].tolist()) for row, bound in zip(slots, bounds, strict=True)]
    assert listed == [{1, 2}, {0, 2}, {0, 1}]
    assert (radius == torch.inf).all()


@pytest.mark.parametrize(("width", "size", "k"), [(120, 1, 5), (120, 5, 5), (120, 12, 5), (120, 40, 5), (6, 1, 6)])
def test_smallest(width, size, k):
    values = torch.from_numpy(RNG.normal(size=(40, width)))
    found, index = smallest(values, k, size)
    assert torch.equal(found, values.sort(dim=1).values[:, :k])
    assert torch.equal(values.gather(1, index), found)


def test_smallest_of_short_rows():
    found, _ = smallest(torch.tensor([[3.0, 1.0]]), 4, 1)
    assert found.tolist() == [[1.0, 3.0, torch.inf, torch.inf]]
