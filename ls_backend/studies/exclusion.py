"""Which raters a study's rules leave out. The rules are in the manifest, fixed before the first answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ls_backend.studies.manifest import Rules
    from ls_backend.studies.raters import RaterStatistics


def excluded(statistics: RaterStatistics, rules: Rules) -> list[list[str]]:
    """For each rater the rules that were broken, in words; an empty list is a rater who stays."""
    broken: list[list[str]] = [[] for _ in statistics.answers]
    checks = (
        (statistics.gold_accuracy, statistics.gold, rules.min_gold_accuracy, -1,
         "known answers right {:.0%}, below {:.0%}"),
        (statistics.repeat_consistency, statistics.repeats, rules.min_repeat_consistency, -1,
         "repeated questions answered alike {:.0%}, below {:.0%}"),
        (statistics.seconds, statistics.timed, rules.min_seconds, -1, "median of {:.1f} s a question, below {:.1f} s"),
        (statistics.common, statistics.rated, rules.max_same_score, 1, "one score in {:.0%} of answers, above {:.0%}"),
    )  # fmt: skip
    for values, known, bound, side, words in checks:
        if bound <= 0:
            continue
        for rater in np.flatnonzero((known >= rules.min_checks) & (side * (values - bound) > 1e-9)):
            broken[rater].append(words.format(values[rater], bound))
    return broken


def kept_raters(broken: Sequence[Sequence[str]]) -> np.ndarray:
    """(r,) bool."""
    return np.array([not reasons for reasons in broken], dtype=np.bool_)
