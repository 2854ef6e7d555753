"""The modules of the mini preset, put together from timm, open_clip and transformers.

Vision: an open_clip `VisionTransformer` whose patch embedding is the frozen trunk and a projection of its features
(timm's hybrid embedding is the pattern). Text: open_clip's causal text transformer on CLIP's byte-pair
tokens, the merges cut to the most frequent. Language: a small GPT-2 on whole words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.tokenizer import SimpleTokenizer
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from zgcore.mini.trunk import TRUNK_MEAN, TRUNK_STD, Trunk, TrunkFeatures
from zgcore.pixels import CLIP_MEAN, CLIP_STD

if TYPE_CHECKING:
    from torch import Tensor

IMAGE_SIZE = 448
TOKEN_STRIDE = 16  # the trunk's
EMBED_DIM = 384  # Sentence-BERT's
VISION_WIDTH, VISION_LAYERS, VISION_HEAD = 384, 2, 64
TEXT_WIDTH, TEXT_LAYERS, TEXT_HEADS = 256, 4, 4
CONTEXT_LENGTH = 32
BPE_TOKENS = 16_000
STAGE_CHANNELS = (48, 120, 352)
TRUNK_CHANNELS = sum(STAGE_CHANNELS)
HEAD_CHANNELS = 1280
TOKEN_CHANNELS = HEAD_CHANNELS + TRUNK_CHANNELS
MASKED_BLOCKS = 1  # the last; training masks it too
LANGUAGE_WIDTH, LANGUAGE_LAYERS, LANGUAGE_HEADS, LANGUAGE_POSITIONS = 192, 3, 4, 64


class TrunkEmbedding(nn.Module):
    """In place of a patch embedding: (b, 3, S, S) pixels, normalised as CLIP's -> (b, width, S / 16, S / 16).

    head: ImageNet's last convolution, 352 -> 1280 channels. mean, scale: (1800,) that standardise what tokens are made
    of, the last convolution's channels and the trunk's stages; they come with the weights.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, trunk: Trunk, width: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Sequential(nn.Conv2d(STAGE_CHANNELS[-1], HEAD_CHANNELS, 1), nn.ReLU6())
        self.register_buffer("mean", torch.zeros(TOKEN_CHANNELS))
        self.register_buffer("scale", torch.ones(TOKEN_CHANNELS))
        self.proj = nn.Conv2d(TOKEN_CHANNELS, width, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        stages = join(self.trunk(clip_to_trunk(pixels)))  # (b, 520, h, w)
        b, _, h, w = stages.shape
        tokens = with_head(stages, self.head).flatten(2).transpose(1, 2)  # (b, h * w, 1800)
        return self.project_tokens(tokens).transpose(1, 2).reshape(b, -1, h, w)

    def project_tokens(self, tokens: Tensor) -> Tensor:
        """(..., 1800) -> (..., width)."""
        return F.linear((tokens - self.mean) * self.scale, self.proj.weight.flatten(1), self.proj.bias)


def with_head(stages: Tensor, head: nn.Module) -> Tensor:
    """(b, 520, h, w) joined stages -> (b, 1800, h, w): the last convolution's channels, then the stages'."""
    return torch.cat([head(stages[:, -STAGE_CHANNELS[-1] :]), stages], dim=1)


def clip_to_trunk(pixels: Tensor) -> Tensor:
    """From CLIP's normalisation, which the pipeline applies to every tower, to the trunk's."""
    scale = pixels.new_tensor([c / t for c, t in zip(CLIP_STD, TRUNK_STD, strict=True)])
    shift = pixels.new_tensor([(c - t) / s for c, t, s in zip(CLIP_MEAN, TRUNK_MEAN, TRUNK_STD, strict=True)])
    return pixels * scale[:, None, None] + shift[:, None, None]


def join(features: TrunkFeatures) -> Tensor:
    """All stages at stride 16: (b, 520, h / 16, w / 16)."""
    return torch.cat([F.avg_pool2d(features.stride8, 2), features.stride16, features.last], dim=1)


def build_clip(trunk: Trunk | None = None) -> CLIP:
    """An open_clip model of both towers, weights random but for the trunk's."""
    vision = CLIPVisionCfg(
        layers=VISION_LAYERS,
        width=VISION_WIDTH,
        head_width=VISION_HEAD,
        patch_size=TOKEN_STRIDE,
        image_size=IMAGE_SIZE,
    )
    text = CLIPTextCfg(
        context_length=CONTEXT_LENGTH, vocab_size=BPE_TOKENS, width=TEXT_WIDTH, heads=TEXT_HEADS, layers=TEXT_LAYERS
    )
    model = CLIP(EMBED_DIM, vision, text)
    model.visual.conv1 = TrunkEmbedding(trunk or Trunk(), VISION_WIDTH)
    return model


def build_language_model(vocabulary: int) -> GPT2LMHeadModel:
    """A GPT-2 of this preset's size, weights random; token 0 begins and ends a text."""
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=LANGUAGE_POSITIONS,
        n_embd=LANGUAGE_WIDTH,
        n_layer=LANGUAGE_LAYERS,
        n_head=LANGUAGE_HEADS,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config)


class MiniTokenizer(SimpleTokenizer):  # type: ignore[misc]
    """CLIP's byte-pair tokenizer with only its first merges, `BPE_TOKENS` tokens in all."""

    def __init__(self) -> None:
        super().__init__(context_length=CONTEXT_LENGTH)
        whole = SimpleTokenizer()
        specials = [whole.decoder[token] for token in whole.all_special_ids]
        plain = [whole.decoder[token] for token in range(BPE_TOKENS - len(specials))]
        merges = BPE_TOKENS - len(specials) - 2 * len(whole.byte_encoder)
        self.encoder = {token: number for number, token in enumerate([*plain, *specials])}
        self.decoder = {number: token for token, number in self.encoder.items()}
        self.bpe_ranks = {pair: rank for pair, rank in whole.bpe_ranks.items() if rank < merges}
        self.cache = {special: special for special in specials}
        self.vocab_size = len(self.encoder)
        self.all_special_ids = [self.encoder[special] for special in specials]
        self.sot_token_id, self.eot_token_id = self.all_special_ids
