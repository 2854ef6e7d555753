"""Cluster bootstrap: 95% intervals for answers that are not independent, because questions share images.

Whole clusters (images; questions where no image is known) are drawn with replacement, as many as there are, so that
answers about one image stay together (Davison & Hinkley, Bootstrap Methods and their Application, 1997, section 3.8).
Every statistic of a study is a function of sums over clusters, so all resamples together are one matrix product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy import stats

from zgcore.evaluation.bootstrap import draws, weigh

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL: Final = 0.95
ROUNDS: Final = 2000
FEWEST: Final = 200  # rounds, however many clusters there are
MOST_WEIGHTS: Final = 1 << 28  # half a gigabyte


class Interval(NamedTuple):
    """Bounds at `LEVEL`."""

    low: float
    high: float


@dataclass(frozen=True)
class Bootstrap:
    """The same resamples for every statistic of a study. clusters: how many there are; at least one."""

    clusters: int
    rounds: int = ROUNDS
    seed: int = 0

    def sums(self, tables: NDArray) -> NDArray[np.float64]:
        """Sums over the clusters of each resample. tables: (clusters, ...). Returns (rounds, ...)."""
        return weigh(draws(self.clusters, self.rounds, self.seed), tables)


def bootstrap_of(clusters: int, rounds: int = ROUNDS, seed: int = 0) -> Bootstrap:
    """As many rounds as asked for, or as fit into memory: a quarter of a million clusters get a thousand."""
    return Bootstrap(clusters, max(FEWEST, min(rounds, MOST_WEIGHTS // max(1, clusters))), seed)


def interval(samples: NDArray[np.float64], clusters: int) -> Interval | None:
    """Percentile interval of one statistic's resamples; None where there are too few clusters or values to tell.

    samples: (rounds,), NaN where a resample could not tell (left out). clusters: that say something about the
    statistic. Percentiles are taken a little further out, as far as Student's t lies beyond the normal distribution,
    because a bootstrap of few clusters is too narrow (Hesterberg, What Teachers Should Know About the Bootstrap, 2015,
    section 3.2).
    """
    known = samples[~np.isnan(samples)]
    if clusters < 2 or len(known) < 2:
        return None
    low, high = np.quantile(known, _levels(clusters))
    return Interval(float(low), float(high))


def share_interval(samples: NDArray[np.float64], clusters: int) -> Interval | None:
    """`interval` of a share. Where every cluster says 0 (or 1), the other bound is the exact binomial one.

    A bootstrap of clusters that all say the same has no width at all: ten images without a score 3 do not prove that
    there is none. The bound is Clopper and Pearson's with a cluster as one observation: 1 - 0.025^(1/clusters).
    """
    found = interval(samples, clusters)
    if found is None or (found.high > 0 and found.low < 1):
        return found
    bound = 1 - ((1 - LEVEL) / 2) ** (1 / clusters)
    return Interval(0.0, bound) if found.high <= 0 else Interval(1 - bound, 1.0)


def _levels(clusters: int) -> tuple[float, float]:
    tail = float(stats.norm.cdf(stats.t.ppf((1 - LEVEL) / 2, clusters - 1) * math.sqrt(clusters / (clusters - 1))))
    return tail, 1 - tail
