"""COCO panoptic: a PNG an image whose colours are segments, and one JSON that says what each is.

As panopticapi reads it: a pixel's segment is R + 256 G + 65536 B, 0 is nothing; every segment of the PNG is in the
JSON and the other way round, with its exact area and box. Colours are far apart, so that people can look at them.
Beside COCO's keys a segment has those of ours that annotations have (see coco.py), and `annotation_id`, its id in
`annotations.json`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from ls_backend.exports import compact, json_list, rle
from ls_backend.exports.coco import own_keys
from ls_backend.exports.names import OutputNames
from ls_backend.exports.output_folder import OutputFolder
from ls_backend.exports.paint import NOTHING, colours, count_unsaid, painted
from ls_backend.files import atomic_write

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from ls_backend.exports.categories import Survey
    from ls_backend.exports.items import ImageItem, Items

ID_OF_COLOUR: Final = np.array([1, 256, 65536])


def write_panoptic(items: Items, survey: Survey, info: dict[str, Any], out: Path, lost: Counter[str]) -> Path:
    """Write `panoptic.json` and `panoptic/*.png`; returns the JSON. Every category is a thing: free text says no
    more."""
    path = out / "panoptic.json"
    with OutputFolder(out / "panoptic") as folder, atomic_write(path) as handle:
        for piece in _pieces(items, survey, info, folder, lost):
            handle.write(piece.encode())
    return path


def _pieces(
    items: Items, survey: Survey, info: dict[str, Any], folder: OutputFolder, lost: Counter[str]
) -> Iterator[str]:
    yield f'{{"info":{compact(info)},\n"licenses":[],\n"categories":'
    yield from json_list(
        compact({**category, "isthing": 1, "color": colours(np.array(category["id"])).tolist()})
        for category in survey.categories()
    )
    yield ',\n"images":'
    yield from json_list(compact(_image(item)) for item in items if item.sized)
    yield ',\n"annotations":'
    yield from json_list(compact(annotation) for annotation in _annotations(items, survey, folder, lost))
    yield "}\n"


def _image(item: ImageItem) -> dict[str, Any]:
    return {"id": item.number, "file_name": item.file_name, "height": item.height, "width": item.width}


def _annotations(items: Items, survey: Survey, folder: OutputFolder, lost: Counter[str]) -> Iterator[dict[str, Any]]:
    names = OutputNames()
    for item in items:
        count_unsaid(item, survey, lost, masks_alone=False)
        if not item.sized:
            lost["images whose height and width nobody knows"] += 1
            continue
        places = painted(item, lost)
        name = names(item.file_name, item.number, ".png")
        _write_png(folder.path(name), places + 1)
        yield {"image_id": item.number, "file_name": name, "segments_info": _segments(item, places, survey)}


def _segments(item: ImageItem, places: NDArray[np.int32], survey: Survey) -> list[dict[str, Any]]:
    segments = []
    for place in np.unique(places[places != NOTHING]).tolist():
        region, shown = item.regions[place], rle.encode(places == place)
        segments.append(
            {
                "id": int(colours(np.array(place + 1)).astype(int) @ ID_OF_COLOUR),
                "category_id": survey.number(region),
                "area": shown.area,
                "bbox": list(shown.bbox),
                "iscrowd": 0,
                "annotation_id": survey.annotation_id(item, place),
                **own_keys(item, region),
            }
        )
    return segments


def _write_png(path: Path, numbers: NDArray[np.int32]) -> None:
    with atomic_write(path) as handle:
        Image.fromarray(colours(np.arange(numbers.max() + 1))[numbers]).save(handle, "PNG")
