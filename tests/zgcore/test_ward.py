"""Ward's tree against scipy's, and hand-made trees for the cut and the pruning."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.cluster.hierarchy import fcluster, is_valid_linkage, linkage
from scipy.spatial.distance import pdist

from zgcore.config import TreeConfig
from zgcore.nearest import BLOCK_BYTES
from zgcore.ward import _linkage, candidate_tree, cut_tree, merge_tree, prune

RNG = np.random.default_rng(0)


def unit(features):
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def assert_same_tree(features, rtol=1e-9):
    ours, theirs = merge_tree(features), linkage(features.astype(np.float64), "ward")
    np.testing.assert_allclose(ours[:, 2], theirs[:, 2], rtol=rtol)
    np.testing.assert_array_equal(ours[:, [0, 1, 3]], theirs[:, [0, 1, 3]])


def same_partition(one, other):
    pairs = {(a, b) for a, b in zip(one.tolist(), other.tolist(), strict=True)}
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


def greedy_heights(points):
    """Ward by its definition: the globally cheapest pair, n - 1 times."""
    clusters = [(1, point.astype(np.float64)) for point in points]
    heights = []
    while len(clusters) > 1:
        costs = {
            (i, j): 2 * a * b / (a + b) * np.square(x - y).sum()
            for i, (a, x) in enumerate(clusters)
            for j, (b, y) in enumerate(clusters[:i])
        }
        (i, j), cost = min(costs.items(), key=lambda item: item[1])
        (a, x), (b, y) = clusters.pop(i), clusters.pop(j)
        clusters.append((a + b, (a * x + b * y) / (a + b)))
        heights.append(math.sqrt(cost))
    return heights


class TestMergeTree:
    def test_three_points_by_hand(self):
        # 0 and 1 merge at 1; {0, 1} with mean 0.5 and 4: sqrt(2 * 2 * 1 / 3) * 3.5
        expected = [[0, 1, 1.0, 2], [2, 3, 3.5 * math.sqrt(4 / 3), 3]]
        np.testing.assert_allclose(merge_tree(np.array([[0.0], [1.0], [4.0]])), expected, rtol=1e-15)

    def test_four_points_by_hand(self):
        # two pairs, 1 and 2 wide, 10 apart in the other direction: sqrt(2 * 2 * 2 / 4) * sqrt(10^2 + 0.5^2)
        points = np.array([[0.0, 10.0], [0.0, 0.0], [1.0, 0.0], [2.0, 10.0]])
        expected = [[1, 2, 1.0, 2], [0, 3, 2.0, 2], [4, 5, math.sqrt(2) * math.sqrt(100.25), 4]]
        np.testing.assert_allclose(merge_tree(points), expected, rtol=1e-15)

    def test_one_and_two_points(self):
        assert merge_tree(np.ones((1, 3))).shape == (0, 4)
        np.testing.assert_array_equal(merge_tree(np.array([[3.0, 0.0], [0.0, 4.0]])), [[0, 1, 5, 2]])

    @pytest.mark.parametrize(("n", "c"), [(3, 1), (50, 2), (300, 5), (700, 64)])
    def test_random(self, n, c):
        assert_same_tree(RNG.normal(size=(n, c)))

    def test_clustered_unit_vectors_in_many_blocks(self, monkeypatch):
        monkeypatch.setitem(BLOCK_BYTES, "cpu", 1 << 14)  # 128 rows a block
        features = unit(RNG.normal(size=(12, 32))[RNG.integers(0, 12, 900)] + 0.3 * RNG.normal(size=(900, 32)))
        assert_same_tree(features.astype(np.float32))

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64])
    def test_tensors_of_any_type(self, dtype):
        tensor = (100 * torch.from_numpy(RNG.normal(size=(60, 7)))).to(dtype).requires_grad_(dtype.is_floating_point)
        tree = merge_tree(tensor)
        np.testing.assert_array_equal(tree, merge_tree(tensor.detach().double().numpy()))
        assert tree.dtype == np.float64

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    def test_cuda(self):
        features = RNG.normal(size=(500, 16))
        np.testing.assert_allclose(merge_tree(torch.from_numpy(features).cuda()), merge_tree(features), rtol=1e-9)

    @pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e-3, 1e10, 1e100, 1e150])
    def test_scales(self, scale):
        assert_same_tree(RNG.normal(size=(80, 4)) * scale)

    def test_beyond_what_scipy_can_square(self):
        features = RNG.normal(size=(50, 3))
        np.testing.assert_allclose(merge_tree(features * 2.0**900)[:, 2], merge_tree(features)[:, 2] * 2.0**900)

    @pytest.mark.parametrize("outlier", [1e3, 1e9, 1e14])
    def test_one_far_outlier(self, outlier):
        assert_same_tree(np.vstack([RNG.normal(size=(200, 6)), np.full((1, 6), outlier)]))

    def test_far_from_the_origin(self):
        assert_same_tree(1e6 + RNG.normal(size=(200, 6)))

    def test_tight_groups_that_products_cannot_resolve(self):
        assert_same_tree(RNG.normal(size=(3, 8))[RNG.integers(0, 3, 400)] + 1e-8 * RNG.normal(size=(400, 8)), 1e-6)

    def test_geometric_line_merges_one_pair_at_a_time(self):
        assert_same_tree(2.0 ** np.arange(120)[:, None])

    def test_constant(self):
        tree = merge_tree(np.full((20, 4), 0.3))
        assert is_valid_linkage(tree)
        np.testing.assert_array_equal(tree[:, 2], 0)
        assert tree[-1, 3] == 20

    def test_duplicates_merge_first_and_weigh(self):
        points = RNG.normal(size=(15, 4))[RNG.integers(0, 15, 90)]
        points[3], points[4] = 0.0, -0.0  # equal, of different bytes
        ours, theirs = merge_tree(points), linkage(points, "ward")
        assert is_valid_linkage(ours)
        np.testing.assert_allclose(ours[:, 2], theirs[:, 2], rtol=1e-9, atol=1e-12)
        assert same_partition(fcluster(ours, 8, "maxclust"), fcluster(theirs, 8, "maxclust"))

    def test_hash_collision_of_different_rows(self, monkeypatch):
        class Zeros:
            def integers(self, low, high, size):
                return np.zeros(size, np.int64)

        points = RNG.normal(size=(30, 1))[RNG.integers(0, 30, 60)]  # one column: the factor 1 | 0 keeps values apart
        points = np.hstack([points, np.roll(points, 1)])
        points = np.vstack([points, points[:, ::-1]])  # swapped columns have the same sum
        expected = merge_tree(points)
        monkeypatch.setattr("zgcore.ward.np.random.default_rng", lambda seed: Zeros())
        np.testing.assert_array_equal(merge_tree(points)[:, 2], expected[:, 2])

    @pytest.mark.parametrize(
        "points",
        [
            np.arange(24.0)[:, None] * [[1.0, 2.0, 3.0]],  # evenly spaced on a line
            np.stack(np.meshgrid(range(5), range(5)), -1).reshape(-1, 2).astype(float),  # a lattice
            np.eye(20),  # all equally far from each other
        ],
    )
    def test_ties_give_a_tree_that_ward_allows(self, points):
        """With ties the tree is not unique: each merge must be of a pair whose height is what the linkage says."""
        tree = merge_tree(points)
        assert is_valid_linkage(tree)
        assert (np.diff(tree[:, 2]) >= 0).all()
        members = {i: [i] for i in range(len(points))}
        for i, (a, b, height, size) in enumerate(tree):
            one, other = members.pop(int(a)), members.pop(int(b))
            gap = np.linalg.norm(points[one].mean(axis=0) - points[other].mean(axis=0))
            assert height == pytest.approx(math.sqrt(2 * len(one) * len(other) / len(one + other)) * gap, rel=1e-9)
            assert size == len(one + other)
            members[len(points) + i] = one + other
        assert tree[0, 2] == pytest.approx(greedy_heights(points)[0])

    def test_parent_below_its_child_is_lifted(self):
        tree = _linkage(3, np.array([[0, 1], [2, 3]]), np.array([1.0, 1.0 - 1e-16]))
        np.testing.assert_array_equal(tree, [[0, 1, 1.0, 2], [2, 3, 1.0, 3]])

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, value):
        features = np.ones((4, 3))
        features[1, 2] = value
        with pytest.raises(ValueError, match="NaN or infinity"):
            merge_tree(features)

    @pytest.mark.parametrize("shape", [(3,), (0, 4), (4, 0), (2, 2, 2)])
    def test_wrong_shape(self, shape):
        with pytest.raises(ValueError, match=r"must be \(n, c\)"):
            merge_tree(np.ones(shape))

    def test_complex(self):
        with pytest.raises(ValueError, match="complex"):
            merge_tree(np.ones((3, 2), dtype=complex))

    def test_leaves_torch_as_it_was(self):
        torch.set_float32_matmul_precision("high")
        try:
            merge_tree(RNG.normal(size=(10, 2)))
            assert torch.get_float32_matmul_precision() == "high"
        finally:
            torch.set_float32_matmul_precision("highest")


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.integers(1, 8), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_random_clouds_are_scipys(n, c, seed, tightness):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(4, c))[rng.integers(0, 4, n)] + 10 ** (-6 * tightness) * rng.normal(size=(n, c))
    assert_same_tree(points, rtol=1e-7)
    ours, theirs = merge_tree(points), linkage(points, "ward")
    assert same_partition(fcluster(ours, 20, "maxclust"), fcluster(theirs, 20, "maxclust"))
    assert same_partition(cut_tree(ours, 20)[1], fcluster(theirs, 20, "maxclust"))


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.float64, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.sampled_from([-1.0, 0.0, 1.0, 2.5])
    )
)
def test_any_points_give_a_valid_tree_that_starts_like_scipys(points):
    tree = merge_tree(points)
    assert tree.shape == (len(points) - 1, 4)
    if len(points) > 1:
        assert is_valid_linkage(tree)
        assert (np.diff(tree[:, 2]) >= 0).all()
        assert tree[0, 2] == pytest.approx(linkage(pdist(points), "ward")[0, 2])
        # the squared heights of any Ward tree add up to twice the scatter
        scatter = np.square(points - points.mean(axis=0)).sum()
        assert np.square(tree[:, 2]).sum() == pytest.approx(2 * scatter)


# 0 and 1 merge first (5), then 2 and 3 (6), then 5 and 4 (7), then 6 and 7.
LINKAGE = np.array([[0, 1, 1, 2], [2, 3, 2, 2], [4, 5, 3, 3], [6, 7, 4, 5]], dtype=float)


class TestCut:
    @pytest.mark.parametrize(
        ("leaves", "nodes", "index"),
        [
            (1, (0,), [0, 0, 0, 0, 0]),
            (2, (1, 2), [1, 1, 0, 0, 1]),  # cluster 6 is node 1, cluster 7 node 2
            (3, (1, 5, 6), [2, 2, 0, 0, 1]),  # 7 opens into point 4 (node 5) and cluster 5 (node 6)
            (4, (3, 4, 5, 6), [3, 3, 0, 1, 2]),  # 6 opens into points 2 and 3
            (5, (3, 4, 5, 13, 14), [3, 4, 0, 1, 2]),
            (20, (3, 4, 5, 13, 14), [3, 4, 0, 1, 2]),
        ],
    )
    def test_opens_the_latest_merge_first(self, leaves, nodes, index):
        found, labels = cut_tree(LINKAGE, leaves)
        assert found == nodes
        assert labels.tolist() == index
        assert labels.dtype == np.int32

    def test_one_point(self):
        nodes, labels = cut_tree(np.empty((0, 4)), 20)
        assert nodes == (0,)
        assert labels.tolist() == [0]

    def test_a_chain_deeper_than_64_bits(self):
        tree = merge_tree(3.0 ** np.arange(100)[:, None])
        nodes, labels = cut_tree(tree, 100)
        assert len(nodes) == 100
        assert max(nodes) > 2**64
        assert sorted(labels.tolist()) == list(range(100))

    def test_no_leaves(self):
        with pytest.raises(ValueError, match="at least one leaf"):
            cut_tree(LINKAGE, 0)


def at(*degrees):
    return np.array([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees])


class TestPrune:
    CUT = ((3, 4, 5, 6), np.array([0, 1, 2, 3], dtype=np.int32))  # a full tree of two levels

    @pytest.mark.parametrize(
        ("degrees", "leaves", "index"),
        [
            ((0, 60, 120, 180), (3, 4, 5, 6), [0, 1, 2, 3]),  # siblings 60 degrees apart, cosine 0.5: all stay
            ((0, 10, 120, 180), (1, 5, 6), [0, 0, 1, 2]),  # the left pair is alike
            ((0, 60, 120, 130), (3, 4, 2), [1, 2, 0, 0]),  # the right pair is alike
            ((0, 10, 120, 130), (1, 2), [0, 0, 1, 1]),  # both are
            ((0, 10, 20, 30), (0,), [0, 0, 0, 0]),  # their parents are too: 20 degrees apart
            # the root's children are alike though theirs are not: nothing below the root is asked
            ((0, 90, 0, 90), (0,), [0, 0, 0, 0]),
        ],
    )
    def test_every_branch(self, degrees, leaves, index):
        found, labels = prune(self.CUT, at(*degrees), 0.9)
        assert found == tuple(sorted(leaves))
        assert [found[i] for i in labels] == [sorted(leaves)[i] for i in index]
        assert labels.dtype == np.int32

    def test_threshold_is_exclusive(self):
        features = np.array([[1.0, 0.0], [0.6, 0.8]])
        cut = ((1, 2), np.array([0, 1], dtype=np.int32))
        assert prune(cut, features, 0.6)[0] == (1, 2)
        assert prune(cut, features, 0.599)[0] == (0,)
        assert prune(cut, features, 1.0)[0] == (1, 2)
        assert prune(cut, features, -1.0)[0] == (0,)

    def test_means_count_members(self):
        # node 1 holds three points at 0 degrees (node 3) and one at 90 (node 4): its mean lies at 18.4 degrees,
        # 8.4 from node 2's 10; were its children weighed alike it would lie at 45, 35 away
        cut = ((2, 3, 4), np.array([1, 1, 1, 2, 0], dtype=np.int32))
        assert prune(cut, at(0, 0, 0, 90, 10), 0.95)[0] == (0,)
        assert prune(cut, at(0, 0, 0, 90, 10), 0.99)[0] == (2, 3, 4)

    def test_opposite_members_cancel(self):
        # node 1's mean is zero: cosine 0 with everything
        cut = ((2, 3, 4), np.array([1, 2, 0], dtype=np.int32))
        assert prune(cut, np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]), 0.5)[0] == (2, 3, 4)
        assert prune(cut, np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]), -0.5)[0] == (0,)


class TestCandidateTree:
    def test_three_colours(self):
        features = at(*[0, 1, 2] * 5, *[60, 61] * 5, *[180] * 4)
        for array in (features, torch.from_numpy(features), torch.from_numpy(features).float()):
            leaves, index = candidate_tree(array, TreeConfig())
            assert len(leaves) == 3
            assert same_partition(index, np.repeat([0, 1, 2], [15, 10, 4]))

    def test_leaves_limit(self):
        leaves, index = candidate_tree(unit(RNG.normal(size=(100, 16))), TreeConfig(leaves=7, similarity=1.0))
        assert len(leaves) == 7
        assert set(index.tolist()) == set(range(7))

    def test_fewer_points_than_leaves(self):
        assert candidate_tree(np.array([[1.0, 0.0]]), TreeConfig())[0] == (0,)
        leaves, index = candidate_tree(at(0, 90), TreeConfig())
        assert leaves == (1, 2)
        assert index.tolist() == [0, 1]
