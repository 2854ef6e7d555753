"""The figures the paper prints, in percent: what a report stands beside its own.

Rewatbowornwong et al., "Zero-guidance Segmentation Using Zero Segment Labels", ICCV 2023, tables 1 and 3 and the
appendix. A preset other than `paper` is not expected to reach them: they say what the method does with ViT-L/14@336
and GPT-2 medium.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Figure:
    """One printed number. data: "pc59", "pc459" or "voc". by: how labels became classes, "tt" or "st".

    metric: "iou", "recall" or "tgq". images: what it was measured on, where the paper says.
    """

    predictor: str
    data: str
    by: str
    metric: str
    percent: float
    images: str = ""


_FIRST: Final = "first 1,000 images"
_RANDOM: Final = "1,000 random images"
_WHOLE: Final = "whole validation set"


def _ablation(predictor: str, pc59: tuple[float, float, float | None], pc459: float, voc: float) -> tuple[Figure, ...]:
    """One row of the ablation: PC-59 IoU, recall and TGQ, then PC-459 IoU and VOC-20 IoU."""
    iou, recall, tgq = pc59
    return (
        Figure(predictor, "pc59", "st", "iou", iou, _FIRST),
        Figure(predictor, "pc59", "st", "recall", recall, _FIRST),
        *((Figure(predictor, "pc59", "st", "tgq", tgq, _FIRST),) if tgq is not None else ()),
        Figure(predictor, "pc459", "st", "iou", pc459),
        Figure(predictor, "voc", "st", "iou", voc),
    )


ABLATIONS: Final = (
    *_ablation("crop", (12.1, 10.2, 16.9), 5.4, 14.0),
    *_ablation("no-subtraction", (14.5, 15.0, 11.8), 7.2, 21.2),
    *_ablation("no-merge", (16.4, 11.8, None), 10.2, 18.3),
    *_ablation("full", (17.5, 15.0, 19.0), 11.3, 20.1),
)
MAIN: Final = (
    Figure("full", "pc59", "st", "iou", 19.6, _WHOLE),
    Figure("full", "pc459", "st", "iou", 11.3, _WHOLE),
    Figure("full", "voc", "st", "iou", 20.1, _WHOLE),
    Figure("full", "pc59", "tt", "iou", 11.2, _RANDOM),
    Figure("full", "pc59", "tt", "recall", 10.3, _RANDOM),
)

# Systems that are told the class names as text; IoU.
PEERS: Final = {
    "GroupViT": {"pc59": 25.9, "pc459": 4.9, "voc": 50.7},
    "OpenSeg": {"pc59": 42.1, "pc459": 9.0},
    "OVSeg": {"pc59": 55.7, "pc459": 12.4, "voc": 94.5},
}


@dataclass(frozen=True)
class Curve:
    """IoU by the similarity below which a segment is dropped."""

    thresholds: tuple[float, ...]
    percent: tuple[float, ...]


_TENTHS: Final = tuple(k / 10 for k in range(11))
_TWENTIETHS: Final = tuple(k / 20 for k in range(8))
CURVES: Final = {
    ("tt", "pc59"): Curve(_TENTHS, (8.1, 8.1, 8.2, 9.4, 11.2, 11.4, 9.8, 8.6, 6.5, 5.6, 5.3)),
    ("tt", "voc"): Curve(_TENTHS, (11.2, 11.2, 11.6, 16.0, 23.9, 27.3, 24.2, 21.5, 15.3, 12.0, 11.2)),
    ("st", "pc59"): Curve(_TWENTIETHS, (19.6, 19.6, 19.6, 19.5, 16.0, 2.2, 0.0, 0.0)),
    ("st", "voc"): Curve(_TWENTIETHS, (20.1, 20.1, 20.1, 20.8, 24.8, 4.2, 0.0, 0.0)),
}


@dataclass(frozen=True)
class Human:
    """IoU and recall over the segments whose reassigned label raters gave at least `least` of 3 points."""

    by: str
    least: int
    iou: float
    recall: float


HUMAN: Final = (
    Human("tt", 1, 11.0, 9.8),
    Human("st", 3, 14.2, 13.2),
    Human("st", 2, 20.9, 18.0),
    Human("st", 1, 22.7, 19.4),
)
# Share of answers 0 (incorrect) to 3 (correct) about predicted labels, 23,076 questions.
STUDY: Final = (36.0, 20.8, 23.9, 19.3)

DATA_TITLES: Final = {"pc59": "PC-59", "pc459": "PC-459", "voc": "VOC-20"}


def find(predictor: str, data: str, by: str, metric: str) -> Figure | None:
    """The ablation's figure, which goes with the same number of images for every row; the main table's otherwise."""
    for figure in (*ABLATIONS, *MAIN):
        if (figure.predictor, figure.data, figure.by, figure.metric) == (predictor, data, by, metric):
            return figure
    return None
