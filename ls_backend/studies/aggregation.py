"""One score for each question out of several raters': mean, majority, and Dawid and Skene's model of who errs how.

Dawid & Skene, Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm, 1979, as in crowd-kit: each
rater has a table of how likely he says k where j is right, found together with what is right.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDS: Final = 100  # of expectation and maximisation at most


class Aggregated(NamedTuple):
    """Per question, in the order of the numbers in `question`.

    question: (k,) those with an answer, ascending. mean: (k,). majority: (k, 4) shares of the vote that the most
    frequent score gets, divided among those that tie. posterior: (k, 4) probabilities by Dawid and Skene.
    """

    question: NDArray[np.int32]
    mean: NDArray[np.float64]
    majority: NDArray[np.float64]
    posterior: NDArray[np.float64]

    @property
    def ties(self) -> NDArray[np.bool_]:
        """(k,) whether there is no most frequent score."""
        return self.majority.max(axis=1) < 1

    def rounded_mean(self) -> NDArray[np.int64]:
        """(k,) the mean as a score, halves upwards."""
        return np.floor(self.mean + 0.5 + 1e-9).astype(np.int64)


def aggregate(
    rater: NDArray[np.int32], question: NDArray[np.int32], table: NDArray[np.int64], score: NDArray[np.int8]
) -> Aggregated:
    """Scores of the questions that have (n,) answers. table: (questions, scores) counts of them."""
    asked = np.flatnonzero(table.any(axis=1)).astype(np.int32)
    counts = table[asked]
    best = counts == counts.max(axis=1, keepdims=True)
    return Aggregated(
        question=asked,
        mean=counts @ np.arange(counts.shape[1]) / counts.sum(axis=1),
        majority=best / best.sum(axis=1, keepdims=True),
        posterior=dawid_skene(rater, question, score, asked, counts.shape[1]),
    )


def dawid_skene(
    rater: NDArray[np.int32],
    question: NDArray[np.int32],
    score: NDArray[np.int8],
    asked: NDArray[np.int32],
    scores: int,
) -> NDArray[np.float64]:
    """(k, scores) probabilities of the right score of each asked question."""
    if not len(asked):
        return np.zeros((0, scores))
    import pandas as pd  # type: ignore[import-untyped]
    from crowdkit.aggregation import DawidSkene

    rows = pd.DataFrame({"task": question, "worker": rater, "label": score.astype(np.int64)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pandas' own, about how crowd-kit calls it
        found = DawidSkene(n_iter=ROUNDS).fit_predict_proba(rows)
    return found.reindex(index=asked, columns=range(scores), fill_value=0.0).to_numpy(dtype=np.float64)
