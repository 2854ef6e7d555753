"""The tables of a report that go beyond the paper's: classes, confusions, labels, outlines, time."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from zgcore.config import PipelineConfig
from zgcore.evaluation import formats
from zgcore.evaluation.report_model import Cell, Column, Table, share, whole, word
from zgcore.evaluation.report_run import KIND_TITLES
from zgcore.evaluation.scored import LEXICAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zgcore.evaluation.report_run import Run

OFTEN: Final = 25  # confusions and labels shown
_STAGES: Final = "Mean an image; a stage whose results were kept from an earlier run takes next to nothing."


def boundary_table(run: Run) -> Table | None:
    """How well outlines follow true ones."""
    found = run.summary.get("boundary") or {}
    if found.get("f") is None:
        return None
    columns = (Column("", number=False), Column("F"), Column("precision"), Column("recall"))
    row = (
        word("outlines of all segments"),
        *(share(found.get(name), (found.get("interval") or {}).get(name)) for name in ("f", "precision", "recall")),
    )
    return Table("Boundary F-score", columns, (row,), "Percent: outlines against true outlines, whatever the labels.")


def class_table(run: Run) -> Table:
    """Every class that is in the truth or was predicted."""
    kinds = run.kinds
    found: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        for row in run.summary[kind].get("classes") or ():
            found.setdefault(row["name"], {})[kind] = row
    columns = [Column("class", number=False), Column("images", "that have it"), Column("pixels", "in the truth")]
    for kind in kinds:
        title = KIND_TITLES[kind]
        columns += [Column(f"{title} IoU", "summed over images"), Column(f"{title} recall", "share of its images"),
                    Column(f"{title} predicted", "images in which it was predicted")]  # fmt: skip
    rows = []
    for name, by in found.items():
        one = next(iter(by.values()))
        cells = [word(name), whole(one["images"]), whole(one["pixels"])]
        for kind in kinds:
            row = by.get(kind) or {}
            cells += [share(row.get("iou")), share(row.get("recall")), whole(row.get("predicted_images"))]
        rows.append(tuple(cells))
    rows.sort(key=lambda cells: -(cells[2].value or 0))
    return Table(
        "Every class",
        tuple(columns),
        tuple(rows),
        "Percent. IoU is over all pixels of all images.",
        sortable=True,
        long=True,
    )


def confusion_table(run: Run, kind: str) -> Table | None:
    """Which class is taken for which, by pixels."""
    found = (run.summary.get(kind) or {}).get("confusions")
    if not found:
        return None
    columns = (Column("true class", number=False), Column("was taken for", number=False), Column("pixels"),
               Column("share", "of the true class's pixels"))  # fmt: skip
    rows = tuple(
        (word(row["truth"]), word(row["predicted"]), whole(row["pixels"]), share(row["share"])) for row in found[:OFTEN]
    )
    return Table(f"Most frequent confusions, {KIND_TITLES[kind]}", columns, rows, sortable=True, long=True)


def label_table(run: Run) -> Table:
    """What the free-text labels are like."""
    labels = run.summary.get("labels") or {}
    rows = [
        (word("segments"), whole(labels.get("segments"))),
        (word("vocabulary", note="different labels"), whole(labels.get("vocabulary"))),
        (word("forms", note="different labels, spelling and number aside"), whole(labels.get("forms"))),
        (word("words a label"), Cell(formats.decimal(labels.get("words_per_label")), labels.get("words_per_label"))),
        (word("adjectives alone, %"), share(labels.get("adjectives_alone"))),
        (word("generic labels, %", note="thing, photo, background and the like"), share(labels.get("generic"))),
        (word("labels used once, %"), share(labels.get("used_once"))),
    ]
    return Table("Labels", (Column("figure", number=False), Column("value")), tuple(rows))


def frequent_table(run: Run) -> Table | None:
    """The labels that come most often."""
    found = (run.summary.get("labels") or {}).get("frequent")
    if not found:
        return None
    rows = tuple((word(row["label"] or "(no text)"), whole(row["count"])) for row in found[:OFTEN])
    return Table(
        "Most frequent labels", (Column("label", number=False), Column("segments")), rows, sortable=True, long=True
    )


def relation_table(run: Run) -> Table | None:
    """How labels relate to the class they name, by WordNet."""
    found = (run.summary.get(LEXICAL) or {}).get("relations")
    if not found:
        return None
    total = int(run.summary["segments"])
    rest = {**found, "no match": total - sum(found.values())}
    rows = tuple((word(name), whole(number), share(number / total if total else None)) for name, number in rest.items())
    note = "A label is the class's name, a synonym, a kind of it (hyponym) or what it is a kind of (hypernym)."
    return Table(
        "Labels by the dictionary",
        (Column("relation", number=False), Column("segments"), Column("share, %")),
        rows,
        note,
    )


def seconds_table(runs: Sequence[Run]) -> Table | None:
    """Where the time went."""
    stages = list(dict.fromkeys(stage for run in runs for stage in run.seconds))
    if not stages:
        return None
    columns = (Column("stage", number=False), *(Column(run.name if len(runs) > 1 else "seconds") for run in runs))
    rows = tuple(
        (word(stage), *(Cell(formats.seconds(run.seconds.get(stage)), run.seconds.get(stage)) for run in runs))
        for stage in stages
    )
    return Table("Seconds by stage", columns, rows, _STAGES)


def settings_table(run: Run) -> Table | None:
    """Where a run's settings are not the paper's."""
    if not run.info.settings:
        return None
    paper = dataclasses.asdict(PipelineConfig())
    rows = []
    for stage, settings in run.info.settings.items():
        if not isinstance(settings, dict):
            continue
        for name, value in settings.items():
            usual = (paper.get(stage) or {}).get(name)
            if value != usual:
                rows.append((word(f"{stage}.{name}"), word(_text(value)), word(_text(usual), soft=True)))
    columns = (Column("setting", number=False), Column("here", number=False), Column("paper", number=False))
    return Table("Settings that are not the paper's", columns, tuple(rows))


def _text(value: Any) -> str:
    return formats.NOTHING if value is None or value == "" else str(value)
