"""Intervals: whole clusters are drawn, few clusters make them wider, and they hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ls_backend.studies.distribution import averaged, distribution
from ls_backend.studies.intervals import Bootstrap, bootstrap_of, interval, share_interval
from zgcore.evaluation.bootstrap import draws

SIMULATIONS, ROUNDS = 200, 400
TRUE = np.array([0.36, 0.208, 0.239, 0.193])


def test_sums_are_those_of_drawn_clusters():
    tables = np.arange(12).reshape(3, 2, 2)
    sums = Bootstrap(3, rounds=20, seed=5).sums(tables)
    for weights, found in zip(draws(3, 20, 5), sums, strict=True):
        assert weights.sum() == 3
        assert (found == np.repeat(tables, weights, axis=0).sum(axis=0)).all()


def test_rounds_fit_into_memory():
    assert bootstrap_of(1000, 2000, 3) == Bootstrap(1000, 2000, 3)
    assert bootstrap_of(1 << 18, 2000).rounds == 1024
    assert bootstrap_of(1 << 30, 2000).rounds == 200


def test_few_clusters_make_wider_intervals():
    samples = np.linspace(0, 1, 10_001)
    # Student's t of 9 degrees at 2.5% is -2.2622; times sqrt(10/9) -2.3846, where the normal distribution has 0.855%
    low, high = interval(samples, 10)
    assert low == pytest.approx(0.00855, abs=1e-4)
    assert high == pytest.approx(1 - 0.00855, abs=1e-4)
    assert interval(samples, 100_000) == pytest.approx((0.025, 0.975), abs=1e-4)
    assert interval(samples, 1) is None
    assert interval(np.array([np.nan, 0.5]), 10) is None
    assert interval(np.array([np.nan, 0.2, 0.2]), 10) == (0.2, 0.2)


def test_shares_that_never_vary_get_the_exact_bound():
    never, always = share_interval(np.zeros(100), 10), share_interval(np.ones(100), 10)
    assert never == pytest.approx((0, 0.3085), abs=1e-4)  # 0.6915^10 = 0.025
    assert always == pytest.approx((0.6915, 1), abs=1e-4)
    assert share_interval(np.array([0.0, 0.4]), 10).high > 0.3


def study(rng, images, per_image, raters, spread):
    """Answers whose scores over all have the shares TRUE; images differ the more, the smaller `spread`."""
    shares = rng.dirichlet(TRUE * spread, size=images)
    score = np.stack([rng.choice(4, (per_image, raters), p=row) for row in shares])
    image = np.broadcast_to(np.arange(images)[:, None, None], score.shape)
    question = np.broadcast_to(np.arange(images * per_image).reshape(images, per_image, 1), score.shape)
    batch = np.broadcast_to(np.arange(raters), score.shape)
    return [part.ravel().astype(np.int32) for part in (image, question, batch, score)]


@pytest.mark.parametrize(("images", "spread"), [(60, 3.0), (12, 6.0)])
def test_intervals_hold_the_truth_as_often_as_they_say(images, spread):
    """Each of 200 studies: are the shares of 0, 1, 2, 3, of 1 and 2 or more, and the mean where they truly are?"""
    rng = np.random.default_rng(11)
    hits = np.zeros(7, dtype=int)
    for seed in range(SIMULATIONS):
        image, question, batch, score = study(rng, images, 4, 3, spread)
        found = distribution(image, question, batch, score.astype(np.int8), Bootstrap(images, ROUNDS, seed))
        intervals = [*(one.interval for one in (*found.shares, *found.at_least[:2])), found.mean_interval]
        truth = [*TRUE, TRUE[1:].sum(), TRUE[2:].sum(), TRUE @ np.arange(4)]
        hits += [one.low <= true <= one.high for one, true in zip(intervals, truth, strict=True)]
    low, high = stats.binom.ppf([0.0005, 0.9995], SIMULATIONS, 0.95)  # 7 figures, all inside with 99.3%
    assert (hits >= low).all(), hits
    assert (hits <= high).all(), hits


def test_questions_as_clusters_would_be_too_narrow():
    """What the clusters are for: answers about one image go together, and questions drawn one by one hide that."""
    rng = np.random.default_rng(2)
    narrow = 0
    for seed in range(100):
        _, question, batch, score = study(rng, 20, 10, 3, 1.0)
        found = distribution(question, question, batch, score.astype(np.int8), Bootstrap(200, ROUNDS, seed))
        narrow += not found.shares[0].interval.low <= TRUE[0] <= found.shares[0].interval.high
    assert narrow > 20


def test_averages_of_batches():
    counts = np.array([[3, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]])  # the third batch has no answer
    assert averaged(counts) == pytest.approx([0.375, 0.125, 0.25, 0.25])
    assert np.isnan(averaged(np.zeros((2, 4)))).all()
