"""The distribution of scores by a fact of the questions: method, size of the segment, kind of label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ls_backend.studies.distribution import Distribution, distribution

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ls_backend.studies.intervals import Bootstrap
    from ls_backend.studies.ratings import Ratings


def of_all(
    ratings: Ratings, kept: NDArray[np.bool_], turn: NDArray[np.int32], bootstrap: Bootstrap
) -> Distribution | None:
    """The distribution of the kept answers. kept: (n,) bool. turn: (n,) the batch of raters each belongs to."""
    question = ratings.question[kept]
    return distribution(ratings.cluster[question], question, turn[kept], ratings.score[kept], bootstrap)


def by_group(
    ratings: Ratings, kept: NDArray[np.bool_], turn: NDArray[np.int32], fact: str, bootstrap: Bootstrap
) -> dict[str, Distribution]:
    """The distribution within each value of a fact ("method", "size", ...); empty where it is known of no question."""
    names, number = ratings.numbers(fact)
    found = {
        name: of_all(ratings, kept & (number == at)[ratings.question], turn, bootstrap) for at, name in enumerate(names)
    }
    return {name: one for name, one in found.items() if one is not None}
