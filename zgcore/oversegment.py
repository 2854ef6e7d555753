"""image -> SegmentTree: dense features, Ward's merge tree, cut and pruned, refined to the image's edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F

from zgcore.crf import Refiner, segment_costs
from zgcore.refinement import Candidates, TreeRefiner
from zgcore.stage_profile import stage
from zgcore.ward import candidate_tree

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zgcore.config import CrfConfig, TreeConfig
    from zgcore.dino import DenseFeatures
    from zgcore.segmentation import SegmentTree
    from zgcore.ward import MergeTree


class Oversegmenter:
    """The candidates of an image, class-agnostic, as leaves of a binary tree (paper section 3.1).

    Two steps that can run in different places: `candidates` on the models' device, `refine_tree` on any processor.
    """

    def __init__(self, features: DenseFeatures, tree: TreeConfig, crf: CrfConfig) -> None:
        self.features = features
        self.tree = tree
        self.refine = Refiner(crf)
        self.refine_tree = TreeRefiner(crf, tree.min_area)

    def __call__(self, image: NDArray[np.uint8]) -> SegmentTree:
        """(H, W, 3) uint8 -> the tree, its leaves covering the image at its own size."""
        return self.refine_tree(image, self.candidates(image))

    def candidates(self, image: NDArray[np.uint8], merge_tree: MergeTree | None = None) -> Candidates:
        """(H, W, 3) uint8 -> the pruned tree on the feature grid. merge_tree: see `candidate_tree`."""
        with stage("features"):
            features = F.normalize(self.features(image), dim=-1)  # (gh, gw, c)
        gh, gw, c = features.shape
        with stage("Ward", flops=features.is_cuda):  # on a CPU its products are numpy's
            leaves, labels = candidate_tree(features.reshape(gh * gw, c), self.tree, merge_tree)
            costs = segment_costs(features.cpu().numpy(), labels.reshape(gh, gw), len(leaves))  # (k, gh, gw)
        return Candidates(leaves, costs)
