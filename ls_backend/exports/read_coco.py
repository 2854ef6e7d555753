"""COCO instances as items: files of ours with everything they carry, and files of any other tool."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import ijson
import numpy as np

from ls_backend.exports import compact, rle
from ls_backend.exports.items import ImageItem, Region, Result
from ls_backend.exports.names import relative_path
from ls_backend.exports.read_labelstudio import is_entry
from ls_backend.exports.shapes import polygon_mask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ls_backend.exports.items import Entries
    from ls_backend.exports.losses import Losses
    from ls_backend.exports.nesting import ShallowFile

LARGEST_SIDE: Final = 1_000_000


def coco_items(file: ShallowFile, losses: Losses) -> Iterator[ImageItem]:
    """The images of a COCO file in its order, each with its annotations in theirs. Reads the file three times.

    What cannot be read is counted in `losses` and left out. Raises ijson.JSONError where the file is no JSON.
    """
    categories = {
        category["id"]: category["name"]
        for category in _section(file, "categories")
        if isinstance(category, dict) and isinstance(category.get("id"), int) and isinstance(category.get("name"), str)
    }
    with closing(sqlite3.connect("")) as store:  # a file of its own, that goes when it is closed
        store.execute("CREATE TABLE annotation (image INTEGER, document TEXT)")
        for annotation in _section(file, "annotations"):
            image = annotation.get("image_id") if isinstance(annotation, dict) else None
            if not _is_id(image):
                losses.skip("annotations without an image")
                continue
            store.execute("INSERT INTO annotation VALUES (?, ?)", (image, compact(annotation)))
        store.execute("CREATE INDEX of_image ON annotation (image)")
        for position, image in enumerate(_section(file, "images")):
            try:
                yield _item(image, position, _annotations(store, image), categories, losses)
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
                losses.skip("images that cannot be read", f"image {position}: {error}")
            if isinstance(image, dict) and _is_id(image.get("id")):
                store.execute("DELETE FROM annotation WHERE image = ?", (image["id"],))
        for number, image in store.execute("SELECT count(*), image FROM annotation GROUP BY image"):
            losses.skip("images that annotations name and the file lacks", f"image {image}: {number} annotations")


def _section(file: ShallowFile, name: str) -> Iterator[Any]:
    file.seek(0)
    return ijson.items(file, f"{name}.item", use_float=True)


def _is_id(value: object) -> bool:
    return type(value) is int and abs(value) < 1 << 63


def _annotations(store: sqlite3.Connection, image: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(image, dict) or not _is_id(image.get("id")):
        raise ValueError("an image without an id")
    rows = store.execute("SELECT document FROM annotation WHERE image = ? ORDER BY rowid", (image["id"],))
    return (json.loads(document) for (document,) in rows)


def _item(
    image: dict[str, Any],
    position: int,
    annotations: Iterator[dict[str, Any]],
    categories: dict[int, str],
    losses: Losses,
) -> ImageItem:
    height, width = (_side(image.get(key)) for key in ("height", "width"))
    block = image.get("labelstudio")
    ours: dict[str, Any] = block if isinstance(block, dict) else {}
    results = tuple(_result(result) for result in ours["results"]) if ours else (Result("annotation"),)
    empty = ({**region, "empty": True} for region in ours.get("empty_regions", ()))
    regions = []
    for annotation in chain(annotations, empty):
        try:
            regions.append(_region(annotation, height, width, categories, len(results)))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, MemoryError) as error:
            losses.skip("regions that cannot be read", f"annotation {annotation.get('id')}: {error}")
    return ImageItem(
        number=image["id"],
        file_name=relative_path(str(image.get("file_name", ""))),
        height=height,
        width=width,
        position=int(ours["position"]) if ours else position,
        task=image.get("task") if isinstance(image.get("task"), (int, str)) else None,
        data=dict(ours["data"]) if ours else None,
        head=dict(ours["head"]) if ours else {},
        results=results if ours or regions else (),
        regions=tuple(regions),
    )


def _side(value: object) -> int:
    if value is None:
        return 0
    if type(value) is not int or not 0 < value <= LARGEST_SIDE:
        raise ValueError("its height and width are no numbers of pixels")
    return value


def _result(document: dict[str, Any]) -> Result:
    found = Result(**{**document, "head": dict(document["head"]), "rest": _entries(document["rest"])})
    kinds = (
        (found.source, ("annotation", "prediction").__contains__),
        (found.id, lambda value: value is None or _is_id(value)),
        (found.annotator, lambda value: value is None or isinstance(value, (int, str))),
        (found.updated, lambda value: isinstance(value, str)),
        (found.model_version, lambda value: isinstance(value, str)),
        (found.score, lambda value: value is None or isinstance(value, (int, float))),
    )
    if not all(fits(value) for value, fits in kinds):
        raise ValueError("a result that is neither an annotation nor a prediction")
    return found


def _entries(pairs: list[Any]) -> Entries:
    if not all(isinstance(place, int) and isinstance(entry, dict) for place, entry in pairs):
        raise ValueError("an entry is a place and an object")
    return tuple((place, entry) for place, entry in pairs)


def _region(annotation: dict[str, Any], height: int, width: int, categories: dict[int, str], results: int) -> Region:
    mask = _mask(annotation, height, width)
    category = categories.get(annotation.get("category_id", -1), "")
    caption = annotation.get("caption")
    caption = caption if isinstance(caption, str) else ""
    labels = annotation.get("labels")
    block = annotation.get("labelstudio")
    if not isinstance(block, dict):
        if not results:
            raise ValueError("a region of no result")
        node, score = annotation.get("node"), annotation.get("score")
        return Region(
            id=str(annotation.get("region", annotation.get("id"))),
            result=0,
            rle=mask,
            labels=_strings(labels) if isinstance(labels, list) else (() if caption else (category,)),
            texts=(caption,) if caption else (),
            score=float(score) if isinstance(score, (int, float)) else None,
            origin=str(annotation.get("origin", "")),
            node=node if isinstance(node, str) else "",
            boxed=not annotation.get("segmentation"),
        )
    return _known_region(annotation, block, mask, category, results)


def _known_region(
    annotation: dict[str, Any], block: dict[str, Any], mask: rle.Rle, category: str, results: int
) -> Region:
    """A region that came from Label Studio. A caption or a category that was changed since then is taken."""
    entries = _entries(block["entries"])
    if not entries or not all(is_entry(entry) for _, entry in entries):
        raise ValueError("a region without its entries")
    if not _is_id(block["result"]) or not 0 <= block["result"] < results:
        raise ValueError("a region of no result")
    labels = _strings(annotation.get("labels", []))
    texts = tuple(
        text
        for _, entry in entries
        if entry.get("type") == "textarea"
        for text in _listed(entry["value"].get("text"))
        if isinstance(text, str)
    )
    caption = str(annotation.get("caption", ""))
    texts = texts if caption == "\n".join(texts) else (caption,)
    if category and block["category"] != category:
        if labels[:1] == (block["category"],):
            labels = (category, *labels[1:])
        else:
            texts = (category,)
    scores = [entry["score"] for _, entry in entries if isinstance(entry.get("score"), (int, float))]
    return Region(
        id=str(annotation["region"]),
        result=block["result"],
        rle=mask,
        control=_control(entries),
        labels=labels,
        texts=texts,
        score=scores[0] if scores else None,
        origin=str(annotation.get("origin", "")),
        entries=entries,
    )


def _control(entries: Entries) -> str:
    """The tag whose labels the region has, else the tag of its shape."""
    labelled = (entry for _, entry in entries if str(entry.get("type")).endswith("labels"))
    return str(next(labelled, entries[0][1]).get("from_name", ""))


def _strings(values: list[Any]) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str))


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _mask(annotation: dict[str, Any], height: int, width: int) -> rle.Rle:
    """RLE, polygons or, where there are neither, the box. ValueError for anything else."""
    if annotation.get("empty"):
        return rle.encode(np.zeros((height, width), dtype=bool))
    shape = annotation.get("segmentation")
    if isinstance(shape, dict):
        rows, columns = shape["size"]
        if (rows, columns) != (height, width):
            raise ValueError("its mask is of another size than its image")
        return rle.read(shape["counts"], height, width)
    if isinstance(shape, list) and shape:
        return polygon_mask([np.array(part, dtype=np.float64).reshape(-1, 2) for part in shape], height, width)
    x, y, across, down = annotation["bbox"]
    corners = [[x, y], [x + across, y], [x + across, y + down], [x, y + down]]
    return polygon_mask([np.array(corners, dtype=np.float64)], height, width)
