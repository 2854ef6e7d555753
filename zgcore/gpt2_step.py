"""GPT-2's answer to one token on a given context, with nothing computed that is not asked for.

ZeroCap asks some five hundred times for a caption, a few rows at a time, so that most of the library's time goes into
caches, masks and options between the products. Equal to the library up to rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
import torch.nn.functional as F
from transformers import GPT2LMHeadModel

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import LayerNorm
    from transformers import PreTrainedModel
    from transformers.models.gpt2.modeling_gpt2 import GPT2MLP, GPT2Attention
    from transformers.pytorch_utils import Conv1D

_PIECES: Final = 64  # of the vocabulary


class Gpt2Step:
    """model: a GPT-2 for which `fits` holds."""

    def __init__(self, model: GPT2LMHeadModel) -> None:
        self.model = model

    @staticmethod
    def fits(model: PreTrainedModel) -> bool:
        """True for a GPT-2 without options that change its attention, in eval mode."""
        config = model.config
        return (
            isinstance(model, GPT2LMHeadModel)
            and not model.training
            and config.scale_attn_weights
            and not config.scale_attn_by_inverse_layer_idx
            and not config.add_cross_attention
        )

    def __call__(self, tokens: Tensor, context: Tensor) -> Tensor:
        """(r, 1) tokens behind a context (2 * layers, r, heads, t, head width) -> (r, vocabulary) logits."""
        body = self.model.transformer
        x = body.wte(tokens[:, 0]) + body.wpe.weight[context.shape[3]]  # (r, width)
        past = context.unbind(0)
        for block, keys, values in zip(body.h, past[::2], past[1::2], strict=True):
            x = x + _linear(block.attn.c_proj, _attend(block.attn, _norm(block.ln_1, x), keys, values))
            x = x + _linear(block.mlp.c_proj, _activate(block.mlp, _linear(block.mlp.c_fc, _norm(block.ln_2, x))))
        logits: Tensor = _Head.apply(_norm(body.ln_f, x), self.model.lm_head.weight)
        return logits


class _Head(torch.autograd.Function):
    """x @ weight.T, (r, width) and (vocabulary, width) -> (r, vocabulary), with a gradient in x alone.

    The gradient sums over the vocabulary for a few rows, which on a CPU is faster in pieces.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.weight = weight
        return F.linear(x, weight)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        (slope,), weight = slopes, ctx.weight
        if slope.device.type != "cpu":
            return slope @ weight, None
        length = len(weight) // _PIECES
        even = _PIECES * length
        pieces = slope[:, :even].unflatten(1, (_PIECES, length)).transpose(0, 1)  # (pieces, r, length)
        summed = (pieces @ weight[:even].unflatten(0, (_PIECES, length))).sum(0)
        return summed + slope[:, even:] @ weight[even:], None


def _linear(layer: Conv1D, x: Tensor) -> Tensor:
    """(r, in) -> (r, out). The modules' own ways in cost as much as the products of small models."""
    return torch.addmm(layer.bias, x, layer.weight)


def _norm(layer: LayerNorm, x: Tensor) -> Tensor:
    return F.layer_norm(x, layer.normalized_shape, layer.weight, layer.bias, layer.eps)


def _attend(attention: GPT2Attention, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """One token a row: x (r, width), keys and values (r, heads, t, head width) of the tokens before -> (r, width)."""
    r, heads, _, width = keys.shape
    q, k, v = _linear(attention.c_attn, x).view(r, 3, heads, 1, width).unbind(1)  # (r, heads, 1, head width)
    seen = F.scaled_dot_product_attention(q, torch.cat([keys, k], dim=2), torch.cat([values, v], dim=2))
    return seen.reshape(r, heads * width)


def _activate(mlp: GPT2MLP, x: Tensor) -> Tensor:
    """The library writes GPT-2's GELU as six operators; torch has it as one."""
    return F.gelu(x, approximate="tanh") if type(mlp.act).__name__ == "NewGELUActivation" else mlp.act(x)
