"""Coarse candidates -> a tree that follows the image's edges.

Nothing here needs torch: the processes that run it beside the models start quickly and stay small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zgcore.crf import Refiner
from zgcore.segmentation import SegmentTree

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zgcore.config import CrfConfig


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class Candidates:
    """The pruned merge tree on the feature grid.

    leaves: node numbers. costs: (k, gh, gw) float32, what each leaf costs at each place of the grid.
    """

    leaves: tuple[int, ...]
    costs: NDArray[np.float32]


@dataclass(frozen=True)
class TreeRefiner:
    """Candidates -> SegmentTree. min_area: smaller leaves are absorbed, as a share of the image."""

    crf: CrfConfig
    min_area: float

    def __call__(self, image: NDArray[np.uint8], candidates: Candidates) -> SegmentTree:
        """(H, W, 3) uint8 image and its candidates -> the tree, its leaves covering the image at its own size."""
        leaf_map = Refiner(self.crf)(image, candidates.costs)
        tree = SegmentTree(candidates.leaves, leaf_map).without_empty_leaves()
        return tree.absorb_small(round(self.min_area * image.shape[0] * image.shape[1]))
