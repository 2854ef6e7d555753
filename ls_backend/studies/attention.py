"""Signs that a rater does not look: answers that come too fast, and known ones that are missed.

The limits are the study's rules, fixed before collection. A rater is told while something can still be done about it.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ls_backend.studies.manifest import Question, Rules

RECENT: Final = 8  # answers whose median time is looked at


def too_fast(seconds: Sequence[float], rules: Rules) -> bool:
    """Whether the median of the last answers' seconds is below the rule's; never of fewer than `RECENT`."""
    return len(seconds) >= RECENT and median(seconds) < rules.min_seconds


def checks(answers: Mapping[str, int], questions: Sequence[Question]) -> tuple[int, int]:
    """Gold questions answered, and of these right. answers: scores by id."""
    gold = [question for question in questions if question.kind == "gold" and question.id in answers]
    return len(gold), sum(answers[question.id] in question.expected for question in gold)


def missed(asked: int, right: int, rules: Rules) -> bool:
    """Whether too few known answers were found, of enough to tell.

    To be said of batches that were handed in only: while answers can be changed, it would tell which ones are known.
    """
    return asked >= max(rules.min_checks, 1) and right / asked < rules.min_gold_accuracy
