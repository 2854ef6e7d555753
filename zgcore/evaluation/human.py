"""IoU and recall as people see them (paper, section 4.2), from segments whose reassigned label got enough points.

Raters score the *reassigned* label of a segment from 0 to 3; IoU_h>=k and recall_h>=k keep the segments that reach k.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from zgcore.evaluation.scored import Reassignment
from zgcore.evaluation.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zgcore.evaluation.metric_config import MetricConfig
    from zgcore.evaluation.scored import ScoredImage

LEAST: Final = (1, 2, 3)

# (image, segment) -> points, a mean or a majority of several raters. Segments count from 0, as in the prediction.
Ratings = dict[tuple[str, int], float]


def rated(
    image: ScoredImage, kind: str, ratings: Mapping[tuple[str, int], float], threshold: float
) -> tuple[Reassignment, int]:
    """The classes by `kind` with the raters' points for a similarity, and how many segments nobody rated.

    A segment below the similarity `threshold` has no label to rate: it is dropped, and not among the unrated.
    """
    found = image.reassigned[kind]
    kept = (found.classes >= 0) & (found.similarity >= np.float32(threshold))
    points = np.array([ratings.get((image.name, k), np.nan) for k in range(len(kept))], dtype=np.float32)
    unrated = int((kept & np.isnan(points)).sum())
    kept &= ~np.isnan(points)
    return Reassignment(np.where(kept, found.classes, -1).astype(np.int32), np.where(kept, points, 0)), unrated


class HumanScores:
    """Sums up one kind of reassignment. threshold: of its similarity, as in the run that was rated."""

    def __init__(
        self,
        classes: Sequence[str],
        kind: str,
        ratings: Mapping[tuple[str, int], float],
        config: MetricConfig,
        threshold: float | None = None,
    ) -> None:
        self.kind, self.ratings = kind, ratings
        self.threshold = config.threshold(kind) if threshold is None else threshold
        self._tallies = {least: Tally(classes, least, config) for least in LEAST}
        self._rated, self._unrated = 0, 0

    def add(self, image: ScoredImage) -> None:
        """Count one image."""
        reassignment, unrated = rated(image, self.kind, self.ratings, self.threshold)
        self._unrated += unrated
        self._rated += int((reassignment.classes >= 0).sum())
        for tally in self._tallies.values():
            tally.add(image.overlap, reassignment)

    def document(self) -> dict[str, Any]:
        """rated, unrated: segments; least: by the points that are enough, iou, recall, recall_pooled and intervals."""
        figures = {least: tally.figures() for least, tally in self._tallies.items()}
        return {"rated": self._rated, "unrated": self._unrated, "least": figures}
