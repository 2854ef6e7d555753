"""Presets -> models on a device: the one place where devices, number formats and weights are decided."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from zgcore import __version__, untrained
from zgcore.clip_text import ClipText
from zgcore.dino import DinoKeys
from zgcore.errors import ConfigError
from zgcore.masked_clip import CropMaskClip, MaskedClip, SegmentEncoder
from zgcore.models import load_clip, load_dino, load_language_model
from zgcore.oversegment import Oversegmenter
from zgcore.pipeline import ZeroGuidance
from zgcore.presets import find_preset
from zgcore.zerocap import ZeroCap

if TYPE_CHECKING:
    from torch import nn

    from zgcore.config import ClipConfig, PipelineConfig


def pick_device(name: str) -> torch.device:
    """ "auto" is a GPU if there is one. ConfigError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {name!r} cannot be used here; try auto or cpu ({str(error).splitlines()[0]})") from None
    return device
