"""The kernels that attention may use while the vision towers run."""

import pytest
import torch
from torch.backends import cuda

from zgcore import untrained
from zgcore.attention_kernels import ready_kernels
from zgcore.config import DinoConfig
from zgcore.dino import DinoKeys
from zgcore.masked_clip import CropMaskClip, MaskedClip


def enabled() -> tuple[bool, bool, bool, bool]:
    return (
        cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled(), cuda.cudnn_sdp_enabled()
    )  # fmt: skip


def test_cudnn_is_left_out_within_the_block_only():
    before = enabled()
    with ready_kernels():
        assert enabled() == (True, True, True, False)
    assert enabled() == before
    assert before[3], "torch tries cuDNN by default: without that nothing here is needed"


@pytest.mark.parametrize("tower", ["dino", "masked", "crop"])
def test_the_vision_towers_do_without_cudnn(tower):
    seen = []
    if tower == "dino":
        vit = untrained.dino()
        vit.blocks[0].attn.register_forward_hook(lambda *_: seen.append(enabled()))
        DinoKeys(vit, DinoConfig(model="untrained", stride=8)).keys(torch.zeros(1, 3, 64, 64))
    else:
        visual = untrained.clip()[0].visual
        visual.ln_post.register_forward_hook(lambda *_: seen.append(enabled()))
        encoder = MaskedClip(visual) if tower == "masked" else CropMaskClip(visual)
        encoder.encode(torch.zeros(1, 3, 112, 112), torch.ones(1, 8, 8))
    assert seen == [(True, True, True, False)]
