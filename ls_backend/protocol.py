"""Label Studio's side of a result: which images a task holds, and regions as its editor wants them.

Two steps, so that the costly one does not depend on the project. `image_regions` turns a segmentation into masks and
texts that may be shown (and kept: they are JSON); `prediction` names them for a task of a labelling config. The text
and its mask share one id, and ids come from the segment's place in the tree, so that the same image always gets the
same ones.
"""

from __future__ import annotations

import base64
import binascii
import logging
import math
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from ls_backend import brush
from ls_backend.labelling_config import catch_all, label_kind
from ls_backend.masks import tidy, worth_showing
from ls_backend.people import PeoplePolicy
from zgcore.errors import ZeroguideError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ls_backend.labelling_config import LabellingConfig, MaskTarget
    from zgcore import Segmentation
    from zgcore.vocabulary import Vocabulary

log = logging.getLogger(__name__)

SCORE_DIGITS: Final = 6
RAW_NOTE: Final = "before the vocabulary: {}"
REVIEW_NOTE: Final = "this text may describe people: please check it"
_VARIABLE: Final = re.compile(r"\$[\w\[\].{}]+", re.ASCII)
_INDEX: Final = re.compile(r"\d{1,9}", re.ASCII)
_STEP: Final = re.compile(r"[^.\[\]]+")


class TaskError(ZeroguideError):
    """A task has no image where its labelling config looks for one."""


class Labelled(Protocol):
    """Segments that have texts and scores: a `Segmentation`, or `ImageRegions`."""

    @property
    def labels(self) -> Sequence[str]: ...


class Match(Protocol):
    """Chooses for each segment one of a closed list of labels, or None where none is near enough."""

    def __call__(self, choices: Sequence[str], segments: Labelled, /) -> Sequence[str | None]: ...


def same_word(choices: Sequence[str], segments: Labelled, /) -> list[str | None]:
    """The match that needs no model: the choice that is spelt like the text, whatever its case."""
    known = {choice.strip().casefold(): choice for choice in choices}
    return [known.get(text.strip().casefold()) for text in segments.labels]


@dataclass(frozen=True)
class PredictionOptions:
    """What becomes of a segmentation on its way to the editor.

    max_regions: the largest so many (0: all); about 20 is what a browser takes well. min_area: share of the image.
    smooth: outlines. fill_holes: up to this share of the image. people: what becomes of texts that describe people.
    vocabulary: gives texts their canonical names; a segment whose text it drops is left out. match: for labels that are
    a closed list.
    """

    max_regions: int = 20
    min_area: float = 0.0
    smooth: bool = False
    fill_holes: float = 0.0
    people: PeoplePolicy = field(default_factory=PeoplePolicy)
    vocabulary: Vocabulary | None = None
    match: Match = same_word


@dataclass(frozen=True)
class TaskImage:
    """One image of a task. reference: URL or path as the task has it. item: its number in a `valueList`, else None."""

    reference: str
    target: MaskTarget
    item: int | None = None


@dataclass(frozen=True)
class Region:
    """One mask and its text. node: its number in the tree, in digits. area: pixels. rle: of `brush.encode`.

    raw: what the model said, where a vocabulary made another text of it, else empty. flagged: somebody should look at
    the text.
    """

    node: str
    text: str
    raw: str
    flagged: bool
    score: float
    area: int
    rle: bytes


