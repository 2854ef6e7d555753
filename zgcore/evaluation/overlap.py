"""One image's prediction against its truth as a table of pixel counts: all scores come from it, without masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class Overlap:
    """Pixels shared by prediction and truth; void pixels are in none of the numbers.

    Pixels that lie under the same set of segments form an atom, so that unions of overlapping segments are exact. Where
    segments are disjoint there is one atom a segment, and one of the pixels under none.

    classes: (g,) int32, the classes present in the truth, ascending.
    counts: (a, g) int64, pixels of each atom in each of them. background: (a,) int64, of each atom in the background.
    members: (a, n) bool, whether a segment covers an atom.
    """

    classes: NDArray[np.int32]
    counts: NDArray[np.int64]
    background: NDArray[np.int64]
    members: NDArray[np.bool_]
