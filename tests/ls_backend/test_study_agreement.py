"""Krippendorff's alpha against his published example, against other libraries' kappas, and against plain resampling."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from statsmodels.stats.inter_rater import cohens_kappa, fleiss_kappa

from ls_backend.studies.agreement import FEW, SAME, alpha_of, coincidences, krippendorff_alpha, score_table
from ls_backend.studies.intervals import Bootstrap, interval
from zgcore.evaluation.bootstrap import draws

# Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011, section C: four observers, twelve units, values 1-5.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


@pytest.fixture(scope="module")
def example():
    given = [(unit, value - 1) for row in OBSERVERS for unit, value in enumerate(row) if value]
    question, score = (np.array(column) for column in zip(*given, strict=True))
    return score_table(question.astype(np.int32), score.astype(np.int8), 12, 5)


def alone(table):
    """Every question a cluster by itself."""
    return np.arange(len(table), dtype=np.int32)


def test_published_coincidences(example):
    third = 1 / 3
    assert coincidences(example).sum(axis=0) == pytest.approx(
        np.array([
            [7, 4 * third, third, third, 0],
            [4 * third, 10, 4 * third, third, 0],
            [third, 4 * third, 8, third, 0],
            [third, third, third, 4, 0],
            [0, 0, 0, 0, 3],
        ])
    )  # fmt: skip


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815)])
def test_published_alpha(example, level, published):
    found = krippendorff_alpha(example, alone(example), level, Bootstrap(12))
    assert round(found.value, 3) == published
    assert round(float(alpha_of(coincidences(example).sum(axis=0), level)), 3) == published
    assert found.interval.low < found.value < found.interval.high <= 1


TABLES = arrays(np.int64, st.tuples(st.integers(1, 12), st.just(4)), elements=st.integers(0, 3))


@given(TABLES, st.sampled_from(("nominal", "ordinal")))
def test_ours_is_the_librarys(table, level):
    paired = table[table.sum(axis=1) > 1]
    assume(np.count_nonzero(paired.sum(axis=0)) > 1)
    theirs = krippendorff.alpha(value_counts=table, level_of_measurement=level)
    assert float(alpha_of(coincidences(table).sum(axis=0), level)) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("raters", [2, 3, 5])
def test_fleiss_kappa(raters):
    """Nobody missing: alpha is Fleiss' kappa, but for n values of which one is drawn without putting it back."""
    rng = np.random.default_rng(raters)
    true = rng.integers(0, 4, 40)
    said = np.where(rng.random((raters, 40)) < 0.6, true, rng.integers(0, 4, (raters, 40)))
    table = score_table(np.tile(np.arange(40, dtype=np.int32), raters), said.ravel().astype(np.int8), 40, 4)
    n = table.sum()
    expected = 1 - (1 - fleiss_kappa(table)) * (n - 1) / n
    assert krippendorff_alpha(table, alone(table), "nominal", Bootstrap(40)).value == pytest.approx(expected)


def test_cohens_kappa():
    """Two raters with the same habits: Cohen's kappa is Scott's pi, and so alpha's."""
    pairs = np.array([[9, 2, 1, 0], [2, 6, 3, 1], [1, 3, 7, 2], [0, 1, 2, 8]])  # symmetric
    one, two = np.repeat(np.argwhere(pairs >= 0), pairs.ravel(), axis=0).T
    table = score_table(np.tile(np.arange(len(one), dtype=np.int32), 2), np.r_[one, two].astype(np.int8), len(one), 4)
    n = 2 * len(one)
    expected = 1 - (1 - cohens_kappa(pairs).kappa) * (n - 1) / n
    assert krippendorff_alpha(table, alone(table), "nominal", Bootstrap(len(one))).value == pytest.approx(expected)


@pytest.mark.parametrize("level", ["nominal", "ordinal"])
def test_the_bootstrap_is_that_of_whole_clusters(level):
    rng = np.random.default_rng(3)
    table = rng.multinomial(3, [0.3, 0.2, 0.2, 0.3], size=12)
    cluster = np.repeat(np.arange(4, dtype=np.int32), 3)
    samples = [
        krippendorff.alpha(value_counts=np.repeat(table, weights[cluster], axis=0), level_of_measurement=level)
        for weights in draws(4, 50, 7)
    ]
    found = krippendorff_alpha(table, cluster, level, Bootstrap(4, rounds=50, seed=7))
    assert found.interval == pytest.approx(interval(np.array(samples), 4))


def test_where_there_is_no_alpha():
    once = np.eye(4, dtype=np.int64)
    assert krippendorff_alpha(once, alone(once), "ordinal", Bootstrap(4)) == (None, None, FEW)
    same = np.array([[0, 0, 3, 0], [0, 0, 2, 0], [1, 0, 0, 0]])  # the other score is said once, to nobody's contrary
    assert krippendorff_alpha(same, alone(same), "nominal", Bootstrap(3)) == (None, None, SAME)
    one = np.array([[1, 2, 0, 0]])
    assert krippendorff_alpha(one, alone(one), "nominal", Bootstrap(1)).interval is None  # one cluster tells no spread
