"""Which method's labels do raters prefer? Win rates of pairs of methods, with permutation tests and Holm's correction.

A question's value is the mean of its ratings. Where two methods were asked about on the same segments, or else on the
same images, questions are compared within these, each image counts once, and the test swaps the two methods image by
image. Where they share no image, every question of one is compared with every question of the other, and the test deals
the images out to the two methods anew. Both are permutation tests: exact where there are few images, sampled otherwise.
"""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from ls_backend.studies.intervals import ROUNDS, Interval, bootstrap_of, interval
from zgcore.evaluation.arrays import divide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PERMUTATIONS: Final = 10_000
EXACT: Final = 1 << 14  # with at most as many arrangements all are tried
SHARED: Final = 2  # images that two methods must share to be compared within them
_EPS: Final = 1e-9
_CHUNK: Final = 1 << 22

Pairing = Literal["segment", "image", "none"]


class Comparison(NamedTuple):
    """Method `one` against method `other`, numbers of methods.

    within: what questions were paired on. images: that say something. win_rate: chance that `one` gets the higher
    value, a tie counted half. difference: of the means, in score points. p: two-sided, that win rates differ from 1/2;
    p_holm: corrected for all pairs of methods. exact: all arrangements were tried.
    """

    one: int
    other: int
    within: Pairing
    images: int
    win_rate: float
    win_interval: Interval | None
    difference: float
    difference_interval: Interval | None
    p: float
    exact: bool
    p_holm: float = float("nan")


def compare_all(
    value: NDArray[np.float64],
    method: NDArray[np.int32],
    image: NDArray[np.int32],
    segment: NDArray[np.int32],
    seed: int,
    rounds: int = ROUNDS,
) -> list[Comparison]:
    """Every pair of methods. (q,) arrays, one entry a rated question; numbers below 0 are unknown.

    segment: number of the segment, the same for two methods only if they named one and the same segment. rounds: of the
    bootstrap.
    """
    methods = [int(m) for m in np.unique(method) if m >= 0]
    found = [
        compare(one, other, value, method, image, segment, seed, rounds) for one, other in combinations(methods, 2)
    ]
    corrected = holm([one.p for one in found])
    return [one._replace(p_holm=p) for one, p in zip(found, corrected, strict=True)]


def compare(
    one: int, other: int, value: NDArray[np.float64], method: NDArray[np.int32], image: NDArray[np.int32],
    segment: NDArray[np.int32], seed: int, rounds: int = ROUNDS,
) -> Comparison:  # fmt: skip
    """One pair of methods."""
    ours = (method == one) | (method == other)
    value, first, image, segment = value[ours], method[ours] == one, image[ours], segment[ours]
    levels, level = np.unique(np.round(value, 9), return_inverse=True)
    for within, unit in (("segment", segment), ("image", image)):
        paired = _in_both(unit, first) & (image >= 0)
        if len(np.unique(image[paired])) >= SHARED:
            tables = _tables(unit[paired], first[paired], level[paired], len(levels))
            _, at = np.unique(unit[paired], return_index=True)
            return _paired(one, other, within, tables, levels, image[paired][at], seed, rounds)  # type: ignore[arg-type]
    return _unpaired(one, other, value, first, level, levels, image, seed, rounds)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): the k-th smallest of n p-values times n - k + 1, never falling."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(np.asarray(p, dtype=np.float64)[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1.0)
    return [float(one) for one in corrected]


