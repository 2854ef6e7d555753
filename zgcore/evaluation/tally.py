"""Scores of one kind of reassignment, summed up image by image: a few numbers an image stay, no pixels."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from zgcore.evaluation.arrays import divide
from zgcore.evaluation.bootstrap import draws, interval, ratios
from zgcore.evaluation.confusion import Confusion
from zgcore.evaluation.lexical import RELATIONS
from zgcore.evaluation.per_class import PerClass
from zgcore.evaluation.scores import class_areas

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from zgcore.evaluation.metric_config import MetricConfig
    from zgcore.evaluation.overlap import Overlap
    from zgcore.evaluation.scored import Reassignment

_BINS: Final = 50  # of the histogram of similarities, from 0 to 1


class Tally:
    """threshold: the one whose figures stand in tables. similarities: further ones, for curves.

    Row 0 of everything is the threshold, the rows behind it are the similarities.
    """

    def __init__(
        self, classes: Sequence[str], threshold: float, config: MetricConfig, similarities: Sequence[float] = ()
    ) -> None:
        self.config = config
        self.threshold, self.similarities = threshold, tuple(similarities)
        self.per_class = PerClass(classes, len(self.similarities) + 1, config.recall_iou)
        self.confusion = Confusion(classes)
        self.relations: Counter[str] = Counter()
        self._iou: list[NDArray[np.float64]] = []  # (t,) an image
        self._hits: list[NDArray[np.int64]] = []  # (t,) classes above the recall's IoU
        self._hits_by_iou: list[NDArray[np.int64]] = []  # (r,) at the threshold
        self._true: list[int] = []
        self._correct: list[tuple[int, int]] = []  # pixels of classes with their class, and pixels of classes
        self._histogram = np.zeros(_BINS, dtype=np.int64)
        self._kept, self._segments = 0, 0

    def add(self, overlap: Overlap, reassignment: Reassignment) -> None:
        """Count one image."""
        areas = class_areas(overlap, reassignment, [self.threshold, *self.similarities])
        self._iou.append(areas.iou())
        self._hits.append(areas.hits(self.config.recall_iou)[:, 0])
        self._hits_by_iou.append(areas.hits(self.config.ious)[0])
        self._true.append(len(overlap.classes))
        self._correct.append((int(areas.intersections[0].sum()), int(areas.truth.sum())))
        self.per_class.add(areas)
        self.confusion.add(overlap, reassignment, self.threshold)
        self._count_segments(reassignment)

    def _count_segments(self, reassignment: Reassignment) -> None:
        similarity = reassignment.similarity.astype(np.float32)
        named = reassignment.classes >= 0
        self._kept += int((named & (similarity >= np.float32(self.threshold))).sum())
        self._segments += len(named)
        self._histogram += np.histogram(np.clip(similarity[named], 0, 1), _BINS, (0, 1))[0]
        self.relations.update(filter(None, reassignment.relations or ()))

    def figures(self) -> dict[str, Any]:
        """iou: the paper's, mean over the counted classes of an image, then over images; iou_dataset: of areas summed
        over images, mean over classes; recall: share of an image's true classes, mean over images; recall_pooled: share
        of all images' true classes; pixel_accuracy: share of the pixels of classes; interval: of each of these.
        images: that have a counted class. kept: share of the segments that reach the threshold.
        """
        return self._figures(*self._values())

    def _figures(self, values: dict[str, NDArray], bounds: dict[str, NDArray]) -> dict[str, Any]:
        return {
            "threshold": self.threshold,
            **{name: row[0] for name, row in values.items()},
            "interval": {name: bound[:, 0] for name, bound in bounds.items()},
            "images": np.isfinite(np.array(self._iou)[:, 0]).sum(),
            "kept": self._kept / self._segments if self._segments else None,
        }

    def document(self) -> dict[str, Any]:
        """The figures, and curves and tables."""
        values, bounds = self._values()
        document = {**self._figures(values, bounds), "recall_curve": self._recall_curve()}
        if self.similarities:
            document["curve"] = self._curve(values, bounds)
            document["similarity_histogram"] = {"edges": np.linspace(0, 1, _BINS + 1), "counts": self._histogram}
        document |= {"classes": self.per_class.document(), "confusions": self.confusion.document()}
        if self.relations:
            document["relations"] = {name: self.relations[name] for name in RELATIONS}
        return document

    def _values(self) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        """Each figure (t,) and its interval (2, t); of iou_dataset (2, 1)."""
        iou, hits = np.array(self._iou), np.array(self._hits)  # (images, t)
        correct = np.array(self._correct)
        true = np.repeat(np.array(self._true)[:, None], iou.shape[1], axis=1)
        parts = {  # what is summed above and below the line
            "iou": (np.nan_to_num(iou), np.isfinite(iou)),
            "recall": (divide(hits, true, empty=0.0), true > 0),
            "recall_pooled": (hits, true),
            "pixel_accuracy": (correct[:, :1], correct[:, 1:]),
        }
        drawn = draws(len(iou), self.config.resamples, self.config.seed)
        values = {name: divide(above.sum(axis=0), below.sum(axis=0)) for name, (above, below) in parts.items()}
        bounds = {name: self._interval(ratios(*pair, drawn)) for name, pair in parts.items()}
        values["iou_dataset"] = self.per_class.mean_iou()
        bounds["iou_dataset"] = self._interval(self.per_class.resampled_mean_iou(drawn))[:, None]
        return values, bounds

    def _interval(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        return interval(samples, self.config.confidence)

    def _curve(self, values: dict[str, NDArray], bounds: dict[str, NDArray]) -> dict[str, Any]:
        """Figures by the similarity from which a segment is kept."""
        return {
            "similarity": self.similarities,
            **{name: values[name][1:] for name in ("iou", "recall", "recall_pooled", "iou_dataset")},
            "interval": {name: bounds[name][:, 1:].T for name in ("iou", "recall")},
        }

    def _recall_curve(self) -> dict[str, Any]:
        """Recall by the IoU that counts as found, at the threshold."""
        hits, true = np.array(self._hits_by_iou), np.array(self._true)  # (images, r), (images,)
        return {
            "iou": self.config.ious,
            "recall": divide(divide(hits, true[:, None], empty=0.0).sum(axis=0), (true > 0).sum()),
            "recall_pooled": divide(hits.sum(axis=0), true.sum()),
        }
