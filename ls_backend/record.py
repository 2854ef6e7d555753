"""One image's result as it lies on disk: compact JSON with COCO run-length masks.

Everything the exports and the pictures need is in the record, so they can be made again without the model.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as coco_mask

from zgcore import Segmentation, SegmentTree

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = 1
SCORE_DIGITS = 6


class RecordError(ValueError):
    """The bytes are not a whole record of this schema."""


@dataclass(frozen=True)
class SourceFile:
    """What a photo was when it was read: absolute path, bytes, modification time (ns) and SHA-256 (hex)."""

    path: str
    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class RunStamp:
    """What made a result. `settings` is the digest of every setting that can change one."""

    preset: str
    settings: str
    model_version: str
    random_weights: bool


@dataclass(frozen=True)
class SegmentRecord:
    """One segment. node: its number in the tree, in digits, since it may exceed what JSON readers hold exactly.

    area: pixels. bbox: x, y, width, height in pixels. counts: COCO's compressed run lengths of the (H, W) mask.
    """

    node: str
    label: str
    score: float
    area: int
    bbox: tuple[int, int, int, int]
    counts: str


@dataclass(frozen=True)
class ImageRecord:
    """One image's result, or why there is none (`error`). height, width: pixels after EXIF, 0 where unknown."""

    name: str
    source: SourceFile
    stamp: RunStamp
    height: int = 0
    width: int = 0
    segments: tuple[SegmentRecord, ...] = ()
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    error: str | None = None

    def rle(self, index: int) -> dict[str, Any]:
        """A segment's mask as pycocotools takes it."""
        return {"size": [self.height, self.width], "counts": self.segments[index].counts}

    def mask(self, index: int) -> NDArray[np.bool_]:
        """(H, W) bool."""
        return coco_mask.decode(self.rle(index)).astype(bool)

    def to_json(self) -> bytes:
        """Compact UTF-8 JSON. ValueError where a number is not finite."""
        body = {"schema": SCHEMA, **dataclasses.asdict(self)}
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> ImageRecord:
        """The record of `to_json`. RecordError for bytes cut short, another schema, segments that leave gaps."""
        try:
            body = json.loads(data)
            if body.pop("schema") != SCHEMA:
                raise RecordError("the record has another schema")
            body["source"] = SourceFile(**body["source"])
            body["stamp"] = RunStamp(**body["stamp"])
            body["segments"] = tuple(
                SegmentRecord(**{**segment, "bbox": tuple(segment["bbox"])}) for segment in body["segments"]
            )
            record = cls(**body)
            covered = sum(segment.area for segment in record.segments)
        except RecordError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise RecordError(f"not a record: {error}") from error
        if record.error is None and covered != record.height * record.width:
            raise RecordError("the record's segments do not cover its image")
        return record


def from_segmentation(name: str, source: SourceFile, stamp: RunStamp, result: Segmentation) -> ImageRecord:
    """A record of one result; exact areas, tight boxes. ValueError where a score is not finite."""
    segments = []
    for index in range(len(result)):
        score = float(result.scores[index])
        if not np.isfinite(score):
            raise ValueError(f"segment {index} has the score {score}: the model's numbers overflowed")
        rle = coco_mask.encode(np.asfortranarray(result.mask(index), dtype=np.uint8))
        x, y, width, height = (int(value) for value in coco_mask.toBbox(rle))
        segments.append(
            SegmentRecord(
                node=str(result.nodes[index]),
                label=result.labels[index],
                score=round(score, SCORE_DIGITS),
                area=int(coco_mask.area(rle)),
                bbox=(x, y, width, height),
                counts=rle["counts"].decode("ascii"),
            )
        )
    seconds = {stage: round(float(value), 4) for stage, value in result.seconds.items()}
    return ImageRecord(name, source, stamp, result.height, result.width, tuple(segments), seconds)


def to_segmentation(record: ImageRecord, embeddings: NDArray[np.float32] | None = None) -> Segmentation:
    """The result a record holds, with the segments themselves as the tree's leaves.

    embeddings: (n, d) float32 where they were kept. RecordError where masks overlap or leave gaps, or a number is not
    one of a tree.
    """
    n = len(record.segments)
    index_map = np.full((record.height, record.width), -1, dtype=np.int32)
    try:
        for index in range(n):
            index_map[record.mask(index)] = index
        nodes = tuple(int(segment.node) for segment in record.segments)
        if index_map.min() < 0:
            raise ValueError("the segments leave gaps")
        tree = SegmentTree(nodes, index_map)
    except ValueError as error:
        raise RecordError(f"{record.name}: {error}") from error
    return Segmentation(
        index_map=index_map,
        nodes=nodes,
        labels=tuple(segment.label for segment in record.segments),
        embeddings=np.zeros((n, 0), dtype=np.float32) if embeddings is None else embeddings,
        scores=np.array([segment.score for segment in record.segments], dtype=np.float32),
        tree=tree,
        preset=record.stamp.preset,
        random_weights=record.stamp.random_weights,
        seconds=dict(record.seconds),
    )
