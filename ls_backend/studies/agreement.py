"""Do raters agree? Krippendorff's alpha, ordinal and nominal, with missing ratings and an interval over clusters.

Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011. The value is that of the package `krippendorff`. The
interval draws images again, with all that was said about them, and computes alpha anew of each draw's coincidences.
What is often called the bootstrap of alpha draws coincidences as if they were independent, and is too narrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from ls_backend.studies.intervals import Bootstrap, Interval, interval
from zgcore.evaluation.arrays import divide

if TYPE_CHECKING:
    from numpy.typing import NDArray

Level = Literal["nominal", "ordinal"]
FEW: Final = "no question was rated by two raters"
SAME: Final = "every rating is the same score, and alpha is about how ratings vary"


class Alpha(NamedTuple):
    """value: 1 perfect agreement, 0 what chance gives; None where `reason` says why there is none."""

    value: float | None
    interval: Interval | None = None
    reason: str = ""


def score_table(question: NDArray[np.int32], score: NDArray[np.int8], questions: int, scores: int) -> NDArray[np.int64]:
    """How often each question got each score: (n,) answers to (questions, scores)."""
    return np.bincount(question * scores + score, minlength=questions * scores).reshape(questions, scores)


def krippendorff_alpha(
    table: NDArray[np.int64], cluster: NDArray[np.int32], level: Level, bootstrap: Bootstrap
) -> Alpha:
    """Alpha of (questions, scores) counts. cluster: (questions,), which of the bootstrap's clusters each belongs to."""
    paired = table.sum(axis=1) > 1
    if not paired.any():
        return Alpha(None, reason=FEW)
    if np.count_nonzero(table[paired].sum(axis=0)) < 2:
        return Alpha(None, reason=SAME)
    import krippendorff

    value = float(krippendorff.alpha(value_counts=table, level_of_measurement=level))
    tables = np.zeros((bootstrap.clusters, table.shape[1], table.shape[1]))
    np.add.at(tables, cluster, coincidences(table))
    samples = alpha_of(bootstrap.sums(tables), level)
    return Alpha(value, interval(samples, len(np.unique(cluster[paired]))))


def coincidences(table: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each question's (scores, scores) share of the coincidence matrix; zeros where fewer than two rated it."""
    counts = table.astype(np.float64)
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(table.shape[1])
    return pairs / np.maximum(counts.sum(axis=1) - 1, 1)[:, None, None]


def alpha_of(matrices: NDArray[np.float64], level: Level) -> NDArray[np.float64]:
    """Alpha of (..., scores, scores) coincidence matrices; NaN where all pairable ratings are one score.

    alpha = 1 - (n - 1) sum_ck o_ck d_ck / sum_ck n_c n_k d_ck, d_ck the squared distance of scores c and k.
    """
    totals = matrices.sum(axis=-1)  # (..., scores): n_c
    distance = _distances(totals, level)
    seen = (matrices * distance).sum(axis=(-2, -1))
    expected = (totals[..., :, None] * totals[..., None, :] * distance).sum(axis=(-2, -1))
    return 1 - divide((totals.sum(axis=-1) - 1) * seen, expected)


def _distances(totals: NDArray[np.float64], level: Level) -> NDArray[np.float64]:
    """Squared distances of scores. Ordinal: how many ratings lie between c and k, half of each end's counted."""
    if level == "nominal":
        return np.broadcast_to(1 - np.eye(totals.shape[-1]), (*totals.shape, totals.shape[-1]))
    ranks = np.cumsum(totals, axis=-1) - totals / 2
    return (ranks[..., :, None] - ranks[..., None, :]) ** 2
