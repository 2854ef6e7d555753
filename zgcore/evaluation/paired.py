"""Two runs over the same images: how much better the second is, and whether that is more than chance.

Both are resampled together (`bootstrap`), so that images that are hard for both say nothing about the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from zgcore.errors import EvaluationError
from zgcore.evaluation.arrays import divide
from zgcore.evaluation.bootstrap import draws, interval, p_value, ratios, weigh
from zgcore.evaluation.formats import plural
from zgcore.evaluation.records import read_scored
from zgcore.evaluation.scores import class_areas

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from zgcore.evaluation.report_run import Run
    from zgcore.evaluation.scored import ScoredImage

TGQ: Final = "tgq"
RECALL_IOU: Final = 0.5
TGQ_COSINE: Final = 0.5
FEWEST: Final = 5  # images, or images with a class, below which resampling them says nothing about others
_LISTED: Final = 3  # images that a refusal names
NAN: Final = float("nan")


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class ImageFigures:
    """Figures of n images by one kind of reassignment; NaN where an image has none.

    iou, recall: (n,) of each image. intersections, unions, truth: (n, c) pixels of each class. background: (n,) pixels
    of the truth that are in no class; what is void is counted nowhere.
    """

    names: tuple[str, ...]
    iou: NDArray[np.float64]
    recall: NDArray[np.float64]
    intersections: NDArray[np.int64]
    unions: NDArray[np.int64]
    truth: NDArray[np.int64]
    background: NDArray[np.int64]

    def at(self, rows: Sequence[int]) -> ImageFigures:
        """The same of some of the images."""
        at = list(rows)
        tables = self.intersections[at], self.unions[at], self.truth[at], self.background[at]
        return ImageFigures(tuple(self.names[row] for row in rows), self.iou[at], self.recall[at], *tables)

    def class_iou(self) -> NDArray[np.float64]:
        """(n, c) IoU of each class in each image; NaN where it is neither there nor predicted."""
        return divide(self.intersections, self.unions)


def image_figures(run: Run, kind: str, threshold: float | None = None) -> ImageFigures:
    """Figures of every scored image of a run. threshold: another than the run's. KeyError where it lacks the kind."""
    least = float(run.summary[kind]["threshold"]) if threshold is None else threshold
    rows = [
        _one(image, kind, least, len(run.info.classes)) for image in read_scored(run.path) if kind in image.reassigned
    ]
    names = tuple(row[0] for row in rows)
    iou, recall = (np.array([row[k] for row in rows], np.float64) for k in (1, 2))
    empty = np.zeros((0, len(run.info.classes)), np.int64)
    intersections, unions, truth = (np.stack([row[k] for row in rows]) if rows else empty for k in (3, 4, 5))
    background = np.array([row[6] for row in rows], np.int64)
    return ImageFigures(names, iou, recall, intersections, unions, truth, background)


def _one(image: ScoredImage, kind: str, threshold: float, classes: int) -> tuple:
    areas = class_areas(image.overlap, image.reassigned[kind], [threshold])
    table = np.zeros((3, classes), np.int64)
    table[:, areas.classes] = areas.intersections[0], areas.unions[0], areas.truth
    background = int(image.overlap.background.sum())
    return (image.name, float(areas.iou()[0]), float(areas.recall([RECALL_IOU])[0, 0]), *table, background)


@dataclass(frozen=True)
class Difference:
    """One figure of two runs, over the same images. low, high: 95% interval of b - a. p: of there being none.

    All three are NaN below FEWEST images.
    """

    kind: str
    name: str
    a: float
    b: float
    low: float
    high: float
    p: float
    images: int

    @property
    def value(self) -> float:
        return self.b - self.a

    @property
    def sure(self) -> bool:
        """Whether 0 is out of question at 5%."""
        return self.p < 0.05


@dataclass(frozen=True)
class Pair:
    """Two runs and what they share. by_kind: figures over the same images in the same order."""

    a: Run
    b: Run
    by_kind: dict[str, tuple[ImageFigures, ImageFigures]]
    left_out: tuple[str, ...]


def pair(a: Run, b: Run) -> Pair:
    """Match two runs image by image.

    EvaluationError where they are of different classes, share no image or kind, or had other true masks.
    """
    if a.info.classes != b.info.classes:
        raise EvaluationError(f"{a.path} and {b.path} score different classes: compare runs over one data set")
    by_kind: dict[str, tuple[ImageFigures, ImageFigures]] = {}
    left_out: set[str] = set()
    for kind in (kind for kind in a.kinds if kind in b.kinds):
        one, other = image_figures(a, kind), image_figures(b, kind)
        left_out |= set(one.names) ^ set(other.names)
        if set(one.names) & set(other.names):
            by_kind[kind] = matched(one, other)
            check_truth(a, b, *by_kind[kind])
    if not by_kind:
        raise EvaluationError(f"{a.path} and {b.path} share no scored image: compare runs over the same images")
    return Pair(a, b, by_kind, tuple(sorted(left_out)))


def matched(one: ImageFigures, other: ImageFigures) -> tuple[ImageFigures, ImageFigures]:
    """Both, of the images they share, in the first one's order."""
    place = {name: row for row, name in enumerate(other.names)}
    rows = [row for row, name in enumerate(one.names) if name in place]
    return one.at(rows), other.at([place[one.names[row]] for row in rows])


