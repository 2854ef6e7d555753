"""COCO instances: one annotation a region, exact masks and areas, and beside them all that was said of the region.

Keys of ours beside COCO's, all optional: `caption` (the free text as it was written), `labels`, `score`, `origin`,
`region`, `task`, `annotator`, `annotation` or `prediction` (the id of the result), `model_version`, `node`; and
`labelstudio`, what is needed to make the very task again. `score` is 1 for regions that have none, which are people's:
COCOeval reads any file as detections that way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ls_backend.exports import compact, json_list, provenance
from ls_backend.exports.categories import Naming, Survey
from ls_backend.exports.polygons import keyhole_rings, outlines
from ls_backend.exports.read_run import RecordItems
from ls_backend.exports.shapes import fill

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from ls_backend.exports import Records
    from ls_backend.exports.items import ImageItem, Items, Region, Result
    from ls_backend.exports.rle import Rle
    from ls_backend.record import RunStamp

MaskForm = Literal["rle", "polygon"]
SCORE_OF_PEOPLE = 1.0


def coco_pieces(records: Records, stamp: RunStamp) -> Iterator[str]:
    """The document of a run in pieces."""
    items = RecordItems(records)
    yield from Coco(items, Survey(items, Naming(items)), provenance(stamp)).pieces()


class Coco:
    """One COCO document. info: its head. lost: where losses are counted.

    masks: "rle", or "polygon": rings along the edges of pixels, where holes are reached by bridges of no width.
    tolerance: pixels by which polygons may leave the mask's edge to need fewer points.
    """

    def __init__(
        self,
        items: Items,
        survey: Survey,
        info: dict[str, Any],
        lost: Counter[str] | None = None,
        masks: MaskForm = "rle",
        tolerance: float = 0.0,
    ) -> None:
        self._items = items
        self._survey = survey
        self._info = info
        self._lost = lost
        self._masks = masks
        self._tolerance = tolerance

    def pieces(self) -> Iterator[str]:
        """The document in pieces; walks the items twice."""
        yield f'{{"info":{compact(self._info)},\n"licenses":[],\n"categories":'
        yield from json_list(map(compact, self._survey.categories()))
        yield ',\n"images":'
        yield from json_list(compact(self._image(item)) for item in self._items)
        yield ',\n"annotations":'
        yield from json_list(
            compact(self._annotation(item, index))
            for item in self._items
            for index, region in enumerate(item.regions)
            if region.rle.area
        )
        yield "}\n"

    def _image(self, item: ImageItem) -> dict[str, Any]:
        if not item.sized:
            self._count("images without a height and width (null), which nobody knows")
        image: dict[str, Any] = {
            "id": item.number,
            "file_name": item.file_name,
            "height": item.height or None,
            "width": item.width or None,
        }
        if item.data is None:
            return image
        image["task"] = item.task
        image["labelstudio"] = {
            "position": item.position,
            "data": item.data,
            "head": item.head,
            "results": [_result(result) for result in item.results],
            "empty_regions": [
                {**own_keys(item, region), "labelstudio": _block(region, self._survey.naming(region))}
                for region in item.regions
                if not region.rle.area
            ],
        }
        return image

    def _annotation(self, item: ImageItem, index: int) -> dict[str, Any]:
        region = item.regions[index]
        annotation = {
            "id": self._survey.annotation_id(item, index),
            "image_id": item.number,
            "category_id": self._survey.number(region),
            "segmentation": region.rle.document() if self._masks == "rle" else self._polygons(region.rle),
            "area": region.rle.area,
            "bbox": list(region.rle.bbox),
            "iscrowd": 0,
            **own_keys(item, region),
        }
        if region.entries:
            annotation["labelstudio"] = _block(region, self._survey.naming(region))
        return annotation

    def _polygons(self, rle: Rle) -> list[list[float]]:
        """The mask as rings; what filling them does not give back is counted."""
        mask = rle.mask()
        rings = [keyhole_rings(part) for part in outlines(mask, self._tolerance)]
        rings = [ring for ring in rings if len(ring) > 2]
        if self._lost is not None and (changed := int((fill(rings, rle.height, rle.width) != mask).sum())):
            self._count("masks that their polygons change")
            self._count("pixels that polygons change", changed)
        return [[_plain(value) for value in ring.ravel()] for ring in rings]

    def _count(self, what: str, number: int = 1) -> None:
        if self._lost is not None:
            self._lost[what] += number


def _plain(value: float) -> float:
    return int(value) if float(value).is_integer() else round(float(value), 2)


def own_keys(item: ImageItem, region: Region) -> dict[str, Any]:
    """What COCO has no keys for; what nobody knows is left out."""
    result = item.results[region.result]
    known = {
        "caption": region.caption,
        "score": SCORE_OF_PEOPLE if region.score is None else region.score,
        "labels": list(region.labels) or None,
        "region": region.id,
        "origin": region.origin or None,
        "task": item.task,
        result.source: result.id,
        "annotator": result.annotator,
        "model_version": result.model_version or None,
        "node": region.node or None,
    }
    return {key: value for key, value in known.items() if value is not None}


def _block(region: Region, category: str) -> dict[str, Any]:
    """What the way back needs. category: the name given here, so that a later renaming is seen."""
    return {"result": region.result, "category": category, "entries": [list(entry) for entry in region.entries]}


def _result(result: Result) -> dict[str, Any]:
    return {**vars(result), "rest": [list(entry) for entry in result.rest]}
