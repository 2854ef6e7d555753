"""The vision tower, taught on every region of the photos with the method's own masking and global subtraction.

Only what lies behind the frozen trunk learns. The first block has no attention (a token stays what the trunk saw
there); the masked block's attention is uniform over the segment, so a segment's embedding is made of the mean over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from zgcore.mini.architecture import MASKED_BLOCKS, TOKEN_CHANNELS, VISION_WIDTH
from zgcore.mini.training.cache import GRID, LEAVES
from zgcore.mini.training.regions import region_weights, token_features
from zgcore.mini.training.steps import Schedule, train

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from open_clip.transformer import VisionTransformer
    from torch import Tensor, nn

    from zgcore.mini.training.cache import PhotoCache
    from zgcore.mini.training.naming import Teacher

NODES = 2 * LEAVES - 2  # of a tree, without its root
PHOTOS = 8  # a step
TOKENS = GRID * GRID // 2  # of a photo, drawn anew at every step
RIDGE = 0.003  # of the mean variance
SIGMA2 = 2.5
CONTRAST, TEMPERATURE = 0.1, 0.05


@dataclass(frozen=True)
class Lessons:
    """directions: (photos, NODES, 384) float16, what each region of each photo should become; 0 for none. Memory map.

    start: (1800 + 1, 384) the linear map of token features, and a constant, that comes nearest to them.
    mean, scale: (1800,) that standardise token features.
    """

    directions: NDArray[np.float16]
    start: Tensor
    mean: Tensor
    scale: Tensor


def prepare(cache: PhotoCache, head: nn.Module, teacher: Teacher, folder: Path) -> Lessons:
    """Ask the teacher about every region, once; kept in `folder`."""
    rows = np.flatnonzero(cache.usable)
    file, moments_file = folder / "directions.npy", folder / "moments.pt"
    if not moments_file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        shape = (len(cache), NODES, 384)
        directions = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
        gram = torch.zeros(TOKEN_CHANNELS + 1, TOKEN_CHANNELS + 1, dtype=torch.float64)
        cross = torch.zeros(TOKEN_CHANNELS + 1, 384, dtype=torch.float64)
        for row in tqdm(rows, desc="teacher", unit="photo", mininterval=5):
            weights = region_weights(cache, row)
            if not len(weights):
                continue
            pooled = weights @ token_features(cache, row, head)  # (n, 1800)
            wanted = teacher(pooled)
            directions[row, : len(wanted)] = wanted.half().numpy()
            x = F.pad(pooled, (0, 1), value=1.0).double()
            gram += x.T @ x
            cross += x.T @ wanted.double()
        torch.save({"gram": gram, "cross": cross}, moments_file)
    moments = torch.load(moments_file, weights_only=True)
    return Lessons(np.load(file, mmap_mode="r"), *_ridge(moments["gram"], moments["cross"]))


def _ridge(gram: Tensor, cross: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ridge regression on standardised features, from sums over regions whose last feature is 1."""
    count = gram[-1, -1]
    mean = gram[-1, :-1] / count
    deviation = (gram.diagonal()[:-1] / count - mean**2).clamp(min=1e-12).sqrt()
    scale = 1 / deviation.clamp(min=0.05 * float(deviation.mean()))
    covariance = (gram[:-1, :-1] / count - mean[:, None] * mean) * scale[:, None] * scale
    about_mean = (cross[:-1] - mean[:, None] * cross[-1]) / count * scale[:, None]
    solved = torch.linalg.solve(covariance + RIDGE * torch.eye(len(mean), dtype=torch.float64), about_mean)
    return torch.cat([solved, (cross[-1] / count)[None]]).float(), mean.float(), scale.float()


def start_from_lessons(visual: VisionTransformer, lessons: Lessons) -> None:
    """Begin as linear regression: tokens become what their features say, a segment the mean of its tokens."""
    width = VISION_WIDTH
    eye = torch.eye(width)
    with torch.no_grad():
        embedding = visual.conv1
        embedding.mean.copy_(lessons.mean)
        embedding.scale.copy_(lessons.scale)
        embedding.proj.weight.copy_(lessons.start[:-1].T[:, :, None, None])
        embedding.proj.bias.copy_(lessons.start[-1])
        visual.positional_embedding.zero_()
        visual.class_embedding.mul_(0.1)
        visual.proj.copy_(eye)
        for number, block in enumerate(visual.transformer.resblocks):
            block.mlp.c_proj.weight.mul_(0.02)
            block.attn.in_proj_weight.zero_()
            block.attn.in_proj_bias.zero_()
            block.attn.out_proj.bias.zero_()
            block.attn.out_proj.weight.zero_()
            if number >= len(visual.transformer.resblocks) - MASKED_BLOCKS:
                block.attn.in_proj_weight[2 * width :].copy_(eye)
                block.attn.out_proj.weight.copy_(eye)


