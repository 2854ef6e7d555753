"""An evaluated image as rows of plain values, the same in the file of progress (JSON) and in the tables (Parquet)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from zgcore.evaluation.overlap import Overlap
from zgcore.evaluation.scored import LEXICAL, ST, TT, Reassignment, ScoredImage, rounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zgcore.evaluation.prediction import Prediction

KINDS: Final = (TT, ST, LEXICAL)
_BOUNDARY: Final = 4  # counts of `boundary_counts`
Row = dict[str, Any]


@dataclass(frozen=True)
class ImageRows:
    """One image. image: its row. segments: a row each. true_masks: a row each true class that was labelled."""

    image: Row
    segments: list[Row] = field(default_factory=list)
    true_masks: list[Row] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return bool(self.image["error"])


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class Labelled:
    """True class masks with the labels they got. classes: (m,) index of each. areas: (m,) pixels of the truth."""

    prediction: Prediction
    classes: Sequence[int]
    areas: Sequence[int]


def failed_rows(position: int, name: str, file: str, error: str) -> ImageRows:
    """An image that could not be evaluated, and why."""
    return ImageRows(_image_row(position, name, file) | {"error": error})


def scored_rows(
    position: int,
    file: str,
    image: ScoredImage,
    prediction: Prediction,
    labelled: Labelled | None,
    classes: Sequence[str],
) -> ImageRows:
    """An image with its scores. ValueError where a number is not finite."""
    overlap = image.overlap
    row = _image_row(position, image.name, file) | {
        "height": image.height,
        "width": image.width,
        "segments": len(image.texts),
        "true_masks": -1 if labelled is None else len(labelled.classes),
        "kinds": [kind for kind in KINDS if kind in image.reassigned],
        "classes": overlap.classes.tolist(),
        "counts": overlap.counts.ravel().tolist(),
        "background": overlap.background.tolist(),
        "members": overlap.members.ravel().tolist(),
        "boundary": [int(count) for count in image.boundary],
        "seconds": {name: float(value) for name, value in image.seconds.items()},
    }
    segments = [_segment_row(image, prediction, number, file, classes) for number in range(len(image.texts))]
    rows = ImageRows(row, segments, _true_mask_rows(image, labelled, file, classes))
    _check_finite([*segments, *rows.true_masks])
    return rows


def to_scored(rows: ImageRows) -> ScoredImage:
    """The image as metrics take it; what `scored_rows` was given."""
    row, segments = rows.image, rows.segments
    n, classes = len(segments), np.array(row["classes"], np.int32)
    atoms = len(row["background"])
    return ScoredImage(
        name=row["name"],
        height=row["height"],
        width=row["width"],
        overlap=Overlap(
            classes=classes,
            counts=np.array(row["counts"], np.int64).reshape(atoms, len(classes)),
            background=np.array(row["background"], np.int64),
            members=np.array(row["members"], np.bool_).reshape(atoms, n),
        ),
        texts=tuple(segment["text"] for segment in segments),
        scores=np.array([segment["score"] for segment in segments], np.float32),
        areas=np.array([segment["area"] for segment in segments], np.int64),
        reassigned={kind: _reassignment(kind, segments) for kind in row["kinds"]},
        boundary=tuple(row["boundary"]),
        seconds=dict(row["seconds"]),
        named=None if row["true_masks"] < 0 else _named(rows.true_masks),
    )


def check_classes(image: ScoredImage, classes: int) -> None:
    """ValueError where an image that was read back has classes, similarities or counts that there cannot be."""
    overlap, of_truth, reassigned = image.overlap, image.overlap.classes, list(image.reassigned.values())
    if image.named is not None:
        reassigned.append(image.named)
    if of_truth.size and not (of_truth[0] >= 0 and (np.diff(of_truth) > 0).all() and of_truth[-1] < classes):
        raise ValueError(f"{image.name}: its true classes are not ascending, of 0 to {classes - 1}")
    if any(((found.classes < -1) | (found.classes >= classes)).any() for found in reassigned):
        raise ValueError(f"{image.name}: a segment's class is none of the {classes}")
    if not all(np.isfinite(values).all() for values in (image.scores, *(found.similarity for found in reassigned))):
        raise ValueError(f"{image.name}: a segment's score or similarity is no number")
    if len(image.boundary) != _BOUNDARY or min(overlap.counts.min(initial=0), overlap.background.min(initial=0)) < 0:
        raise ValueError(f"{image.name}: its counts of pixels are none")


def _image_row(position: int, name: str, file: str) -> Row:
    return {
        "position": position,
        "name": name,
        "file": file,
        "error": "",
        "height": 0,
        "width": 0,
        "segments": 0,
        "true_masks": -1,
        "kinds": [],
        "classes": [],
        "counts": [],
        "background": [],
        "members": [],
        "boundary": [],
        "seconds": {},
    }


def _segment_row(image: ScoredImage, prediction: Prediction, number: int, file: str, classes: Sequence[str]) -> Row:
    mask = prediction.masks[number]
    counts = mask["counts"]
    row: Row = {
        "image": image.name,
        "file": file,
        "segment": number,
        "text": image.texts[number],
        "score": float(image.scores[number]),
        "area": int(image.areas[number]),
        "mask_height": int(mask["size"][0]),
        "mask_width": int(mask["size"][1]),
        "mask": counts.decode("ascii") if isinstance(counts, bytes) else counts,
        "lexical_relation": "",
    }
    for kind in KINDS:
        found = image.reassigned.get(kind)
        index = None if found is None else int(found.classes[number])
        row[f"{kind}_class"] = index
        row[f"{kind}_name"] = classes[index] if index is not None and index >= 0 else ""
        row[f"{kind}_similarity"] = None if found is None else float(found.similarity[number])
        if kind == LEXICAL and found is not None and found.relations is not None:
            row["lexical_relation"] = found.relations[number]
    return row


def _true_mask_rows(image: ScoredImage, labelled: Labelled | None, file: str, classes: Sequence[str]) -> list[Row]:
    if labelled is None or image.named is None:
        return []
    return [
        {
            "image": image.name,
            "file": file,
            "class": int(index),
            "name": classes[index],
            "text": labelled.prediction.texts[number],
            "score": float(labelled.prediction.scores[number]),
            "similarity": float(image.named.similarity[number]),
            "area": int(labelled.areas[number]),
        }
        for number, index in enumerate(labelled.classes)
    ]


def _reassignment(kind: str, segments: list[Row]) -> Reassignment:
    relations = tuple(segment["lexical_relation"] for segment in segments) if kind == LEXICAL else None
    return Reassignment(
        np.array([segment[f"{kind}_class"] for segment in segments], np.int32),
        rounded([segment[f"{kind}_similarity"] for segment in segments]),
        relations,
    )


def _named(rows: list[Row]) -> Reassignment:
    return Reassignment(
        np.array([row["class"] for row in rows], np.int32), rounded([row["similarity"] for row in rows])
    )


def _check_finite(rows: list[Row]) -> None:
    for row in rows:
        for name, value in row.items():
            if isinstance(value, float) and not np.isfinite(value):
                raise ValueError(f"{name} of {row['text']!r} is {value}: the model's numbers overflowed")
