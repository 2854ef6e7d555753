"""Merging siblings that mean the same (paper section 3.4).

Leaves start as segments. Two sibling segments whose similarity reaches the threshold become their parent, which is
embedded and labelled anew and may merge with its own sibling in turn; a pair that fails stays apart for good, so the
branch above it is never tried. Everything that can merge at one time is proposed together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zgcore.segmentation import children, parent, sibling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from zgcore.config import MergeConfig


@dataclass(frozen=True)
class Described:
    """A segment with its meaning. embedding: (d,) unnormalised. text_embedding: (d,) of the label's prompt."""

    embedding: NDArray[np.float32]
    label: str
    score: float
    text_embedding: NDArray[np.float32]


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Cosine similarity of two vectors; 0 if one of them is zero."""
    norms = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    return float(a @ b) / norms if norms > 0 else 0.0


def similarity(one: Described, other: Described, image_weight: float) -> float:
    """image_weight x cos(segment embeddings) + (1 - image_weight) x cos(label embeddings)."""
    image = cosine(one.embedding, other.embedding)
    text = cosine(one.text_embedding, other.text_embedding)
    return image_weight * image + (1 - image_weight) * text


class Merging:
    """The segments of one image while they merge.

    leaves: every leaf of the tree with its meaning. Use: `while parents := m.propose(): m.accept({...})`.
    """

    def __init__(self, leaves: Mapping[int, Described], config: MergeConfig) -> None:
        self.segments = dict(leaves)
        self.config = config
        self._kept_apart: dict[int, float] = {}  # parent -> similarity of the children that did not merge

    def propose(self) -> list[int]:
        """Parents to embed and describe next; empty when nothing more merges."""
        proposed = []
        for node in self._untried_parents():
            left, right = (self.segments[child] for child in children(node))
            alike = similarity(left, right, self.config.image_weight)
            if alike >= self.config.threshold:
                proposed.append(node)
            else:
                self._kept_apart[node] = alike
        return proposed or self._forced()

    def accept(self, merged: Mapping[int, Described]) -> None:
        """Put merged parents in their children's place."""
        for node, described in merged.items():
            for child in children(node):
                del self.segments[child]
            self._kept_apart.pop(node, None)
            self.segments[node] = described

    def _untried_parents(self) -> list[int]:
        pairs = {parent(node) for node in self.segments if node and sibling(node) in self.segments}
        return sorted(pairs - self._kept_apart.keys())

    def _forced(self) -> list[int]:
        """The most similar pairs kept apart so far, as many as `max_segments` is exceeded by."""
        if not self.config.max_segments:
            return []
        excess = len(self.segments) - self.config.max_segments
        by_similarity = sorted(self._kept_apart, key=lambda node: (-self._kept_apart[node], node))
        return by_similarity[: max(0, excess)]
