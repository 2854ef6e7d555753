"""Methods against each other: win rates by hand, exact permutation tests, Holm's correction, and false alarms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ls_backend.studies.comparison import compare, compare_all, holm, sign_flip_p, win_share


def run(rows, seed=0):
    """rows: (value, method, image, segment)."""
    value, method, image, segment = (np.array(column) for column in zip(*rows, strict=True))
    arrays = (method.astype(np.int32), image.astype(np.int32), segment.astype(np.int32))
    return compare(0, 1, value.astype(np.float64), *arrays, seed)


def test_sign_flips_by_hand():
    assert sign_flip_p(np.array([1.0, 2.0, 3.0])) == (0.25, True)  # +6 and -6 of the eight
    assert sign_flip_p(np.array([1.0, 2.0, -3.0])) == (1.0, True)  # 0 is the least that there is
    assert sign_flip_p(np.array([1.0, 2.0, 4.0, -1.0])) == (
        0.375,
        True,
    )  # 6 of the 16 are as far out as 6
    assert sign_flip_p(np.array([0.0, 0.0])) == (1.0, True)
    assert sign_flip_p(np.array([0.0, 1.0])) == (1.0, True)


def test_sampled_sign_flips_are_near_scipys():
    rng = np.random.default_rng(4)
    values = rng.normal(0.4, 1, 20)  # a million arrangements, more than are tried out
    p, exact = sign_flip_p(values, seed=1)
    theirs = stats.permutation_test((values,), np.sum, permutation_type="samples", n_resamples=50_000, rng=0).pvalue
    assert not exact
    assert p == pytest.approx(theirs, abs=0.01)


def test_win_share():
    ours, theirs = np.array([1.0, 2.0, 0.0]), np.array([1.0, 1.0, 2.0])  # values 0 1 1 and 0 1 2 2
    # 0: half a win over 0; each 1: a win over 0 and half a one over 1; of twelve pairs
    assert win_share(ours, theirs) == pytest.approx((0.5 + 1.5 + 1.5) / 12)
    assert np.isnan(win_share(np.zeros(3), theirs))


def test_pairs_of_images_by_hand():
    images = ([(3, 0), (1, 0), (1, 1)], [(2, 0), (0, 1)], [(3, 0), (2, 1)], [(0, 0)])  # value, method
    found = run([(*pair, image, -1) for image, pairs in enumerate(images) for pair in pairs])
    assert found.within == "image"
    assert found.images == 3  # the fourth has one method only
    assert found.win_rate == pytest.approx((0.75 + 1 + 1) / 3)  # 3 and 1 against 1: a win and a tie
    assert found.difference == pytest.approx((1 + 2 + 1) / 3)
    assert (found.p, found.exact) == (0.25, True)
    assert found.win_interval.low < found.win_rate < found.win_interval.high + 1e-9


def test_the_same_segments_are_compared_where_there_are_any():
    rows = [(3, 0, 0, 0), (2, 1, 0, 0), (0, 0, 0, 1), (3, 1, 0, 9), (3, 0, 1, 2), (1, 1, 1, 2)]
    found = run(rows)
    assert (found.within, found.images, found.win_rate) == ("segment", 2, 1.0)
    assert found.difference == 1.5  # the 0 and the 3 of other segments count nowhere
    assert run(rows[:4]).within == "none"  # one image is too few to compare within


def test_no_common_images_by_hand():
    found = run([(3, 0, 0, -1), (2, 0, 1, -1), (0, 1, 2, -1), (1, 1, 3, -1)])
    assert (found.within, found.images, found.win_rate) == ("none", 4, 1.0)
    assert found.difference == 2.0
    assert found.p == pytest.approx(2 / 6)  # of six ways to deal four out, this one and its contrary
    assert found.exact


def test_unknown_images_are_questions_by_themselves():
    found = run([(3, 0, -1, -1), (2, 0, -1, -1), (0, 1, -1, -1), (1, 1, -1, -1)])
    assert (found.within, found.images, found.exact) == ("none", 4, True)
    assert found.p == pytest.approx(2 / 6)


def test_sampled_deals_are_near_mann_whitney():
    rng = np.random.default_rng(6)
    one, other = rng.integers(0, 10, 40) / 3, rng.integers(1, 11, 50) / 3
    rows = [(v, 0, n, -1) for n, v in enumerate(one)] + [(v, 1, 100 + n, -1) for n, v in enumerate(other)]
    found = run(rows)
    theirs = stats.mannwhitneyu(one, other, method="asymptotic")
    assert found.win_rate == pytest.approx(theirs.statistic / 2000)
    assert found.p == pytest.approx(theirs.pvalue, abs=0.02)
    assert not found.exact


def test_holm():
    p = [0.01, 0.04, 0.03, 0.005, 0.9]
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert holm([]) == []


def test_every_pair_and_corrected():
    rng = np.random.default_rng(0)
    method = np.tile(np.arange(3, dtype=np.int32), 60)
    image = np.repeat(np.arange(60, dtype=np.int32), 3)
    value = rng.integers(0, 4, 180) / 1.0 + (method == 2)
    found = compare_all(value, method, image, np.full(180, -1, dtype=np.int32), seed=3)
    assert [(one.one, one.other) for one in found] == [(0, 1), (0, 2), (1, 2)]
    assert [one.p_holm for one in found] == pytest.approx(holm([one.p for one in found]))
    assert found[0].p_holm > 0.05 > max(found[1].p_holm, found[2].p_holm)
    assert found[1].win_rate < 0.5
    assert found == compare_all(value, method, image, np.full(180, -1, dtype=np.int32), seed=3)
    assert compare_all(value, np.full(180, -1, dtype=np.int32), image, image, seed=3) == []


@pytest.mark.parametrize("shared", [True, False])
def test_equal_methods_are_told_apart_no_more_often_than_said(shared):
    """Images differ and methods do not: p falls below 0.05 in about 5% of 200 studies."""
    rng = np.random.default_rng(9)
    alarms = 0
    for _ in range(200):
        value = np.clip(np.round(np.repeat(rng.normal(1.5, 1, 10), 8) + rng.normal(0, 0.7, 80)), 0, 3)
        image = np.repeat(np.arange(10, dtype=np.int32), 8)
        method = np.tile(np.repeat(np.arange(2, dtype=np.int32), 4), 10) if shared else image % 2
        found = compare(0, 1, value, method, image, np.full(80, -1, dtype=np.int32), seed=0)
        assert found.exact
        alarms += found.p < 0.05
    low, high = stats.binom.ppf([0.001, 0.999], 200, 0.05)
    assert low <= alarms <= high
