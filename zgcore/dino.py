"""Dense features from DINO: the keys of the last attention block, on a grid finer than the patches (section 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
import torch.nn.functional as F
from PIL import Image

from zgcore.attention_kernels import ready_kernels
from zgcore.pixels import IMAGENET_MEAN, IMAGENET_STD, to_tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from timm.models.vision_transformer import VisionTransformer
    from torch import Tensor, nn

    from zgcore.config import DinoConfig


class DenseFeatures(Protocol):
    """image -> a grid of features that candidates are clustered from. `module` holds its weights."""

    module: nn.Module

    def __call__(self, image: NDArray[np.uint8]) -> Tensor:
        """(H, W, 3) uint8 -> (gh, gw, c) float32."""


class DinoKeys:
    """Keys of the last block of a timm vision transformer with a global token, heads concatenated.

    vit: e.g. `timm.create_model("vit_small_patch8_224.dino", num_classes=0)`. The patch projection runs with
    `config.stride` instead of its own, and the position embedding is interpolated to the grid that results:
    (H - patch) // stride + 1 by (W - patch) // stride + 1.
    """

    def __init__(self, vit: VisionTransformer, config: DinoConfig) -> None:
        if getattr(vit, "num_prefix_tokens", 1) != 1 or vit.cls_token is None:
            raise TypeError("DinoKeys needs a vision transformer with a global token and no registers")
        self.module: nn.Module = vit
        self.vit = vit
        self.config = config
        self.patch = int(self.vit.patch_embed.patch_size[0])

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the resized image: the shorter side is `config.size`, the aspect kept up to a limit."""
        size = max(self.config.size, self.patch)
        shorter, longer = sorted((height, width))
        longer = min(int(longer * size / shorter), int(size * self.config.max_aspect))
        return (size, longer) if height <= width else (longer, size)

    @torch.inference_mode()
    def __call__(self, image: NDArray[np.uint8]) -> Tensor:
        size = self.input_size(*image.shape[:2])
        pixels = to_tensor(image, size, IMAGENET_MEAN, IMAGENET_STD, Image.Resampling.LANCZOS)  # (1, 3, h, w)
        return self.keys(pixels)[0]

    @ready_kernels()
    def keys(self, pixels: Tensor) -> Tensor:
        """(b, 3, h, w) normalised pixels -> (b, gh, gw, c) float32."""
        vit, weight = self.vit, self.vit.patch_embed.proj.weight
        x = F.conv2d(pixels.to(weight.device, weight.dtype), weight, vit.patch_embed.proj.bias, self.config.stride)
        b, _, gh, gw = x.shape
        x = torch.cat([vit.cls_token.expand(b, -1, -1), x.flatten(2).transpose(1, 2)], dim=1)  # (b, 1 + gh * gw, c)
        x = vit.norm_pre(vit.patch_embed.norm(x) + self._positions(gh, gw))
        for block in vit.blocks[:-1]:
            x = block(x)
        attention = vit.blocks[-1].attn
        c = attention.num_heads * attention.head_dim
        bias = None if attention.qkv.bias is None else attention.qkv.bias[c : 2 * c]
        keys = F.linear(vit.blocks[-1].norm1(x), attention.qkv.weight[c : 2 * c], bias)  # (b, 1 + gh * gw, c)
        return keys[:, 1:].reshape(b, gh, gw, c).float()

    def _positions(self, gh: int, gw: int) -> Tensor:
        """(1, 1 + gh * gw, c) position embedding, bicubically interpolated from the square grid it was trained on."""
        embedding = self.vit.pos_embed
        side = int((embedding.shape[1] - 1) ** 0.5)
        if (side, side) == (gh, gw):
            return embedding
        grid = embedding[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2).float()  # (1, c, side, side)
        grid = F.interpolate(grid, size=(gh, gw), mode="bicubic", align_corners=False).to(embedding.dtype)
        return torch.cat([embedding[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)
