"""Outputs of the published implementation on tiny deterministic models, and those models.

Every parameter is drawn from a generator seeded with the CRC-32 of its name, so numbers alone had to be kept.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.transformer import QuickGELU, VisionTransformer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from zgcore.clip_text import ClipText
from zgcore.deterministic import deterministic_

DATA = Path(__file__).parent / "data"


def load(name: str) -> dict[str, torch.Tensor]:
    """The arrays of an .npz file as tensors."""
    with np.load(DATA / name, allow_pickle=False) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def texts() -> dict[str, list]:
    return json.loads((DATA / "zerocap.json").read_text())


@cache
def vision_tower() -> VisionTransformer:
    tower = VisionTransformer(
        image_size=112, patch_size=14, width=128, layers=8, heads=2, mlp_ratio=4, output_dim=64, act_layer=QuickGELU
    )
    deterministic_(tower, scale=0.08)
    with torch.no_grad():
        for name, parameter in tower.named_parameters():
            if name.endswith("in_proj_weight"):
                parameter *= 2.5
    return tower.eval().requires_grad_(False)


@cache
def text_tower() -> ClipText:
    vision = CLIPVisionCfg(layers=1, width=64, head_width=64, patch_size=16, image_size=32)
    model = CLIP(64, vision, CLIPTextCfg(width=128, heads=2, layers=3), quick_gelu=True)
    del model.visual
    return ClipText(deterministic_(model, "text.", 0.15).eval().requires_grad_(False), open_clip.SimpleTokenizer())


@cache
def gpt2_tokenizer() -> PreTrainedTokenizerFast:
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_file=str(DATA / "gpt2_tokenizer.json"), bos_token=end, eos_token=end)


@cache
def language_model() -> GPT2LMHeadModel:
    model = GPT2LMHeadModel(GPT2Config(n_layer=3, n_embd=64, n_head=2, n_positions=64))
    return deterministic_(model, "gpt2.", 0.15).eval()
