"""Every figure about the answers of some raters: all of them, or those whom the rules keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ls_backend.studies.aggregation import Aggregated, aggregate
from ls_backend.studies.agreement import Alpha, krippendorff_alpha, score_table
from ls_backend.studies.by_group import by_group, of_all
from ls_backend.studies.comparison import Comparison, compare_all
from ls_backend.studies.distribution import SCORES, Distribution, whole_batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ls_backend.studies.intervals import Bootstrap
    from ls_backend.studies.ratings import Ratings

GROUPS: Final = ("size", "label_kind")


@dataclass(frozen=True, eq=False)
class Results:
    """raters: (r,) bool, whose answers these are. turn: (n,) batch of raters of each answer, -1 for those in no batch.

    overall: None where there is no answer. pooled: (4,) shares of all answers, whatever their batch. beyond: answers in
    no batch, or in one too sparse for the average. methods, groups: distributions by method, and by each of `GROUPS`.
    ordinal, nominal: alpha of all answers; method_alpha: the ordinal one by method.
    """

    raters: NDArray[np.bool_]
    turn: NDArray[np.int32]
    overall: Distribution | None
    pooled: NDArray[np.float64]
    beyond: int
    ordinal: Alpha
    nominal: Alpha
    methods: dict[str, Distribution]
    method_alpha: dict[str, Alpha]
    groups: dict[str, dict[str, Distribution]]
    comparisons: list[Comparison]
    aggregated: Aggregated


def results_of(ratings: Ratings, raters: NDArray[np.bool_], turn: NDArray[np.int32], bootstrap: Bootstrap) -> Results:
    """Figures of the rated answers of some raters. turn: as `batches_of` gives it."""
    kept = ratings.rated & raters[ratings.rater]
    in_batch = kept & (turn >= 0)
    question, score = ratings.question[kept], ratings.score[kept]
    table = score_table(question, score, len(ratings.questions), SCORES)
    methods, method = ratings.numbers("method")
    aggregated = aggregate(ratings.rater[kept], question, table, score)
    overall = of_all(ratings, in_batch, turn, bootstrap)
    return Results(
        raters=raters,
        turn=turn,
        overall=overall,
        pooled=table.sum(axis=0) / max(1, len(score)),
        beyond=len(score) - (overall.answers if overall else 0),
        ordinal=krippendorff_alpha(table, ratings.cluster, "ordinal", bootstrap),
        nominal=krippendorff_alpha(table, ratings.cluster, "nominal", bootstrap),
        methods=by_group(ratings, in_batch, turn, "method", bootstrap),
        method_alpha={
            name: krippendorff_alpha(table * (method == at)[:, None], ratings.cluster, "ordinal", bootstrap)
            for at, name in enumerate(methods)
        },
        groups={fact: by_group(ratings, in_batch, turn, fact, bootstrap) for fact in GROUPS},
        comparisons=_compare(ratings, aggregated, method, bootstrap),
        aggregated=aggregated,
    )


def batches_of(ratings: Ratings, quota: int | None) -> NDArray[np.int32]:
    """(n,) which batch of raters each rated answer belongs to: the first to its question, the second ...; -1 for none.

    quota: raters a question. Later answers than that, and sparse batches (see `whole_batches`), count in no average of
    batches: a few answers more would weigh as much as a whole batch.
    """
    turn = ratings.round(ratings.rated)
    whole = whole_batches(np.bincount(turn[turn >= 0]))  # the first ones, since a third answer comes after a second
    last = int(np.count_nonzero(whole)) if quota is None else min(quota, int(np.count_nonzero(whole)))
    return np.where(turn < last, turn, -1)


def _compare(ratings: Ratings, found: Aggregated, method: NDArray[np.int32], bootstrap: Bootstrap) -> list[Comparison]:
    asked = found.question
    mask = ratings.numbers("mask")[1]
    return compare_all(found.mean, method[asked], ratings.image[asked], mask[asked], bootstrap.seed, bootstrap.rounds)
