"""Texts -> vectors whose cosines can be compared: the mean of everyday words is taken away from all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

EVERY: Final = 14  # of mini's 7,000 words: 500 are enough for a mean


class TextVectors(Protocol):
    """n texts -> (n, d) float32 unit vectors, about 0 for unrelated texts."""

    name: str

    def __call__(self, texts: Sequence[str], /) -> NDArray[np.float32]: ...


class CentredTexts:
    """A text encoder with the mean of everyday words taken away. encode: n texts -> (n, d). name: for the file."""

    def __init__(self, name: str, encode: Callable[[Sequence[str]], NDArray[np.float32]]) -> None:
        from zgcore.mini.load import words

        self.name = name
        self._encode = encode
        self.mean = encode(words()[::EVERY]).mean(axis=0)

    def __call__(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        if not texts:
            return np.zeros((0, len(self.mean)), np.float32)
        rows = self._encode(texts) - self.mean
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def preset_texts(preset: str, weights: Path | None = None, device: str = "auto") -> CentredTexts:
    """The text tower of a preset, asked as the preset asks. WeightsError or ConfigError where it is not to be had."""
    from zgcore.build import pick_device
    from zgcore.clip_text import ClipText
    from zgcore.mini.load import load_mini
    from zgcore.models import load_clip
    from zgcore.presets import MINI, get_preset, named_folder
    from zgcore.weights import WeightSource

    config, folder = get_preset(preset), named_folder(preset, weights)
    if config.dino.model == MINI:
        mini = load_mini(folder)
        clip, tokenizer = mini.clip, mini.tokenizer
    else:
        source = WeightSource.hub(preset) if folder is None else WeightSource.from_folder(folder, config.preset)
        clip, tokenizer = load_clip(config.clip, source)
    clip_text = ClipText(clip.to(pick_device(device)), tokenizer)
    prompt = config.zerocap.prompt
    return CentredTexts(config.preset, lambda texts: clip_text.encode_labels(texts, prompt).cpu().numpy())


def sentence_texts() -> CentredTexts:
    """all-MiniLM-L6-v2, of the extra [eval]. WeightsError where that is not installed."""
    from zgcore.mini.training.sentences import SentenceTeacher

    teacher = SentenceTeacher()
    return CentredTexts("all-MiniLM-L6-v2", lambda texts: teacher.encode_names(texts).numpy())
