"""Intervals and p-values: what resampling must give, on figures whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from zgcore.evaluation.bootstrap import draws, interval, p_value, ratios, weigh


def test_draws():
    drawn = draws(7, 50, 3)
    assert drawn.shape == (50, 7)
    assert (drawn.sum(axis=1) == 7).all()
    assert (drawn == draws(7, 50, 3)).all()
    assert (drawn != draws(7, 50, 4)).any()
    # as plain index resampling with the same generator draws
    rng = np.random.default_rng(3)
    assert drawn[0].tolist() == np.bincount(rng.integers(7, size=7), minlength=7).tolist()


def test_a_resample_by_hand():
    drawn = np.array([[2, 0, 1], [0, 3, 0]])
    above, below = np.array([1, 5, 4]), np.array([2, 0, 4])
    assert weigh(drawn, above).tolist() == [6, 15]
    assert ratios(above, below, drawn).tolist()[0] == 6 / 8
    assert np.isnan(ratios(above, below, drawn)[1])
    assert weigh(drawn, sparse.csr_array(np.array([[1.0, 0], [0, 2], [3, 0]]))).tolist() == [[5, 0], [0, 6]]
    assert weigh(drawn, np.arange(6).reshape(3, 2)).tolist() == [[4, 7], [6, 9]]


def test_an_interval_by_hand():
    samples = np.arange(101.0)[:, None] * [1, 2]
    assert interval(samples, 0.9) == pytest.approx(np.array([[5, 10], [95, 190]]))
    assert interval(np.array([[np.nan, 1], [3, np.nan]]), 0.9)[:, 0].tolist() == [3, 3]
    assert np.isnan(interval(np.full((4, 1), np.nan))).all()


def test_intervals_cover_a_known_mean():
    """In 400 experiments, 95% intervals of the mean of 60 skewed values hold the true mean about 93 times in 100."""
    rng = np.random.default_rng(0)
    values = rng.exponential(0.3, (60, 400))
    low, high = interval(weigh(draws(60, 1000, 1), values) / 60)
    assert 0.89 <= ((low <= 0.3) & (high >= 0.3)).mean() <= 0.97


def test_a_paired_difference_is_seen_where_images_differ_more_than_runs():
    rng = np.random.default_rng(0)
    hard = rng.random(200)
    better = hard + 0.02 + rng.normal(0, 0.02, 200)
    other = rng.permutation(hard)

    def p(one, two):
        drawn, ones = draws(200, 1000), np.ones(200)
        return p_value(ratios(one, ones, drawn) - ratios(two, ones, drawn))

    assert p(better, hard) < 0.01
    assert p(hard, better) < 0.01  # two-sided
    assert p(other, hard) > 0.2
    assert p(hard, hard) == 1.0


def test_p_values_are_even_where_there_is_no_difference():
    """Under no difference p is below 0.1 about one time in ten."""
    rng = np.random.default_rng(5)
    drawn = draws(80, 500, 0)
    p = [p_value(weigh(drawn, rng.normal(size=80))) for _ in range(300)]
    assert 0.06 <= np.mean(np.array(p) < 0.1) <= 0.16


def test_p_by_hand():
    assert p_value(np.array([1.0, 2, 3, -1])) == pytest.approx(2 * 2 / 5)
    assert p_value(np.array([1.0, 2, 3, 4, np.nan])) == pytest.approx(2 / 5)
    assert np.isnan(p_value(np.array([np.nan])))
