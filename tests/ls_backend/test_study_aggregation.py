"""One score a question: by hand, and Dawid and Skene's model where a majority is misled."""

from __future__ import annotations

import numpy as np
import pytest

from ls_backend.studies.aggregation import aggregate
from ls_backend.studies.agreement import score_table


def aggregated(rows, questions):
    """rows: (rater, question, score)."""
    rater, question, score = (np.array(column) for column in zip(*rows, strict=True))
    question, score = question.astype(np.int32), score.astype(np.int8)
    return aggregate(rater.astype(np.int32), question, score_table(question, score, questions, 4), score)


def test_by_hand():
    found = aggregated(
        [(0, 0, 3), (1, 0, 3), (2, 0, 0), (0, 2, 1), (1, 2, 2), (0, 3, 1), (1, 3, 2), (2, 3, 2), (3, 3, 1)], 5
    )
    assert found.question.tolist() == [0, 2, 3]  # 1 and 4 have no answer
    assert found.mean.tolist() == [2.0, 1.5, 1.5]
    assert found.rounded_mean().tolist() == [2, 2, 2]
    assert found.majority.tolist() == [[0, 0, 0, 1], [0, 0.5, 0.5, 0], [0, 0.5, 0.5, 0]]
    assert found.ties.tolist() == [False, True, True]
    assert found.posterior.sum(axis=1) == pytest.approx(1)
    assert found.posterior[0].argmax() == 3


def plain_dawid_skene(rater, question, score, questions, raters, rounds):
    """The model written down as in the paper of 1979, one loop a sum."""
    posterior = np.zeros((questions, 4))
    for q, s in zip(question, score, strict=True):
        posterior[q, s] += 1
    posterior /= posterior.sum(axis=1, keepdims=True)
    for _ in range(rounds):
        prior, errors = posterior.mean(axis=0), np.zeros((raters, 4, 4))
        for r, q, s in zip(rater, question, score, strict=True):
            errors[r, :, s] += posterior[q]
        errors = np.maximum(errors, 1e-10)
        errors /= errors.sum(axis=2, keepdims=True)
        likelihood = np.tile(np.log(prior), (questions, 1))
        for r, q, s in zip(rater, question, score, strict=True):
            likelihood[q] += np.log(errors[r, :, s])
        posterior = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
        posterior /= posterior.sum(axis=1, keepdims=True)
    return posterior


def test_raters_who_err_in_a_known_way_are_seen_through():
    """Two of five raters say one more than what is right, always; the model undoes it where a vote cannot."""
    rng = np.random.default_rng(5)
    true = rng.integers(0, 4, 300)
    rows = []
    for question, right in enumerate(true):
        for rater in rng.choice(5, 3, replace=False):
            said = right if rng.random() < 0.85 else rng.integers(0, 4)
            rows.append((rater, question, min(3, right + 1) if rater < 2 else said))
    found = aggregated(rows, 300)
    voted = (found.majority.argmax(axis=1) == true).mean()
    modelled = (found.posterior.argmax(axis=1) == true).mean()
    assert modelled > 0.9
    assert modelled > voted + 0.1
    plain = plain_dawid_skene(*(np.array(column) for column in zip(*rows, strict=True)), 300, 5, 30)
    assert (plain.argmax(axis=1) == found.posterior.argmax(axis=1)).mean() > 0.99
    assert np.abs(plain - found.posterior).mean() < 0.01  # crowd-kit stops a little before the end


@pytest.mark.parametrize("rows", [[(0, 0, 2)], [(0, 0, 1), (1, 0, 1), (0, 1, 1)]])
def test_little_to_go_by(rows):
    found = aggregated(rows, 2)
    assert (found.posterior.argmax(axis=1) == rows[0][2]).all()
