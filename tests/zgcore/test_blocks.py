"""The two halves of a block against the library's whole one."""

import pytest
import torch
import torch.nn.functional as F
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import nn

from zgcore.blocks import finish_block, project_qkv
from zgcore.deterministic import deterministic_


@pytest.mark.parametrize("activation", [QuickGELU, nn.GELU])
def test_halves_make_the_block(activation):
    block = deterministic_(ResidualAttentionBlock(32, 2, act_layer=activation)).double()
    x = torch.randn(3, 5, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    q, k, v = project_qkv(block, x)
    ours = finish_block(block, x, F.scaled_dot_product_attention(q, k, v))
    theirs = block(x)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)
    (our_slope,), (their_slope,) = (torch.autograd.grad(y.square().sum(), x) for y in (ours, theirs))
    torch.testing.assert_close(our_slope, their_slope, atol=1e-10, rtol=1e-10)
