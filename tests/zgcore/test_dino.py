"""Dense keys against timm's own forward pass, at its own stride and at finer ones."""

import numpy as np
import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer

from zgcore import untrained
from zgcore.config import DinoConfig
from zgcore.dino import DinoKeys
from zgcore.stage_profile import StageProfile, stage


def keys_by_hook(vit: VisionTransformer, pixels: torch.Tensor) -> torch.Tensor:
    """(b, tokens, c): the last block's keys, caught inside timm's forward."""
    caught = {}
    hook = vit.blocks[-1].attn.qkv.register_forward_hook(lambda module, args, out: caught.update(qkv=out))
    with torch.no_grad():
        vit.forward_features(pixels)
    hook.remove()
    return caught["qkv"].chunk(3, dim=-1)[1][:, 1:]


def test_own_stride_equals_timm():
    vit = untrained.dino()
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        keys = DinoKeys(vit, DinoConfig(size=64, stride=8)).keys(pixels)
    assert keys.shape == (1, 8, 8, 48)
    assert torch.allclose(keys.flatten(1, 2), keys_by_hook(vit, pixels), atol=1e-5)


def test_of_the_last_block_only_the_keys_are_computed():
    """Counted by hand: 65 tokens of 48. The attention matrix of the other block is never stored."""
    vit, t, d = untrained.dino(), 65, 48
    assert all(block.attn.fused_attn for block in vit.blocks)
    profile = StageProfile(torch.device("cpu"))
    with profile.active(), stage("features"), torch.inference_mode():
        DinoKeys(vit, DinoConfig(size=64, stride=8)).keys(torch.ones(1, 3, 64, 64))
    patches, block, keys = 2 * 64 * d * 3 * 8 * 8, 24 * t * d * d + 4 * t * t * d, 2 * t * d * d
    assert profile.costs["features"].flops == patches + block + keys


def test_other_sizes_equal_timm_with_interpolated_positions():
    """A 96 x 128 image on a tower made for it, its position embedding interpolated beforehand."""
    vit = untrained.dino()
    dino = DinoKeys(vit, DinoConfig(stride=8))
    wide = VisionTransformer(img_size=(96, 128), patch_size=8, embed_dim=48, depth=2, num_heads=3, num_classes=0).eval()
    wide.load_state_dict(vit.state_dict() | {"pos_embed": dino._positions(12, 16).detach()})
    pixels = torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        assert torch.allclose(dino.keys(pixels).flatten(1, 2), keys_by_hook(wide, pixels), atol=1e-5)


@pytest.mark.parametrize(
    ("height", "width", "stride", "grid"),
    [(224, 224, 2, (109, 109)), (428, 640, 2, (109, 164)), (640, 428, 2, (164, 109)), (224, 224, 8, (28, 28))],
)
def test_published_grids(height, width, stride, grid):
    dino = DinoKeys(untrained.dino(), DinoConfig(stride=stride))
    size = dino.input_size(height, width)
    assert min(size) == 224
    assert tuple((side - 8) // stride + 1 for side in size) == grid


def test_stride_moves_the_window_by_whole_pixels():
    """Where the strided windows coincide with patches, the projected patches are the same."""
    vit = untrained.dino()
    pixels = torch.randn(1, 3, 64, 64)
    fine = torch.nn.functional.conv2d(pixels, vit.patch_embed.proj.weight, vit.patch_embed.proj.bias, stride=4)
    coarse = vit.patch_embed.proj(pixels)
    assert torch.allclose(fine[:, :, ::2, ::2], coarse, atol=1e-5)
    assert DinoKeys(vit, DinoConfig(stride=4)).keys(pixels).shape == (1, 15, 15, 48)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (1, 1, (32, 32)),
        (1, 500, (32, 96)),
        (500, 3, (96, 32)),
        (20, 30, (32, 48)),
    ],
)
def test_odd_images(height, width, expected):
    dino = DinoKeys(untrained.dino(), DinoConfig(size=32, stride=4))
    assert dino.input_size(height, width) == expected
    features = dino(np.zeros((height, width, 3), np.uint8))
    assert features.shape == ((expected[0] - 8) // 4 + 1, (expected[1] - 8) // 4 + 1, 48)
    assert features.isfinite().all()


def test_a_tower_with_registers_is_refused():
    vit = timm.create_model("vit_small_patch14_reg4_dinov2", num_classes=0, img_size=28, depth=1)
    with pytest.raises(TypeError, match="no registers"):
        DinoKeys(vit, DinoConfig())
