"""Label Studio's tasks as items: each shape a region, with everything else that is said under its id."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from ls_backend.exports.choose import annotator_id
from ls_backend.exports.items import ImageItem, Region, Result
from ls_backend.exports.names import image_name
from ls_backend.exports.shapes import SHAPES, region_mask
from ls_backend.exports.voting import majority

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ls_backend.exports.choose import Choice
    from ls_backend.exports.items import Entries, Source
    from ls_backend.exports.losses import Losses

Image = tuple[str, int | None]
"""Which of a task's images: the tag that shows it, and its number where that shows several."""

_NOT_HEAD: Final = frozenset(
    ("id", "data", "annotations", "completions", "predictions", "drafts", "annotations_results", "predictions_results")
)


def task_items(task: Any, position: int, choice: Choice, losses: Losses) -> list[ImageItem]:
    """The images of one task, with the regions that `choice` takes; an image without regions is one, too.

    A region that cannot be read is counted in `losses` and left out, and never takes its task with it. Raises
    ValueError where the task itself is none. An item's number is its task's id, 0 where that is none.
    """
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        raise ValueError("a task is an object with data; export the project as JSON, not JSON-MIN")
    if task.get("drafts"):
        losses.leave("tasks with drafts, which no export holds")
    name = f"task {task.get('id', position)}"
    found: list[Result] = []
    regions: dict[Image, list[Region]] = {}
    for source, raw in choice.of_task(task, losses):
        entries = _entries(raw, losses, name)
        used: set[int] = set()
        for image, region in _regions(entries, len(found), used, losses, name):
            regions.setdefault(image, []).append(region)
        rest = tuple((place, entry) for place, entry in entries if place not in used)
        found.append(_result(source, raw, rest))
    images = sorted(regions, key=lambda image: (image[0], image[1] or 0)) or [("image", None)]
    items = []
    for image in images:
        item = _item(task, position, image, tuple(regions.get(image, ())), tuple(found), losses)
        items.append(majority(item, losses) if choice.merge == "majority" else item)
    return items


def _item(
    task: dict[str, Any],
    position: int,
    image: Image,
    regions: tuple[Region, ...],
    found: tuple[Result, ...],
    losses: Losses,
) -> ImageItem:
    identity = task.get("id")
    height, width = (regions[0].rle.height, regions[0].rle.width) if regions else (0, 0)
    fitting = []
    for region in regions:
        if (region.rle.height, region.rle.width) == (height, width):
            fitting.append(region)
        else:
            losses.skip("regions of another size than their image", f"task {identity}, region {region.id}")
    return ImageItem(
        number=identity if isinstance(identity, int) else 0,
        file_name=image_name(task["data"], *image),
        height=height,
        width=width,
        position=position,
        task=identity if isinstance(identity, (int, str)) else None,
        data=task["data"],
        head={key: value for key, value in task.items() if key not in _NOT_HEAD},
        results=found,
        regions=tuple(sorted(fitting, key=lambda region: not region.rle.area)),  # those without pixels last
    )


def _result(source: Source, raw: dict[str, Any], rest: Entries) -> Result:
    head = {key: value for key, value in raw.items() if key not in ("result", "id", "score", "model_version")}
    parent = head.get("prediction")
    if isinstance(parent, dict):  # a whole copy of what the annotation was made from
        head["prediction"] = {key: parent[key] for key in ("id", "model_version") if key in parent}
    if isinstance(head.get("completed_by"), dict):
        head["completed_by"] = annotator_id(head["completed_by"])
    version = raw.get("model_version")
    return Result(
        source=source,
        id=raw["id"] if isinstance(raw.get("id"), int) else None,
        annotator=annotator_id(raw.get("completed_by")),
        updated=str(raw.get("updated_at") or raw.get("created_at") or ""),
        model_version=version if isinstance(version, str) else "",
        score=_score(raw),
        head=head,
        rest=rest,
    )


