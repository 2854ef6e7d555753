"""Presets -> models on a device: the one place where devices, number formats and weights are decided."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from zgcore import __version__
from zgcore.clip_text import ClipText
from zgcore.dino import DinoKeys
from zgcore.errors import ConfigError
from zgcore.masked_clip import CropMaskClip, MaskedClip
from zgcore.oversegment import Oversegmenter
from zgcore.pipeline import ZeroGuidance
from zgcore.presets import get_preset
from zgcore.zerocap import ZeroCap

if TYPE_CHECKING:
    from torch import nn

    from zgcore.config import ClipConfig, PipelineConfig
    from zgcore.dino import DenseFeatures
    from zgcore.masked_clip import SegmentEncoder


@dataclass(frozen=True)
class Models:
    """What a preset is built from.

    features: image -> dense features. clip, tokenizer: both towers, and the text tower's tokenizer.
    language_model, lm_tokenizer: a causal language model. random_weights: True where the weights mean nothing.
    fingerprint: tells weights of the same preset apart; empty where the preset's name says it all.
    """

    features: DenseFeatures
    clip: nn.Module
    tokenizer: Any
    language_model: Any
    lm_tokenizer: Any
    random_weights: bool = False
    fingerprint: str = ""


def pick_device(name: str) -> torch.device:
    """The device of a name; "auto" is a GPU if there is one. ConfigError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {name!r} cannot be used here, try auto or cpu ({reason})") from None
    return device


def build_pipeline(
    preset: str | Path, *, device: str = "auto", weights: str | Path | None = None, settings: dict[str, Any]
) -> ZeroGuidance:
    """A preset with some settings replaced, on a device; what `ZeroGuidance.from_preset` calls.

    Raises ConfigError for an unknown preset, setting or device, WeightsError where weights are missing or do not fit.
    """
    config = get_preset(preset).override(**settings)
    target = pick_device(device)
    return assemble(load_models(config, preset, weights), config, target)


def load_models(config: PipelineConfig, preset: str | Path, weights: str | Path | None = None) -> Models:
    """The models of a preset on the CPU in float32: bundled, from a folder, or from the hub."""
    if config.preset in ("mini", "untrained"):
        return _untrained_models(config)
    from zgcore.models import FolderWeights, HubWeights, load_clip, load_dino, load_language_model

    folder = Path(weights) if weights is not None else Path(preset) if Path(preset).is_dir() else None
    source = HubWeights() if folder is None else FolderWeights(folder)
    clip, tokenizer = load_clip(config.clip, source)
    return Models(
        DinoKeys(load_dino(config.dino, source), config.dino),
        clip,
        tokenizer,
        *load_language_model(config.zerocap, source),
        fingerprint="" if folder is None else _fingerprint(folder),
    )


def _untrained_models(config: PipelineConfig) -> Models:
    from zgcore import untrained

    features = DinoKeys(untrained.dino(), config.dino)
    return Models(features, *untrained.clip(), *untrained.language_model(), random_weights=True)


def _fingerprint(folder: Path) -> str:
    """8 hex digits of the folder's manifest, or of its files' names and sizes where it has none."""
    manifest = folder / "manifest.json"
    if manifest.is_file():
        content = manifest.read_bytes()
    else:
        files = sorted(path for path in folder.rglob("*.safetensors"))
        content = repr([(path.name, path.stat().st_size) for path in files]).encode()
    return hashlib.sha256(content).hexdigest()[:8]


def assemble(models: Models, config: PipelineConfig, device: torch.device) -> ZeroGuidance:
    """Put models on a device and wire the stages.

    On a GPU the two vision towers run in half precision; texts and the language model stay in float32, since a search
    over words is sensitive to rounding.
    """
    for module in (models.features.module, models.clip, models.language_model):
        module.requires_grad_(False).eval().to(device)
    if device.type == "cuda":
        half = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        models.features.module.to(half)
        models.clip.visual.to(half)
    clip_text = ClipText(models.clip, models.tokenizer)
    version = "-".join(filter(None, [config.preset, __version__, config.digest(), models.fingerprint]))
    return ZeroGuidance(
        Oversegmenter(models.features, config.tree, config.crf),
        segment_encoder(models.clip.visual, config.clip),
        ZeroCap(models.language_model, models.lm_tokenizer, clip_text, config.zerocap),
        config,
        version=version,
        random_weights=models.random_weights,
    )


def segment_encoder(visual: nn.Module, config: ClipConfig) -> SegmentEncoder:
    """The method, or the crop-and-mask baseline, on a vision tower."""
    if config.encoder == "crop":
        return CropMaskClip(visual)
    return MaskedClip(
        visual,
        config.masked_blocks,
        config.sigma2,
        config.saliency,
        config.global_subtraction,
        memory_mb=config.memory_mb,
    )