def learned(visual: VisionTransformer) -> dict[str, Tensor]:
    """The parameters that training moves: all but the trunk, positions, queries, keys and the first block's attention.

    The joint projection of the masked block is among them; its queries and keys are put back to zero by `embed`.
    """
    fixed = ("conv1.trunk", "conv1.head", "positional_embedding", "transformer.resblocks.0.attn")
    return {name: tensor for name, tensor in visual.named_parameters() if not name.startswith(fixed)}


def embed(visual: VisionTransformer, tokens: Tensor, masks: Sequence[Tensor]) -> Tensor:
    """Embeddings of the regions of several photos, as `MaskedClip` gives them, with gradients.

    tokens: (b, t, 1800) some of each photo's token features. masks: for each photo (n, t) soft masks of its regions.
    Returns (sum of n, 384).
    """
    first, masked = visual.transformer.resblocks
    x = visual.conv1.project_tokens(tokens)  # (b, t, width)
    x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], dim=1)
    x = visual.ln_pre(x)
    x = x + first.mlp(first.ln_2(x))
    width = x.shape[-1]
    attention = masked.attn
    values = F.linear(masked.ln_1(x), attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :])
    share = tokens.shape[1] / (GRID * GRID)  # each token stands for 1 / share of them
    found = []
    for photo, mask in zip(values, masks, strict=True):
        keys = F.pad(mask / share, (1, 0), value=1.0)  # (n, 1 + t): the global token is always seen
        inside = keys @ photo / keys.sum(dim=1, keepdim=True)
        whole = torch.cat([photo[:1], photo[1:] / share]).sum(dim=0) / (1 + GRID * GRID)
        s = F.cosine_similarity(inside, whole[None], dim=1)
        w = torch.exp(-((s + 1) ** 2) / (2 * SIGMA2))  # equation 3
        found.append(inside - w[:, None] * whole)
    x0 = x[:1, 0]  # the same for all photos, since the first block has no attention
    out = x0 + attention.out_proj(torch.cat(found))
    out = out + masked.mlp(masked.ln_2(out))
    return visual.ln_post(out) @ visual.proj


def fit(visual: VisionTransformer, cache: PhotoCache, lessons: Lessons, head: nn.Module, schedule: Schedule,
        folder: Path) -> None:  # fmt: skip
    """Train in place; a stopped run goes on from `folder`."""
    rows = np.flatnonzero(cache.usable)

    def loss(step: int) -> Tensor:
        epoch, at = divmod(step * PHOTOS, len(rows) // PHOTOS * PHOTOS)
        order = np.random.default_rng((schedule.seed, epoch)).permutation(rows)[at : at + PHOTOS]
        rng = torch.Generator().manual_seed(schedule.seed * 1_000_003 + step)
        tokens, masks, wanted = [], [], []
        for row in order:
            some = torch.randperm(GRID * GRID, generator=rng)[:TOKENS]
            weights = region_weights(cache, row)
            inside = (weights[:, some] > 0).float()
            kept = inside.any(dim=1)
            tokens.append(token_features(cache, row, head, some))
            masks.append(inside[kept])
            wanted.append(torch.from_numpy(lessons.directions[row, : len(weights)].astype(np.float32))[kept])
        found = F.normalize(embed(visual, torch.stack(tokens), masks), dim=1)
        targets = torch.cat(wanted)
        cosine = (found * targets).sum(dim=1)
        alike = (targets @ targets.T / TEMPERATURE).softmax(dim=1)  # regions of one kind are no rivals
        contrast = F.cross_entropy(found @ targets.T / TEMPERATURE, alike)
        return (1 - cosine).mean() + CONTRAST * contrast

    train(learned(visual), loss, schedule, folder, "vision tower")
    _silence_queries(visual)


def _silence_queries(visual: VisionTransformer) -> None:
    """Queries and keys of zero: weight decay leaves them there, and uniform attention is what was trained."""
    with torch.no_grad():
        for block in visual.transformer.resblocks:
            block.attn.in_proj_weight[: 2 * VISION_WIDTH].zero_()
            block.attn.in_proj_bias[: 2 * VISION_WIDTH].zero_()
