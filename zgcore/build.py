"""Presets -> models on a device: the one place where devices, number formats and weights are decided."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from zgcore import __version__
from zgcore.clip_text import ClipText
from zgcore.config import PipelineConfig
from zgcore.dino import DinoKeys
from zgcore.errors import ConfigError
from zgcore.masked_clip import CropMaskClip, MaskedClip
from zgcore.oversegment import Oversegmenter
from zgcore.pipeline import ZeroGuidance
from zgcore.zerocap import ZeroCap

if TYPE_CHECKING:
    from torch import nn

    from zgcore.config import ClipConfig
    from zgcore.dino import DenseFeatures
    from zgcore.masked_clip import SegmentEncoder


@dataclass(frozen=True)
class Models:
    """What a preset is built from, on the CPU in float32.

    features: image -> dense features. clip: both towers. tokenizer: of the text tower. language_model, lm_tokenizer: the
    causal language model. fingerprint: changes when the weights do; empty for weights that the preset's name pins.
    random_weights: True where the weights mean nothing.
    """

    dino: nn.Module
    clip: nn.Module
    tokenizer: Any
    language_model: Any
    lm_tokenizer: Any
    fingerprint: str = ""
    random_weights: bool = False


def pick_device(name: str) -> torch.device:
    """The device of a name; "auto" is a GPU if there is one. ConfigError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {name!r} cannot be used here, try auto or cpu: {reason}") from None
    return device