@dataclass(frozen=True)
class ImageRegions:
    """What may be shown of one image, largest first. height, width: pixels after EXIF."""

    height: int
    width: int
    regions: tuple[Region, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(region.text for region in self.regions)

    def to_document(self) -> dict[str, Any]:
        """As JSON, to be kept."""
        regions = [{**vars(region), "rle": base64.b64encode(region.rle).decode("ascii")} for region in self.regions]
        return {"height": self.height, "width": self.width, "regions": regions}

    @classmethod
    def from_document(cls, document: Any) -> ImageRegions:
        """What `to_document` gave. ValueError for anything else."""
        try:
            regions = tuple(
                Region(**{**region, "rle": base64.b64decode(region["rle"], validate=True)})
                for region in document["regions"]
            )
            return cls(int(document["height"]), int(document["width"]), regions)
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise ValueError("not a document of image regions") from error


def task_images(task: Mapping[str, Any], config: LabellingConfig) -> list[TaskImage]:
    """The images of a task that can carry masks, in the config's order; one that this task lacks is left out.

    Raises TaskError where it has none of them.
    """
    data = task.get("data")
    images = [
        TaskImage(reference, target, item)
        for target in config.targets
        for item, reference in _references(target, data if isinstance(data, dict) else {})
    ]
    if not images:
        wanted = ", ".join(f'"{target.image.value}"' for target in config.targets) or "no image"
        raise TaskError(
            f"task {task.get('id', 'without id')}: its data has no image; the labelling config asks for {wanted}"
        )
    return images


def image_regions(segmentation: Segmentation, options: PredictionOptions) -> ImageRegions:
    """The masks and texts of a segmentation that may be shown. ValueError where a score is not finite."""
    index_map = tidy(segmentation.index_map, smooth=options.smooth, largest_hole=options.fill_holes)
    result = replace(segmentation, index_map=index_map)
    areas = result.areas()
    regions = []
    for number in worth_showing(areas, max_regions=options.max_regions, min_area=options.min_area):
        score = float(result.scores[number])
        if not math.isfinite(score):
            raise ValueError(f"segment {number} has the score {score}: the model's numbers overflowed")
        label = options.people.apply(result.labels[number])
        text = _canonical(label.text, result.embeddings[number], options)
        if text is None:
            continue
        regions.append(
            Region(
                node=str(result.nodes[number]),
                text=text,
                raw="" if text == label.text else label.text,
                flagged=label.flagged,
                score=round(score, SCORE_DIGITS),
                area=int(areas[number]),
                rle=bytes(brush.encode(result.mask(number))),
            )
        )
    return ImageRegions(result.height, result.width, tuple(regions))


def _canonical(text: str, embedding: NDArray[np.float32], options: PredictionOptions) -> str | None:
    """A text as the vocabulary has it; None where it is dropped there. Its names describe people no more than texts."""
    name = text if options.vocabulary is None else options.vocabulary.canonical(text, embedding)
    return text if name == text else name and options.people.apply(name).text


def prediction(
    task: Mapping[str, Any],
    segmentations: Sequence[Segmentation | ImageRegions | None],
    config: LabellingConfig,
    model_version: str,
    options: PredictionOptions,
) -> dict[str, Any]:
    """One prediction as Label Studio stores it.

    segmentations: one for each of `task_images(task, config)`, in that order; None where an image failed. The score
    is the mean over the shown pixels of the segments' scores.

    Raises TaskError where the task has no image, ValueError where the numbers of images and segmentations differ.
    """
    shown: list[Region] = []
    result: list[dict[str, Any]] = []
    for number, (image, found) in enumerate(zip(task_images(task, config), segmentations, strict=True)):
        if found is None:
            continue
        regions = found if isinstance(found, ImageRegions) else image_regions(found, options)
        for region, label in _labelled(task, image.target, regions, options):
            shown.append(region)
            result.extend(_entries(f"image{number}-segment{region.node}", image, regions, region, label))
    score = mean_score((region.score, region.area) for region in shown)
    return {"model_version": model_version, "score": score, "result": result}


def mean_score(segments: Iterable[tuple[float, int]]) -> float:
    """The mean over pixels of (score, area) pairs, to six digits; 0 where there are no pixels."""
    pairs = list(segments)
    pixels = sum(area for _, area in pairs)
    return round(sum(score * area for score, area in pairs) / pixels, SCORE_DIGITS) if pixels else 0.0


def region_entries(
    region_id: str,
    *,
    image: str,
    brush_name: str,
    text_name: str | None,
    height: int,
    width: int,
    score: float,
    rle: Sequence[int],
    label: str,
    text: str,
    extra: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """The entries of one region in a `result`: its mask and, with the same id, its text where there is a field for it.

    height, width: of the image, in pixels after EXIF. label: of the BrushLabels. extra: further keys of both entries.
    """
    common = {
        "id": region_id,
        "to_name": image,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": score,
        **(extra or {}),
    }
    mask = {"format": "rle", "rle": list(rle), "brushlabels": [label]}
    entries = [{**common, "from_name": brush_name, "type": "brushlabels", "value": mask}]
    if text_name is not None:
        entries.append({**common, "from_name": text_name, "type": "textarea", "value": {"text": [text]}})
    return entries


def _entries(region_id: str, image: TaskImage, found: ImageRegions, region: Region, label: str) -> list[dict[str, Any]]:
    target = image.target
    entries = region_entries(
        region_id,
        image=target.image.name,
        brush_name=target.brush.name,
        text_name=None if target.text is None else target.text.name,
        height=found.height,
        width=found.width,
        score=region.score,
        rle=region.rle,
        label=label,
        text=region.text,
        extra=None if image.item is None else {"item_index": image.item},
    )
    notes = [region.text] if target.text is None and region.text else []
    notes += [RAW_NOTE.format(region.raw)] if region.raw else []
    notes += [REVIEW_NOTE] if region.flagged else []
    if notes:
        entries[0]["meta"] = {"text": notes}
    return entries


def _labelled(
    task: Mapping[str, Any], target: MaskTarget, found: ImageRegions, options: PredictionOptions
) -> list[tuple[Region, str]]:
    """Each region that gets a label, with it. A palette starts again when its colours are used up."""
    labels = _labels(target, task["data"])
    if not labels:
        log.warning("task %s: no labels for image %r in its data: no masks", task.get("id"), target.image.name)
        return []
    if label_kind(labels) == "palette":
        return [(region, labels[number % len(labels)]) for number, region in enumerate(found.regions)]
    choices = [label for label in labels if not options.people.would_replace(label)]
    matched = options.match(choices, found) if choices and found.regions else [None] * len(found.regions)
    other = catch_all(labels)
    pairs = [
        (region, label if label in choices else other) for region, label in zip(found.regions, matched, strict=True)
    ]
    chosen = [(region, label) for region, label in pairs if label is not None]
    if len(chosen) < len(pairs):
        log.info(
            'task %s: %d of %d regions of image %r match no label and are left out; a label "other" would keep them',
            task.get("id"),
            len(pairs) - len(chosen),
            len(pairs),
            target.image.name,
        )
    return chosen


def _labels(target: MaskTarget, data: Mapping[str, Any]) -> list[str]:
    """The labels that results may carry for this task: those of the config or, where it has none, of the task's data.

    Where the config has some, Label Studio 1.23 drops imported predictions with labels of the data and reports success.
    The editor makes labels of objects with a `value`; plain strings in the data give labels without a name.
    """
    if target.brush.labels:
        return list(target.brush.labels)
    found = task_value(target.brush.dynamic, data)
    items = found if isinstance(found, list) else []
    names = [item.get("alias") or item.get("value") for item in items if isinstance(item, dict)]
    return list(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def _references(target: MaskTarget, data: Mapping[str, Any]) -> list[tuple[int | None, str]]:
    """Item number and reference of each image that a tag shows of a task."""
    value = task_value(target.image.value, data)
    if not target.image.several:
        return [(None, value)] if isinstance(value, str) and value else []
    values = value if isinstance(value, list) else [value]
    return [(item, reference) for item, reference in enumerate(values) if isinstance(reference, str) and reference]


def task_value(expression: str, data: Mapping[str, Any]) -> Any:
    """What an attribute such as "$image", "$photos[0].url" or "https://host/$file" means for a task's data.

    As the editor reads it: an attribute that is one variable gives whatever the data holds there, of any type; inside
    other text a variable gives its text. None where the data lacks one.
    """
    if _VARIABLE.fullmatch(expression):
        return _at(data, expression[1:])
    found = {name: _at(data, name[1:]) for name in _VARIABLE.findall(expression)}
    if any(not isinstance(value, (str, int, float)) for value in found.values()):
        return None
    return _VARIABLE.sub(lambda match: str(found[match[0]]), expression)


def _at(data: Mapping[str, Any], path: str) -> Any:
    """The value at "name", "a.b" or "a[0].b"; a key that is spelt like the whole path goes first. None if absent."""
    if path in data:
        return data[path]
    value: Any = data
    for step in _STEP.findall(path):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and _INDEX.fullmatch(step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value
