"""Label Studio tasks: annotations and predictions as they were read, or made for the template `free_text.xml`.

Regions that came from Label Studio go back with their own ids, tags and texts; those of a run or of another tool's
COCO file get a brush of a palette of colours and one editable text, which share one id.
"""

from __future__ import annotations

import base64
import os
from io import BytesIO
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ls_backend import brush
from ls_backend.exports import Records, compact, json_list
from ls_backend.exports.read_run import record_item
from ls_backend.exports.shapes import SHAPES, region_mask
from ls_backend.exports.task_texts import TaskTexts, noted
from ls_backend.files import atomic_write
from ls_backend.people import PeoplePolicy
from ls_backend.protocol import region_entries
from zgcore.gallery import templates_folder

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ls_backend.exports import NumberedRecord
    from ls_backend.exports.items import ImageItem, Items, Region, Result

PALETTE = tuple(f"obj {number}" for number in range(1, 21))
MASK_NAME, TEXT_NAME, IMAGE_NAME = "mask", "caption", "image"
LABELLING_CONFIG = "free_text.xml"
BROWSER_TYPES = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"BM": "image/bmp",
}


def task_pieces(
    records: Records, image_url: Callable[[NumberedRecord], str], people: PeoplePolicy | None = None
) -> Iterator[str]:
    """The list of a run's tasks in pieces. image_url: what the browser loads for a record. people: what becomes of
    texts that describe people; they become neutral where it is not given."""
    texts = TaskTexts((), people=people or PeoplePolicy())
    yield from json_list(compact(task([texts.shown(record_item(entry))], image_url(entry))) for entry in records)
    yield "\n"


def item_pieces(items: Items, image_url: Callable[[ImageItem], str], lost: Counter[str]) -> Iterator[str]:
    """The list of tasks in pieces, one for each run of items of the same task."""
    for_tasks = (list(group) for _, group in groupby(items, key=attrgetter("position")))
    yield from json_list(
        compact(task(images, image_url(images[0]) if images[0].data is None else "", lost)) for images in for_tasks
    )
    yield "\n"


def task(images: Sequence[ImageItem], url: str, lost: Counter[str] | None = None) -> dict[str, Any]:
    """One task. images: of this task, in order. url: of its image, where the input was no task of its own."""
    first = images[0]
    data = {"image": url, "file_name": first.file_name} if first.data is None else first.data
    document: dict[str, Any] = {**({} if first.task is None else {"id": first.task}), "data": data, **first.head}
    for key, source in (("annotations", "annotation"), ("predictions", "prediction")):
        found = [
            _result(result, [region for item in images for region in item.regions if region.result == place], lost)
            for place, result in enumerate(first.results)
            if result.source == source
        ]
        if found or (source == "annotation" and first.data is not None):
            document[key] = found
    return document


def _result(result: Result, regions: list[Region], lost: Counter[str] | None) -> dict[str, Any]:
    """One annotation or prediction, its entries in the places they had."""
    placed = list(result.rest)
    for index, region in enumerate(regions):
        entries = _kept_entries(region, lost) if region.entries else _new_entries(region, index)
        places = [place for place, _ in region.entries] or [index]
        entries[0] = noted(entries[0], region)
        placed += zip(places + places[-1:] * (len(entries) - len(places)), entries, strict=True)
        if lost is not None and region.node:
            lost["numbers of segments in their tree"] += 1
    own = {"id": result.id, "model_version": result.model_version or None, "score": result.score}
    return {
        **{key: value for key, value in own.items() if value is not None},
        **result.head,
        "result": [entry for _, entry in sorted(placed, key=lambda pair: pair[0])],
    }


def _new_entries(region: Region, index: int) -> list[dict[str, Any]]:
    """Entries for the labelling config `free_text.xml`."""
    entries = region_entries(
        region.id,
        image=IMAGE_NAME,
        brush_name=MASK_NAME,
        text_name=TEXT_NAME,
        height=region.rle.height,
        width=region.rle.width,
        score=0.0 if region.score is None else region.score,
        rle=brush.encode(region.rle.mask()),
        label=PALETTE[index % len(PALETTE)],
        text=region.caption or " ".join(region.labels[:1]),
    )
    if region.score is None:
        for entry in entries:
            del entry["score"]
    return entries


def _kept_entries(region: Region, lost: Counter[str] | None) -> list[dict[str, Any]]:
    """The entries as they were, with the region's mask, labels and texts of now."""
    entries = [{**entry, "value": dict(entry["value"])} for _, entry in region.entries]
    shape = entries[0]
    if shape["value"].get("format") != "rle" and not _still_fits(region, shape):
        shape["type"], shape["value"] = "brushlabels", {"format": "rle", "brushlabels": list(region.labels)}
        if lost is not None:
            lost["rectangles, polygons and ellipses that became brushes, since their masks changed"] += 1
    runs = None
    for entry in entries:
        if entry["value"].get("format") == "rle" and "rle" not in entry["value"]:
            runs = brush.encode(region.rle.mask()) if runs is None else runs
            entry["value"]["rle"] = runs
    _put_back(entries, region)
    return entries


def _still_fits(region: Region, shape: dict[str, Any]) -> bool:
    """True where a shape of corners or radii is still the region's mask."""
    if shape.get("type") not in SHAPES:
        return True
    try:
        return region_mask(shape["type"], shape["value"], region.rle.height, region.rle.width) == region.rle
    except ValueError:
        return False


def _put_back(entries: list[dict[str, Any]], region: Region) -> None:
    """Labels and texts that were changed since the entries were written: the new ones replace all of their kind."""
    for kind, wanted in (("labels", list(region.labels)), ("textarea", list(region.texts))):
        own = [entry for entry in entries if str(entry.get("type")).endswith(kind)]
        keys = [str(entry["type"]) if kind == "labels" else "text" for entry in own]
        held = [entry["value"].get(key) for entry, key in zip(own, keys, strict=True)]
        now = held[:1] if kind == "labels" else held
        flat = [text for value in now for text in (value if isinstance(value, list) else [value])]
        if own and [text for text in flat if isinstance(text, str)] != wanted:
            for number, (entry, key) in enumerate(zip(own, keys, strict=True)):
                entry["value"][key] = wanted if number == 0 else []


def write_labelling_config(out: Path) -> Path:
    """Write the labelling config that `_new_entries` fits; returns the file. OutputError where that cannot be done."""
    path = out / "labelstudio_config.xml"
    with atomic_write(path) as handle:
        handle.write(templates_folder().joinpath(LABELLING_CONFIG).read_bytes())
    return path


def local_files_url(photo: Path, root: Path) -> str:
    """Where Label Studio serves a photo below its LOCAL_FILES_DOCUMENT_ROOT. ValueError if it is not below `root`."""
    relative = photo.resolve().relative_to(root.resolve())
    return "/data/local-files/?d=" + quote(os.fsencode(relative.as_posix()), safe="/")


def data_uri(photo: Path) -> str:
    """The photo itself as a URL: its own bytes where browsers show the format, else (TIFF) as PNG.

    Raises ImageError or OSError where the photo has gone.
    """
    data = photo.read_bytes()
    kind = next((kind for magic, kind in BROWSER_TYPES.items() if data.startswith(magic)), None)
    if kind is None and data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "image/webp"
    if kind is None:
        data, kind = _as_png(photo), "image/png"
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _as_png(photo: Path) -> bytes:
    from PIL import Image

    from zgcore.images import load_image

    out = BytesIO()
    Image.fromarray(load_image(photo)).save(out, "PNG")
    return out.getvalue()
