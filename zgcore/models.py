"""Architectures with their weights loaded: DINO (timm), CLIP (open_clip), a causal language model (transformers).

Modules come on the CPU, in float32, in eval mode and without gradients; whoever builds the pipeline moves them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import open_clip
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch.overrides import TorchFunctionMode
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GPT2Config, PreTrainedTokenizerFast
from transformers.initialization import no_init_weights

from zgcore.checkpoint import load_into, read_checkpoint
from zgcore.deterministic import deterministic_
from zgcore.errors import ConfigError, WeightsError
from zgcore.presets import did_you_mean
from zgcore.weights import SHARD_INDEX, SINGLE_FILE, RandomWeights, shard_names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from open_clip import CLIP
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import PretrainedConfig, PreTrainedModel

    from zgcore.config import ClipConfig, DinoConfig, ZeroCapConfig
    from zgcore.weights import WeightSource

# Architectures that can be built without asking the hub for their config.json.
GPT2_SIZES: dict[str, dict[str, int]] = {
    "openai-community/gpt2": {"n_layer": 12, "n_embd": 768, "n_head": 12},
    "openai-community/gpt2-medium": {"n_layer": 24, "n_embd": 1024, "n_head": 16},
    "distilbert/distilgpt2": {"n_layer": 6, "n_embd": 768, "n_head": 12},
}

_CLASSIFIER = ("head.", "fc_norm.", "head_dist.")  # of a vision transformer: not built here
_OPENAI_BUFFERS = ("input_resolution", "context_length", "vocab_size")
_CAUSAL_BUFFERS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")  # computed, not learnt


def load_dino(config: DinoConfig, source: WeightSource) -> VisionTransformer:
    """timm's vision transformer of `config.model`, without a classifier.

    Raises ConfigError for an unknown model, WeightsError where weights are missing, damaged or of another architecture.
    """
    vit = _bare_dino(config)
    if isinstance(source, RandomWeights):
        return _frozen(deterministic_(vit, "dino.", source.scale))
    file, label = source.dino(config)
    load_into(vit, read_checkpoint([file], label), harmless=lambda name: name.startswith(_CLASSIFIER))
    return _frozen(vit)


def load_clip(config: ClipConfig, source: WeightSource) -> tuple[CLIP, SimpleTokenizer]:
    """open_clip's model of `config.model`, both towers, and CLIP's tokenizer, which needs no files.

    Raises ConfigError for an unknown model, one without CLIP's own tokenizer, or one whose activation is not the one
    that `config.pretrained` was trained with; WeightsError where weights are missing, damaged or of another
    architecture.
    """
    model_config = clip_architecture(config)
    tokenizer = open_clip.get_tokenizer(config.model)
    with _SkipInit():
        model = open_clip.CLIP(**model_config)
    if isinstance(source, RandomWeights):
        deterministic_(model, "clip.", source.scale)
        with torch.no_grad():
            model.logit_scale.fill_(math.log(100))
        return _frozen(model), tokenizer
    file, label = source.clip(config)
    load_into(model, read_checkpoint([file], label), harmless=lambda name: name in _OPENAI_BUFFERS)
    return _frozen(model), tokenizer


def load_language_model(config: ZeroCapConfig, source: WeightSource) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A Hugging Face causal language model (GPT-2 and Llama-style) and its tokenizer.

    Its attention is PyTorch's scaled dot product, which passes gradients to past keys and values on every device.
    Raises ConfigError for a random model of unknown size, WeightsError as above.
    """
    if isinstance(source, RandomWeights):
        return _random_language_model(config, source)
    folder, label = source.language_model(config)
    model_config = _understood(AutoConfig, folder, f"{label}/config.json")
    model = _bare_language_model(model_config, label)
    files = _weight_files(folder)
    checkpoint = read_checkpoint(files, f"{label}/{files[0].name}" if len(files) == 1 else label)
    load_into(model, checkpoint, _to_full_name(model), lambda name: name.endswith(_CAUSAL_BUFFERS))
    return _frozen(model), _understood(AutoTokenizer, folder, f"{label}/tokenizer.json")


