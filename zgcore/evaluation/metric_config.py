"""Thresholds of the metrics, the paper's by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zgcore.errors import ConfigError
from zgcore.evaluation.bootstrap import CONFIDENCE, RESAMPLES
from zgcore.evaluation.scored import LEXICAL, ST, TT

TWENTIETHS: Final = tuple(k / 20 for k in range(21))


@dataclass(frozen=True)
class MetricConfig:
    """tt, st: similarity from which a segment keeps its class. tgq: from which a label says the true name.

    recall_iou: IoU above which a class is recalled. similarities, ious: of the curves. resamples, confidence, seed: of
    the bootstrap over images. ConfigError for what is out of bounds.
    """

    tt: float = 0.5
    st: float = 0.1
    tgq: float = 0.5
    recall_iou: float = 0.5
    similarities: tuple[float, ...] = TWENTIETHS
    ious: tuple[float, ...] = TWENTIETHS[1:-1]
    resamples: int = RESAMPLES
    confidence: float = CONFIDENCE
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("tt", "st", "tgq"):
            if not -1 <= getattr(self, name) <= 1:
                raise ConfigError(f"the threshold {name} is a cosine, from -1 to 1, not {getattr(self, name)}")
        if not 0 <= self.recall_iou < 1 or not all(0 <= iou < 1 for iou in self.ious):
            raise ConfigError("recall is of an IoU from 0 to below 1")
        if not 0 < self.confidence < 1:
            raise ConfigError(f"a confidence lies between 0 and 1, not at {self.confidence}")
        if self.resamples < 1:
            raise ConfigError("a bootstrap takes at least one resample")

    def threshold(self, kind: str) -> float:
        """The similarity from which a kind of reassignment keeps a segment; a lexical match is one, or is none."""
        return {TT: self.tt, ST: self.st, LEXICAL: 1.0}[kind]
