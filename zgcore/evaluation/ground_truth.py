"""What predictions are scored against: images with a class for every pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

VOID: Final = -1  # nobody knows what it is: never counts
BACKGROUND: Final = -2  # none of the classes, in data sets that label only part of the image


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class GroundTruth:
    """One image's truth. index_map: (H, W) int32, per pixel an index into the classes, VOID or BACKGROUND."""

    index_map: NDArray[np.int32]

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes that are present, ascending."""
        import numpy as np

        return tuple(int(k) for k in np.unique(self.index_map) if k >= 0)


@dataclass(frozen=True)
class Sample:
    """One image of a data set. name: unique in it, and the same on every machine. image: the photo's file."""

    name: str
    image: Path


class DataSet(Protocol):
    """Images and their truth.

    name: as on the command line ("pc59"). classes: what one calls them ("dining table"), for sentence embeddings,
    prompts and dictionaries; without background and void. official: the same as published ("diningtable"), for tables.
    notes: how this copy differs from the published one, a sentence each; reports show them. ids: of the categories as
    published, parallel to classes; empty where there is no one numbering.
    """

    @property
    def name(self) -> str: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def official(self) -> tuple[str, ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def ids(self) -> tuple[int, ...]: ...
    @property
    def samples(self) -> Sequence[Sample]:
        """In an order that is the same on every machine."""

    def truth(self, sample: Sample) -> GroundTruth:
        """Read one image's truth. EvaluationError, naming file and cure, where it is missing or damaged."""

    def digest(self, sample: Sample) -> str:
        """12 hex digits of one image's truth as it lies on disk; "" where it cannot be read."""