def clip_architecture(config: ClipConfig) -> dict[str, Any]:
    """open_clip's description of the model, to build `open_clip.CLIP` from. ConfigError as for `load_clip`."""
    known = open_clip.list_models()
    if config.model not in known:  # names only: open_clip would also read folders and ask the hub
        hint = did_you_mean(config.model, known)
        raise ConfigError(f"clip.model {config.model!r} is no architecture of open_clip's{hint}")
    model_config = open_clip.get_model_config(config.model)
    if set(model_config) - {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"} or any(
        name in model_config[tower]
        for tower, name in (
            ("text_cfg", "hf_model_name"),
            ("text_cfg", "hf_tokenizer_name"),
            ("vision_cfg", "timm_model_name"),
        )
    ):
        raise ConfigError(f"clip.model {config.model!r} is no plain CLIP; choose one like ViT-L-14-336-quickgelu")
    published = open_clip.get_pretrained_cfg(config.model, config.pretrained)
    if published and published.get("quick_gelu", False) != model_config.get("quick_gelu", False):
        bare = config.model.removesuffix("-quickgelu")
        other = f"{bare}-quickgelu" if bare == config.model else bare
        raise ConfigError(
            f"clip.model {config.model!r} has not the activation that its weights {config.pretrained!r} were trained "
            f"with; use clip.model {other!r}"
        )
    return model_config


def _bare_dino(config: DinoConfig) -> VisionTransformer:
    tagged = "." in config.model
    if not (timm.is_model_pretrained(config.model) if tagged else timm.is_model(config.model)):
        # names only: create_model would also read folders and ask the hub
        hint = did_you_mean(config.model, timm.list_models(pretrained=tagged))
        raise ConfigError(f"dino.model {config.model!r} is no model of timm's{hint}")

    with _SkipInit():
        vit = timm.create_model(config.model, pretrained=False, num_classes=0)
    if not isinstance(vit, VisionTransformer):
        raise ConfigError(f"dino.model {config.model!r} is no plain vision transformer")
    return vit


def _random_language_model(
    config: ZeroCapConfig, source: RandomWeights
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    if config.model not in GPT2_SIZES:
        raise ConfigError(f"random weights for zerocap.model {config.model!r}: known sizes are {', '.join(GPT2_SIZES)}")
    if source.tokenizer is None:
        raise ConfigError("a random language model needs the tokenizer.json of GPT-2: RandomWeights(tokenizer=...)")
    end = "<|endoftext|>"
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(source.tokenizer), bos_token=end, eos_token=end)
    model = _bare_language_model(GPT2Config(**GPT2_SIZES[config.model]), config.model)
    return _frozen(deterministic_(model, "language_model.", source.scale)), tokenizer


def _bare_language_model(config: PretrainedConfig, label: str) -> PreTrainedModel:
    settings: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": "sdpa", "trust_remote_code": False}
    try:
        with no_init_weights():
            model = AutoModelForCausalLM.from_config(config, **settings)
    except (ValueError, KeyError, ImportError) as error:
        raise WeightsError(
            f"{label}/config.json: no causal language model can be built from it: {_line(error)}"
        ) from None
    model.tie_weights()  # it is part of the initialisation that was left out
    return model


def _understood(reader: Any, folder: Path, label: str) -> Any:
    """What transformers makes of a folder's files, without the network and without running code from the folder."""
    try:
        return reader.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises nearly everything for a file it cannot read
        raise WeightsError(f"{label} cannot be understood: {_line(error)}; fetch the folder again") from None


def _weight_files(folder: Path) -> list[Path]:
    index = folder / SHARD_INDEX
    if index.is_file() and not (folder / SINGLE_FILE).is_file():
        return [folder / name for name in shard_names(index)]
    return [folder / SINGLE_FILE]


def _to_full_name(model: PreTrainedModel) -> Callable[[str], str]:
    """Checkpoints of the bare model leave out its prefix ("h.0.ln_1.weight" for "transformer.h.0.ln_1.weight")."""
    names, prefix = set(model.state_dict()), f"{model.base_model_prefix}."
    inner = {name.removeprefix(prefix).partition(".")[0] for name in names if name.startswith(prefix)}

    def full_name(name: str) -> str:
        return prefix + name if name not in names and name.partition(".")[0] in inner else name

    return full_name


class _SkipInit(TorchFunctionMode):
    """Leaves parameters as they were allocated: what is overwritten at once needs no random numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def _frozen(module: Any) -> Any:
    return module.eval().requires_grad_(False)


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
