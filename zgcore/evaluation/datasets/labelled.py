"""A data set on disk: a list of photos, and a reader that is asked for one truth at a time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from zgcore.errors import EvaluationError
from zgcore.evaluation.ground_truth import BACKGROUND, VOID, GroundTruth, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from zgcore.class_lists import ListedClass

_UNKNOWN: Final = -3
_IDS: Final = 65536


class TruthReader(Protocol):
    """What data sets differ in."""

    def __call__(self, sample: Sample) -> NDArray[np.int32]:
        """(H, W) int32: per pixel an index into the classes, VOID or BACKGROUND. EvaluationError if unreadable."""

    def file(self, sample: Sample) -> Path:
        """What is read."""

    def meaning(self, sample: Sample) -> bytes:
        """What else decides the result: which values of the file are which class."""


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """A DataSet (see `ground_truth`) that holds names and paths only, so that it can be sent to worker processes.

    classes: what one calls them, for prompts and sentence embeddings. official: the same as published, for tables.
    notes: how this copy differs from the published one, a sentence each. ids: of the categories as published, parallel
    to the classes; empty where there is no one numbering.
    """

    name: str
    classes: tuple[str, ...]
    official: tuple[str, ...]
    samples: tuple[Sample, ...]
    reader: TruthReader
    notes: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()

    def truth(self, sample: Sample) -> GroundTruth:
        """Read one image's truth. EvaluationError, naming file and cure, where it is missing or damaged."""
        return GroundTruth(self.reader(sample))

    def digest(self, sample: Sample) -> str:
        """12 hex digits of one image's truth as it lies on disk, and of what it means; "" where it cannot be read."""
        try:
            content = self.reader.file(sample).read_bytes()
        except OSError:
            return ""
        return hashlib.sha256(self.reader.meaning(sample) + content).hexdigest()[:12]


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class IdTable:
    """What ids in files mean. indices: (65536,) int32, an index into the classes, VOID, BACKGROUND, or -3 for neither.

    hint: what it says of the files if they hold an id that they should not, and the cure.
    """

    indices: NDArray[np.int32]
    hint: str

    @classmethod
    def of(
        cls, classes: Mapping[int, int], hint: str, *, void: Iterable[int] = (), background: Iterable[int] = ()
    ) -> IdTable:
        """classes: id -> index. void, background: ids."""
        indices = np.full(_IDS, _UNKNOWN, np.int32)
        for ids, value in ((void, VOID), (background, BACKGROUND)):
            indices[list(ids)] = value
        indices[list(classes)] = list(classes.values())
        return cls(indices, hint)

    @cached_property
    def fingerprint(self) -> bytes:
        """32 bytes, the same for ids of the same meaning."""
        return hashlib.sha256(self.indices.tobytes()).digest()

    def __call__(self, ids: NDArray[np.unsignedinteger], path: Path) -> NDArray[np.int32]:
        """(H, W) ids of 0..65535 -> (H, W) int32 index map. EvaluationError for an id that has no meaning here."""
        found = self.indices[ids]
        unknown = found == _UNKNOWN
        if unknown.any():
            raise EvaluationError(
                f"{path}: id {int(ids[unknown][0])} is none of the data set's ({int(unknown.sum()):,} pixels are of "
                f"such ids); {self.hint}"
            )
        return found


@dataclass(frozen=True, eq=False)
class IdFiles:
    """Truth in one file of ids an image: folder / (name + suffix)."""

    folder: Path
    suffix: str
    table: IdTable
    read: Callable[[Path], NDArray[np.unsignedinteger]]

    def file(self, sample: Sample) -> Path:
        return self.folder / f"{sample.name}{self.suffix}"

    def meaning(self, sample: Sample) -> bytes:
        return self.table.fingerprint

    def __call__(self, sample: Sample) -> NDArray[np.int32]:
        path = self.file(sample)
        return self.table(self.read(path), path)


def ids_of(classes: Iterable[ListedClass]) -> tuple[int, ...]:
    """Of a published list: the categories' ids."""
    return tuple(c.id for c in classes)


def names(classes: Iterable[ListedClass]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of a published list: what one calls the classes, and the official names."""
    listed = tuple(classes)
    return tuple(c.plain for c in listed), tuple(c.official for c in listed)
