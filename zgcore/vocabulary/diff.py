"""What a new version of a vocabulary changes, text by text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zgcore.vocabulary.vocabulary import Vocabulary


@dataclass(frozen=True)
class Change:
    """One text that means something else. before, after: its labels, several where it is ambiguous, none where it was
    dropped; None where the version does not have the text. count: segments, of the newer version that has it.
    """

    text: str
    count: int
    before: tuple[str, ...] | None
    after: tuple[str, ...] | None


@dataclass(frozen=True)
class Difference:
    """changes: the texts that mean something else, most frequent first. labels_added, labels_removed: names."""

    changes: tuple[Change, ...]
    labels_added: tuple[str, ...]
    labels_removed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.changes or self.labels_added or self.labels_removed)

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "labels_added": list(self.labels_added),
            "labels_removed": list(self.labels_removed),
            "changes": [vars(change) for change in self.changes],
        }


def difference(old: Vocabulary, new: Vocabulary) -> Difference:
    """What changes from one vocabulary to another."""
    before, after = _mapping(old), _mapping(new)
    counts = {**_counts(old), **_counts(new)}
    changes = [
        Change(text, counts[text], before.get(text), after.get(text))
        for text in before.keys() | after.keys()
        if before.get(text) != after.get(text)
    ]
    changes.sort(key=lambda change: (-change.count, change.text))
    added = tuple(name for name in new.names if name not in set(old.names))
    removed = tuple(name for name in old.names if name not in set(new.names))
    return Difference(tuple(changes), added, removed)


def _mapping(vocabulary: Vocabulary) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {member.text: [] for label in vocabulary.dropped for member in label.members}
    for label in vocabulary.labels:
        for member in label.members:
            found.setdefault(member.text, []).append(label.name)
    return {text: tuple(sorted(names)) for text, names in found.items()}


def _counts(vocabulary: Vocabulary) -> dict[str, int]:
    counts: dict[str, int] = {}
    for label in (*vocabulary.labels, *vocabulary.dropped):
        for member in label.members:
            counts[member.text] = counts.get(member.text, 0) + member.count
    return counts
