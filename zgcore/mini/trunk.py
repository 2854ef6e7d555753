"""The frozen trunk of the mini preset: EfficientNet-lite2, batch norms folded, its last stride-2 stage dilated.

One pass gives what every part of the preset reads: edges and texture at stride 8, objects at stride 16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    from timm.models.efficientnet import EfficientNet
    from torch import Tensor

MODEL = "tf_efficientnet_lite2"
TRUNK_MEAN = (0.5, 0.5, 0.5)
TRUNK_STD = (0.5, 0.5, 0.5)
STRIDE8_STAGE, STRIDE16_STAGE = 2, 4  # the last stages at these strides
_BLOCK_PAIRS = (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3"))
_FIRST_BLOCK_PAIRS = (("conv_dw", "bn1"), ("conv_pw", "bn2"))


class TrunkFeatures(NamedTuple):
    """stride8: (b, 48, h / 8, w / 8). stride16: (b, 120, h / 16, w / 16). last: (b, 352, h / 16, w / 16)."""

    stride8: Tensor
    stride16: Tensor
    last: Tensor


class Trunk(nn.Module):
    """(b, 3, h, w) pixels, normalised with TRUNK_MEAN and TRUNK_STD -> TrunkFeatures; without the classifier."""

    def __init__(self, net: EfficientNet | None = None) -> None:
        """net: timm's EfficientNet-lite2 with output stride 16; its batch norms are folded. None: blank weights."""
        super().__init__()
        net = fold_batch_norms(net if net is not None else create_net())
        self.stem = nn.Sequential(net.conv_stem, net.bn1)
        self.stages = net.blocks
        self.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> TrunkFeatures:
        x = self.stem(pixels)
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return TrunkFeatures(outputs[STRIDE8_STAGE], outputs[STRIDE16_STAGE], outputs[-1])


def create_net() -> EfficientNet:
    """timm's EfficientNet-lite2, dilated to output stride 16, without pretrained weights."""
    import timm

    return timm.create_model(MODEL, pretrained=False, output_stride=16).eval()


def fold_batch_norms(net: EfficientNet) -> EfficientNet:
    """Put every batch norm (evaluation mode) into its convolution, in place; what stays of it is the activation."""
    _fold(net, "conv_stem", "bn1")
    for stage in net.blocks:
        for block in stage:
            for conv, norm in _BLOCK_PAIRS if hasattr(block, "conv_pwl") else _FIRST_BLOCK_PAIRS:
                _fold(block, conv, norm)
    _fold(net, "conv_head", "bn2")
    return net


def _fold(module: nn.Module, conv: str, norm: str) -> None:
    layer = getattr(module, norm)
    setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), layer))
    setattr(module, norm, layer.act)
