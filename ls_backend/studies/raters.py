"""What each rater did: leaning, agreement with the others, known answers, repeated questions, speed, runs of one score.

All of it is counted over numbers of raters, for hundreds of raters at once; see `RaterStatistics` for what each means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import stats

from zgcore.evaluation.arrays import divide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ls_backend.studies.ratings import Ratings

SURE: Final = 0.99  # level of the intervals behind remarks: many raters are looked at at once
LEANS: Final = 0.5  # score points from which a leaning is worth a remark
ENOUGH: Final = 10  # answers that others' answers stand beside, below which nothing is remarked
UNLIKELY: Final = 1e-3  # chance of a run as long as this, below which it is remarked
ALIKE: Final = 1  # score points by which two answers to one question may differ and still be consistent


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class RaterStatistics:
    """One entry a rater in every array, int64 counts and float64 figures; NaN where nothing tells.

    answers: all of the rater's. rated: those that are results. compared: of them, those that others' stand beside.
    bias: mean of the rater's score less the mean of the others' on the same question (a fixed effect against the
    question), with its interval at `SURE`. agreement: Pearson's correlation with the others' mean, and its interval.
    gold, gold_accuracy: questions with known answers, and the share answered so. repeats, repeat_consistency: questions
    met twice, and the share of them with two scores at most `ALIKE` apart. timed, seconds: answers whose time is known,
    and the median. common: share of the rater's most frequent score. longest_run: of one score in the order of
    answering, 0 where that is not known. run_chance: bound on the chance of such a run were scores dealt at random, as
    often as over all raters.
    """

    answers: NDArray[np.int64]
    rated: NDArray[np.int64]
    compared: NDArray[np.int64]
    bias: NDArray[np.float64]
    bias_low: NDArray[np.float64]
    bias_high: NDArray[np.float64]
    agreement: NDArray[np.float64]
    agreement_low: NDArray[np.float64]
    agreement_high: NDArray[np.float64]
    gold: NDArray[np.int64]
    gold_accuracy: NDArray[np.float64]
    repeats: NDArray[np.int64]
    repeat_consistency: NDArray[np.float64]
    timed: NDArray[np.int64]
    seconds: NDArray[np.float64]
    common: NDArray[np.float64]
    longest_run: NDArray[np.int64]
    run_chance: NDArray[np.float64]


def rater_statistics(ratings: Ratings, scores: int = 4) -> RaterStatistics:
    """Every rater of a study. Gold and repeated questions count for their own figures, and for speed and runs."""
    raters = len(ratings.raters)
    rated = ratings.rated
    rater, score = ratings.rater[rated], ratings.score[rated]
    beside, others = against_others(ratings.question[rated], score)
    who, own, rest = rater[beside], score[beside].astype(np.float64), others[beside]
    bias, bias_low, bias_high = leaning(who, own - rest, raters)
    agreement, agreement_low, agreement_high = correlation(who, own, rest, raters)
    gold, right = _gold(ratings)
    again, alike = _repeats(ratings)
    table = np.bincount(rater * scores + score, minlength=raters * scores).reshape(raters, scores)
    runs, chance = np.zeros(raters, dtype=np.int64), np.full(raters, np.nan)
    if len(ratings) and not np.isnan(ratings.time).any():
        order = np.lexsort((ratings.time, ratings.rater))
        shares = np.bincount(ratings.score, minlength=scores) / len(ratings)
        runs, chance = longest_runs(ratings.rater, ratings.score, order, raters, shares)
    timed = ~np.isnan(ratings.seconds)
    return RaterStatistics(
        answers=np.bincount(ratings.rater, minlength=raters),
        rated=np.bincount(rater, minlength=raters),
        compared=np.bincount(who, minlength=raters),
        bias=bias, bias_low=bias_low, bias_high=bias_high,
        agreement=agreement, agreement_low=agreement_low, agreement_high=agreement_high,
        gold=np.bincount(ratings.rater[gold], minlength=raters),
        gold_accuracy=_mean(ratings.rater[gold], right, raters),
        repeats=np.bincount(again, minlength=raters),
        repeat_consistency=_mean(again, alike, raters),
        timed=np.bincount(ratings.rater[timed], minlength=raters),
        seconds=medians(ratings.rater, ratings.seconds, raters),
        common=divide(table.max(axis=1), table.sum(axis=1)), longest_run=runs, run_chance=chance,
    )  # fmt: skip


def remarks(found: RaterStatistics) -> list[list[str]]:
    """What is odd about each rater: "harsh", "lenient", "random", "one score", "long run". For people to look at.

    harsh, lenient: leans by `LEANS` or more, surely. random: agrees with the others surely less than the usual rater
    does, and not surely more than chance. one score: gives only one. long run: of one score, longer than chance gives.
    Nobody is left out for these; that is for the rules alone.
    """
    enough = found.compared >= ENOUGH
    known = found.agreement[enough & ~np.isnan(found.agreement)]
    usual = float(np.median(known)) if len(known) else np.nan
    with np.errstate(invalid="ignore"):
        odd = {
            "harsh": enough & (found.bias <= -LEANS) & (found.bias_high < 0),
            "lenient": enough & (found.bias >= LEANS) & (found.bias_low > 0),
            "random": enough & (found.agreement_high < usual) & (found.agreement_low <= 0),
            "one score": (found.rated >= ENOUGH) & (found.common == 1),
            "long run": found.run_chance < UNLIKELY,
        }
    return [[name for name, which in odd.items() if which[rater]] for rater in range(len(found.answers))]


def _gold(ratings: Ratings) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """(n,) which answers are to questions with known answers, and 1 for each of these that is right, else 0."""
    expected = [fact.expected if fact.kind == "gold" else () for fact in ratings.facts]
    gold = np.array([bool(one) for one in expected], dtype=np.bool_)[ratings.question]
    pairs = zip(ratings.question[gold], ratings.score[gold], strict=True)
    return gold, np.array([score in expected[question] for question, score in pairs], dtype=np.float64)


def _repeats(ratings: Ratings) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rater of every question that was answered twice, and 1 where the two scores are alike, else 0."""
    first = {name: number for number, name in enumerate(ratings.questions)}
    again = {n: first[f.of] for n, f in enumerate(ratings.facts) if f.kind == "repeat" and f.of in first}
    given = {(r, q): int(s) for r, q, s in zip(ratings.rater, ratings.question, ratings.score, strict=True)}
    found = [
        (r, abs(s - given[r, again[q]]) <= ALIKE)
        for (r, q), s in given.items()
        if q in again and (r, again[q]) in given
    ]
    return (
        np.array([rater for rater, _ in found], dtype=np.int64),
        np.array([alike for _, alike in found], dtype=np.float64),
    )


