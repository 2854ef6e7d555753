"""Which model labels images: the options that say so, and the model made from them, here or on another machine."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from zgcore.garbage import import_for_good

if TYPE_CHECKING:
    from pathlib import Path

    from zgcore import ZeroGuidance


@dataclass(frozen=True)
class ModelOptions:
    """The options that decide what the results are."""

    preset: str
    device: str
    weights: Path | None
    max_segments: int | None
    min_area: float | None
    seed: int

    @classmethod
    def taken_from(cls, values: dict[str, Any]) -> ModelOptions:
        """The model's options, taken out of a command's values."""
        return cls(**{field.name: values.pop(field.name) for field in fields(cls)})

    def build(self) -> ZeroGuidance:
        """The preset on its device. WeightsError or ConfigError where that cannot be."""
        import_for_good()
        from zgcore import ZeroGuidance

        return ZeroGuidance.from_preset(
            self.preset,
            device=self.device,
            weights=self.weights,
            max_segments=self.max_segments,
            min_area=self.min_area,
            seed=self.seed,
        )
