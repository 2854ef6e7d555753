"""What a run's settings say of it beside others: what sets it apart, and which other differs in one part alone."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from zgcore.errors import EvaluationError
from zgcore.evaluation.predictors import ablation
from zgcore.evaluation.settings_text import FRIENDLY
from zgcore.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zgcore.evaluation.run_info import RunInfo

_SAME: Final = ("preset", "weights", "random_weights", "sentence_model", "threshold_tt", "threshold_st")
_HIGHEST: Final = 1.0  # a similarity is at most 1


def merges(info: RunInfo) -> bool:
    """Whether any siblings could merge; True where the settings are not known."""
    settings = _flat(info.settings)
    threshold = settings.get("merge.threshold")
    never = isinstance(threshold, int | float) and threshold > _HIGHEST
    return not never or bool(settings.get("merge.max_segments"))


def set_apart(info: RunInfo) -> dict[str, Any]:
    """Settings ("merge.threshold") that neither the preset nor the predictor gives; none for a preset of one's own."""
    preset, part = PRESETS.get(info.preset or ""), _part(info.predictor)
    if preset is None or part is None:
        return {}
    usual = _flat(dataclasses.asdict(preset)) | part
    return {name: value for name, value in _flat(info.settings).items() if name in usual and value != usual[name]}


def written(name: str, value: Any) -> tuple[str, str]:
    """A setting as `--set` takes it, by the paper's name where there is one: ("tau_merge", "2")."""
    short = next((friendly for friendly, full in FRIENDLY.items() if full == name), name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return short, f"{value:g}" if number else str(value)


def extra_differences(whole: RunInfo, lesser: RunInfo) -> list[str]:
    """What two runs differ in beyond the settings that `lesser`'s predictor replaces; nothing for a fair pair."""
    part = _part(lesser.predictor)
    if part is None:
        return ["predictor"]
    wanted, found = _flat(whole.settings) | part, _flat(lesser.settings)
    names = [name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)]
    return sorted([*names, *(name for name in _SAME if getattr(whole, name) != getattr(lesser, name))])


def _part(predictor: str) -> dict[str, Any] | None:
    """The settings a predictor replaces, None where it is no method of ours."""
    try:
        return {name.replace("__", "."): value for name, value in ablation(predictor).items()}
    except EvaluationError:
        return None


def _flat(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Settings of stages by their full names."""
    stages = ((stage, value) for stage, value in (settings or {}).items() if isinstance(value, dict))
    return {f"{stage}.{name}": value for stage, values in stages for name, value in values.items()}
