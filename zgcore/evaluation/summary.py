"""All figures of a run, from its images one at a time; what stays of an image are a few numbers."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from zgcore.errors import EvaluationError
from zgcore.evaluation.arrays import divide, plain
from zgcore.evaluation.bootstrap import draws, interval, ratios, weigh
from zgcore.evaluation.boundary import boundary_score
from zgcore.evaluation.candidates import majority
from zgcore.evaluation.human import HumanScores
from zgcore.evaluation.label_statistics import LabelStatistics
from zgcore.evaluation.metric_config import MetricConfig
from zgcore.evaluation.scored import KINDS, LEXICAL
from zgcore.evaluation.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from zgcore.evaluation.human import Ratings
    from zgcore.evaluation.scored import ScoredImage
    from zgcore.vocabulary.lexicon import Lexicon

__all__ = ["MetricConfig", "Summary", "summarise"]


def summarise(
    images: Iterable[ScoredImage],
    classes: Sequence[str],
    config: MetricConfig | None = None,
    lexicon: Lexicon | None = None,
    ratings: Mapping[str, Ratings] | None = None,
) -> dict[str, Any]:
    """The document of a `Summary` of all images."""
    summary = Summary(classes, config, lexicon, ratings)
    for image in images:
        summary.add(image)
    return summary.document()


class Summary:
    """classes: names of the data set. lexicon: tells adjectives, for label statistics.

    ratings: people's points for the labels of each kind of reassignment (`human`); what one kind makes of a segment is
    not the other's.
    """

    def __init__(
        self,
        classes: Sequence[str],
        config: MetricConfig | None = None,
        lexicon: Lexicon | None = None,
        ratings: Mapping[str, Ratings] | None = None,
    ) -> None:
        self.config = config or MetricConfig()
        self.classes = tuple(classes)
        self._tallies = {kind: self._tally(kind) for kind in KINDS}
        self._seen = dict.fromkeys(KINDS, 0)
        self._bound = Tally(classes, 0.0, self.config)
        self._labels = LabelStatistics(lexicon)
        self._human = {k: HumanScores(classes, k, points, self.config) for k, points in (ratings or {}).items()}
        self._boundary: list[tuple[int, int, int, int]] = []
        self._named: list[NDArray[np.float32] | None] = []
        self._seconds: dict[str, float] = {}
        self._images, self._segments = 0, 0

    def _tally(self, kind: str) -> Tally:
        return Tally(
            self.classes, self.config.threshold(kind), self.config, () if kind == LEXICAL else self.config.similarities
        )

    def add(self, image: ScoredImage) -> None:
        """Count one image."""
        self._images += 1
        self._segments += len(image.texts)
        for kind, reassignment in image.reassigned.items():
            self._tallies[kind].add(image.overlap, reassignment)
            self._seen[kind] += 1
            if kind in self._human:
                self._human[kind].add(image)
        self._bound.add(image.overlap, majority(image.overlap))
        self._labels.add(image.texts)
        self._boundary.append(image.boundary)
        self._named.append(None if image.named is None else image.named.similarity)
        for stage, seconds in image.seconds.items():
            self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    def document(self) -> dict[str, Any]:
        """Fractions, never percent; what does not exist is None, and a kind that no image has is absent.

        EvaluationError where there is no image, a kind that only some images have (their figures would not compare),
        and where people's points are of no segment that is kept.
        """
        if not self._images:
            raise EvaluationError(
                "no image was evaluated, so there are no figures; see what failed, or pick other images"
            )
        document: dict[str, Any] = {"images": self._images, "segments": self._segments, "config": asdict(self.config)}
        for kind, seen in self._seen.items():
            if seen == self._images:
                document[kind] = self._tallies[kind].document()
            elif seen:
                raise EvaluationError(
                    f"{kind} exists for {seen} of {self._images} images; score all of them in one way"
                )
        document["upper_bound"] = self._bound.figures()
        document["boundary"] = self._boundary_document()
        document |= self._tgq_document()
        document["labels"] = self._labels.document()
        if self._human:
            document["human"] = {kind: h.document() for kind, h in self._human.items() if self._seen[kind]}
        document["seconds"] = {stage: total / self._images for stage, total in self._seconds.items()}
        return plain(document)

    def _boundary_document(self) -> dict[str, Any]:
        """Boundary pixels summed over images."""
        counts = np.array(self._boundary)  # (images, 4)
        names = ("precision", "recall", "f")
        low_high = self._interval(boundary_score(weigh(self._drawn(), counts)))  # (2, 3)
        return {
            **dict(zip(names, boundary_score(counts.sum(axis=0)), strict=True)),
            "interval": dict(zip(names, low_high.T, strict=True)),
        }

    def _tgq_document(self) -> dict[str, Any]:
        """Share of true masks whose label says the true name; None where true masks were not labelled."""
        if all(similarity is None for similarity in self._named):
            return {"tgq": None, "tgq_interval": None, "tgq_masks": 0, "tgq_curve": None}
        steps = np.array([self.config.tgq, *self.config.similarities], dtype=np.float32)
        named = [np.zeros(0, np.float32) if each is None else each for each in self._named]
        hits = np.array([(each[:, None] >= steps).sum(axis=0) for each in named])  # (images, t)
        masks = np.array([len(each) for each in named])
        shares = divide(hits.sum(axis=0), masks.sum())
        return {
            "tgq": shares[0],
            "tgq_interval": self._interval(ratios(hits[:, 0], masks, self._drawn())),
            "tgq_masks": masks.sum(),
            "tgq_curve": {"similarity": self.config.similarities, "tgq": shares[1:]},
        }

    def _drawn(self) -> NDArray[np.uint16]:
        return draws(self._images, self.config.resamples, self.config.seed)

    def _interval(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        return interval(samples, self.config.confidence)