def _entries(raw: dict[str, Any], losses: Losses, name: str) -> list[tuple[int, dict[str, Any]]]:
    entries = raw.get("result")
    if not isinstance(entries, list):
        losses.skip("annotations or predictions without a result", name)
        return []
    whole = [(place, entry) for place, entry in enumerate(entries) if isinstance(entry, dict)]
    for _ in range(len(entries) - len(whole)):
        losses.skip("entries that are no objects", name)
    return whole


def _regions(
    entries: list[tuple[int, dict[str, Any]]], result: int, used: set[int], losses: Losses, name: str
) -> Iterator[tuple[Image, Region]]:
    """Each region that can be read, and the image it is on. Puts the places of all regions' entries into `used`."""
    by_id: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for place, entry in entries:
        if is_entry(entry):
            by_id.setdefault(entry["id"], []).append((place, entry))
    for identity, group in by_id.items():
        for own in _by_shape(group):
            used.update(place for place, _ in own)
            try:
                image, region = _region(identity, own, result)
            except (ValueError, OverflowError, MemoryError) as error:
                losses.skip("regions that cannot be read", f"{name}, region {identity}: {error}")
                continue
            yield image, region


def is_entry(entry: dict[str, Any]) -> bool:
    """True for one that may be of a region: a relation between two is none."""
    return all(isinstance(entry.get(key), kind) for key, kind in (("id", str), ("type", str), ("value", dict)))


def _by_shape(group: list[tuple[int, dict[str, Any]]]) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """The entries of one id as regions: the shape first, then what is said of it. An id without a shape gives none;
    one with several different shapes gives each its own, and the first what is said."""
    shapes = [own for own in group if own[1].get("type") in SHAPES]
    shapes = shapes or [own for own in group if "rle" in own[1]["value"]][:1]
    if not shapes:
        return
    first = shapes[0]
    others = [own for own in shapes[1:] if own[1].get("type") == first[1].get("type")]
    yield [first, *(own for own in group if own is not first and own not in others)]
    yield from ([other] for other in others)


def _region(identity: str, own: list[tuple[int, dict[str, Any]]], result: int) -> tuple[Image, Region]:
    shape = own[0][1]
    height, width = (_pixels(shape, key) for key in ("original_height", "original_width"))
    kind = str(shape.get("type"))
    mask = region_mask(kind, shape["value"], height, width)
    labels: list[str] = []
    texts: list[str] = []
    control = str(shape.get("from_name", ""))
    for _, entry in own:
        named = entry["value"].get(str(entry.get("type")))
        if str(entry.get("type")).endswith("labels") and isinstance(named, list) and not labels:
            labels = [label for label in named if isinstance(label, str)]
            control = str(entry.get("from_name", "")) if labels else control
        if entry.get("type") == "textarea":
            texts += _texts(entry["value"].get("text"))
    scores = [score for _, entry in own if (score := _score(entry)) is not None]
    item = shape.get("item_index")
    region = Region(
        id=identity,
        result=result,
        rle=mask,
        control=control,
        labels=tuple(labels),
        texts=tuple(texts),
        score=scores[0] if scores else None,
        origin=str(shape.get("origin") or ""),
        entries=tuple((place, _without_runs(entry, shape)) for place, entry in own),
    )
    return (str(shape.get("to_name", "image")), item if isinstance(item, int) else None), region


def _without_runs(entry: dict[str, Any], shape: dict[str, Any]) -> dict[str, Any]:
    """The entry less the runs of its region, which the editor repeats in every entry of the region."""
    value = entry["value"]
    if "rle" not in value or value["rle"] != shape["value"].get("rle"):
        return entry
    return {**entry, "value": {key: kept for key, kept in value.items() if key != "rle"} | {"format": "rle"}}


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]


def _pixels(entry: dict[str, Any], key: str) -> int:
    found = entry.get(key)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ValueError(f"its {key} is no number of pixels")
    return found


def _score(entry: dict[str, Any]) -> float | None:
    found = entry.get("score")
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
        return None
    return found
