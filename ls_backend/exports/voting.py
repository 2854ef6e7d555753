"""What the majority of a task's annotators marked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from pycocotools import mask as coco_mask

from ls_backend.exports import rle
from ls_backend.exports.items import Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ls_backend.exports.items import ImageItem, Region
    from ls_backend.exports.losses import Losses

SAME_REGION: Final = 0.5
"""Least intersection over union of two annotators' masks of one thing."""
MAJORITY: Final = "majority"
"""The annotator of what a majority marked."""


def majority(item: ImageItem, losses: Losses) -> ImageItem:
    """The item with one annotation in place of several: the regions, and of them the pixels, that more than half of
    the annotators marked. Predictions stay as they are, and so does the work of one annotator alone.

    Masks of different annotators are one region where they overlap by SAME_REGION, the best overlap first. Its labels
    and its texts are the most frequent ones, of equally frequent ones the first annotator's.
    """
    people = [place for place, result in enumerate(item.results) if result.source == "annotation"]
    if len(people) < 2:
        return item
    others = [place for place in range(len(item.results)) if place not in people]
    moved = {place: number for number, place in enumerate(others, start=1)}
    regions = [region for region in item.regions if region.result in people]
    agreed = [found for group in _groups(regions) if (found := _agreed(group, len(people))) is not None]
    rest = sum(len(item.results[place].rest) for place in people)
    losses.leave("whole-image entries of several annotators (--merge majority)", rest)
    losses.leave("regions merged into the majority's or outvoted (--merge majority)", len(regions) - len(agreed))
    return replace(
        item,
        results=(Result("annotation", annotator=MAJORITY), *(item.results[place] for place in others)),
        regions=(
            *agreed,
            *(replace(region, result=moved[region.result]) for region in item.regions if region.result in moved),
        ),
    )


def _groups(regions: Sequence[Region]) -> list[list[Region]]:
    """Regions of one thing together, at most one an annotator; in the order of their first members."""
    if not regions:
        return []
    documents = [region.rle.document() for region in regions]
    overlap = np.asarray(coco_mask.iou(documents, documents, [0] * len(documents)))
    first, second = np.nonzero(np.triu(overlap >= SAME_REGION, k=1))
    group = list(range(len(regions)))
    for pair in sorted(zip(-overlap[first, second], first.tolist(), second.tolist(), strict=True)):
        one, other = group[pair[1]], group[pair[2]]
        members = [regions[place].result for place, number in enumerate(group) if number in (one, other)]
        if one != other and len(set(members)) == len(members):
            group = [min(one, other) if number in (one, other) else number for number in group]
    return [[regions[place] for place, number in enumerate(group) if number == wanted] for wanted in sorted(set(group))]


def _agreed(group: Sequence[Region], people: int) -> Region | None:
    """What more than half of the people marked of one thing; None where that is nothing."""
    if 2 * len(group) <= people:
        return None
    votes = np.sum([region.rle.mask() for region in group], axis=0)
    mask = rle.encode(2 * votes > people)
    if not mask.area:
        return None
    labels = _most_frequent(region.labels for region in group)
    texts = _most_frequent(region.texts for region in group)
    speaker = max(group, key=lambda region: (region.texts == texts) + (region.labels == labels))
    return replace(speaker, result=0, rle=mask, labels=labels, texts=texts)


def _most_frequent(values: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return Counter(values).most_common(1)[0][0]  # of equally frequent ones the first
