"""COCO instances: one annotation a segment, run-length masks, exact areas, the free text as category and caption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ls_backend.exports import NumberedRecord, Records, compact, json_list, provenance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ls_backend.record import RunStamp

SEGMENTS_PER_IMAGE = 1000
"""Annotation numbers are image number x this + position, so that they stay when another image is added or mended."""

UNNAMED = "unnamed"


def category_name(label: str) -> str:
    """A label as a category; an empty one gets a name, since readers drop nameless categories."""
    return label or UNNAMED


def coco_pieces(records: Records, stamp: RunStamp) -> Iterator[str]:
    """The document in pieces. Categories are numbered from 1 in the order of their names."""
    names = sorted({category_name(segment.label) for entry in records for segment in entry.record.segments})
    categories = {name: number for number, name in enumerate(names, start=1)}
    yield f'{{"info":{compact(provenance(stamp))},\n"licenses":[],\n"categories":'
    yield from json_list(
        compact({"id": number, "name": name, "supercategory": ""}) for name, number in categories.items()
    )
    yield ',\n"images":'
    yield from json_list(compact(_image(entry)) for entry in records)
    yield ',\n"annotations":'
    yield from json_list(
        compact(_annotation(entry, index, categories))
        for entry in records
        for index in range(len(entry.record.segments))
    )
    yield "}\n"


def _image(entry: NumberedRecord) -> dict[str, Any]:
    return {
        "id": entry.number,
        "file_name": entry.file_name,
        "height": entry.record.height,
        "width": entry.record.width,
    }


def _annotation(entry: NumberedRecord, index: int, categories: dict[str, int]) -> dict[str, Any]:
    segment = entry.record.segments[index]
    return {
        "id": entry.number * SEGMENTS_PER_IMAGE + index,
        "image_id": entry.number,
        "category_id": categories[category_name(segment.label)],
        "segmentation": entry.record.rle(index),
        "area": segment.area,
        "bbox": list(segment.bbox),
        "iscrowd": 0,
        "caption": segment.label,
        "score": segment.score,
        "node": segment.node,
    }
