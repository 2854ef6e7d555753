"""The published class lists of well-known data sets: ids, names, and the name one would say.

*.txt: "id TAB name" lines, as published; the first lines say by whom. plain_names.txt: how one says those names that
are written together, misspelt, or carry a suffix ("tvmonitor", "wall-other-merged").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

_FILES: Final = {
    "voc": ("voc20",),
    "pascal_context_59": ("pascal_context59",),
    "pascal_context_59_fcn_order": ("pascal_context59_fcn_order",),
    "pascal_context_459": ("pascal_context459",),
    "coco": ("coco_things",),
    "coco_panoptic": ("coco_things", "coco_panoptic_stuff"),
    "coco_stuff_things": ("coco_things", "coco_stuff"),
    "ade": ("ade150",),
}


@dataclass(frozen=True)
class ListedClass:
    """id: in the data set's files. official: the name as published. plain: as one says it; unique in its list."""

    id: int
    official: str
    plain: str


@cache
def class_list(name: str) -> tuple[ListedClass, ...]:
    """One list, by ascending id, without background and void: "voc" (20 classes), "pascal_context_59" and
    "pascal_context_59_fcn_order" (the same 59, numbered in two ways), "pascal_context_459", "coco" (80 things),
    "coco_panoptic" (133), "coco_stuff_things" (171), "ade" (150).
    """
    plain = dict(_rows("plain_names"))
    return tuple(
        ListedClass(int(id_), official, plain.get(official, official))
        for file in _FILES[name]
        for id_, official in _rows(file)
    )


def _rows(file: str) -> list[tuple[str, str]]:
    lines = files(__package__).joinpath(f"{file}.txt").read_text("utf-8").splitlines()
    pairs = (line.split("\t") for line in lines if not line.startswith("#"))
    return [(left, right) for left, right in pairs]
