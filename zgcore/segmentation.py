"""The data that flows: a tree of candidates, and the labelled segmentation that comes out of it.

Nodes of the tree are numbered as in a binary heap: the root is 0, the children of k are 2k + 1 and 2k + 2.
Numbers are Python integers, since an unbalanced tree of n leaves needs n bits.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


def parent(node: int) -> int:
    """The node above. The root has none: ValueError."""
    if node == 0:
        raise ValueError("the root has no parent")
    return (node - 1) // 2


def sibling(node: int) -> int:
    """The other child of the same parent. The root has none: ValueError."""
    if node == 0:
        raise ValueError("the root has no sibling")
    return node + 1 if node % 2 else node - 1


def children(node: int) -> tuple[int, int]:
    """The two nodes below."""
    return 2 * node + 1, 2 * node + 2


def is_under(node: int, ancestor: int) -> bool:
    """True if `node` is `ancestor` or stands below it."""
    while node > ancestor:
        node = (node - 1) // 2
    return node == ancestor


def _lift(node: int, old: int, new: int) -> int:
    """The number `node` gets when the subtree at `old` is moved to `new`."""
    path = []
    while node != old:
        path.append(2 - node % 2)  # 1 left, 2 right
        node = (node - 1) // 2
    node = new
    for step in reversed(path):
        node = 2 * node + step
    return node


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class SegmentTree:
    """Candidate segments as the leaves of a full binary tree (every inner node has two children).

    leaves: node numbers of the leaves.
    leaf_map: (H, W) int32; each pixel's index into `leaves`.
    """

    leaves: tuple[int, ...]
    leaf_map: NDArray[np.int32]

    def __post_init__(self) -> None:
        if not self.leaves:
            raise ValueError("a segment tree needs at least one leaf")
        if self.leaf_map.ndim != 2 or self.leaf_map.size == 0:
            raise ValueError(f"leaf_map must be (H, W) and not empty, not {self.leaf_map.shape}")
        present = set(self.leaves)
        if len(present) != len(self.leaves):
            raise ValueError("a leaf is named twice")
        inner = self.inner_nodes
        for node in inner:
            if node in present:
                raise ValueError(f"node {node} is a leaf and has children")
            for child in children(node):
                if child not in present and child not in inner:
                    raise ValueError(f"node {child} is missing: its sibling stands alone")

    @property
    def height(self) -> int:
        return int(self.leaf_map.shape[0])

    @property
    def width(self) -> int:
        return int(self.leaf_map.shape[1])

    @cached_property
    def inner_nodes(self) -> frozenset[int]:
        """All nodes that have children."""
        nodes: set[int] = set()
        for leaf in self.leaves:
            node = leaf
            while node and (node := parent(node)) not in nodes:
                nodes.add(node)
        return frozenset(nodes)

    @property
    def nodes(self) -> tuple[int, ...]:
        """All nodes, parents before children."""
        return tuple(sorted({*self.leaves, *self.inner_nodes}))

    def leaves_under(self, node: int) -> tuple[int, ...]:
        """The leaves that make up `node`; the node itself if it is a leaf. KeyError if there is no such node."""
        found = tuple(leaf for leaf in self.leaves if is_under(leaf, node))
        if not found:
            raise KeyError(f"the tree has no node {node}")
        return found

    def mask(self, node: int) -> NDArray[np.bool_]:
        """(H, W) bool mask of a leaf or an inner node."""
        under = set(self.leaves_under(node))
        return np.array([leaf in under for leaf in self.leaves])[self.leaf_map]

    def masks(self, nodes: Iterable[int]) -> NDArray[np.bool_]:
        """(n, H, W) bool masks, in the order of `nodes`."""
        nodes = list(nodes)
        out = np.empty((len(nodes), self.height, self.width), dtype=bool)
        for row, node in enumerate(nodes):
            out[row] = self.mask(node)
        return out

    def areas(self) -> NDArray[np.int64]:
        """(n,) pixels of each leaf."""
        return np.bincount(self.leaf_map.ravel(), minlength=len(self.leaves))

    def with_map(self, leaf_map: NDArray[np.int32]) -> SegmentTree:
        """The same tree over another pixel assignment (a refined or resized one); leaves left without pixels go."""
        return replace(self, leaf_map=leaf_map).without_empty_leaves()

    def without_empty_leaves(self) -> SegmentTree:
        """The tree without leaves that own no pixel: the sibling's subtree moves up into the parent's place.

        The sibling then covers exactly what the parent covered, so every remaining node keeps its meaning.
        """
        tree = self
        while len(tree.leaves) > 1 and (areas := tree.areas()).min() == 0:
            tree = tree._without(tree.leaves[int(areas.argmin())])
        return tree

    def absorb_small(self, min_pixels: int) -> SegmentTree:
        """Give the pixels of each leaf below `min_pixels` to the sibling it was split from.

        Where the sibling is itself divided, the pixels go to the leaf of that subtree which they touch along the
        longest border (4-neighbours), or to the largest if they touch none. Smallest leaves go first.
        """
        tree = self.without_empty_leaves()
        while len(tree.leaves) > 1:
            areas = tree.areas()
            smallest = int(areas.argmin())
            if areas[smallest] >= min_pixels:
                break
            tree = tree._absorb(smallest)
        return tree

    def _absorb(self, index: int) -> SegmentTree:
        leaf = self.leaves[index]
        targets = [self.leaves.index(node) for node in self.leaves_under(sibling(leaf))]
        border = self._border_lengths(index)
        areas = self.areas()
        best = max(targets, key=lambda i: (border[i], areas[i], -i))
        leaf_map = np.where(self.leaf_map == index, np.int32(best), self.leaf_map)
        return replace(self, leaf_map=leaf_map)._without(leaf)

    def _border_lengths(self, index: int) -> NDArray[np.int64]:
        """(n,) how many 4-neighbour pairs each leaf shares with leaf number `index`."""
        lengths = np.zeros(len(self.leaves), dtype=np.int64)
        grid = self.leaf_map
        for one, other in ((grid[:, 1:], grid[:, :-1]), (grid[1:], grid[:-1])):
            for a, b in ((one, other), (other, one)):
                lengths += np.bincount(b[a == index], minlength=len(self.leaves))
        lengths[index] = 0
        return lengths

    def _without(self, leaf: int) -> SegmentTree:
        index = self.leaves.index(leaf)
        old, new = sibling(leaf), parent(leaf)
        leaves = tuple(_lift(node, old, new) if is_under(node, old) else node for node in self.leaves if node != leaf)
        leaf_map = self.leaf_map - (self.leaf_map > index).astype(np.int32)
        return SegmentTree(leaves, leaf_map)


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class Segment:
    """One labelled region.

    mask: (H, W) bool. node: its number in the tree. label: free text. score: CLIP cosine of label and segment.
    embedding: (d,) float32, unnormalised.
    """

    mask: NDArray[np.bool_]
    node: int
    label: str
    score: float
    embedding: NDArray[np.float32]


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class Segmentation:
    """Labelled, disjoint segments that cover the image, largest first.

    index_map: (H, W) int32 at the image's natural size after EXIF; each pixel's segment number.
    nodes: each segment's node in `tree`.
    labels: free text, one a segment.
    embeddings: (n, d) float32, unnormalised.
    scores: (n,) float32, CLIP cosine of label and segment.
    tree: the candidates the segments were merged from.
    preset: name of the preset that made it; `random_weights` is True where its weights mean nothing.
    seconds: wall time of each stage that ran for this image.
    """

    index_map: NDArray[np.int32]
    nodes: tuple[int, ...]
    labels: tuple[str, ...]
    embeddings: NDArray[np.float32]
    scores: NDArray[np.float32]
    tree: SegmentTree
    preset: str
    random_weights: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.labels)
        if not len(self.nodes) == len(self.embeddings) == len(self.scores) == n:
            raise ValueError("nodes, labels, embeddings and scores must have one entry a segment")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def height(self) -> int:
        return int(self.index_map.shape[0])

    @property
    def width(self) -> int:
        return int(self.index_map.shape[1])

    @property
    def masks(self) -> NDArray[np.bool_]:
        """(n, H, W) bool, disjoint. Made on each call: n bytes a pixel, so ask for one at a time when n is large."""
        return np.arange(len(self), dtype=np.int32)[:, None, None] == self.index_map

    def mask(self, index: int) -> NDArray[np.bool_]:
        """(H, W) bool mask of one segment."""
        return self.index_map == index

    def areas(self) -> NDArray[np.int64]:
        """(n,) pixels of each segment."""
        return np.bincount(self.index_map.ravel(), minlength=len(self))

    def __getitem__(self, index: int) -> Segment:
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} segments, none number {index}")
        index %= len(self)
        return Segment(
            self.mask(index), self.nodes[index], self.labels[index], float(self.scores[index]), self.embeddings[index]
        )
