"""Areas of each class summed over images: data-set mIoU, and a table of the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from zgcore.evaluation.arrays import divide
from zgcore.evaluation.bootstrap import weigh

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from zgcore.evaluation.scores import ClassAreas


class PerClass:
    """classes: c names. rows: thresholds of the areas that come, the first of which is the tables'."""

    def __init__(self, classes: Sequence[str], rows: int, recall_iou: float) -> None:
        self.classes = tuple(classes)
        self.recall_iou = recall_iou
        self._intersections = np.zeros((rows, len(classes)), dtype=np.int64)
        self._unions = np.zeros((rows, len(classes)), dtype=np.int64)
        self._truth, self._predicted, self._images, self._images_predicted, self._hits = np.zeros(
            (5, len(classes)), dtype=np.int64
        )
        self._each: list[NDArray[np.int64]] = []  # (4, k) an image: classes, intersections, unions, truth

    def add(self, areas: ClassAreas) -> None:
        """Count one image."""
        unions, at = areas.unions, areas.classes
        self._intersections[:, at] += areas.intersections
        self._unions[:, at] += unions
        self._truth[at] += areas.truth
        self._predicted[at] += areas.predicted[0]
        self._images[at] += areas.truth > 0
        self._images_predicted[at] += areas.predicted[0] > 0
        self._hits[at] += (areas.truth > 0) & (areas.class_iou()[0] > self.recall_iou)
        counted = unions[0] > 0
        self._each.append(np.stack([at, areas.intersections[0], unions[0], areas.truth])[:, counted])

    def mean_iou(self) -> NDArray[np.float64]:
        """(t,) data-set mIoU: intersections and unions summed over images, mean over the classes that the truth has."""
        return _mean_iou(self._intersections, self._unions, np.broadcast_to(self._truth, self._unions.shape))

    def resampled_mean_iou(self, drawn: NDArray) -> NDArray[np.float64]:
        """(resamples,) the same at the first threshold, of each resample (`bootstrap.draws`)."""
        return _mean_iou(*(weigh(drawn, self._by_image(row)) for row in (1, 2, 3)))

    def _by_image(self, row: int) -> sparse.csr_array:
        """(images, c) of one of the numbers kept for each image."""
        starts = np.cumsum([0, *(each.shape[1] for each in self._each)])
        classes, values = (np.concatenate([each[k] for each in self._each]) for k in (0, row))
        return sparse.csr_array((values.astype(np.float64), classes, starts), (len(self._each), len(self.classes)))

    def document(self) -> list[dict[str, Any]]:
        """One entry a class that is in the truth or was predicted, in the data set's order."""
        iou, recall = divide(self._intersections[0], self._unions[0]), divide(self._hits, self._images)
        return [
            {
                "name": self.classes[k],
                "images": self._images[k],
                "pixels": self._truth[k],
                "iou": iou[k],
                "recall": recall[k],
                "predicted_images": self._images_predicted[k],
                "predicted_pixels": self._predicted[k],
            }
            for k in np.flatnonzero((self._truth > 0) | (self._predicted > 0))
        ]


def _mean_iou(intersections: NDArray, unions: NDArray, truth: NDArray) -> NDArray[np.float64]:
    """(..., c) -> (...), NaN where no class is in the truth."""
    present = truth > 0
    return divide(np.where(present, divide(intersections, unions, empty=0.0), 0).sum(axis=-1), present.sum(axis=-1))
