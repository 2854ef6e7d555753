"""One image, ready for every metric: overlap with the truth, texts, and the class each segment is reassigned to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from zgcore.evaluation.overlap import Overlap

TT: Final = "tt"  # text to text: the label's nearest class name in sentence-embedding space
ST: Final = "st"  # segment to text: the embedding's nearest class name in CLIP's space
LEXICAL: Final = "lexical"  # the class name the label says, by WordNet
KINDS: Final = (TT, ST, LEXICAL)

# Of a cosine. Two equal texts, encoded in float32, come out up to 5e-7 off 1; thresholds must not turn on that.
SIMILARITY_DECIMALS: Final = 5


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class Reassignment:
    """The best class of each segment, before any threshold: a threshold only drops segments, it never changes a class.

    classes: (n,) int32, index into the data set's classes, -1 where there is none.
    similarity: (n,) float32 cosine, `rounded`; of lexical matches 1, and 0 without a match.
    relations: of lexical matches, what the label is to the class: see `lexical`; "" without a match.
    """

    classes: NDArray[np.int32]
    similarity: NDArray[np.float32]
    relations: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class ScoredImage:
    """name: of the sample. height, width: of the truth, in pixels. areas: (n,) int64 pixels of each segment.

    reassigned: by TT, ST or LEXICAL; a kind that could not be had (no embeddings) is absent.
    boundary: (matched predicted, predicted, matched true, true) boundary pixels; see `boundary`.
    named: for text generation quality, of the m true masks: their class, and the sentence cosine of its name and the
    label they were given; None where they were not labelled.
    """

    name: str
    height: int
    width: int
    overlap: Overlap
    texts: tuple[str, ...]
    scores: NDArray[np.float32]
    areas: NDArray[np.int64]
    reassigned: Mapping[str, Reassignment]
    boundary: tuple[int, int, int, int]
    seconds: Mapping[str, float] = field(default_factory=dict)
    named: Reassignment | None = None


def rounded(cosines: ArrayLike) -> NDArray[np.float32]:
    """Cosines to SIMILARITY_DECIMALS: what equals a threshold as written reaches it, and no cosine is above 1."""
    return np.round(np.asarray(cosines, np.float64), SIMILARITY_DECIMALS).astype(np.float32)
