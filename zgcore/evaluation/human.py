"""IoU and recall as people see them (paper, section 4.2), from segments whose reassigned label got enough points.

Raters score the *reassigned* label of a segment from 0 to 3; IoU_h>=k and recall_h>=k keep the segments that reach k.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from zgcore.errors import EvaluationError
from zgcore.evaluation.formats import plural
from zgcore.evaluation.scored import Reassignment
from zgcore.evaluation.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zgcore.evaluation.metric_config import MetricConfig
    from zgcore.evaluation.overlap import Overlap
    from zgcore.evaluation.scored import ScoredImage

LEAST: Final = (1, 2, 3)
MOST: Final = 3.0  # points

# (image, segment) -> points, a mean or a majority of several raters. Segments count from 0, as in the prediction.
Ratings: TypeAlias = "Mapping[tuple[str, int], float]"


def rated(image: ScoredImage, kind: str, ratings: Ratings, threshold: float) -> tuple[Reassignment, int]:
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
    """Sums up one kind of reassignment. threshold: of its similarity, as in the run that was rated.

    The figures are of the images that raters saw: those with a point for a segment that is kept. An image without any
    kept segment could not be asked about: it counts, with nothing found, where raters saw every other image, and is
    left out where they saw a sample of them, since its share in that is unknown. In an image that counts, a kept
    segment nobody rated is taken as wrong.
    """

    def __init__(
        self,
        classes: Sequence[str],
        kind: str,
        ratings: Ratings,
        config: MetricConfig,
        threshold: float | None = None,
    ) -> None:
        self.kind, self.ratings = kind, ratings
        self.threshold = config.threshold(kind) if threshold is None else threshold
        self._tallies = {least: Tally(classes, least, config) for least in LEAST}
        self._empty: list[tuple[Overlap, Reassignment]] = []  # images without a kept segment, while all others are seen
        self._images, self._unseen, self._rated, self._unrated = 0, 0, 0, 0
        self._name = ""  # of some image, to tell what names look like

    def add(self, image: ScoredImage) -> None:
        """Count one image."""
        self._name = self._name or image.name
        reassignment, unrated = rated(image, self.kind, self.ratings, self.threshold)
        found = int((reassignment.classes >= 0).sum())
        if found:
            self._rated += found
            self._unrated += unrated
            self._count(image.overlap, reassignment)
        elif unrated:
            self._unseen += 1
            self._empty.clear()
        elif not self._unseen:
            self._empty.append((image.overlap, reassignment))

    def _count(self, overlap: Overlap, reassignment: Reassignment) -> None:
        self._images += 1
        for tally in self._tallies.values():
            tally.add(overlap, reassignment)

    def document(self) -> dict[str, Any]:
        """images: that count. unseen: that nobody rated. rated, unrated: kept segments of the images that count.
        unmatched: points of other segments. least: by the points that are enough, iou, recall, recall_pooled and
        intervals.

        EvaluationError where no point is of a kept segment.
        """
        if not self._rated:
            raise EvaluationError(self._no_match())
        empty, self._empty = self._empty, []
        for overlap, nothing in empty:
            self._count(overlap, nothing)
        return {
            "images": self._images,
            "unseen": self._unseen,
            "rated": self._rated,
            "unrated": self._unrated,
            "unmatched": len(self.ratings) - self._rated,
            "least": {least: tally.figures() for least, tally in self._tallies.items()},
        }

    def _no_match(self) -> str:
        kept = f"a segment that the run keeps by {self.kind.upper()}"
        if not self.ratings:
            return f"there is no score of {kept}"
        image, segment = next(iter(self.ratings))
        return (
            f"none of the {len(self.ratings)} scores is of {kept}: they are of segment {segment} of image {image!r} "
            f"and the like, while the run's images are called {self._name!r} and the like; see that the scores are of "
            f"this run, and of labels reassigned by {self.kind.upper()}"
        )


def human_notes(human: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What a reader of a run's human figures must know. human: by kind, what `HumanScores.document` gives."""
    notes = []
    for kind, found in human.items():
        who = f"verified by people, {kind.upper()}"
        if found["unseen"]:
            notes.append(
                f"{who}: figures are of the {plural(found['images'], 'image')} with a rated segment; "
                f"{plural(found['unseen'], 'image')} nobody rated, and those without a kept segment, are left out"
            )
        if found["unrated"]:
            are = "is" if found["unrated"] == 1 else "are"
            notes.append(
                f"{who}: {plural(found['unrated'], 'kept segment')} {are} unrated, taken as wrong: "
                "figures are lower bounds"
            )
        if found["unmatched"]:
            are = "is" if found["unmatched"] == 1 else "are"
            notes.append(
                f"{who}: {plural(found['unmatched'], 'score')} {are} of segments that the run lacks or drops, and "
                "counted nowhere"
            )
    return notes
