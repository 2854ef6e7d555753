"""What a vocabulary is made of: labels, and the texts that mean them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from zgcore.vocabulary.normalise import normalise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Member:
    """One text as it was met, and why it belongs to its label.

    count: segments that carry it. why: the evidence, in words. confidence: 0..1, of the merge; 1 for the label's own
    word. centre: (d,) float32 unit vector, the mean of the segments that are meant, where one text has several
    meanings; None elsewhere.
    """

    text: str
    count: int = 1
    why: str = ""
    confidence: float = 1.0
    centre: NDArray[np.float32] | None = None

    @cached_property
    def form(self) -> str:
        """The text's normal form: texts of one form always belong together, unless their centres tell them apart."""
        return normalise(self.text).form


@dataclass(frozen=True)
class Label:
    """One canonical label.

    members: the texts that mean it, most frequent first. parents: more general names, nearest first; names of other
    labels where there are such. flags: what a person should look at (an outlier, an ambiguous word), in words.
    """

    name: str
    members: tuple[Member, ...]
    parents: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Segments that carry one of its texts."""
        return sum(member.count for member in self.members)
