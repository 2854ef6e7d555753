"""What every export is made from: one image, the people and models that looked at it, and the regions they marked.

Readers (Label Studio, COCO, the results of a run) turn their input into items, one at a time; writers walk the items
as often as they like. What a format of ours has no name for stays beside it as Label Studio wrote it (`entries`,
`rest`, `head`), so that nothing is lost on the way back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ls_backend.exports.rle import Rle

if TYPE_CHECKING:
    from collections.abc import Iterator

Source = Literal["annotation", "prediction"]
Entries = tuple[tuple[int, dict[str, Any]], ...]
"""Entries of a Label Studio `result`, each with its place there."""


@dataclass(frozen=True)
class Region:
    """One mask, and all that is said of it.

    id: as the input has it. result: which of the item's results it is of. control: the tag that made it, "" if none.
    labels: of the tag, in its order. texts: free texts. score: None where the input has none. origin: "manual",
    "prediction", "prediction-changed" or "". node: its number in the segment tree, "" if it has none. meaning: what a
    vocabulary makes of its text, told by its embedding; None where it drops it, "" where nobody asked. raw: what the
    texts were before a vocabulary put its names in their place; empty where none did. flagged: people should check.
    boxed: its mask is a box, for want of a better one. entries: those of its id, the one with the shape first; a
    brush's without its runs, which are in `rle`.
    """

    id: str
    result: int
    rle: Rle
    control: str = ""
    labels: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    score: float | None = None
    origin: str = ""
    node: str = ""
    meaning: str | None = ""
    raw: tuple[str, ...] = ()
    flagged: bool = False
    boxed: bool = False
    entries: Entries = ()

    @property
    def caption(self) -> str:
        """Its free text; several are lines."""
        return "\n".join(self.texts)


@dataclass(frozen=True)
class Result:
    """One person's annotation of a task, or one prediction.

    annotator: the id of who made it. updated: when, as the input has it. head: what else the input says of it.
    rest: entries that are of no mask: choices and texts for the whole image, shapes that have no area.
    """

    source: Source
    id: int | None = None
    annotator: int | str | None = None
    updated: str = ""
    model_version: str = ""
    score: float | None = None
    head: dict[str, Any] = field(default_factory=dict)
    rest: Entries = ()


@dataclass(frozen=True)
class ImageItem:
    """One image of one task.

    number: its id in the exports, from 1. file_name: relative, with forward slashes, safe below any folder.
    height, width: pixels after EXIF; 0 where nobody knows. position: of its task in the input, from 0: a task with
    several images gives several items in a row. task: its id. data: as Label Studio shows it; None where the input is
    no task. head: what else the input says of the task. path: the photo on this machine, "" if unknown.
    """

    number: int
    file_name: str
    height: int
    width: int
    position: int = 0
    task: int | str | None = None
    data: dict[str, Any] | None = None
    head: dict[str, Any] = field(default_factory=dict)
    results: tuple[Result, ...] = ()
    regions: tuple[Region, ...] = ()
    path: str = ""

    @property
    def sized(self) -> bool:
        return self.height > 0 and self.width > 0

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            **vars(self),
            "results": [vars(result) for result in self.results],
            "regions": [{**vars(region), "rle": vars(region.rle)} for region in self.regions],
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> ImageItem:
        """What `to_document` gave, after JSON."""
        results = tuple(
            Result(**{**result, "rest": tuple(map(tuple, result["rest"]))}) for result in document["results"]
        )
        return cls(
            **{**document, "results": results, "regions": tuple(_region(region) for region in document["regions"])}
        )


def _region(document: dict[str, Any]) -> Region:
    rle = document["rle"]
    return Region(
        **{
            **document,
            "rle": Rle(**{**rle, "bbox": tuple(rle["bbox"])}),
            "labels": tuple(document["labels"]),
            "texts": tuple(document["texts"]),
            "raw": tuple(document["raw"]),
            "entries": tuple(map(tuple, document["entries"])),
        }
    )


class Items(Protocol):
    """Items in the order of the input; may be walked through more than once."""

    def __iter__(self) -> Iterator[ImageItem]: ...
