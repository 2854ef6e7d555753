"""The two halves of an open_clip residual attention block, so that other attention can stand between them.

A block is `x + out_proj(attention(ln_1(x)))` followed by `x + mlp(ln_2(x))`. Masked attention (vision) and cached
prefixes (text) change only what happens between the projections; both are written on these halves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from open_clip.transformer import QuickGELU

if TYPE_CHECKING:
    from open_clip.transformer import ResidualAttentionBlock
    from torch import Tensor

_QUICK_GELU = 1.702  # QuickGELU(x) is x * sigmoid(1.702 x)


def project_tokens(block: ResidualAttentionBlock, x: Tensor) -> Tensor:
    """Queries, keys and values of tokens, beside each other: (..., d) -> (..., 3, heads, d / heads)."""
    attention = block.attn
    qkv = F.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)  # (..., 3d)
    return qkv.unflatten(-1, (3, attention.num_heads, -1))


def project_qkv(block: ResidualAttentionBlock, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of a block: (b, t, d) -> three of (b, heads, t, d / heads)."""
    q, k, v = project_tokens(block, x).permute(2, 0, 3, 1, 4)
    return q, k, v


def finish_block(block: ResidualAttentionBlock, x: Tensor, attended: Tensor) -> Tensor:
    """Out-projection, residuals and MLP: x (b, t, d) and attended values (b, heads, t, d / heads) -> (b, t, d)."""
    b, _, t, _ = attended.shape
    attended = attended.transpose(1, 2).reshape(b, t, -1)  # (b, t, d)
    x = x + block.ls_1(block.attn.out_proj(attended))
    return x + block.ls_2(_mlp(block, block.ln_2(x)))


def _mlp(block: ResidualAttentionBlock, x: Tensor) -> Tensor:
    """The block's MLP. QuickGELU, which the library computes in three passes over the widest of all tensors, is
    silu(1.702 x) / 1.702, and products can be scaled at no cost: one pass is left."""
    if not isinstance(block.mlp.gelu, QuickGELU):
        return block.mlp(x)
    into, out = block.mlp.c_fc, block.mlp.c_proj
    wide = torch.addmm(into.bias * _QUICK_GELU, x.flatten(0, -2), into.weight.T, alpha=_QUICK_GELU)
    narrow = torch.addmm(out.bias, F.silu(wide, inplace=True), out.weight.T, alpha=1 / _QUICK_GELU)
    return narrow.unflatten(0, x.shape[:-1])


def check_block(block: ResidualAttentionBlock) -> None:
    """Raise TypeError for a block that is not built as above (other norms, cross-attention, custom scaling)."""
    missing = [name for name in ("ln_1", "attn", "ls_1", "ln_2", "mlp", "ls_2") if not hasattr(block, name)]
    if missing or hasattr(block, "ln_1_kv"):
        raise TypeError(
            f"{type(block).__name__} is not a plain residual attention block (lacks {', '.join(missing) or 'none'}); "
            "use an open_clip transformer without custom attention"
        )
    if getattr(block.attn, "in_proj_weight", None) is None:
        raise TypeError(f"{type(block).__name__}.attn has separate projections; a joint in_proj_weight is expected")
