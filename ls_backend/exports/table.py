"""A table of the labels: one row a region, for spreadsheets and data frames. The masks are not in it."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final

from ls_backend.exports.paint import WHOLE_IMAGE
from ls_backend.files import atomic_write

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

    from ls_backend.exports.categories import Survey
    from ls_backend.exports.items import ImageItem, Items

COLUMNS: Final = (
    "task", "image_id", "file_name", "annotation_id", "source", "result", "annotator", "model_version", "region",
    "category", "labels", "caption", "score", "origin", "x", "y", "width", "height", "area", "area_share",
)  # fmt: skip
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def write_csv(items: Items, survey: Survey, out: Path, lost: Counter[str]) -> Path:
    """Write `labels.csv`: UTF-8, commas, lines end in CR LF as RFC 4180 has it. Lengths are pixels."""
    path = out / "labels.csv"
    with atomic_write(path) as handle:
        handle.write(_line(COLUMNS))
        for item in items:
            for index in range(len(item.regions)):
                handle.write(_line([cell(value, lost) for value in _row(item, index, survey)]))
            lost["masks"] += len(item.regions)
            lost["images without regions"] += not item.regions
            lost[WHOLE_IMAGE] += sum(len(result.rest) for result in item.results)
    return path


def _row(item: ImageItem, index: int, survey: Survey) -> list[Any]:
    region = item.regions[index]
    result = item.results[region.result]
    return [
        item.task, item.number, item.file_name, survey.annotation_id(item, index), result.source, result.id,
        result.annotator, result.model_version, region.id, survey.naming(region), "|".join(region.labels),
        region.caption, region.score, region.origin, *region.rle.bbox, region.rle.area,
        round(region.rle.area / (item.width * item.height), 6),
    ]  # fmt: skip


def cell(value: object, lost: Counter[str]) -> str:
    """A cell. Spreadsheets run text that starts like a formula, so it gets a ' in front; numbers stay numbers."""
    if value is None:
        return ""
    if isinstance(value, str):
        text = value.replace("\0", "\ufffd")
        if text.lstrip(" ").startswith(FORMULA_STARTS):
            lost["texts with a ' in front, so that no spreadsheet runs them"] += 1
            return "'" + text
        return text
    return str(value)


def _line(cells: Any) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerow(cells)
    return out.getvalue().encode("utf-8", "replace")
