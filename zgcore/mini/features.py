"""Candidate features of the mini preset: what the trunk sees at stride 8 and 16, reduced to an image's own axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from zgcore.mini.trunk import TRUNK_MEAN, TRUNK_STD, Trunk
from zgcore.pixels import to_tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn


@dataclass(frozen=True)
class TrunkGridConfig:
    """size: shorter side of the image in pixels; the grid has a cell every 8. max_aspect: longer over shorter side, at
    most. texture, parts, objects: shares of the variance that the trunk's three stages get. dimensions: of the result.
    """

    size: int = 448
    max_aspect: float = 1.5
    texture: float = 0.25
    parts: float = 1.0
    objects: float = 0.6
    dimensions: int = 32


class TrunkGrid:
    """(H, W, 3) uint8 -> (gh, gw, 32) float32, one cell every 8 pixels of the resized image.

    mean, scale: (520,) that standardise the trunk's features over photos.
    """

    def __init__(self, trunk: Trunk, mean: Tensor, scale: Tensor, config: TrunkGridConfig | None = None) -> None:
        self.module: nn.Module = trunk
        self.mean, self.scale = mean, scale
        self.config = config or TrunkGridConfig()

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the resized image, multiples of 16."""
        scale = self.config.size / min(height, width)
        longest = self.config.size * self.config.max_aspect
        fitted = [max(16, round(min(side * scale, longest) / 16) * 16) for side in (height, width)]
        return fitted[0], fitted[1]

    @torch.inference_mode()
    def __call__(self, image: NDArray[np.uint8]) -> Tensor:
        weight = next(self.module.parameters())
        pixels = to_tensor(image, self.input_size(*image.shape[:2]), TRUNK_MEAN, TRUNK_STD)  # (1, 3, h, w)
        stages = [stage.float() for stage in self.module(pixels.to(weight.device, weight.dtype))]
        size = stages[0].shape[-2:]
        grids = [F.interpolate(stage, size=size, mode="bilinear", align_corners=False)[0] for stage in stages]
        features = torch.cat(grids).flatten(1).T  # (gh * gw, 520)
        features = (features - self.mean.to(features)) * self.scale.to(features)
        config = self.config
        shares = (config.texture, config.parts, config.objects)
        weights = stage_weights([stage.shape[1] for stage in stages], shares).to(features)
        return principal_axes(features * weights, config.dimensions).reshape(*size, -1)


def stage_weights(channels: Sequence[int], shares: Sequence[float]) -> Tensor:
    """(sum of channels,) factors that give each stage its share of the variance, for channels of variance 1."""
    return torch.cat([torch.full((c,), (share / c) ** 0.5) for share, c in zip(shares, channels, strict=True)])


def principal_axes(features: Tensor, dimensions: int) -> Tensor:
    """(n, c) -> (n, dimensions): the features' coordinates on their own axes of most variance, the largest last."""
    features = features - features.mean(dim=0)
    _, axes = torch.linalg.eigh(features.T @ features)  # in ascending order of variance
    return features @ axes[:, -dimensions:]
