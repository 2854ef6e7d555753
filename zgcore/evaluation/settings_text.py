"""Settings as people write them: `clip.sigma2=1.0`, or by the names the paper has for them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from zgcore.config import PipelineConfig
from zgcore.errors import ConfigError
from zgcore.suggest import closest

FRIENDLY: Final[dict[str, str]] = {
    "sigma2": "clip.sigma2",
    "masked_blocks": "clip.masked_blocks",
    "saliency": "clip.saliency",
    "encoder": "clip.encoder",
    "T_dino": "tree.similarity",
    "leaves": "tree.leaves",
    "min_area": "tree.min_area",
    "tau_merge": "merge.threshold",
    "image_weight": "merge.image_weight",
    "max_segments": "merge.max_segments",
    "temperature": "zerocap.temperature",
    "beams": "zerocap.beams",
    "iterations": "zerocap.iterations",
    "candidates": "zerocap.candidates",
}
_BOOLEANS: Final = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


def setting_name(name: str) -> str:
    """ "sigma2" or "clip.sigma2" -> "clip.sigma2". ConfigError for a setting that does not exist."""
    full = FRIENDLY.get(name, name)
    known = _types()
    if full not in known:
        close = closest(name, [*FRIENDLY, *known])
        hint = f"; did you mean {close!r}?" if close else ""
        raise ConfigError(f"there is no setting {name!r}{hint} (by the paper's names: {', '.join(FRIENDLY)})")
    return full


def read_setting(text: str) -> tuple[str, Any]:
    """ "clip.sigma2=1" -> ("clip__sigma2", 1.0), as `PipelineConfig.override` takes it. ConfigError otherwise."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{text!r} is no setting; write stage.name=value, as in clip.sigma2=1.0")
    full = setting_name(name.strip())
    return full.replace(".", "__"), read_value(full, value.strip())


def read_value(full: str, text: str) -> Any:
    """The value of a setting by its full name. ConfigError where it is not of the setting's type."""
    kind = _types()[full]
    try:
        if get_origin(kind) is Literal:
            if text not in get_args(kind):
                raise ValueError
            return text
        value = _BOOLEANS[text.lower()] if kind is bool else kind(text)
        if kind is float and not math.isfinite(value):
            raise ValueError
        return value
    except (ValueError, KeyError):
        wanted = " or ".join(get_args(kind)) if get_origin(kind) is Literal else _WORDS[kind]
        raise ConfigError(f"{full} must be {wanted}, not {text!r}") from None


_WORDS: Final = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _types() -> dict[str, Any]:
    """Full name -> type, of every setting but the preset's name."""
    found: dict[str, Any] = {}
    for stage, kind in get_type_hints(PipelineConfig).items():
        if dataclasses.is_dataclass(kind):
            found |= {f"{stage}.{name}": form for name, form in get_type_hints(kind).items()}
        elif stage not in ("preset", "seed"):
            found[stage] = kind
    return found