def check_truth(a: Run, b: Run, one: ImageFigures, other: ImageFigures) -> None:
    """one, other: matched figures of both runs. EvaluationError where an image has other true pixels in one of them."""
    same = (one.truth == other.truth).all(axis=1) & (one.background == other.background)
    if changed := [one.names[row] for row in np.flatnonzero(~same)]:
        named = ", ".join(changed[:_LISTED]) + (", ..." if len(changed) > _LISTED else "")
        raise EvaluationError(
            f"{a.path} and {b.path} were scored against different true masks ({plural(len(changed), 'image')}: "
            f"{named}); make the older run again in another folder"
        )


def differences(both: Pair) -> list[Difference]:
    """IoU, recall and data-set mIoU by every kind that both have, and text generation quality."""
    found = []
    for kind, (one, other) in both.by_kind.items():
        for name, values in (("iou", _mean_of("iou")), ("recall", _mean_of("recall")), ("iou_dataset", _data_set_iou)):
            found.append(_difference(kind, name, one, other, values))
    named = _named(both)
    if named is not None:
        found.append(_tgq_difference(*named))
    return found


def class_differences(both: Pair, kind: str) -> list[tuple[int, Difference]]:
    """Every class that is in the truth, by its IoU over all images; without interval and p where few images have it."""
    one, other = both.by_kind[kind]
    drawn = draws(len(one.names))
    samples = [ratios(run.intersections, run.unions, drawn) for run in (one, other)]  # (resamples, c) each
    found = []
    for k in np.flatnonzero(one.truth.sum(axis=0)):
        a, b = (float(run.intersections[:, k].sum() / run.unions[:, k].sum()) for run in (one, other))
        apart = samples[1][:, k] - samples[0][:, k]
        images = int((one.truth[:, k] > 0).sum())
        found.append((int(k), Difference(kind, "iou", a, b, *_chance(apart, images), images)))
    return found


def iou_difference(kind: str, one: ImageFigures, other: ImageFigures) -> Difference:
    """The difference of the paper's IoU, over images that match."""
    return _difference(kind, "iou", one, other, _mean_of("iou"))


def _mean_of(name: str) -> Callable[[ImageFigures, NDArray], NDArray[np.float64]]:
    """Resamples of a mean over images, those without the figure left out."""

    def samples(figures: ImageFigures, drawn: NDArray) -> NDArray[np.float64]:
        values = getattr(figures, name)
        there = np.isfinite(values)
        return ratios(np.where(there, values, 0), there.astype(np.float64), drawn)

    return samples


def _data_set_iou(figures: ImageFigures, drawn: NDArray) -> NDArray[np.float64]:
    """Resamples of the mean, over the classes in their truth, of summed intersections by summed unions."""
    present = figures.truth.any(axis=0)
    by_class = ratios(figures.intersections[:, present], figures.unions[:, present], drawn)
    there = weigh(drawn, figures.truth[:, present]) > 0
    return divide(np.where(there, by_class, 0).sum(axis=1), there.sum(axis=1))


def _difference(
    kind: str,
    name: str,
    one: ImageFigures,
    other: ImageFigures,
    samples: Callable[[ImageFigures, NDArray], NDArray[np.float64]],
) -> Difference:
    drawn, once = draws(len(one.names)), np.ones((1, len(one.names)), np.uint16)
    apart = samples(other, drawn) - samples(one, drawn)
    a, b = float(samples(one, once)[0]), float(samples(other, once)[0])
    return Difference(kind, name, a, b, *_chance(apart, len(one.names)), len(one.names))


def _chance(apart: NDArray[np.float64], images: int) -> tuple[float, float, float]:
    """low, high and p of resampled differences."""
    if images < FEWEST:
        return NAN, NAN, NAN
    low, high = interval(apart)
    return float(low), float(high), p_value(apart)


def _named(both: Pair) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """(n, 2) hits and true masks of each image that both runs labelled, for each run; None where one did not."""
    counts = []
    for run in (both.a, both.b):
        by_name = {image.name: _hits(image) for image in read_scored(run.path) if image.named is not None}
        counts.append(by_name)
    shared = [name for name in counts[0] if name in counts[1]]
    if not shared:
        return None
    one, other = (np.array([by_name[name] for name in shared], np.float64) for by_name in counts)
    return one, other


def _hits(image: ScoredImage) -> tuple[int, int]:
    if image.named is None:
        return 0, 0
    cosines = image.named.similarity
    return int((cosines >= np.float32(TGQ_COSINE)).sum()), len(cosines)


def _tgq_difference(one: NDArray[np.float64], other: NDArray[np.float64]) -> Difference:
    drawn = draws(len(one))
    apart = ratios(other[:, 0], other[:, 1], drawn) - ratios(one[:, 0], one[:, 1], drawn)
    a, b = (float(run[:, 0].sum() / run[:, 1].sum()) if run[:, 1].sum() else float("nan") for run in (one, other))
    return Difference(TGQ, "tgq", a, b, *_chance(apart, len(one)), len(one))
