"""One image's prediction against its truth as a table of pixel counts: all scores come from it, without masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from zgcore.evaluation.ground_truth import BACKGROUND, VOID
from zgcore.evaluation.partition import Partition, partition

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zgcore.evaluation.ground_truth import GroundTruth
    from zgcore.evaluation.prediction import Prediction

CHUNK: Final = 1 << 20  # pixels counted at a time: temporary arrays stay small, whatever the image
_OFFSET: Final = -min(BACKGROUND, VOID)  # makes the smallest index 0


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


def overlap(prediction: Prediction, truth: GroundTruth) -> Overlap:
    """Count the pixels that segments and classes share; masks of another size are resized to the truth's.

    EvaluationError for a damaged mask.
    """
    return count(partition(prediction.masks, *truth.index_map.shape), truth)


def count(parts: Partition, truth: GroundTruth) -> Overlap:
    """The same of masks that are atoms at the truth's size already. ValueError for another size or a wrong class."""
    if parts.atoms.shape != truth.index_map.shape:
        raise ValueError(f"atoms are {parts.atoms.shape}, the truth {truth.index_map.shape}")
    if truth.index_map.size and truth.index_map.min() < -_OFFSET:
        raise ValueError(f"a truth holds classes, {VOID} (void) and {BACKGROUND} (background)")
    classes = np.array(truth.classes, dtype=np.int32)
    columns = _columns(classes)
    width = len(classes) + 2  # the classes, background, void
    table = np.zeros(len(parts.members) * width, dtype=np.int64)
    rows = max(1, CHUNK // max(1, parts.atoms.shape[1]))
    for start in range(0, len(parts.atoms), rows):
        window = slice(start, start + rows)
        pairs = parts.atoms[window].astype(np.int64) * width + columns[truth.index_map[window] + _OFFSET]
        table += np.bincount(pairs.ravel(), minlength=len(table))
    counts = table.reshape(-1, width)
    return Overlap(classes, counts[:, :-2], counts[:, -2], parts.members)


def _columns(classes: NDArray[np.int32]) -> NDArray[np.int64]:
    """Class index + offset -> column of the table."""
    columns = np.zeros(_OFFSET + 1 + int(classes.max(initial=-1)), dtype=np.int64)
    columns[classes + _OFFSET] = np.arange(len(classes))
    columns[BACKGROUND + _OFFSET], columns[VOID + _OFFSET] = len(classes), len(classes) + 1
    return columns