def sign_flip_p(values: NDArray[np.float64], seed: int = 0) -> tuple[float, bool]:
    """Two-sided p-value that (n,) values are as likely v as -v, by the size of their sum; and whether it is exact."""
    values = values[np.abs(values) > _EPS]
    bar = abs(values.sum()) - _EPS
    if 2 ** len(values) <= EXACT:
        signs = (np.arange(2 ** len(values))[:, None] >> np.arange(len(values))) & 1  # (arrangements, n)
        return float(np.mean(np.abs((2 * signs - 1) @ values) >= bar)), True
    rng = np.random.default_rng(seed)
    beyond, step = 0, max(1, _CHUNK // len(values))
    for start in range(0, PERMUTATIONS, step):
        signs = rng.integers(0, 2, size=(min(step, PERMUTATIONS - start), len(values)), dtype=np.int8)
        beyond += int(np.count_nonzero(np.abs((2 * signs - 1) @ values) >= bar))
    return (beyond + 1) / (PERMUTATIONS + 1), False


def win_share(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chance that a draw from `ours` is above one from `theirs`, ties half. (..., levels) counts, levels ascending."""
    below = np.cumsum(theirs, axis=-1) - theirs / 2
    return divide((ours * below).sum(axis=-1), ours.sum(axis=-1) * theirs.sum(axis=-1))


def _in_both(unit: NDArray[np.int32], first: NDArray[np.bool_]) -> NDArray[np.bool_]:
    both = np.intersect1d(unit[first], unit[~first])
    return np.isin(unit, both[both >= 0])


def _tables(unit: NDArray, first: NDArray[np.bool_], level: NDArray, levels: int) -> NDArray[np.float64]:
    """(units, 2, levels): how often each value occurs in each unit, for `one` and `other`."""
    _, row = np.unique(unit, return_inverse=True)
    rows = int(row.max()) + 1
    flat = np.bincount((row * 2 + ~first) * levels + level, minlength=rows * 2 * levels)
    return flat.reshape(rows, 2, levels).astype(np.float64)


def _paired(
    one: int, other: int, within: Pairing, tables: NDArray[np.float64], levels: NDArray[np.float64],
    image: NDArray[np.int32], seed: int, rounds: int,
) -> Comparison:  # fmt: skip
    _, row = np.unique(image, return_inverse=True)
    units = np.bincount(row)
    means = tables @ levels / tables.sum(axis=2)
    wins = np.bincount(row, weights=win_share(tables[:, 0], tables[:, 1])) / units
    gaps = np.bincount(row, weights=means[:, 0] - means[:, 1]) / units
    images = len(units)
    samples = bootstrap_of(images, rounds, seed).sums(np.stack([wins, gaps], axis=1)) / images
    p, exact = sign_flip_p(wins - 0.5, seed)
    return Comparison(
        one, other, within, images, float(wins.mean()), interval(samples[:, 0], images), float(gaps.mean()),
        interval(samples[:, 1], images), p, exact,
    )  # fmt: skip


def _unpaired(
    one: int, other: int, value: NDArray[np.float64], first: NDArray[np.bool_], level: NDArray, levels: NDArray,
    image: NDArray[np.int32], seed: int, rounds: int,
) -> Comparison:  # fmt: skip
    block = np.where(image >= 0, image.astype(np.int64) * 2 + first, -1 - np.arange(len(image)))  # a question by itself
    tables = _tables(block, first, level, len(levels))
    blocks = len(tables)
    sums = bootstrap_of(blocks, rounds, seed).sums(tables)  # (rounds, 2, levels)
    gaps = divide(sums @ levels, sums.sum(axis=2))
    p, exact = _deal_p(tables.sum(axis=1), tables[:, 0].sum(axis=1) > 0, seed)
    total = tables.sum(axis=0)
    return Comparison(
        one, other, "none", blocks, float(win_share(total[0], total[1])),
        interval(win_share(sums[:, 0], sums[:, 1]), blocks), float(value[first].mean() - value[~first].mean()),
        interval(gaps[:, 0] - gaps[:, 1], blocks), p, exact,
    )  # fmt: skip


def _deal_p(tables: NDArray[np.float64], first: NDArray[np.bool_], seed: int) -> tuple[float, bool]:
    """Two-sided p-value of the win rate when blocks are dealt out anew, as many to each method as it has."""
    blocks, ours = len(first), int(first.sum())
    total = tables.sum(axis=0)

    def far(dealt: NDArray[np.bool_]) -> NDArray[np.float64]:
        sums = dealt.astype(np.float64) @ tables
        return np.abs(win_share(sums, total - sums) - 0.5)

    bar = far(first[None])[0] - _EPS
    if comb(blocks, ours) <= EXACT:
        dealt = np.zeros((comb(blocks, ours), blocks), dtype=np.bool_)
        for row, chosen in enumerate(combinations(range(blocks), ours)):
            dealt[row, list(chosen)] = True
        return float(np.mean(far(dealt) >= bar)), True
    rng = np.random.default_rng(seed)
    beyond, step = 0, max(1, _CHUNK // blocks)
    for start in range(0, PERMUTATIONS, step):
        dealt = rng.permuted(np.tile(first, (min(step, PERMUTATIONS - start), 1)), axis=1)
        beyond += int(np.count_nonzero(far(dealt) >= bar))
    return (beyond + 1) / (PERMUTATIONS + 1), False
