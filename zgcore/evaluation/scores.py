"""IoU and recall of one image from its overlap, for any number of similarity thresholds in one pass (paper, section 4).

Void pixels are in none of the numbers. For a class that the truth has, IoU = I / (P + G - I), and its predicted pixels
P count on the background too. A class that the truth lacks scores 0 once it was predicted on pixels of any class; what
lies on the background or in the void only is not counted, since there the data set says nothing about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zgcore.evaluation.arrays import divide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from zgcore.evaluation.overlap import Overlap
    from zgcore.evaluation.scored import Reassignment


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class ClassAreas:
    """Pixels of each class at each of t thresholds.

    classes: (c,) int32, in the truth or predicted at some threshold, ascending. intersections, predicted: (t, c) int64;
    predicted leaves the background out where the truth lacks the class. truth: (c,) int64.
    """

    classes: NDArray[np.int32]
    intersections: NDArray[np.int64]
    predicted: NDArray[np.int64]
    truth: NDArray[np.int64]

    @property
    def unions(self) -> NDArray[np.int64]:
        """(t, c) int64; 0 where a class is not counted."""
        return self.predicted + self.truth - self.intersections

    def class_iou(self) -> NDArray[np.float64]:
        """(t, c) of every counted class, NaN for the others."""
        return divide(self.intersections, self.unions)

    def iou(self) -> NDArray[np.float64]:
        """(t,) mean over the counted classes: the paper's IoU of an image; NaN where there is none."""
        iou = self.class_iou()
        return divide(np.nansum(iou, axis=1), np.isfinite(iou).sum(axis=1))

    def hits(self, ious: ArrayLike) -> NDArray[np.int64]:
        """(t, r) true classes whose IoU is above each of r values."""
        iou = self.class_iou()[:, self.truth > 0]  # (t, true classes)
        return (iou[:, :, None] > np.atleast_1d(np.asarray(ious, dtype=np.float64))).sum(axis=1)

    def recall(self, ious: ArrayLike) -> NDArray[np.float64]:
        """(t, r) share of the true classes that are hits: Segment Recall; NaN where the truth has no class."""
        hits = self.hits(ious)
        return divide(hits, np.full(hits.shape, (self.truth > 0).sum()))


def class_areas(overlap: Overlap, reassignment: Reassignment, thresholds: Sequence[float]) -> ClassAreas:
    """Unite the segments of each class whose similarity reaches each of t thresholds, and count.

    A threshold keeps what equals it, both taken as float32. They come in any order, and one pass serves them all.
    """
    predicted = np.unique(reassignment.classes[reassignment.classes >= 0])
    reached = _reached(overlap, reassignment, predicted, thresholds)  # (t, a, p), as the number of an ordered threshold
    classes = np.union1d(overlap.classes, predicted).astype(np.int32)
    at, column = np.searchsorted(classes, predicted), _columns(overlap, predicted)
    nothing = np.zeros((len(overlap.counts), 1), np.int64)
    hits = np.hstack([overlap.counts, nothing])[:, column]  # (a, p)
    labelled = overlap.counts.sum(axis=1)[:, None] + np.where(column >= 0, overlap.background[:, None], 0)  # (a, p)
    shape = (len(thresholds), len(classes))
    intersections, areas = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    intersections[:, at] = _sum_reached(reached, hits, thresholds)
    areas[:, at] = _sum_reached(reached, labelled, thresholds)
    truth = np.zeros(len(classes), np.int64)
    truth[np.searchsorted(classes, overlap.classes)] = overlap.counts.sum(axis=0)
    return ClassAreas(classes, intersections, areas, truth)


def covered(
    overlap: Overlap, reassignment: Reassignment, threshold: float, classes: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """(a, c) whether the united segments of each of c classes cover an atom."""
    return _reached(overlap, reassignment, classes, [threshold]) > 0


def _reached(
    overlap: Overlap, reassignment: Reassignment, classes: NDArray[np.int32], thresholds: Sequence[float]
) -> NDArray[np.int64]:
    """(a, c) at how many of the thresholds some segment of a class covers an atom: at the lowest ones."""
    ordered = np.sort(np.asarray(thresholds, dtype=np.float32))
    kept = np.searchsorted(ordered, reassignment.similarity.astype(np.float32), side="right")  # (n,)
    kept = np.where(np.isnan(reassignment.similarity), 0, kept)
    reached = np.zeros((len(overlap.members), len(classes)), dtype=np.int64)
    for column, number in enumerate(classes):
        segments = np.flatnonzero(reassignment.classes == number)
        reached[:, column] = (overlap.members[:, segments] * kept[segments]).max(axis=1, initial=0)
    return reached


def _sum_reached(
    reached: NDArray[np.int64], weights: NDArray[np.int64], thresholds: Sequence[float]
) -> NDArray[np.int64]:
    """(t, c) weights of the atoms that are covered at each threshold, in the order that thresholds were given in."""
    columns = reached.shape[1]
    cells = reached * columns + np.arange(columns)
    table = np.bincount(cells.ravel(), weights.ravel(), minlength=(len(thresholds) + 1) * columns)
    table = table.reshape(len(thresholds) + 1, columns)  # row k: what is covered at k of the thresholds
    at_least = table[::-1].cumsum(axis=0)[::-1][1:]  # row k, what is covered at more than k of them
    rank = np.argsort(np.argsort(np.asarray(thresholds, dtype=np.float32), kind="stable"), kind="stable")
    return at_least.astype(np.int64)[rank]  # float64 holds counts of pixels exactly


def _columns(overlap: Overlap, classes: NDArray[np.int32]) -> NDArray[np.int64]:
    """(c,) column of each class in the overlap's counts, -1 for those that the truth lacks."""
    column = {int(number): at for at, number in enumerate(overlap.classes)}
    return np.array([column.get(int(number), -1) for number in classes], dtype=np.int64)
