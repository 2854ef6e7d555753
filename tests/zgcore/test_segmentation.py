"""The tree of candidates and the segmentation, on trees of up to five leaves.

        0
      /   \\
     1     2
    / \\   / \\
   3   4 5   6        LEAVES are 3, 4, 5, 13, 14, so that 6 has children too.
            / \\
          13   14
"""

import numpy as np
import pytest

from zgcore.segmentation import Segmentation, SegmentTree, children, is_under, parent, sibling

LEAVES = (3, 4, 5, 13, 14)
GRID = np.array([[0, 0, 1, 1], [2, 2, 3, 4], [2, 2, 3, 4]], dtype=np.int32)


@pytest.fixture
def tree():
    return SegmentTree(LEAVES, GRID)


def grid(*rows):
    return np.array(rows, dtype=np.int32)


class TestNumbers:
    def test_children_and_back(self):
        assert children(0) == (1, 2)
        assert children(6) == (13, 14)
        assert [parent(node) for node in (1, 2, 5, 6, 13, 14)] == [0, 0, 2, 2, 6, 6]
        assert [sibling(node) for node in (1, 2, 13, 14)] == [2, 1, 14, 13]

    def test_deeper_than_64_bits(self):
        node = 0
        for _ in range(100):
            node = children(node)[1]
        assert node == 2**101 - 2
        assert is_under(node, 2)
        assert not is_under(node, 1)

    @pytest.mark.parametrize("function", [parent, sibling])
    def test_the_root_stands_alone(self, function):
        with pytest.raises(ValueError, match="the root has no"):
            function(0)

    def test_is_under(self):
        assert is_under(6, 6)
        assert is_under(14, 2)
        assert is_under(14, 0)
        assert not is_under(14, 1)
        assert not is_under(2, 6)


class TestTree:
    def test_size_and_nodes(self, tree):
        assert (tree.height, tree.width) == (3, 4)
        assert tree.inner_nodes == {0, 1, 2, 6}
        assert tree.nodes == (0, 1, 2, 3, 4, 5, 6, 13, 14)

    def test_a_single_leaf_is_the_root(self):
        tree = SegmentTree((0,), np.zeros((2, 2), np.int32))
        assert tree.inner_nodes == frozenset()
        assert tree.nodes == (0,)
        assert tree.mask(0).all()
        assert tree.without_empty_leaves() is tree
        assert tree.absorb_small(100) is tree

    @pytest.mark.parametrize(
        ("leaves", "message"),
        [
            ((), "at least one leaf"),
            ((1, 1, 2), "named twice"),
            ((0, 1, 2), "0 is a leaf and has children"),
            ((1,), "2 is missing"),
            ((1, 5), "6 is missing"),
        ],
    )
    def test_not_a_full_tree(self, leaves, message):
        with pytest.raises(ValueError, match=message):
            SegmentTree(leaves, np.zeros((1, 1), np.int32))

    @pytest.mark.parametrize("shape", [(0, 3), (4,), (1, 1, 1)])
    def test_map_of_another_shape(self, shape):
        with pytest.raises(ValueError, match="must be \\(H, W\\)"):
            SegmentTree((0,), np.zeros(shape, np.int32))

    def test_leaves_under(self, tree):
        assert tree.leaves_under(0) == LEAVES
        assert tree.leaves_under(2) == (5, 13, 14)
        assert tree.leaves_under(5) == (5,)
        for absent in (7, 27):  # below a leaf
            with pytest.raises(KeyError, match=f"no node {absent}"):
                tree.leaves_under(absent)

    def test_masks(self, tree):
        np.testing.assert_array_equal(tree.mask(14), GRID == 4)
        np.testing.assert_array_equal(tree.mask(1), [[1, 1, 1, 1], [0] * 4, [0] * 4])
        masks = tree.masks(iter([6, 0]))
        np.testing.assert_array_equal(masks[0], [[0] * 4, [0, 0, 1, 1], [0, 0, 1, 1]])
        assert masks[1].all()
        assert tree.masks([]).shape == (0, 3, 4)

    def test_areas(self, tree):
        assert tree.areas().tolist() == [2, 2, 4, 2, 2]


