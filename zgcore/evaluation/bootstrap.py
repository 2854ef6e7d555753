"""Confidence intervals and p-values by resampling images (Efron & Tibshirani, An Introduction to the Bootstrap, 1993).

Every figure here is a ratio of sums over images: a mean has the values above and ones below, a pooled share has hits
and chances. A resample draws as many images as there are, with replacement; it is kept as how often it drew each.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import sparse

from zgcore.evaluation.arrays import divide

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES: Final = 2000
CONFIDENCE: Final = 0.95
_AT_ONCE: Final = 1 << 24  # weights made into float64 at a time: 128 MB


@lru_cache(maxsize=2)
def draws(images: int, resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.uint16]:
    """(resamples, images) how often each resample drew each image. The same for the same three numbers, everywhere."""
    rng = np.random.default_rng(seed)
    found = np.empty((resamples, images), dtype=np.uint16)
    for row in found:
        row[:] = np.bincount(rng.integers(images, size=images), minlength=images)
    found.setflags(write=False)
    return found


def ratios(above: NDArray, below: NDArray, drawn: NDArray) -> NDArray[np.float64]:
    """(images, ...) above and below -> (resamples, ...) the figure of each resample; NaN where nothing was below."""
    return divide(weigh(drawn, above), weigh(drawn, below))


def weigh(drawn: NDArray, values: NDArray | sparse.sparray) -> NDArray[np.float64]:
    """(resamples, images) x (images, ...) -> (resamples, ...) sums over what each resample drew."""
    flat = values if sparse.issparse(values) else np.asarray(values, dtype=np.float64).reshape(drawn.shape[1], -1)
    step = max(1, _AT_ONCE // max(1, drawn.shape[1]))
    parts = [drawn[start : start + step].astype(np.float64) @ flat for start in range(0, len(drawn), step)]
    return np.concatenate(parts).reshape(len(drawn), *values.shape[1:])


def interval(samples: NDArray[np.float64], confidence: float = CONFIDENCE) -> NDArray[np.float64]:
    """(resamples, ...) -> (2, ...) the percentiles with the share `confidence` between them.

    Resamples in which the figure does not exist are left out; NaN where it exists in none.
    """
    tail = 50 * (1 - confidence)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        return np.nanpercentile(samples, [tail, 100 - tail], axis=0)


def p_value(differences: NDArray[np.float64]) -> float:
    """(resamples,) differences of two runs -> two-sided p of there being none.

    Both figures are worked out from the same draws, so that images that are hard for both runs say nothing. p is twice
    the smaller tail on one side of 0, at most 1. The observed images count as one resample more, so that p is
    never 0. NaN where no resample has a difference.
    """
    found = differences[np.isfinite(differences)]
    if not len(found):
        return float("nan")
    below, above = int((found <= 0).sum()), int((found >= 0).sum())
    return min(1.0, 2 * (min(below, above) + 1) / (len(found) + 1))
