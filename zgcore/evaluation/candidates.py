"""What the candidates allow at best: every segment named by the class that most of its pixels have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zgcore.evaluation.scored import Reassignment

if TYPE_CHECKING:
    from zgcore.evaluation.overlap import Overlap


def majority(overlap: Overlap) -> Reassignment:
    """The most frequent class of each of n segments, the first of equals; similarity: its share of the counted pixels.

    Pixels in the void count nowhere. Where most of a segment is background, or nothing of it is counted, it has no
    class and similarity 0. Overlapping segments each have their own.
    """
    members = overlap.members.astype(np.int64)  # (a, n)
    pixels = members.T @ overlap.counts  # (n, g)
    background = members.T @ overlap.background  # (n,)
    if not len(overlap.classes):
        return Reassignment(np.full(len(background), -1, np.int32), np.zeros(len(background), np.float32))
    best = pixels.argmax(axis=1)
    most = pixels[np.arange(len(best)), best]
    named = (most > 0) & (most >= background)
    share = most / np.maximum(1, pixels.sum(axis=1) + background)
    return Reassignment(
        np.where(named, overlap.classes[best], -1).astype(np.int32), np.where(named, share, 0).astype(np.float32)
    )
