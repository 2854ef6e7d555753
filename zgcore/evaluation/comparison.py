"""Two runs side by side: differences with intervals and p-values, classes, and the images that changed most."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from zgcore.evaluation import formats
from zgcore.evaluation.arrays import plain
from zgcore.evaluation.files import run_file
from zgcore.evaluation.paired import FEWEST, class_differences, differences, pair
from zgcore.evaluation.report_html import write_html
from zgcore.evaluation.report_images import CHANGED, changed_cards
from zgcore.evaluation.report_markdown import to_markdown
from zgcore.evaluation.report_model import Cell, Column, Report, Section, Table, Tile, share, short, whole, word
from zgcore.evaluation.report_plots import recall_plot, threshold_plots
from zgcore.evaluation.report_run import KIND_TITLES, notes, open_runs
from zgcore.evaluation.report_tables import MEASURES
from zgcore.evaluation.scored import ST

if TYPE_CHECKING:
    from pathlib import Path

    from zgcore.evaluation.paired import Difference, Pair
    from zgcore.evaluation.report_run import Run

_P_NOTE: Final = (
    "Percent; brackets are 95% intervals of the difference. p-values: paired bootstrap over images, two-sided; there "
    f"are neither below {FEWEST} images."
)


@dataclass(frozen=True)
class Comparison:
    """kind: what classes and images are compared by. classes: index and difference. changed: rows of the images, the
    most changed first.
    """

    pair: Pair
    kind: str
    figures: tuple[Difference, ...]
    classes: tuple[tuple[int, Difference], ...]
    changed: tuple[int, ...]

    def to_document(self) -> dict[str, Any]:
        """As JSON: fractions, and None for what does not exist."""
        one, other = self.pair.by_kind[self.kind]
        names = self.pair.a.info.classes
        return plain({
            "a": str(self.pair.a.path),
            "b": str(self.pair.b.path),
            "kind": self.kind,
            "images": len(one.names),
            "left_out": list(self.pair.left_out),
            "settings": self.pair.a.info.differences(self.pair.b.info),
            "figures": [{"kind": d.kind, "figure": d.name, **_numbers(d)} for d in self.figures],
            "classes": [{"class": names[k], "images": d.images, **_numbers(d)} for k, d in self.classes],
            "changed": [
                {"image": one.names[row], "a": float(one.iou[row]), "b": float(other.iou[row]),
                 "difference": float(other.iou[row] - one.iou[row])}
                for row in self.changed
            ],
        })  # fmt: skip


def _numbers(one: Difference) -> dict[str, Any]:
    return {"a": one.a, "b": one.b, "difference": one.value, "interval": [one.low, one.high], "p": one.p}


def compare_runs(a: Path, b: Path) -> Comparison:
    """The numbers of b against a. EvaluationError where the folders are no runs, or cannot be compared."""
    both = pair(*open_runs([a, b]))
    kind = ST if ST in both.by_kind else next(iter(both.by_kind))
    one, other = both.by_kind[kind]
    change = np.abs(np.nan_to_num(other.iou - one.iou))
    rows = [int(row) for row in np.argsort(-change, kind="stable") if change[row] > 0]
    return Comparison(both, kind, tuple(differences(both)), tuple(class_differences(both, kind)), tuple(rows))


def write_comparison(a: Path, b: Path, out: Path) -> Path:
    """Write OUT/report.html, report.md and comparison.json, and return the page. EvaluationError as `compare_runs`."""
    found = compare_runs(a, b)
    report = comparison_report(found)
    with run_file(out / "comparison.json") as file:
        file.write(json.dumps(found.to_document(), indent=2, allow_nan=False).encode() + b"\n")
    with run_file(out / "report.md") as file:
        file.write(to_markdown(report).encode())
    write_html(out / "report.html", report)
    return out / "report.html"


def comparison_markdown(a: Path, b: Path) -> str:
    """The tables for the terminal."""
    return to_markdown(comparison_report(compare_runs(a, b), pictures=False))


def comparison_report(found: Comparison, *, pictures: bool = True) -> Report:
    """The page. pictures: with the images that changed most."""
    a, b = found.pair.a, found.pair.b
    one, other = found.pair.by_kind[found.kind]
    cards = []
    if pictures:
        cards = changed_cards((a, b), found.kind, (one, other), found.changed[:CHANGED])
    moved = f"{formats.plural(len(found.changed), 'image')} of {formats.count(len(one.names))} changed"
    moved += f" by {KIND_TITLES[found.kind]} IoU."
    sections = (
        Section("figures", "Figures", tables=(_figures(found), _settings(a, b))),
        Section("curves", "Curves", plots=(*threshold_plots([a, b]), *recall_plot([a, b]))),
        Section("classes", "Classes", tables=(_classes(found),)),
        Section("images", "Images that changed most", (moved,), (_images(found),), cards=tuple(cards)),
    )
    facts = (
        ("A", f"{a.name}, {a.info.preset or 'no preset'}"),
        ("B", f"{b.name}, {b.info.preset or 'no preset'}"),
        ("data", a.data_title),
        ("images in both", formats.count(len(one.names))),
        ("sentence model", _both(a.info.sentence_model, b.info.sentence_model)),
    )
    remarks = list(dict.fromkeys([*notes(a), *notes(b)]))
    if found.pair.left_out:
        remarks.append(f"{formats.plural(len(found.pair.left_out), 'image')} that only one run has scored: left out.")
    tiles = tuple(_tile(one) for one in found.figures if one.name in ("iou", "tgq"))
    return Report(short(f"{b.name} against {a.name}"), facts, tuple(remarks), tiles, tuple(s for s in sections if s))


def _both(a: str, b: str) -> str:
    return a if a == b else f"{a} and {b}"


def _tile(one: Difference) -> Tile:
    name = "text generation quality" if one.name == "tgq" else f"{KIND_TITLES[one.kind]} IoU"
    change = f"{formats.percent(one.a)} → {formats.percent(one.b)}"
    bounds = formats.interval((one.low, one.high), signed=True)
    sure = f"95% {bounds}, p {formats.p_value(one.p)}" if bounds else f"{formats.plural(one.images, 'image')}: no p"
    return Tile(f"{name}, difference in points", formats.percent(one.value, signed=True), f"{change}; {sure}")


def _figures(found: Comparison) -> Table:
    columns = (Column("", number=False), Column("A"), Column("B"), Column("B - A"), Column("p"), Column("images"))
    rows = tuple((word(_name(one), bold=one.sure), *_cells(one), whole(one.images)) for one in found.figures)
    return Table("B against A", columns, rows, f"{_P_NOTE} Bold: p below 0.05.")


def _name(one: Difference) -> str:
    return "text generation quality" if one.name == "tgq" else f"{KIND_TITLES[one.kind]} {MEASURES[one.name][0]}"


def _cells(one: Difference) -> tuple[Cell, ...]:
    return (
        share(one.a),
        share(one.b),
        share(one.value, (one.low, one.high), signed=True),
        Cell(formats.p_value(one.p), one.p),
    )


def _settings(a: Run, b: Run) -> Table:
    """What was set otherwise, so that a difference has a cause."""
    rows = tuple((word(name), *(word(_setting(run, name)) for run in (a, b))) for name in a.info.differences(b.info))
    columns = (Column("setting", number=False), Column("A", number=False), Column("B", number=False))
    return Table("What differs in the settings", columns, rows)


def _setting(run: Run, name: str) -> str:
    """A setting by the name that `RunInfo.differences` gives it."""
    if name.startswith("version of "):
        return run.info.versions.get(name.removeprefix("version of "), formats.NOTHING)
    stage, dot, field = name.partition(".")
    value = ((run.info.settings or {}).get(stage) or {}).get(field) if dot else getattr(run.info, name, None)
    return formats.NOTHING if value is None or value == "" else str(value)


def _classes(found: Comparison) -> Table:
    columns = (Column("class", number=False), Column("images", "that have it"), Column("A"), Column("B"),
               Column("B - A"), Column("p"))  # fmt: skip
    names = found.pair.a.info.classes
    ordered = sorted(found.classes, key=lambda row: -abs(row[1].value))
    rows = tuple((word(names[k], bold=one.sure), whole(one.images), *_cells(one)) for k, one in ordered)
    note = (
        f"IoU by {KIND_TITLES[found.kind]}, summed over images. {_P_NOTE} Of many classes some have a low p by chance; "
        "what counts for a class are the images that have it."
    )
    return Table("Every class", columns, rows, note, sortable=True, long=True)


def _images(found: Comparison) -> Table:
    one, other = found.pair.by_kind[found.kind]
    columns = (Column("image", number=False), Column("A"), Column("B"), Column("B - A"))
    rows = tuple(
        (word(one.names[row]), share(float(one.iou[row])), share(float(other.iou[row])),
         share(float(other.iou[row] - one.iou[row]), signed=True))
        for row in found.changed
    )  # fmt: skip
    title = f"{KIND_TITLES[found.kind]} IoU by image"
    return Table(title, columns, rows, sortable=True, long=True)
