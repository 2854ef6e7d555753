"""How often each score was given: the paper's table 2, and the shares at or above a score.

The paper asks three raters about each question, takes the three as three batches, computes each batch's distribution
and averages the three (section 5.2). With answers missing this is not the same as pooling: a batch counts as much as
any other. So a batch of which most is missing is in no average: a handful of answers would weigh as much as hundreds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ls_backend.studies.intervals import Bootstrap, Interval, interval, share_interval
from zgcore.evaluation.arrays import divide

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCORES: Final = 4  # 0 incorrect, 1 partially correct, 2 correct but too general or too specific, 3 correct
SPARSE: Final = 0.5  # a batch with less than this share of the answers of the largest is in no average
PAPER: Final = (0.360, 0.208, 0.239, 0.193)  # of scores 0 to 3, in the paper's study


class Share(NamedTuple):
    """A share of the answers, between 0 and 1."""

    value: float
    interval: Interval | None


class Distribution(NamedTuple):
    """What a set of answers says.

    answers, questions, clusters: how many there are in the batches that count. shares: of the scores 0 to 3, the
    average of these batches. at_least: shares of answers of 1, 2 and 3 or more. mean: of the scores, averaged alike.
    batches: (batches, 4) shares of each batch alone; NaN where it does not count. sizes: (batches,) its answers.
    """

    answers: int
    questions: int
    clusters: int
    shares: tuple[Share, ...]
    at_least: tuple[Share, ...]
    mean: float
    mean_interval: Interval | None
    batches: NDArray[np.float64]
    sizes: NDArray[np.int64]


def averaged(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., batches, scores) counts to (..., scores) shares: each batch's own, then their mean. NaN without answers."""
    sizes = counts.sum(axis=-1, keepdims=True)
    return divide(divide(counts, sizes, empty=0.0).sum(axis=-2), (sizes > 0).sum(axis=-2))


def whole_batches(sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(batches,) which of them count, by their numbers of answers: all that have at least `SPARSE` of the largest's."""
    return sizes >= np.maximum(1, SPARSE * sizes.max(initial=0))


def distribution(
    cluster: NDArray[np.int32], question: NDArray[np.int32], batch: NDArray[np.int32], score: NDArray[np.int8],
    bootstrap: Bootstrap,
) -> Distribution | None:  # fmt: skip
    """The distribution of (n,) answers; None without answers. cluster, question, batch: numbers from 0.

    Answers of sparse batches are left out. Sparse is meant within these answers: a batch that is whole in a study may
    be nearly empty in one method, or without the raters whom the rules leave out.
    """
    if not len(score):
        return None
    counted = whole_batches(np.bincount(batch))[batch]
    cluster, question, batch, score = cluster[counted], question[counted], batch[counted], score[counted]
    batches = int(batch.max()) + 1
    cell = (cluster.astype(np.int64) * batches + batch) * SCORES + score
    tables = np.bincount(cell, minlength=bootstrap.clusters * batches * SCORES)
    tables = tables.reshape(bootstrap.clusters, batches, SCORES)
    counts = tables.sum(axis=0).astype(np.float64)
    clusters = int(np.count_nonzero(tables.any(axis=(1, 2))))
    values = averaged(counts)
    samples = averaged(bootstrap.sums(tables))
    means = samples @ np.arange(SCORES)
    from_here = np.cumsum(values[::-1])[::-1]
    samples_from_here = np.cumsum(samples[:, ::-1], axis=1)[:, ::-1]
    return Distribution(
        answers=len(score),
        questions=len(np.unique(question)),
        clusters=clusters,
        shares=tuple(_share(values[k], samples[:, k], clusters) for k in range(SCORES)),
        at_least=tuple(_share(from_here[k], samples_from_here[:, k], clusters) for k in range(1, SCORES)),
        mean=float(values @ np.arange(SCORES)),
        mean_interval=interval(means, clusters),
        batches=divide(counts, counts.sum(axis=1, keepdims=True)),
        sizes=counts.sum(axis=1).astype(np.int64),
    )


def _share(value: float, samples: NDArray[np.float64], clusters: int) -> Share:
    """Sums of shares are rounded, so that all is 1 and not the next number to it."""
    return Share(float(np.round(value, 12)), share_interval(np.round(samples, 12), clusters))
