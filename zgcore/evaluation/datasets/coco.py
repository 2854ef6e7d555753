"""COCO 2017 panoptic: 133 classes, 80 of things and 53 of stuff.

From cocodataset.org: images.cocodataset.org/zips/val2017.zip (1 GB; Flickr's photos, each under its own Creative
Commons licence) and images.cocodataset.org/annotations/panoptic_annotations_trainval2017.zip (821 MB, CC BY 4.0),
which holds panoptic_val2017.zip.

DIR is the folder of this layout:
    val2017/000000000139.jpg                             or images/val2017; 5,000 photos
    annotations/panoptic_val2017.json                    or beside val2017
    annotations/panoptic_val2017/000000000139.png        or beside val2017; RGB, segment id = R + 256 G + 256^2 B
Crowds count as their class, as anything of that class does. Id 0, no segment, is void.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from zgcore.class_lists import class_list
from zgcore.errors import EvaluationError
from zgcore.evaluation.datasets.coco_photos import PHOTOS, photos_of
from zgcore.evaluation.datasets.label_files import read_colour_ids
from zgcore.evaluation.datasets.labelled import LabelledImages, ids_of, names
from zgcore.evaluation.datasets.layout import Published, check_name, find, names_in, samples_of
from zgcore.evaluation.ground_truth import VOID

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from zgcore.evaluation.ground_truth import Sample

PUBLISHED: Final = Published(
    (5000,),
    f"{PHOTOS}, http://images.cocodataset.org/annotations/panoptic_annotations_trainval2017.zip (821 MB) too, and in "
    "annotations/ the panoptic_val2017.zip that it holds",
)
_JSON_LIMIT: Final = 1 << 30  # bytes; the training split's is 0.4 GB
_INDEX: Final = {listed.id: index for index, listed in enumerate(class_list("coco_panoptic"))}
_AGAIN: Final = "unpack panoptic_annotations_trainval2017.zip again"


@dataclass(frozen=True, eq=False)
class PanopticFiles:
    """Truth in RGB files of segment ids. segments: by image, ids (n,) int64 ascending, and class indices (n,) int32."""

    folder: Path
    segments: dict[str, tuple[NDArray[np.int64], NDArray[np.int32]]]

    def file(self, sample: Sample) -> Path:
        return self.folder / f"{sample.name}.png"

    def meaning(self, sample: Sample) -> bytes:
        known, classes = self.segments[sample.name]
        return known.tobytes() + classes.tobytes()

    def __call__(self, sample: Sample) -> NDArray[np.int32]:
        path = self.file(sample)
        pixels = read_colour_ids(path)
        known, classes = self.segments[sample.name]
        place = np.searchsorted(known[:-1], pixels)  # (H, W); at most the last
        unknown = known[place] != pixels
        if unknown.any():
            raise EvaluationError(
                f"{path}: segment {int(pixels[unknown][0])} is not in panoptic_val2017.json; {_AGAIN}, both parts of it"
            )
        return classes[place]


def open_coco(root: Path) -> LabelledImages:
    """The validation split."""
    photos = photos_of(root, PUBLISHED.cure)
    listing = find(root, ("annotations/panoptic_val2017.json", "panoptic_val2017.json"), PUBLISHED.cure)
    folder = find(root, ("annotations/panoptic_val2017", "panoptic_val2017"), PUBLISHED.cure)
    segments = _segments(listing)
    truths = names_in(folder, ".png", PUBLISHED.cure)
    samples, notes = samples_of(sorted(segments), photos, truths, PUBLISHED, root)
    reader = PanopticFiles(folder, segments)
    classes = class_list("coco_panoptic")
    return LabelledImages("coco", *names(classes), samples, reader, notes, ids_of(classes))


def _segments(path: Path) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int32]]]:
    """Image name -> ids of its segments, ascending, with 0 for no segment, and what class each is of."""
    try:
        if path.stat().st_size > _JSON_LIMIT:
            raise EvaluationError(f"{path}: is larger than a panoptic_val2017.json can be; {_AGAIN}")
        document = json.loads(path.read_bytes())
        _check_categories(document["categories"], path)
        images = {image["id"]: image["file_name"] for image in document["images"]}
        return {
            check_name(images[found["image_id"]].rpartition(".")[0], str(path)): _table(found["segments_info"])
            for found in document["annotations"]
        }
    except EvaluationError:
        raise
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError) as error:
        raise EvaluationError(f"{path}: is not COCO's panoptic JSON ({error!r:.80}); {_AGAIN}") from error


def _table(segments: list[dict[str, Any]]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    pairs = sorted([(0, VOID), *((segment["id"], _INDEX[segment["category_id"]]) for segment in segments)])
    return np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.int32)


def _check_categories(categories: list[dict[str, Any]], path: Path) -> None:
    theirs = {category["id"]: category["name"] for category in categories}
    for listed in class_list("coco_panoptic"):
        if theirs.get(listed.id) != listed.official:
            raise EvaluationError(
                f"{path}: category {listed.id} is {theirs.get(listed.id)!r}, not {listed.official!r}; {_AGAIN}: other "
                "label sets open as folder:DIR"
            )
