"""Regions of the cached photos: every node of a photo's merge tree, described by what the trunk sees inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from zgcore.mini.architecture import with_head
from zgcore.mini.training.cache import GRID, LEAVES
from zgcore.segmentation import parent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from zgcore.mini.training.cache import PhotoCache

MIN_AREA, MAX_AREA = 0.0075, 0.8  # shares of the photo; smaller regions are a few cells, larger ones say little


def cell_masks(leaf_map: NDArray[np.uint8], leaf_nodes: NDArray[np.int64]) -> dict[int, NDArray[np.bool_]]:
    """Each node of the tree but the root -> its (GRID, GRID) cells."""
    masks: dict[int, NDArray[np.bool_]] = {}
    for leaf in range(LEAVES):
        node = int(leaf_nodes[leaf])
        cells = leaf_map == leaf
        while node > 0:
            masks[node] = masks[node] | cells if node in masks else cells
            node = parent(node)
    return masks


def cell_shares(masks: Sequence[NDArray[np.bool_]]) -> Tensor:
    """(n, GRID * GRID) float32: for each of n regions the share of it in each cell; rows sum to 1."""
    weights = torch.from_numpy(np.stack(masks)).flatten(1).float()
    return weights / weights.sum(dim=1, keepdim=True)


def region_weights(cache: PhotoCache, row: int) -> Tensor:
    """(n, GRID * GRID) float32: `cell_shares` of a photo's regions, in the order of their nodes."""
    masks = cell_masks(cache.leaf_maps[row], cache.nodes[row])
    kept = [cells for _, cells in sorted(masks.items()) if MIN_AREA <= cells.mean() <= MAX_AREA]
    return cell_shares(kept) if kept else torch.empty(0, GRID * GRID)


@torch.inference_mode()
def token_features(cache: PhotoCache, row: int, head: nn.Module, some: Tensor | None = None) -> Tensor:
    """(t, 1800) float32 features of a photo's tokens, or of some of them. head: ImageNet's last convolution."""
    stages = torch.from_numpy(cache.features[row].astype(np.float32)).flatten(1)  # (520, GRID * GRID)
    if some is not None:
        stages = stages[:, some]
    return with_head(stages[None, :, :, None], head)[0, :, :, 0].T
