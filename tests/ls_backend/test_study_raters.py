"""Raters: every figure by hand on small tables, planted bad raters found among honest ones, and the rules."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from ls_backend.studies.answers import Answer
from ls_backend.studies.exclusion import excluded, kept_raters
from ls_backend.studies.manifest import Rules
from ls_backend.studies.raters import (
    RaterStatistics,
    against_others,
    correlation,
    leaning,
    longest_runs,
    medians,
    rater_statistics,
    remarks,
)
from ls_backend.studies.ratings import ratings_of
from tests.ls_backend.rating_studies import answers, harsh, lenient, random


def ints(*values):
    return np.array(values, dtype=np.int32)


def test_the_mean_of_the_others():
    beside, others = against_others(ints(0, 0, 0, 1, 2, 2), np.array([3, 1, 0, 2, 2, 3], dtype=np.int8))
    assert beside.tolist() == [True, True, True, False, True, True]
    assert others[beside].tolist() == [0.5, 1.5, 2.0, 3.0, 2.0]
    assert np.isnan(others[3])


def test_leaning_is_students_mean():
    values = np.array([1.0, 0.0, -0.5, 0.5, 2.0])
    mean, low, high = leaning(ints(0, 0, 0, 0, 1), values, 3)
    assert mean[:2].tolist() == [0.25, 2.0]
    theirs = stats.ttest_1samp(values[:4], 0).confidence_interval(0.99)
    assert (low[0], high[0]) == pytest.approx((theirs.low, theirs.high))
    assert np.isnan([low[1], high[1], mean[2]]).all()  # one answer tells no spread, none nothing


def test_correlation_is_pearsons_with_fishers_interval():
    own, rest = np.array([0, 1, 2, 3, 3, 1.0]), np.array([0.5, 1, 2, 2.5, 3, 0])
    r, low, high = correlation(ints(0, 0, 0, 0, 0, 0), own, rest, 2)
    theirs = stats.pearsonr(own, rest)
    bounds = theirs.confidence_interval(0.99)
    assert (r[0], low[0], high[0]) == pytest.approx((theirs.statistic, bounds.low, bounds.high))
    assert np.isnan(r[1])
    assert np.isnan(correlation(ints(0, 0, 0, 0), np.full(4, 2.0), np.arange(4.0), 1)[0][0])  # never varies


def test_runs():
    score = np.array([1, 1, 2, 0, 0, 0, 0, 3], dtype=np.int8)
    rater = ints(0, 0, 0, 0, 1, 1, 1, 1)
    longest, chance = longest_runs(rater, score, np.arange(8), 3, np.array([0.5, 0.2, 0.2, 0.1]))
    assert longest.tolist() == [2, 3, 0]
    # rater 1: a run of three 0 starts at the first answer, or after another score at the second: (1 + 1 x 0.5) x 0.5^3
    assert chance[1] == pytest.approx(0.1875)
    assert chance[0] == pytest.approx((1 + 2 * 0.8) * 0.04)
    assert np.isnan(chance[2])


def test_medians():
    found = medians(ints(0, 0, 0, 1, 1, 2), np.array([5.0, 1.0, 2.0, 4.0, 1.0, np.nan]), 4)
    assert found[:2].tolist() == [2.0, 2.5]
    assert np.isnan(found[2:]).all()


def test_gold_repeats_and_speed_by_hand():
    table = [
        Answer("a", "q1", 2, seconds=4, answered_at="2026-01-01T10:00:00"),
        Answer("a", "g1", 3, seconds=2, answered_at="2026-01-01T10:00:05", kind="gold", expected=(3,)),
        Answer("a", "g2", 1, seconds=3, answered_at="2026-01-01T10:00:09", kind="gold", expected=(2, 3)),
        Answer("a", "r1", 1, seconds=9, answered_at="2026-01-01T10:00:20", kind="repeat", of="q1"),
        Answer("b", "q1", 3, answered_at="2026-01-01T10:00:01"),
        Answer("b", "r1", 0, answered_at="2026-01-01T10:00:09", kind="repeat", of="q1"),
        Answer("c", "r1", 0, answered_at="2026-01-01T10:00:09", kind="repeat", of="q1"),  # never saw the first
    ]
    found = rater_statistics(ratings_of(table))
    assert found.answers.tolist() == [4, 2, 1]
    assert found.rated.tolist() == [1, 1, 0]
    assert found.gold.tolist() == [2, 0, 0]
    assert found.gold_accuracy[0] == 0.5
    assert found.repeats.tolist() == [1, 1, 0]
    assert found.repeat_consistency[:2].tolist() == [1.0, 0.0]  # 2 and 1 are alike, 3 and 0 are not
    assert found.seconds[0] == 3.5
    assert found.timed.tolist() == [4, 0, 0]
    assert found.bias[:2].tolist() == [-1.0, 1.0]  # of q1 alone: gold and repeats are no results
    assert found.longest_run.tolist() == [2, 1, 1]  # 2, 3, 1, 1


@pytest.mark.parametrize("seed", range(5))
def test_planted_raters_are_found_and_nobody_else(seed):
    rng = np.random.default_rng(seed)
    true = rng.choice(4, 600, p=[0.36, 0.208, 0.239, 0.193])
    found = rater_statistics(ratings_of(answers(true, 24, {3: harsh, 8: lenient, 15: random, 20: random}, seed)))
    names = [f"p{n}" for n in range(24)]
    order = ratings_of(answers(true, 24, seed=seed)).raters
    odd = {name: marks for name, marks in zip(order, remarks(found), strict=True) if marks}
    assert sorted(order) == sorted(names)
    assert odd.keys() == {"p3", "p8", "p15", "p20"}
    assert odd["p3"] == ["harsh"]
    assert odd["p8"] == ["lenient"]
    assert "random" in odd["p15"]
    assert "random" in odd["p20"]


def test_one_score_and_long_runs():
    times = [f"2026-01-01T10:{minute:02}:00" for minute in range(40)]
    table = [Answer("lazy", f"q{n}", 1, answered_at=times[n]) for n in range(20)]
    table += [Answer("tired", f"q{n}", n % 4 if n < 8 else 2, answered_at=times[n]) for n in range(20)]
    table += [Answer("good", f"q{n}", n % 4, answered_at=times[n]) for n in range(20)]
    found = rater_statistics(ratings_of(table))
    by_name = dict(zip(ratings_of(table).raters, remarks(found), strict=True))
    assert by_name == {"lazy": ["harsh", "one score", "long run"], "tired": ["lenient", "long run"], "good": []}
    assert found.longest_run.tolist() == [20, 12, 1]


def statistics(**columns):
    """Three raters of whom nothing is known but what is given."""
    blank = {field.name: np.full(3, np.nan) for field in dataclasses.fields(RaterStatistics)}
    counts = {name: np.full(3, 10) for name in ("gold", "repeats", "timed", "rated", "answers")}
    return RaterStatistics(**{**blank, **counts, **{name: np.array(value) for name, value in columns.items()}})


def test_rules():
    found = statistics(
        gold_accuracy=[0.6, 0.59, np.nan], gold=[10, 10, 0], repeat_consistency=[0.1, 1.0, 0.1], repeats=[10, 10, 1],
        seconds=[1.0, 0.9, 5.0], common=[0.5, 0.5, 1.0],
    )  # fmt: skip
    rules = Rules(min_gold_accuracy=0.6, min_repeat_consistency=0.5, min_seconds=1.0, max_same_score=0.9, min_checks=2)
    assert excluded(found, rules) == [
        ["repeated questions answered alike 10%, below 50%"],
        ["known answers right 59%, below 60%", "median of 0.9 s a question, below 1.0 s"],
        ["one score in 100% of answers, above 90%"],  # one repeat is too few to judge by
    ]
    off = Rules(min_gold_accuracy=0, min_repeat_consistency=0, min_seconds=0, max_same_score=0)
    assert excluded(found, off) == [[], [], []]
    assert kept_raters([[], ["broken"], []]).tolist() == [True, False, True]
