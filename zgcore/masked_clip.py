"""Segment embeddings from CLIP by masked attention with global subtraction (paper section 3.2).

In the last blocks of the vision tower every query attends under the segment's mask, and what the global token sees
without the mask is subtracted, weighted by how little the segment stands out (equations 1 to 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, get_args

import torch
import torch.nn.functional as F

from zgcore.attention_kernels import ready_kernels
from zgcore.blocks import check_block, finish_block, project_qkv
from zgcore.config import Saliency
from zgcore.errors import ConfigError
from zgcore.pixels import CLIP_MEAN, CLIP_STD, Colour, to_tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from open_clip.transformer import VisionTransformer
    from torch import Tensor, nn

_FLOATS_PER_TOKEN = 16  # hidden state, queries, keys, values, two attention outputs and the MLP, in units of the width


class SegmentEncoder(Protocol):
    """(image, masks) -> embeddings: the method, or a baseline behind the same calls. `visual` holds its weights."""

    visual: nn.Module

    def mask_size(self, height: int, width: int) -> tuple[int, int]:
        """The resolution at which masks of an image of this size are wanted."""

    def prepare(self, image: NDArray[np.uint8]) -> Tensor:
        """What all segments of an (H, W, 3) image share, computed once."""

    def encode_prepared(self, prepared: Tensor, masks: Tensor) -> Tensor:
        """(n, h, w) soft masks -> (n, d) float32 embeddings, unnormalised."""


def area_average(masks: Tensor, height: int, width: int) -> Tensor:
    """Average (n, H, W) masks over the cells of a height x width grid, cells cut exactly where they cross pixels."""
    rows = _area_weights(masks.shape[-2], height).to(masks)
    columns = _area_weights(masks.shape[-1], width).to(masks)
    return rows @ masks @ columns.T  # (n, height, width)


def _area_weights(pixels: int, cells: int) -> Tensor:
    """(cells, pixels) share of each cell that lies in each pixel; rows sum to 1."""
    edges = torch.arange(cells + 1, dtype=torch.float64) * (pixels / cells)
    pixel = torch.arange(pixels, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], pixel + 1) - torch.maximum(edges[:-1, None], pixel)
    return (overlap.clamp(min=0) / (pixels / cells)).float()


class MaskedClip:
    """Embeds the segments of an image with one vision tower of open_clip.

    visual: an `open_clip.transformer.VisionTransformer` (global token pooling), of any size.
    masked_blocks: how many of the last blocks are masked.
    sigma2: variance of the weight w = exp(-(S + 1)^2 / (2 sigma^2)), equation 3.
    saliency: S is the mean over query tokens of the cosine between masked and unmasked attention: their outputs
        ("output", equation 2) or their weight rows per head ("weights", the published code).
    global_subtraction: False leaves masked attention alone (w = 0).
    memory_mb: what a chunk of segments may take in the masked blocks, in MiB.

    Raises ConfigError for more masked blocks than the tower has, TypeError for a tower of another build.
    """

    def __init__(
        self,
        visual: VisionTransformer,
        masked_blocks: int = 4,
        sigma2: float = 2.5,
        saliency: Saliency = "output",
        global_subtraction: bool = True,
        *,
        memory_mb: int = 1024,
        mean: Colour = CLIP_MEAN,
        std: Colour = CLIP_STD,
    ) -> None:
        self.visual = visual
        blocks = list(self.visual.transformer.resblocks)
        _check_tower(visual, blocks)
        if not 1 <= masked_blocks <= len(blocks):
            raise ConfigError(f"masked_blocks must be 1..{len(blocks)} for this tower, not {masked_blocks}")
        if saliency not in get_args(Saliency):
            raise ConfigError(f"saliency must be one of {', '.join(get_args(Saliency))}, not {saliency!r}")
        if sigma2 <= 0:
            raise ConfigError(f"sigma2 must be positive, not {sigma2}")
        self.shared, self.masked = blocks[:-masked_blocks], blocks[-masked_blocks:]
        self.sigma2 = sigma2
        self.saliency = saliency
        self.global_subtraction = global_subtraction
        self.memory_mb = memory_mb
        self.mean, self.std = mean, std
        self.image_size: tuple[int, int] = tuple(self.visual.image_size)
        self.grid: tuple[int, int] = tuple(self.visual.grid_size)

    def mask_size(self, height: int, width: int) -> tuple[int, int]:
        """Masks are used on the token grid, whatever the image's size."""
        return self.grid

    def pixels(self, image: NDArray[np.uint8]) -> Tensor:
        """(H, W, 3) uint8 -> (1, 3, S, S) normalised; squashed to the tower's size, the aspect is not kept."""
        return to_tensor(image, self.image_size, self.mean, self.std)

    def prepare(self, image: NDArray[np.uint8]) -> Tensor:
        return self.prepare_pixels(self.pixels(image))

    @ready_kernels()
    @torch.inference_mode()
    def prepare_pixels(self, pixels: Tensor) -> Tensor:
        """(1, 3, S, S) -> (1, t, d) hidden state in front of the first masked block."""
        weight = self.visual.positional_embedding
        hidden = self.visual._embeds(pixels.to(weight.device, weight.dtype))  # (1, t, d)
        for block in self.shared:
            hidden = block(hidden)
        return hidden

    def encode(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """Embed segments.

        pixels: (1, 3, S, S) float, normalised. masks: (n, h, w) soft masks, values 0..1, any resolution.
        Returns (n, d) float32, unnormalised.
        """
        return self.encode_prepared(self.prepare_pixels(pixels), masks)

    @ready_kernels()
    @torch.inference_mode()
    def encode_prepared(self, prepared: Tensor, masks: Tensor) -> Tensor:
        if masks.ndim != 3:
            raise ValueError(f"masks must be (n, h, w), not {tuple(masks.shape)}")
        if not len(masks):
            return torch.empty(0, self.visual.output_dim, device=prepared.device)
        masks = area_average(masks.to(prepared.device, torch.float32), *self.grid)  # (n, gh, gw)
        keys = F.pad(masks.flatten(1), (1, 0), value=1.0)  # (n, t): the global token is always seen
        chunks = [self._encode_chunk(prepared, part) for part in keys.split(self._chunk_size(prepared))]
        return torch.cat(chunks).float()

    def _chunk_size(self, hidden: Tensor) -> int:
        _, t, d = hidden.shape
        floats = t * d * _FLOATS_PER_TOKEN
        if self.saliency == "weights":
            floats += 2 * t * t * self.masked[0].attn.num_heads
        return max(1, self.memory_mb * 2**20 // (floats * hidden.element_size()))

    def _encode_chunk(self, hidden: Tensor, keys: Tensor) -> Tensor:
        """hidden (1, t, d), keys (n, t) -> (n, d_out). The batch is 1 until the first masked block makes it n."""
        for block in self.masked:
            hidden = self._masked_block(block, hidden, keys, only_global=block is self.masked[-1])
        token = self.visual.ln_post(hidden[:, 0])  # (n, d)
        return token if self.visual.proj is None else token @ self.visual.proj

    def _masked_block(self, block: nn.Module, hidden: Tensor, keys: Tensor, only_global: bool) -> Tensor:
        q, k, v = project_qkv(block, hidden)  # (1 or n, heads, t, d / heads)
        n = len(keys)
        bias = keys.log().to(q.dtype)[:, None, None, :]  # multiplying softmax weights by m is adding log m to logits
        compares_outputs = self.global_subtraction and self.saliency == "output"  # of every query token
        asked = q[:, :, :1] if only_global and not compares_outputs else q
        masked = F.scaled_dot_product_attention(
            asked.expand(n, -1, -1, -1), k.expand(n, -1, -1, -1), v.expand(n, -1, -1, -1), attn_mask=bias
        )  # (n, heads, t or 1, d / heads)
        if self.global_subtraction:
            without = q if compares_outputs else q[:, :, :1]
            unmasked = F.scaled_dot_product_attention(without, k, v)  # (1 or n, heads, t or 1, d / heads)
            s = self._saliency(q, k, masked, unmasked, keys)  # (n,)
            w = torch.exp(-((s + 1) ** 2) / (2 * self.sigma2)).to(masked.dtype)  # equation 3
            masked = masked - w[:, None, None, None] * unmasked[:, :, :1]
        if only_global:  # nothing after the last block reads the other tokens
            hidden, masked = hidden[:, :1], masked[:, :, :1]
        return finish_block(block, hidden, masked)

    def _saliency(self, q: Tensor, k: Tensor, masked: Tensor, unmasked: Tensor, keys: Tensor) -> Tensor:
        """S of equation 2, one number a segment: (n,) float32."""
        if self.saliency == "output":
            heads_joined = (masked.transpose(1, 2).flatten(2), unmasked.transpose(1, 2).flatten(2))  # (n, t, d)
            return F.cosine_similarity(*heads_joined, dim=-1).float().mean(dim=1)
        # With weight rows a and masked rows a*m / sum(a*m), the cosine is sum(a^2 m) / sqrt(sum(a^2 m^2) sum(a^2)),
        # and a^2 up to its row's norm is the softmax of the doubled logits.
        squared = torch.softmax(2 * (q @ k.transpose(-1, -2)).float() / q.shape[-1] ** 0.5, dim=-1)  # (., heads, t, t)
        moments = torch.stack([keys, keys * keys], dim=-1)[:, None]  # (n, 1, t, 2)
        first, second = (squared @ moments).unbind(-1)  # (n, heads, t)
        return (first / second.sqrt().clamp(min=1e-12)).mean(dim=(1, 2))


def _check_tower(visual: VisionTransformer, blocks: list[nn.Module]) -> None:
    if getattr(visual, "pool_type", None) != "tok" or getattr(visual, "attn_pool", None) is not None:
        raise TypeError("masked attention needs a vision tower that is read at its global token (pool_type 'tok')")
    if not getattr(visual.transformer, "batch_first", True):
        raise TypeError("the vision tower must be built with batch_first=True")
    for block in blocks:
        check_block(block)


class CropMaskClip:
    """The crop-and-mask baseline (paper section 5): each segment alone, on black, through the plain encoder.

    visual: as in MaskedClip. working_size: the longest side, in pixels, at which segments are cut out.
    """

    def __init__(
        self,
        visual: VisionTransformer,
        *,
        working_size: int = 1024,
        batch: int = 16,
        mean: Colour = CLIP_MEAN,
        std: Colour = CLIP_STD,
    ) -> None:
        self.visual = visual
        self.working_size = working_size
        self.batch = batch
        self.mean, self.std = mean, std
        self.image_size: tuple[int, int] = tuple(self.visual.image_size)

    def mask_size(self, height: int, width: int) -> tuple[int, int]:
        """The image's own size, longest side at most `working_size`."""
        scale = min(1.0, self.working_size / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))

    def pixels(self, image: NDArray[np.uint8]) -> Tensor:
        """(H, W, 3) uint8 -> (1, 3, h, w) normalised, at `mask_size`."""
        return to_tensor(image, self.mask_size(*image.shape[:2]), self.mean, self.std)

    def prepare(self, image: NDArray[np.uint8]) -> Tensor:
        return self.pixels(image)

    def encode(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """pixels (1, 3, h, w) normalised, masks (n, any, any) soft -> (n, d) float32, unnormalised."""
        return self.encode_prepared(pixels, masks)

    @ready_kernels()
    @torch.inference_mode()
    def encode_prepared(self, prepared: Tensor, masks: Tensor) -> Tensor:
        weight = self.visual.positional_embedding
        masks = area_average(masks.float().cpu(), *prepared.shape[-2:])  # (n, h, w)
        features = []
        for part in masks.split(self.batch):
            crops = torch.cat([self._crop(prepared, mask) for mask in part])  # (n, 3, S, S)
            features.append(self.visual(crops.to(weight.device, weight.dtype)).float())
        return torch.cat(features) if features else torch.empty(0, self.visual.output_dim, device=weight.device)

    def _crop(self, pixels: Tensor, mask: Tensor) -> Tensor:
        """(1, 3, S, S): the bounding box of the mask's support, black outside the mask."""
        black = -torch.tensor(self.mean) / torch.tensor(self.std)  # (3,) black after normalisation
        inside = mask > 0.5 if bool((mask > 0.5).any()) else mask >= mask.max()
        rows, columns = inside.any(dim=1).nonzero(), inside.any(dim=0).nonzero()
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        left, right = int(columns[0]), int(columns[-1]) + 1
        crop = torch.where(inside, pixels, black[None, :, None, None])[..., top:bottom, left:right]
        return F.interpolate(crop, size=self.image_size, mode="bicubic", antialias=True, align_corners=False)