def against_others(
    question: NDArray[np.int32], score: NDArray[np.int8]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which of (n,) answers others' answers stand beside, and the mean of the others' scores for each (else NaN)."""
    questions = int(question.max(initial=-1)) + 1
    count = np.bincount(question, minlength=questions)[question]
    total = np.bincount(question, weights=score, minlength=questions)[question]
    beside = count > 1
    others = np.full(len(score), np.nan)
    others[beside] = (total[beside] - score[beside]) / (count[beside] - 1)
    return beside, others


def leaning(
    rater: NDArray[np.int32], deviation: NDArray[np.float64], raters: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean deviation of each rater with Student's interval at `SURE`: three (raters,) arrays."""
    count = np.bincount(rater, minlength=raters)
    mean = _mean(rater, deviation, raters)
    spread = np.bincount(rater, weights=(deviation - mean[rater]) ** 2, minlength=raters)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(spread / (count - 1) / count)
        half = np.where(count > 1, stats.t.ppf((1 + SURE) / 2, np.maximum(count - 1, 1)) * error, np.nan)
    return mean, mean - half, mean + half


def correlation(
    rater: NDArray[np.int32], score: NDArray[np.float64], others: NDArray[np.float64], raters: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Pearson's correlation of each rater's scores with the others' means, and Fisher's interval at `SURE`.

    NaN of fewer than four answers, and where either side never varies.
    """
    count = np.bincount(rater, minlength=raters)
    own = score - _mean(rater, score, raters)[rater]
    rest = others - _mean(rater, others, raters)[rater]
    both, one, two = (np.bincount(rater, weights=w, minlength=raters) for w in (own * rest, own**2, rest**2))
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.where((count > 3) & (one > 1e-9) & (two > 1e-9), both / np.sqrt(one * two), np.nan)
        z = np.arctanh(np.clip(r, -1 + 1e-9, 1 - 1e-9))
        half = stats.norm.ppf((1 + SURE) / 2) / np.sqrt(np.maximum(count - 3, 1))
    return r, np.tanh(z - half), np.tanh(z + half)


def longest_runs(
    rater: NDArray[np.int32],
    score: NDArray[np.int8],
    order: NDArray[np.int64],
    raters: int,
    shares: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Longest run of one score of each rater, and a bound on the chance of one as long.

    order: (n,) indices that sort the answers by rater and time. shares: (scores,) of all answers; in n answers a run of
    L scores s starts with a chance of at most (1 + (n - L)(1 - p_s)) p_s^L.
    """
    who, what = rater[order], score[order]
    starts = np.flatnonzero(np.r_[True, (who[1:] != who[:-1]) | (what[1:] != what[:-1])]) if len(who) else order
    lengths = np.diff(np.r_[starts, len(who)])
    longest = np.zeros(raters, dtype=np.int64)
    chance = np.full(raters, np.nan)
    np.maximum.at(longest, who[starts], lengths)
    p, n = shares[what[starts]], np.bincount(rater, minlength=raters)[who[starts]]
    bound = np.minimum(1.0, (1 + (n - lengths) * (1 - p)) * p**lengths)
    np.fmin.at(chance, who[starts], bound)
    return longest, chance


def medians(rater: NDArray[np.int32], values: NDArray[np.float64], raters: int) -> NDArray[np.float64]:
    """Median of each rater's values that are not NaN; NaN of none."""
    known = ~np.isnan(values)
    order = np.lexsort((values[known], rater[known]))
    who, sorted_values = rater[known][order], values[known][order]
    first, last = np.searchsorted(who, np.arange(raters)), np.searchsorted(who, np.arange(raters), side="right")
    found = np.full(raters, np.nan)
    some = last > first
    low, high = (first + last - 1) // 2, (first + last) // 2
    found[some] = (sorted_values[low[some]] + sorted_values[high[some]]) / 2
    return found


def _mean(rater: NDArray[np.integer], values: NDArray[np.float64], raters: int) -> NDArray[np.float64]:
    return divide(np.bincount(rater, weights=values, minlength=raters), np.bincount(rater, minlength=raters))
