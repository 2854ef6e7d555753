"""Settings: one frozen dataclass a stage, with the paper's values as defaults.

"Paper" is *Zero-guidance Segmentation Using Zero Segment Labels* (Rewatbowornwong et al., ICCV 2023).
A `PipelineConfig` gathers the stages; `PRESETS` names the combinations that ship.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from zgcore.errors import ConfigError

Saliency = Literal["output", "weights"]
Encoder = Literal["masked", "crop"]
Labeler = Literal["zerocap", "retrieval"]
TextFormat = Literal["float32", "bfloat16"]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True)
class DinoConfig:
    """Dense key features (paper section 3.1).

    model: timm name of a DINO vision transformer.
    size: shorter side of the image, in pixels, before patches are cut.
    stride: step of the patch projection in pixels; 2 gives 109 x 109 features for 224 x 224.
    max_aspect: the longer side is at most this many times the shorter one; a longer image is squeezed to it.
    """

    model: str = "vit_small_patch8_224.dino"
    size: int = 224
    stride: int = 2
    max_aspect: float = 3.0

    def __post_init__(self) -> None:
        _require(self.max_aspect >= 1, f"dino.max_aspect must be at least 1, not {self.max_aspect}")
        _require(16 <= self.size <= 4096, f"dino.size must be 16..4096 pixels, not {self.size}")
        _require(1 <= self.stride <= 64, f"dino.stride must be 1..64 pixels, not {self.stride}")


@dataclass(frozen=True)
class TreeConfig:
    """Cutting the merge tree into candidates (paper section 3.1).

    leaves: leaves the top-down cut stops at.
    similarity: T_dino; siblings whose mean features are more alike (cosine) are not split.
    min_area: share of the image; a smaller leaf joins the sibling it came from (0 keeps every leaf).
    """

    leaves: int = 20
    similarity: float = 0.9
    min_area: float = 0.0

    def __post_init__(self) -> None:
        _require(1 <= self.leaves <= 256, f"tree.leaves must be 1..256, not {self.leaves}")
        _require(-1.0 <= self.similarity <= 1.0, f"tree.similarity must be -1..1, not {self.similarity}")
        _require(0.0 <= self.min_area < 1.0, f"tree.min_area is a share of the image, 0..1, not {self.min_area}")


@dataclass(frozen=True)
class CrfConfig:
    """DenseCRF mask refinement.

    size: shorter side, in pixels, of the image the first refinement runs on; 0 leaves it out.
    refine_size: shorter side of a second refinement that starts from the first one's probabilities; 0 leaves it out.
    max_aspect: longer sides are squeezed to so many times the shorter one while the field runs, since a thin strip
        enlarged to `size` would have millions of pixels.
    iterations: mean-field iterations of each.
    gaussian_sxy, gaussian_compat: smoothness kernel (pixels; weight).
    bilateral_sxy, bilateral_srgb, bilateral_compat: appearance kernel (pixels; 8-bit colour levels; weight).
    """

    size: int = 224
    refine_size: int = 0
    max_aspect: float = 8.0
    iterations: int = 10
    gaussian_sxy: float = 1.0
    gaussian_compat: float = 25.0
    bilateral_sxy: float = 5.0
    bilateral_srgb: float = 13.0
    bilateral_compat: float = 100.0

    def __post_init__(self) -> None:
        for name in ("size", "refine_size"):
            value = getattr(self, name)
            _require(value == 0 or 16 <= value <= 4096, f"crf.{name} must be 0 or 16..4096 pixels, not {value}")
        _require(self.max_aspect >= 1, f"crf.max_aspect must be at least 1, not {self.max_aspect}")
        _require(1 <= self.iterations <= 100, f"crf.iterations must be 1..100, not {self.iterations}")
        for name in ("gaussian_sxy", "bilateral_sxy", "bilateral_srgb"):
            _require(getattr(self, name) > 0, f"crf.{name} must be positive")


@dataclass(frozen=True)
class ClipConfig:
    """Segment embedding by masked attention with global subtraction (paper section 3.2).

    model, pretrained: open_clip architecture and weights tag.
    encoder: "masked" is the method; "crop" is the crop-and-mask baseline.
    masked_blocks: how many of the last blocks attend under the segment's mask.
    sigma2: variance in w = exp(-(S + 1)^2 / (2 sigma^2)), equation 3.
    saliency: S from attention outputs (equation 2) or from attention weight rows (the published code).
    global_subtraction: False sets w = 0, the ablation of the paper's table 3.
    memory_mb: what one chunk of segments may take in the masked blocks, in MiB.
    match_threshold: cosine of two texts from which on they are taken for the same thing, where a label is looked up in
        a closed list. It belongs to the text space: unrelated texts are alike in CLIP's (0.8 tells them apart) and
        orthogonal in a centred one. Segmentations do not depend on it.
    """

    model: str = "ViT-L-14-336-quickgelu"
    pretrained: str = "openai"
    encoder: Encoder = "masked"
    masked_blocks: int = 4
    sigma2: float = 2.5
    saliency: Saliency = "output"
    global_subtraction: bool = True
    memory_mb: int = 1024
    match_threshold: float = 0.8

    def __post_init__(self) -> None:
        _require(self.encoder in ("masked", "crop"), f'clip.encoder must be "masked" or "crop", not {self.encoder!r}')
        _require(self.masked_blocks >= 1, f"clip.masked_blocks must be at least 1, not {self.masked_blocks}")
        _require(self.sigma2 > 0, f"clip.sigma2 must be positive, not {self.sigma2}")
        _require(
            self.saliency in ("output", "weights"),
            f'clip.saliency must be "output" or "weights", not {self.saliency!r}',
        )
        _require(self.memory_mb >= 16, f"clip.memory_mb must be at least 16, not {self.memory_mb}")
        _require(0 <= self.match_threshold <= 1, f"clip.match_threshold must be 0..1, not {self.match_threshold}")


@dataclass(frozen=True)
class ZeroCapConfig:
    """Text from an embedding (paper section 3.3; Tewel et al., CVPR 2022).

    model: Hugging Face name of a causal language model.
    prompt: what the language model continues and CLIP reads in front of every candidate.
    beams, max_tokens: beam width and the longest text.
    iterations, step_size, grad_norm_power: delta -= step_size * grad / ||grad||^grad_norm_power, so many times a token.
    candidates: how many of the most probable tokens CLIP scores.
    first_candidates: the same at the first step, whose features all segments share; 0 means `candidates`.
    temperature: of the softmax over CLIP cosines.
    clip_scale, fluency_scale: weights of the two losses.
    fusion: exponent of the shifted distribution; 1 - fusion is the untouched one's.
    repetition_penalty, repetition_window: over the last tokens of the context.
    end_token, end_factor, start_end_factor: the token that ends a text, its boost from the second token on, and
        its damping at the first.
    forbidden_factor: damping of forbidden tokens.
    text_format: number format in which the text tower scores candidates. "float32" gives the published tokens;
        "bfloat16" is faster where the processor has it and changes some labels (benchmarks/RESULTS.md says how many).
    memory_mb: what the rows (segments x beams) of one chunk may take, in MiB.
    """

    model: str = "openai-community/gpt2-medium"
    prompt: str = "Image of a"
    beams: int = 5
    max_tokens: int = 15
    iterations: int = 5
    step_size: float = 0.3
    grad_norm_power: float = 0.9
    candidates: int = 512
    first_candidates: int = 0
    temperature: float = 0.01
    clip_scale: float = 1.0
    fluency_scale: float = 0.2
    fusion: float = 0.99
    repetition_penalty: float = 1.0
    repetition_window: int = 4
    end_token: str = "."
    end_factor: float = 1.1
    start_end_factor: float = 1.6
    forbidden_factor: float = 20.0
    text_format: TextFormat = "float32"
    memory_mb: int = 2048

    def __post_init__(self) -> None:
        for name in ("beams", "max_tokens", "candidates"):
            _require(getattr(self, name) >= 1, f"zerocap.{name} must be at least 1, not {getattr(self, name)}")
        for name in ("iterations", "first_candidates"):
            _require(getattr(self, name) >= 0, f"zerocap.{name} must not be negative, not {getattr(self, name)}")
        for name in ("temperature", "end_factor", "start_end_factor", "forbidden_factor", "repetition_penalty"):
            _require(getattr(self, name) > 0, f"zerocap.{name} must be positive, not {getattr(self, name)}")
        _require(0.0 <= self.fusion <= 1.0, f"zerocap.fusion must be 0..1, not {self.fusion}")
        _require(bool(self.prompt.strip()), "zerocap.prompt must not be empty")
        formats = get_args(TextFormat)
        _require(self.text_format in formats, f"zerocap.text_format must be one of {formats}, not {self.text_format!r}")
        _require(self.memory_mb >= 16, f"zerocap.memory_mb must be at least 16, not {self.memory_mb}")


@dataclass(frozen=True)
class MergeConfig:
    """Merging siblings (paper section 3.4).

    threshold: tau_merge.
    image_weight: share of the segment embeddings' cosine; the rest is the labels' cosine.
    max_segments: upper bound on the result; the most similar siblings merge until it holds (0 sets none).
    """

    threshold: float = 0.8
    image_weight: float = 0.5
    max_segments: int = 0

    def __post_init__(self) -> None:
        _require(0.0 <= self.image_weight <= 1.0, f"merge.image_weight must be 0..1, not {self.image_weight}")
        _require(self.max_segments >= 0, f"merge.max_segments must not be negative, not {self.max_segments}")


@dataclass(frozen=True)
class PipelineConfig:
    """All stages of one preset.

    seed: what everything random starts from.
    labeler: "zerocap" is the method; "retrieval" names a segment by the nearest of a word list, faster and closed.
    """

    preset: str = "paper"
    seed: int = 0
    labeler: Labeler = "zerocap"
    dino: DinoConfig = field(default_factory=DinoConfig)
    tree: TreeConfig = field(default_factory=TreeConfig)
    crf: CrfConfig = field(default_factory=CrfConfig)
    clip: ClipConfig = field(default_factory=ClipConfig)
    zerocap: ZeroCapConfig = field(default_factory=ZeroCapConfig)
    merge: MergeConfig = field(default_factory=MergeConfig)

    def __post_init__(self) -> None:
        _require(self.labeler in get_args(Labeler), f'labeler must be "zerocap" or "retrieval", not {self.labeler!r}')

    def override(self, **settings: Any) -> PipelineConfig:
        """A copy with settings replaced, addressed as `stage__name` (`crf__size=448`) or by a top-level name.

        Raises ConfigError for a name that does not exist or a value out of bounds.
        """
        changed: dict[str, Any] = {}
        for key, value in settings.items():
            stage, _, name = key.partition("__")
            if stage not in {f.name for f in dataclasses.fields(self)}:
                raise ConfigError(f"there is no setting {key!r}")
            if not name:
                changed[stage] = value
                continue
            current = changed.get(stage, getattr(self, stage))
            if name not in {f.name for f in dataclasses.fields(current)}:
                raise ConfigError(f"there is no setting {stage}.{name}")
            changed[stage] = dataclasses.replace(current, **{name: value})
        return dataclasses.replace(self, **changed)

    def digest(self) -> str:
        """12 hex digits that change when any setting that can change a result does."""
        settings = dataclasses.asdict(self)
        for stage in ("clip", "zerocap"):
            settings[stage].pop("memory_mb")
        settings["clip"].pop("match_threshold")
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
