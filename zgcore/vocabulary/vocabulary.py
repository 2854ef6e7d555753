"""The vocabulary itself: which label each text means."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zgcore.vocabulary.decisions import Decisions
from zgcore.vocabulary.errors import VocabularyError
from zgcore.vocabulary.normalise import normalise
from zgcore.vocabulary.override import lay_over

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from zgcore.vocabulary.labels import Label, Member

VERSION_DIGITS = 12
PASSES = 4  # decisions on what another decision renames or makes need a second one


@dataclass(frozen=True)
class Resolution:
    """What became of a text. name: its label, None where people dropped it. known: the vocabulary has the text.

    ambiguous: it means one of several labels and there was no embedding to tell by; the text then stands for itself.
    """

    name: str | None
    known: bool
    ambiguous: bool = False


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Labels with their texts, what was dropped, and the decisions that were laid over them.

    labels: most frequent first; no two of one name. made_by: what they were made with, for people.
    """

    labels: tuple[Label, ...]
    dropped: tuple[Label, ...] = ()
    decisions: Decisions = field(default_factory=Decisions)
    made_by: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for label in self.labels:
            if not label.name.strip():
                raise VocabularyError("a label has no name; give it one")
            if label.name in seen:
                raise VocabularyError(f'two labels are called "{label.name}"; merge them or rename one')
            seen.add(label.name)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read a vocabulary file; its decisions are laid over its labels.

        Raises VocabularyError, with file and line, where it is missing or is no vocabulary.
        """
        from zgcore.vocabulary.yaml_file import read_vocabulary

        return read_vocabulary(Path(path))

    def decided(self, decisions: Decisions) -> Vocabulary:
        """The same labels under other decisions, laid over them until nothing changes any more."""
        labels, dropped, version = self.labels, self.dropped, ""
        for _ in range(PASSES):
            after = lay_over(decisions, labels, dropped)
            labels, dropped, before = after.labels, after.dropped, version
            version = digest(labels, dropped)
            if version == before:
                break
        return Vocabulary(labels, dropped, decisions, self.made_by)

    def canonical(self, text: str, embedding: ArrayLike | None = None) -> str | None:
        """The label of a text; None where people dropped it. A text the vocabulary has never met is
        only tidied: no article, singular, lower-case.

        embedding: (d,) of the segment the text belongs to, from the model whose embeddings the vocabulary was built
        with; chooses among the meanings of an ambiguous word. Raises VocabularyError where d is another.
        """
        return self.resolve(text, embedding).name

    def resolve(self, text: str, embedding: ArrayLike | None = None) -> Resolution:
        """As `canonical`, and how sure that is. An exact text goes before one of the same normal form."""
        normal = normalise(text)
        itself = normal.readable or text
        found = self._by_text.get(text) or self._by_form.get(normal.form)
        if found:
            return self._choose(found, itself, embedding)
        if text in self._dropped or normal.form in self._dropped:
            return Resolution(None, known=True)
        return Resolution(itself, known=False)

    def texts(self, name: str) -> tuple[Member, ...]:
        """The texts that mean a label: the way back. Empty for a name that is none."""
        label = next((label for label in self.labels if label.name == name), None)
        return () if label is None else label.members

    @property
    def names(self) -> tuple[str, ...]:
        """The label set."""
        return tuple(label.name for label in self.labels)

    @cached_property
    def version(self) -> str:
        """12 hex digits of which text means which label: two vocabularies of one version do the same to every text."""
        return digest(self.labels, self.dropped)

    def _choose(self, found: Sequence[tuple[Label, Member]], itself: str, embedding: ArrayLike | None) -> Resolution:
        names = dict.fromkeys(label.name for label, _ in found)
        if len(names) == 1:
            return Resolution(found[0][0].name, known=True)
        centres = [(label, member.centre) for label, member in found if member.centre is not None]
        if embedding is None or not centres:
            return Resolution(itself, known=True, ambiguous=True)
        unit = unit_vector(embedding)
        if unit.shape != centres[0][1].shape:
            raise VocabularyError(
                f"the segment's embedding has {unit.size} numbers, the vocabulary's have {centres[0][1].size}: "
                "they come from different models; build the vocabulary again from results of this model"
            )
        label, _ = max(centres, key=lambda pair: float(pair[1] @ unit))
        return Resolution(label.name, known=True)

    @cached_property
    def _by_text(self) -> dict[str, list[tuple[Label, Member]]]:
        return _grouped((member.text, label, member) for label in self.labels for member in label.members)

    @cached_property
    def _by_form(self) -> dict[str, list[tuple[Label, Member]]]:
        by_form = _grouped((member.form, label, member) for label in self.labels for member in label.members)
        for label in self.labels:  # a label's own name means the label, used or not
            by_form.setdefault(normalise(label.name).form, [(label, member) for member in label.members[:1]])
        by_form.pop("", None)
        return by_form

    @cached_property
    def _dropped(self) -> frozenset[str]:
        members = [member for label in self.dropped for member in label.members]
        texts = {member.text for member in members} | {member.form for member in members}
        return frozenset(texts | {normalise(text).form for text in self.decisions.drop}) - {""}


def digest(labels: Iterable[Label], dropped: Iterable[Label]) -> str:
    """The version of a mapping: counts, evidence and order do not matter."""
    mapping = sorted(
        [label.name, member.text, "" if member.centre is None else packed(member.centre).hex()]
        for label in labels
        for member in label.members
    )
    gone = sorted(member.text for label in dropped for member in label.members)
    return hashlib.sha256(json.dumps([mapping, gone]).encode()).hexdigest()[:VERSION_DIGITS]


def packed(centre: NDArray[np.float32]) -> bytes:
    """A centre as the file keeps it: 16-bit numbers, little-endian."""
    return centre.astype("<f2").tobytes()


def unit_vector(embedding: ArrayLike) -> NDArray[np.float32]:
    """(d,) float32 of length 1; zeros stay zeros. VocabularyError for anything but d finite numbers."""
    vector = np.asarray(embedding, dtype=np.float32)
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise VocabularyError(f"an embedding is a row of finite numbers, not an array of shape {vector.shape}")
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def _grouped(rows: Iterable[tuple[str, Label, Member]]) -> dict[str, list[tuple[Label, Member]]]:
    groups: dict[str, list[tuple[Label, Member]]] = {}
    for key, label, member in rows:
        groups.setdefault(key, []).append((label, member))
    return groups
