"""The mini preset's models, from the safetensors file that ships with the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast
from transformers.initialization import no_init_weights

from zgcore.errors import WeightsError
from zgcore.mini.architecture import MiniTokenizer, build_clip, build_language_model
from zgcore.mini.features import TrunkGrid
from zgcore.presets import MINI_WEIGHTS

if TYPE_CHECKING:
    from open_clip.model import CLIP
    from torch import Tensor, nn
    from transformers import GPT2LMHeadModel

WEIGHTS_FOLDER = MINI_WEIGHTS
WEIGHTS_FILE = "mini.safetensors"
WORDS_FILE = "words.json"  # the language model's tokenizer
GRID_STATISTICS = ("features.mean", "features.scale")  # (520,) each, for TrunkGrid
BOS = "<|endoftext|>"
FUNCTION_WORDS = frozenset({"of", "a", "and", "the", "on", "in", "with"})


@dataclass(frozen=True)
class MiniModels:
    """features: image -> dense features for candidates. clip: both towers; tokenizer: the text tower's.

    language_model, lm_tokenizer: a GPT-2 on whole words. All on the CPU, float32, in eval mode, without gradients.
    """

    features: TrunkGrid
    clip: CLIP
    tokenizer: MiniTokenizer
    language_model: GPT2LMHeadModel
    lm_tokenizer: Any


def load_mini(folder: Path | None = None) -> MiniModels:
    """Load the shipped weights, or those of the same build from a folder.

    Raises WeightsError for a missing or damaged file, or one of another architecture.
    """
    folder = Path(folder or WEIGHTS_FOLDER)
    weights = read_weights(folder / WEIGHTS_FILE)
    lm_tokenizer = load_words(folder)
    with no_init_weights():
        language_model = build_language_model(len(lm_tokenizer))
    clip = build_clip()
    _load(clip, {name[5:]: tensor for name, tensor in weights.items() if name.startswith("clip.")}, folder)
    _load(language_model, {name[3:]: tensor for name, tensor in weights.items() if name.startswith("lm.")}, folder)
    language_model.tie_weights()
    for module in (clip, language_model):
        module.requires_grad_(False).eval()
    try:
        mean, scale = (weights[name].float() for name in GRID_STATISTICS)
    except KeyError as error:
        raise WeightsError(f"{folder / WEIGHTS_FILE}: {error.args[0]} is missing; reinstall zeroguide") from None
    features = TrunkGrid(clip.visual.conv1.trunk, mean, scale)
    return MiniModels(features, clip, MiniTokenizer(), language_model, lm_tokenizer)


def read_weights(file: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file. WeightsError where it is missing or damaged."""
    try:
        return load_file(file)
    except FileNotFoundError:
        raise WeightsError(f"{file}: the mini preset's weights are missing; reinstall zeroguide") from None
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{file}: not a usable safetensors file ({error}); reinstall zeroguide") from None


def load_words(folder: Path) -> PreTrainedTokenizerFast:
    """The word-level tokenizer of the language model."""
    file = folder / WORDS_FILE
    if not file.is_file():
        raise WeightsError(f"{file}: the mini preset's word list is missing; reinstall zeroguide")
    return PreTrainedTokenizerFast(tokenizer_file=str(file), bos_token=BOS, eos_token=BOS, unk_token="<unk>")


def words(folder: Path = WEIGHTS_FOLDER) -> list[str]:
    """The nouns and adjectives of the language model's vocabulary, some 7,000: what retrieval chooses from."""
    spelt = (token[1:] for token in load_words(folder).get_vocab() if token.startswith(" "))
    return sorted(word for word in spelt if word not in FUNCTION_WORDS)


def _load(module: nn.Module, weights: dict[str, Tensor], folder: Path) -> None:
    expected = module.state_dict()
    for name, tensor in weights.items():
        if name not in expected or tensor.shape != expected[name].shape:
            raise WeightsError(f"{folder / WEIGHTS_FILE}: {name} does not fit the mini preset; reinstall zeroguide")
    missing, _ = module.load_state_dict(weights, strict=False)
    missing = [name for name in missing if name not in ("lm_head.weight", "attn_mask")]
    if missing:
        raise WeightsError(f"{folder / WEIGHTS_FILE}: {missing[0]} is missing; reinstall zeroguide")
