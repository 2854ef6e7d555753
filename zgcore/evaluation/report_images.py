"""Which images a report shows, and their cards: the best, the worst, some at random; of two runs those that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from zgcore.errors import EvaluationError
from zgcore.evaluation import formats
from zgcore.evaluation.datasets import open_data_set
from zgcore.evaluation.records import read_files, read_segments
from zgcore.evaluation.report_gallery import Segments, Shown, card
from zgcore.evaluation.report_model import Section, short
from zgcore.evaluation.report_run import KIND_TITLES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from zgcore.evaluation.paired import ImageFigures
    from zgcore.evaluation.records import SegmentRecord
    from zgcore.evaluation.report_model import Card
    from zgcore.evaluation.report_run import Run

SHOWN: Final = 6  # images of each kind
CHANGED: Final = 12
SEED: Final = 0  # of the images at random


def gallery_sections(run: Run, kind: str, figures: ImageFigures) -> list[Section]:
    """Best, worst and random images; none stands in two of them."""
    there = np.flatnonzero(np.isfinite(figures.iou))
    if not len(there):
        return []
    order = there[np.argsort(-figures.iou[there], kind="stable")]
    best, worst = order[:SHOWN], order[SHOWN:][::-1][:SHOWN]
    rest = np.setdiff1d(there, np.concatenate([best, worst]))
    drawn = np.random.default_rng(SEED).permutation(rest)[:SHOWN]
    found = _Found([run], [*best, *worst, *drawn], figures)
    by = f"by {KIND_TITLES[kind]} IoU of the image"
    sections = []
    for key, title, rows, text in (
        ("best", "Best images", best, f"The highest {by}."),
        ("worst", "Worst images", worst, f"The lowest {by}."),
        ("random", "Images at random", drawn, f"Drawn with seed {SEED} from those that stand in neither list."),
    ):
        cards = tuple(found.card(int(row), [(run, kind, figures)], _facts(figures, int(row), kind)) for row in rows)
        if cards:
            legend = (
                "A segment has its class's colour, the same as in the true classes; grey ones have no class. Where the "
                "truth says nothing the photo stays."
            )
            sections.append(Section(key, title, (f"{text} {legend}",), cards=cards))
    return sections


def changed_cards(
    runs: tuple[Run, Run], kind: str, pair: tuple[ImageFigures, ImageFigures], rows: Sequence[int]
) -> list[Card]:
    """Cards of images with both runs' segments, the true classes before them."""
    found = _Found(runs, rows, pair[0])
    cards = []
    for row in rows:
        a, b = (float(figures.iou[row]) for figures in pair)
        change = formats.percent(b - a, signed=True)
        facts = f"{KIND_TITLES[kind]} IoU {formats.percent(a)} → {formats.percent(b)} ({change})"
        cards.append(found.card(row, [(run, kind, figures) for run, figures in zip(runs, pair, strict=True)], facts))
    return cards


def _facts(figures: ImageFigures, row: int, kind: str) -> str:
    title = KIND_TITLES[kind]
    iou, recall = (formats.percent(float(values[row])) for values in (figures.iou, figures.recall))
    return f"{title} IoU {iou} · {title} recall {recall}"


class _Found:
    """What the cards of some images need: their segments, and the truth where the data set is still there."""

    def __init__(self, runs: Sequence[Run], rows: Collection[int], figures: ImageFigures) -> None:
        self.figures = figures
        names = {figures.names[row] for row in rows}
        self.segments = [_segments(run, names) for run in runs]
        self.files = {name: file for name, file in read_files(runs[0].path) if name in names}
        self.truth = _truth(runs[0], names)

    def card(self, row: int, runs: Sequence[tuple[Run, str, ImageFigures]], facts: str) -> Card:
        name = self.figures.names[row]
        shown = []
        for (run, kind, _), by_name in zip(runs, self.segments, strict=True):
            threshold = float(run.summary[kind]["threshold"])
            title = "segments" if len(runs) == 1 else run.name
            shown.append(Segments(short(title), by_name.get(name, []), kind, threshold))
        classes = runs[0][0].info.classes
        present = [int(k) for k in np.argsort(-self.figures.truth[row], kind="stable") if self.figures.truth[row, k]]
        ious = {} if len(runs) > 1 else {k: float(self.figures.class_iou()[row, k]) for k in present}
        return card(
            Shown(name, self.files[name], facts, present, self.truth.get(name), ious),
            shown,
            classes,
            photo=len(runs) == 1,
        )


def _segments(run: Run, names: Collection[str]) -> dict[str, list[SegmentRecord]]:
    found: dict[str, list[SegmentRecord]] = {}
    for record in read_segments(run.path):
        if record.image in names:
            found.setdefault(record.image, []).append(record)
    return found


def _truth(run: Run, names: Collection[str]) -> dict[str, NDArray[np.int32]]:
    """Index maps of images; empty where the data set has gone, or is another one now."""
    found = {}
    try:
        data = open_data_set(run.info.data)
        if tuple(data.classes) != run.info.classes:
            return {}
        for sample in data.samples:
            if sample.name in names:
                found[sample.name] = data.truth(sample).index_map
    except (EvaluationError, OSError):
        pass
    return found
