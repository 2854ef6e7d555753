"""image -> SegmentTree: dense features, Ward's merge tree, cut and pruned, refined to the image's edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F

from zgcore.crf import Refiner, segment_costs
from zgcore.segmentation import SegmentTree
from zgcore.ward import candidate_tree

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zgcore.config import CrfConfig, TreeConfig
    from zgcore.dino import DenseFeatures


class Oversegmenter:
    """The candidates of an image, class-agnostic, as leaves of a binary tree (paper section 3.1)."""

    def __init__(self, features: DenseFeatures, tree: TreeConfig, crf: CrfConfig) -> None:
        self.features = features
        self.tree = tree
        self.refine = Refiner(crf)

    def __call__(self, image: NDArray[np.uint8]) -> SegmentTree:
        """(H, W, 3) uint8 -> the tree, its leaves covering the image at its own size."""
        features = F.normalize(self.features(image), dim=-1)  # (gh, gw, c)
        gh, gw, c = features.shape
        leaves, labels = candidate_tree(features.reshape(gh * gw, c), self.tree)
        costs = segment_costs(features.cpu().numpy(), labels.reshape(gh, gw), len(leaves))  # (k, gh, gw)
        tree = SegmentTree(leaves, self.refine(image, costs)).without_empty_leaves()
        return tree.absorb_small(round(self.tree.min_area * image.shape[0] * image.shape[1]))
