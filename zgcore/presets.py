"""Named settings: the presets that ship, and presets kept as a folder of settings and weights."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from zgcore.config import (
    ClipConfig,
    CrfConfig,
    DinoConfig,
    MergeConfig,
    PipelineConfig,
    TreeConfig,
    ZeroCapConfig,
)
from zgcore.errors import ConfigError
from zgcore.manifest import fingerprint
from zgcore.suggest import closest
from zgcore.whole_file import whole_file

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

PRESET_FILE = "preset.json"

MINI = "mini"  # names the architectures of the weights that ship
MINI_WEIGHTS = Path(__file__).parent / "mini" / "weights"

# Measured by benchmarks/refinement.py: better outlines than one run at 224, in about the same time. The first run, on a
# small copy, reaches farther across the image.
_ANNOTATION_CRF = CrfConfig(size=112, refine_size=224)

# Small and random: everything runs, nothing means anything. Similarities of random embeddings lie near 1.
_UNTRAINED = PipelineConfig(
    preset="untrained",
    dino=DinoConfig(model="untrained", size=128, stride=4),
    crf=_ANNOTATION_CRF,
    clip=ClipConfig(model="untrained", pretrained=""),
    zerocap=ZeroCapConfig(model="untrained", max_tokens=3, iterations=2, candidates=64, step_size=3.0),
    merge=MergeConfig(threshold=0.995),
)

PRESETS: dict[str, PipelineConfig] = {
    "mini": PipelineConfig(
        preset="mini",
        dino=DinoConfig(model=MINI),
        tree=TreeConfig(similarity=0.4),
        crf=_ANNOTATION_CRF,
        clip=ClipConfig(model=MINI, pretrained="", masked_blocks=1, match_threshold=0.3),  # benchmarks/matching.py
        zerocap=ZeroCapConfig(
            model=MINI,
            step_size=3.0,
            candidates=128,
            first_candidates=8192,  # its whole vocabulary
            max_tokens=3,
            end_factor=1.5,
            repetition_penalty=3.0,
        ),
        merge=MergeConfig(threshold=0.45),
    ),
    "base": PipelineConfig(
        preset="base",
        dino=DinoConfig(stride=4),
        crf=_ANNOTATION_CRF,
        clip=ClipConfig(model="ViT-B-16-quickgelu", pretrained="openai"),
        zerocap=ZeroCapConfig(model="distilbert/distilgpt2"),
    ),
    "paper": PipelineConfig(preset="paper"),
    "untrained": _UNTRAINED,
}

# Presets whose weights are installed with the package: there is nothing to pull for them.
BUNDLED: frozenset[str] = frozenset({"mini", "untrained"})


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?" for the closest known name, or an empty string where none is close."""
    close = closest(name, known)
    return f"; did you mean {close!r}?" if close else ""


def get_preset(name: str | os.PathLike[str]) -> PipelineConfig:
    """The settings of a preset, by its name or by a folder that holds a preset.json.

    Raises ConfigError for a name that is neither, and for settings that cannot be read.
    """
    if str(name) in PRESETS:
        return PRESETS[str(name)]
    if Path(name).is_dir():
        return load_preset(Path(name))
    hint = did_you_mean(str(name), PRESETS)
    raise ConfigError(f"there is no preset {str(name)!r}{hint} (presets: {', '.join(PRESETS)}; or a folder)")


def named_folder(preset: str | os.PathLike[str], weights: str | os.PathLike[str] | None) -> Path | None:
    """The folder of weights that somebody named: `weights`, else the preset where it is a folder, else None."""
    if weights is not None:
        return Path(weights)
    return Path(preset) if str(preset) not in PRESETS and Path(preset).is_dir() else None


def weights_fingerprint(preset: str | os.PathLike[str], weights: str | os.PathLike[str] | None = None) -> str:
    """12 hex digits that change when the weights of a preset do; told without loading them.

    Empty where the preset's settings say it all: weights of the model hub, and random ones. Raises ConfigError for a
    preset that does not exist, WeightsError for a manifest that cannot be read.
    """
    config = get_preset(preset)
    if config.preset == "untrained":
        return ""
    folder = named_folder(preset, weights) or (MINI_WEIGHTS if config.dino.model == MINI else None)
    return "" if folder is None else fingerprint(folder)


def save_preset(config: PipelineConfig, folder: Path) -> Path:
    """Write the settings to `folder`/preset.json, whole or not at all, and return the file. Makes the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / PRESET_FILE
    with whole_file(file) as handle:
        handle.write((json.dumps(dataclasses.asdict(config), indent=2) + "\n").encode())
    return file


def load_preset(folder: Path) -> PipelineConfig:
    """The settings in `folder`/preset.json; what the file leaves out has its default.

    Raises ConfigError if the file is missing or not JSON, names a setting that does not exist, or holds a value of the
    wrong type or out of bounds.
    """
    file = folder / PRESET_FILE
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{folder} is not a preset: it has no {PRESET_FILE}") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is not JSON: {error}") from None
    try:
        return _read_dataclass(PipelineConfig, settings, "")
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def _read_dataclass(kind: type, settings: object, where: str) -> Any:
    """An instance of the dataclass `kind` from a JSON object; `where` is the path to it, for messages."""
    if not isinstance(settings, dict):
        raise ConfigError(f"{where or 'the preset'} must be an object, not {_json_type(settings)}")
    types = get_type_hints(kind)
    prefix = f"{where}." if where else ""
    for name in settings:
        if name not in types:
            raise ConfigError(f"there is no setting {prefix}{name}{did_you_mean(name, types)}")
    return kind(**{name: _read_value(types[name], value, prefix + name) for name, value in settings.items()})


def _read_value(kind: Any, value: object, where: str) -> object:
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, value, where)  # type: ignore[arg-type]
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ConfigError(f"{where} must be one of {', '.join(map(repr, get_args(kind)))}, not {value!r}")
        return value
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:  # exact: true is no number
        raise ConfigError(f"{where} must be {_JSON_TYPES[kind]}, not {_json_type(value)}")
    return value


_JSON_TYPES: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    dict: "an object",
    list: "a list",
    type(None): "null",
}


def _json_type(value: object) -> str:
    return _JSON_TYPES[type(value)]