class TestEmptyLeaves:
    def test_a_leaf_beside_a_leaf(self, tree):
        smaller = tree.with_map(np.where(GRID == 1, 0, GRID))  # 4 vanishes: 3 becomes 1
        assert smaller.leaves == (1, 5, 13, 14)
        np.testing.assert_array_equal(smaller.leaf_map, [[0] * 4, [1, 1, 2, 3], [1, 1, 2, 3]])

    def test_a_leaf_beside_a_subtree(self, tree):
        smaller = tree.with_map(np.where(GRID == 2, 3, GRID))  # 5 vanishes: 6 becomes 2, 13 and 14 become 5 and 6
        assert smaller.leaves == (3, 4, 5, 6)
        np.testing.assert_array_equal(smaller.mask(2), tree.mask(2))
        np.testing.assert_array_equal(smaller.mask(6), tree.mask(14))

    def test_a_whole_side(self, tree):
        smaller = tree.with_map(np.where(GRID <= 1, 2, GRID))  # 3 and 4 vanish: 2 becomes the root
        assert smaller.leaves == (1, 5, 6)
        np.testing.assert_array_equal(smaller.mask(1), GRID <= 2)

    def test_all_but_one(self, tree):
        smaller = tree.with_map(np.full((2, 2), 3, np.int32))
        assert smaller.leaves == (0,)
        assert smaller.mask(0).all()

    def test_nothing_to_do(self, tree):
        assert tree.without_empty_leaves() is tree


class TestAbsorbSmall:
    def test_into_the_sibling_leaf(self):
        tree = SegmentTree((1, 5, 6), grid([0, 0, 0, 0], [1, 2, 2, 2]))
        absorbed = tree.absorb_small(2)
        assert absorbed.leaves == (1, 2)
        np.testing.assert_array_equal(absorbed.leaf_map, [[0] * 4, [1] * 4])

    def test_into_the_leaf_of_the_sibling_subtree_with_the_longest_border(self):
        # leaf 1 (index 0) touches 5 (index 1) twice and 6 (index 2) once; 6 is the larger
        tree = SegmentTree((1, 5, 6), grid([1, 0, 2, 2], [1, 1, 2, 2], [2, 2, 2, 2]))
        absorbed = tree.absorb_small(2)
        assert absorbed.leaves == (1, 2)
        np.testing.assert_array_equal(absorbed.leaf_map, [[0, 0, 1, 1], [0, 0, 1, 1], [1] * 4])

    def test_border_with_a_stranger_does_not_count(self):
        # leaf 3 touches only 2, which is not below its sibling 4
        tree = SegmentTree((2, 3, 4), grid([1, 0, 0, 2, 2]))
        absorbed = tree.absorb_small(2)
        assert absorbed.leaves == (2, 1)
        np.testing.assert_array_equal(absorbed.leaf_map, [[1, 0, 0, 1, 1]])

    def test_no_border_goes_to_the_largest(self):
        # leaf 3 (index 1) is away from 9 and 10 (indices 2 and 3), the leaves of its sibling 4
        tree = SegmentTree((2, 3, 9, 10), grid([1, 0, 0, 2, 2, 0, 3, 3, 3]))
        absorbed = tree.absorb_small(2)
        assert absorbed.leaves == (2, 3, 4)
        np.testing.assert_array_equal(absorbed.leaf_map, [[2, 0, 0, 1, 1, 0, 2, 2, 2]])

    def test_smallest_first_until_all_are_large_enough(self, tree):
        assert tree.absorb_small(2).leaves == LEAVES
        absorbed = tree.absorb_small(3)
        assert absorbed.areas().min() >= 3
        assert absorbed.leaves == (1, 5, 6)
        np.testing.assert_array_equal(absorbed.leaf_map, [[0] * 4, [1, 1, 2, 2], [1, 1, 2, 2]])
        assert tree.absorb_small(100).leaves == (0,)

    def test_empty_leaves_go_first(self):
        tree = SegmentTree((1, 5, 6), grid([0, 0, 2, 2]))
        assert tree.absorb_small(0).leaves == (1, 2)


class TestSegmentation:
    @pytest.fixture
    def result(self, tree):
        return Segmentation(
            index_map=grid([1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]),
            nodes=(2, 1),
            labels=("grass", "sky"),
            embeddings=np.array([[1.0, 0.0], [0.0, 1.0]], np.float32),
            scores=np.array([0.25, 0.5], np.float32),
            tree=tree,
            preset="mini",
        )

    def test_masks_and_areas(self, result, tree):
        assert len(result) == 2
        assert (result.height, result.width) == (3, 4)
        np.testing.assert_array_equal(result.masks, [tree.mask(2), tree.mask(1)])
        np.testing.assert_array_equal(result.mask(1), tree.mask(1))
        assert result.areas().tolist() == [8, 4]

    def test_segments(self, result):
        last = result[-1]
        assert (last.node, last.label, last.score) == (1, "sky", 0.5)
        np.testing.assert_array_equal(last.mask, result.mask(1))
        np.testing.assert_array_equal(last.embedding, [0, 1])
        assert [segment.label for segment in result] == ["grass", "sky"]

    @pytest.mark.parametrize("index", [2, -3])
    def test_index_beyond_the_end(self, result, index):
        with pytest.raises(IndexError, match="there are 2 segments"):
            result[index]

    def test_entries_must_match(self, result):
        with pytest.raises(ValueError, match="one entry a segment"):
            Segmentation(result.index_map, (0,), result.labels, result.embeddings, result.scores, result.tree, "mini")
