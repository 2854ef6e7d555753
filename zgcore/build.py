"""Presets -> models on a device: the one place where devices, number formats and weights are decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from zgcore import __version__, untrained
from zgcore.clip_text import ClipText
from zgcore.dino import DinoKeys
from zgcore.errors import ConfigError
from zgcore.first_step import cache_folders
from zgcore.masked_clip import CropMaskClip, MaskedClip
from zgcore.mini.load import load_mini, words
from zgcore.models import load_clip, load_dino, load_language_model
from zgcore.oversegment import Oversegmenter
from zgcore.pipeline import ZeroGuidance
from zgcore.presets import MINI, get_preset, named_folder, weights_fingerprint
from zgcore.retrieval import Retrieval
from zgcore.weights import WeightSource
from zgcore.zerocap import ZeroCap

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from open_clip import CLIP
    from open_clip.transformer import VisionTransformer

    from zgcore.config import ClipConfig, PipelineConfig
    from zgcore.describing import Labeller
    from zgcore.dino import DenseFeatures
    from zgcore.masked_clip import SegmentEncoder


@dataclass(frozen=True)
class Models:
    """What a preset is built from.

    features: image -> dense features. clip, tokenizer: both towers, and the text tower's tokenizer.
    language_model, lm_tokenizer: a causal language model. words: what retrieval chooses from.
    random_weights: True where the weights mean nothing.
    fingerprint: tells weights of the same preset apart; empty where the preset's name says it all.
    folder: where the weights came from, if it was a folder that somebody named.
    """

    features: DenseFeatures
    clip: CLIP
    tokenizer: Any
    language_model: Any
    lm_tokenizer: Any
    words: Callable[[], list[str]] = words
    random_weights: bool = False
    fingerprint: str = ""
    folder: Path | None = None


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
    if config.preset == "untrained":
        return _untrained_models(config)
    folder, told_apart = named_folder(preset, weights), weights_fingerprint(preset, weights)
    if config.dino.model == MINI:
        return _mini_models(folder, told_apart)
    source = WeightSource.hub(config.preset) if folder is None else WeightSource.from_folder(folder, config.preset)
    features = DinoKeys(load_dino(config.dino, source), config.dino)
    clip, tokenizer = load_clip(config.clip, source)
    language_model, lm_tokenizer = load_language_model(config.zerocap, source)
    return Models(features, clip, tokenizer, language_model, lm_tokenizer, fingerprint=told_apart, folder=folder)


def _untrained_models(config: PipelineConfig) -> Models:
    features = DinoKeys(untrained.dino(), config.dino)
    clip, tokenizer = untrained.clip()
    return Models(features, clip, tokenizer, *untrained.language_model(), untrained.words, random_weights=True)


def _mini_models(folder: Path | None, told_apart: str) -> Models:
    mini = load_mini(folder)
    return Models(
        mini.features,
        mini.clip,
        mini.tokenizer,
        mini.language_model,
        mini.lm_tokenizer,
        fingerprint=told_apart,
        folder=folder,
    )


def vision_format(device: torch.device) -> torch.dtype:
    """The number format of the two vision towers on a device: half precision on a GPU, float32 elsewhere."""
    if device.type != "cuda":
        return torch.float32
    # torch.cuda.is_bf16_supported counts emulation, which is slow and has no fused attention, and asks another device.
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16


def assemble(
    models: Models, config: PipelineConfig, device: torch.device, *, vision: torch.dtype | None = None
) -> ZeroGuidance:
    """Put models on a device and wire the stages.

    vision: number format of the two vision towers, by default what suits the device. Texts and the language model stay
    in float32, since a search over words is sensitive to rounding.
    """
    for module in (models.features.module, models.clip, models.language_model):
        module.requires_grad_(False).eval().to(device)
    for tower in (models.features.module, models.clip.visual):
        tower.to(vision or vision_format(device))
    clip_text = ClipText(models.clip, models.tokenizer)
    marks = [config.preset, __version__, config.digest(), models.fingerprint, "random" if models.random_weights else ""]
    return ZeroGuidance(
        Oversegmenter(models.features, config.tree, config.crf),
        segment_encoder(models.clip.visual, config.clip),
        labeller(models, clip_text, config),
        config,
        version="-".join(filter(None, marks)),
        random_weights=models.random_weights,
    )


def labeller(models: Models, clip_text: ClipText, config: PipelineConfig) -> Labeller:
    """ZeroCap, or retrieval from a word list."""
    if config.labeler == "retrieval":
        return Retrieval(clip_text, models.words(), config.zerocap.prompt)
    folders = [] if models.random_weights else cache_folders(models.folder)  # random ones are not worth keeping
    return ZeroCap(models.language_model, models.lm_tokenizer, clip_text, config.zerocap, first_step_folders=folders)


def segment_encoder(visual: VisionTransformer, config: ClipConfig) -> SegmentEncoder:
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
