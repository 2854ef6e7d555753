"""One run a value: what `zeroguide eval sweep` makes, and the file that lists it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from zgcore.errors import ConfigError
from zgcore.evaluation.files import run_file
from zgcore.evaluation.settings_text import read_value, setting_name
from zgcore.evaluation.sweep import SCHEMA, SWEEP_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PREDICTOR: Final = "predictor"
MOST_VALUES: Final = 100


@dataclass(frozen=True)
class Sweep:
    """param: as named ("sigma2"). setting: its full name ("clip.sigma2"), or "predictor". values: one a run."""

    param: str
    setting: str
    values: tuple[Any, ...]

    @classmethod
    def parse(cls, text: str) -> Sweep:
        """ "sigma2=0.5,1" -> what it means. ConfigError for an unknown setting, or values not of its type."""
        param, equals, listed = (part.strip() for part in text.partition("="))
        words = list(dict.fromkeys(word.strip() for word in listed.split(",") if word.strip()))
        if not equals or not words:
            raise ConfigError(f"{text!r} is no sweep; write NAME=VALUE,VALUE,... as in sigma2=0.5,1,2.5")
        if len(words) > MOST_VALUES:
            raise ConfigError(f"a sweep has {MOST_VALUES} values at most, not {len(words)}")
        if param == PREDICTOR:
            return cls(param, PREDICTOR, tuple(words))
        setting = setting_name(param)
        return cls(param, setting, tuple(dict.fromkeys(read_value(setting, word) for word in words)))

    @property
    def runs(self) -> list[str]:
        """The name of each value's folder."""
        return [f"{self.param}={value}".replace(":", "-").replace("/", "-") for value in self.values]

    def options(self, value: Any, settings: Sequence[str]) -> dict[str, Any]:
        """The options that a value replaces, where `settings` are those of all runs."""
        if self.setting == PREDICTOR:
            return {"predictor": value}
        return {"settings": (*settings, f"{self.setting}={value}")}

    def write(self, folder: Path) -> None:
        """EvaluationError where the folder cannot be written."""
        document = {
            "schema": SCHEMA,
            "param": self.param,
            "setting": self.setting,
            "values": list(self.values),
            "runs": self.runs,
        }
        with run_file(folder / SWEEP_FILE) as file:
            file.write(json.dumps(document, indent=2).encode() + b"\n")
