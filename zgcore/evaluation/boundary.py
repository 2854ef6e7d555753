"""Boundary F-score of masks, whatever they are called: do the segments' outlines lie where the truth's do?

The measure of the Berkeley segmentation benchmark (Martin et al., PAMI 2004), with its tolerance of 0.0075 of the
image's diagonal (at least two pixels) and without its one-to-one matching, as is usual since DAVIS (Perazzi et al.,
CVPR 2016): precision is the share of predicted boundary pixels with a true one within the tolerance, recall the share
of true ones with a predicted one. A pixel is on a boundary if the one to its right, below it, or both, is of another
region.

Where overlapping segments cross, each one's outline counts. Void no deeper than the tolerance, as the bands that Pascal
has around its objects, is given to the nearest class first, so that the true boundary runs in its middle. Deeper void
bounds nothing, and boundary pixels within the tolerance of it count nowhere.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from zgcore.evaluation.arrays import divide
from zgcore.evaluation.ground_truth import VOID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

TOLERANCE: Final = 0.0075  # of the diagonal
LEAST: Final = 2.0  # pixels
AT_ONCE: Final = 2_000_000  # pixels whose distances are computed at a time: each takes some 40 bytes


def boundary_counts(atoms: NDArray[np.int32], truth: NDArray[np.int32]) -> tuple[int, int, int, int]:
    """(matched predicted, predicted, matched true, true) boundary pixels.

    atoms: (H, W) of the predicted segments (`partition`). truth: (H, W) of classes, BACKGROUND and VOID.
    """
    reach = max(LEAST, TOLERANCE * math.hypot(*truth.shape))
    truth = fill_thin_void(truth, reach)
    counted = ~within(truth == VOID, 2 * reach)  # once for the rim that was filled, once for the tolerance
    predicted, true = boundary(atoms), boundary(truth)
    return (
        int((predicted & counted & within(true, reach)).sum()), int((predicted & counted).sum()),
        int((true & counted & within(predicted, reach)).sum()), int((true & counted).sum()),
    )  # fmt: skip


def boundary_score(counts: NDArray) -> NDArray[np.float64]:
    """(..., 4) counts of one image, or summed over images -> (..., 3) precision, recall and F, their harmonic mean.

    A side without boundary pixels has no share, NaN; F is 0 where one side has none, and NaN where neither has any.
    """
    hit, predicted, found, true = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    precision, recall = divide(hit, predicted), divide(found, true)
    both = np.nan_to_num(precision) + np.nan_to_num(recall)
    f = np.nan_to_num(divide(2 * precision * recall, both))
    return np.stack([precision, recall, np.where((predicted > 0) | (true > 0), f, np.nan)], axis=-1)


def boundary(regions: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(H, W) region numbers -> (H, W) whether a pixel differs from its right, lower, or lower right neighbour.

    Beside void there is no boundary: nobody knows what is there.
    """
    edges = np.zeros(regions.shape, dtype=bool)
    known = regions != VOID
    for here, there in (
        (np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:]), (np.s_[:-1, :-1], np.s_[1:, 1:])
    ):  # fmt: skip
        edges[here] |= (regions[here] != regions[there]) & known[here] & known[there]
    return edges


def within(pixels: NDArray[np.bool_], reach: float) -> NDArray[np.bool_]:
    """(H, W) whether one of the pixels is at most `reach` away, between centres."""
    found = np.zeros(pixels.shape, dtype=bool)
    for rows, window, inside in _bands(pixels, reach):
        if window.any():
            found[rows] = (ndimage.distance_transform_edt(~window) <= reach)[inside]
    return found


def fill_thin_void(truth: NDArray[np.int32], reach: float) -> NDArray[np.int32]:
    """(H, W) -> the same, void within `reach` of something else given to what is nearest."""
    void = truth == VOID
    if not void.any():
        return truth
    filled = truth.copy()
    for rows, window, inside in _bands(void, reach):
        if window.any() and not window.all():
            distances, (y, x) = ndimage.distance_transform_edt(window, return_indices=True)
            start = rows.start - inside.start
            taken = truth[start : start + len(window)][y, x]
            filled[rows] = np.where(distances <= reach, taken, VOID)[inside]
    return filled


def _bands(pixels: NDArray[np.bool_], reach: float) -> Iterator[tuple[slice, NDArray[np.bool_], slice]]:
    """Rows to work out, those rows with all that can reach them, and where they are in these."""
    height, width = pixels.shape
    halo, step = math.ceil(reach), max(1, AT_ONCE // width)
    for start in range(0, height, step):
        first, stop = max(0, start - halo), min(height, start + step)
        yield slice(start, stop), pixels[first : stop + halo], slice(start - first, stop - first)
