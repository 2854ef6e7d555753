"""Which class was taken for which, in pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from zgcore.evaluation.scores import covered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from zgcore.evaluation.overlap import Overlap
    from zgcore.evaluation.scored import Reassignment

MOST: Final = 30
NONE: Final = "(none)"  # no class: the background of the truth, and what no kept segment covers


class Confusion:
    """matrix: (c + 1, c + 1) int64 pixels, true class by predicted class; the last row and column stand for no class.

    Void pixels count nowhere. A pixel under segments of several classes counts in the column of each.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.matrix: NDArray[np.int64] = np.zeros((len(classes) + 1, len(classes) + 1), dtype=np.int64)

    def add(self, overlap: Overlap, reassignment: Reassignment, threshold: float) -> None:
        """Count one image."""
        predicted = np.unique(reassignment.classes[reassignment.classes >= 0])
        under = covered(overlap, reassignment, threshold, predicted)  # (a, p)
        under = np.hstack([under, ~under.any(axis=1, keepdims=True)]).astype(np.int64)
        pixels = np.hstack([overlap.counts, overlap.background[:, None]]).T @ under  # (g + 1, p + 1)
        rows, columns = (np.append(numbers, len(self.classes)) for numbers in (overlap.classes, predicted))
        self.matrix[np.ix_(rows, columns)] += pixels

    def document(self) -> list[dict[str, Any]]:
        """The largest confusions: share, of the true class's pixels."""
        names = (*self.classes, NONE)
        wrong = self.matrix - np.diag(np.diag(self.matrix))
        pixels = self.matrix.sum(axis=1)
        most = np.argsort(-wrong, axis=None, kind="stable")[:MOST]
        return [
            {"truth": names[t], "predicted": names[p], "pixels": wrong[t, p], "share": wrong[t, p] / pixels[t]}
            for t, p in zip(*np.unravel_index(most, wrong.shape), strict=True)
            if wrong[t, p]
        ]
