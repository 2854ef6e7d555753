"""Results as JSON: plain numbers, fractions and score points, never text where a number is meant."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ls_backend.studies.distribution import PAPER, SCORES, SPARSE, Distribution, Share
from ls_backend.studies.intervals import LEVEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ls_backend.studies.aggregation import Aggregated
    from ls_backend.studies.agreement import Alpha
    from ls_backend.studies.comparison import Comparison
    from ls_backend.studies.intervals import Bootstrap, Interval
    from ls_backend.studies.raters import RaterStatistics
    from ls_backend.studies.results import Results

DIGITS: Final = 6
PAPER_STUDY: Final = {
    "source": "Rewatbowornwong et al., Zero-guidance Segmentation Using Zero Segment Labels, ICCV 2023",
    "questions": 23076,
    "raters": 429,
    "distribution": {str(score): share for score, share in enumerate(PAPER)},
}


def number(value: float | None) -> float | None:
    """Rounded, so that files do not differ by the last bit; None for what is no number."""
    return None if value is None or not math.isfinite(value) else round(float(value), DIGITS)


def bounds(found: Interval | None) -> list[float | None] | None:
    return None if found is None else [number(found.low), number(found.high)]


def distribution_figures(found: Distribution | None) -> dict[str, Any]:
    """distribution: shares of scores 0 to 3. at_least: shares of that score or more. batches: each by itself."""
    if found is None:
        empty, more = ({str(score): None for score in range(first, SCORES)} for first in (0, 1))
        return {
            "answers": 0,
            "questions": 0,
            "clusters": 0,
            "distribution": empty,
            "distribution_interval": empty,
            "at_least": more,
            "at_least_interval": more,
            "mean": None,
            "mean_interval": None,
            "batches": [],
        }
    return {
        "answers": found.answers,
        "questions": found.questions,
        "clusters": found.clusters,
        **_shares("distribution", found.shares, 0),
        **_shares("at_least", found.at_least, 1),
        "mean": number(found.mean),
        "mean_interval": bounds(found.mean_interval),
        "batches": [
            {"answers": int(size), "distribution": {str(k): number(share) for k, share in enumerate(row)}}
            for row, size in zip(found.batches, found.sizes, strict=True)
        ],
    }


def result_figures(found: Results, methods: Sequence[str]) -> dict[str, Any]:
    """methods: names by their number in comparisons."""
    return {
        "raters": int(found.raters.sum()),
        **distribution_figures(found.overall),
        "pooled": {str(score): number(share) for score, share in enumerate(found.pooled)},
        "answers_in_no_batch": found.beyond,
        **alpha_figures("alpha_ordinal", found.ordinal),
        **alpha_figures("alpha_nominal", found.nominal),
        "methods": {
            name: {**distribution_figures(one), **alpha_figures("alpha_ordinal", found.method_alpha[name])}
            for name, one in found.methods.items()
        },
        **{
            f"by_{fact}": {name: distribution_figures(one) for name, one in groups.items()}
            for fact, groups in found.groups.items()
        },
        "comparisons": [comparison_figures(one, methods) for one in found.comparisons],
        "aggregated": aggregated_figures(found.aggregated),
    }


def alpha_figures(name: str, found: Alpha) -> dict[str, Any]:
    """The value under the name alone, the rest beside it; a reason only where there is no value."""
    reason = {f"{name}_reason": found.reason} if found.reason else {}
    return {name: number(found.value), f"{name}_interval": bounds(found.interval), **reason}


def comparison_figures(one: Comparison, methods: Sequence[str]) -> dict[str, Any]:
    return {
        "method": methods[one.one],
        "other": methods[one.other],
        "paired_by": one.within,
        "images": one.images,
        "win_rate": number(one.win_rate),
        "win_rate_interval": bounds(one.win_interval),
        "difference": number(one.difference),
        "difference_interval": bounds(one.difference_interval),
        "p": number(one.p),
        "p_holm": number(one.p_holm),
        "exact": one.exact,
    }


def aggregated_figures(found: Aggregated) -> dict[str, Any]:
    """Questions by their one score: mean rounded, majority with ties divided, Dawid and Skene's expected shares."""
    if not len(found.question):
        return {"questions": 0}
    rounded, likely = found.rounded_mean(), found.posterior.argmax(axis=1)
    clear = ~found.ties
    return {
        "questions": len(found.question),
        "ties": int(found.ties.sum()),
        "mean": _by_score(np.bincount(rounded, minlength=SCORES) / len(rounded)),
        "majority": _by_score(found.majority.mean(axis=0)),
        "dawid_skene": _by_score(found.posterior.mean(axis=0)),
        "dawid_skene_agrees_with_majority": number(
            float(np.mean(likely[clear] == found.majority[clear].argmax(axis=1))) if clear.any() else None
        ),
    }


def rater_figures(
    found: RaterStatistics, numbers: Sequence[int], remarks: Sequence[Sequence[str]], broken: Sequence[Sequence[str]]
) -> list[dict[str, Any]]:
    """One entry a rater, in the order of their numbers."""
    counts = ("answers", "rated", "compared", "gold", "repeats", "timed", "longest_run")
    values = ("bias", "agreement", "gold_accuracy", "repeat_consistency", "seconds", "common", "run_chance")
    return [
        {
            "rater": numbers[rater],
            **{name: int(getattr(found, name)[rater]) for name in counts},
            **{name: number(getattr(found, name)[rater]) for name in values},
            "bias_interval": _pair(found.bias_low[rater], found.bias_high[rater]),
            "agreement_interval": _pair(found.agreement_low[rater], found.agreement_high[rater]),
            "remarks": list(remarks[rater]),
            "excluded": bool(broken[rater]),
            "reasons": list(broken[rater]),
        }
        for rater in sorted(range(len(numbers)), key=lambda rater: numbers[rater])
    ]


def method_notes(bootstrap: Bootstrap) -> dict[str, Any]:
    """What the figures were computed with."""
    return {"level": LEVEL, "rounds": bootstrap.rounds, "seed": bootstrap.seed}


def averaging_notes() -> dict[str, Any]:
    """Which batches of raters are averaged: those with at least this share of the answers that the largest one has."""
    return {"least_share_of_largest_batch": SPARSE}


def _pair(low: float, high: float) -> list[float | None] | None:
    return None if not math.isfinite(low) else [number(low), number(high)]


def _shares(name: str, shares: Sequence[Share], first: int) -> dict[str, Any]:
    return {
        name: {str(score): number(share.value) for score, share in enumerate(shares, first)},
        f"{name}_interval": {str(score): bounds(share.interval) for score, share in enumerate(shares, first)},
    }


def _by_score(shares: Any) -> dict[str, float | None]:
    return {str(score): number(share) for score, share in enumerate(shares)}
