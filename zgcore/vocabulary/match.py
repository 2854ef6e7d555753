"""A vocabulary against a given label list (VOC's, COCO's, ADE's, your own): which of its names each label is.

Dictionary and spelling go first, and are sure; after them the likeness of the texts, and of the label's segments with
the listed name, each with a threshold. What reaches neither stays unmatched, with the nearest name as a hint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from zgcore.class_lists import class_list
from zgcore.vocabulary.errors import VocabularyError
from zgcore.vocabulary.normalise import head_position, normalise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from zgcore.vocabulary.embedding import TextVectors
    from zgcore.vocabulary.labels import Label
    from zgcore.vocabulary.lexicon import Lexicon
    from zgcore.vocabulary.uses import Looks

LISTS: Final = ("voc", "coco", "ade")


@dataclass(frozen=True)
class MatchConfig:
    """text: cosine of two names from which they are taken for one. segment: cosine of the label's mean segment and the
    listed name's text. least: segments for that to count. strength: of a shared dictionary meaning.
    """

    text: float = 0.72
    segment: float = 0.5
    least: int = 3
    strength: float = 0.5


@dataclass(frozen=True)
class Match:
    """label: of the vocabulary. target: the listed name, None where none is near enough. how: "name", "member",
    "dictionary", "kind of", "text", "segment" or "". score: 0..1. nearest: the best guess where there is no match.
    """

    label: str
    count: int
    target: str | None
    how: str
    score: float
    nearest: str = ""

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {**vars(self), "score": round(self.score, 3)}


class Matcher:
    """Finds the listed name of labels. names: the list; VocabularyError where it is empty or two are the same word."""

    def __init__(
        self,
        names: Sequence[str],
        lexicon: Lexicon,
        vectors: TextVectors | None,
        config: MatchConfig | None = None,
    ) -> None:
        self.names = list(dict.fromkeys(names))
        self.forms = {normalise(name).form: name for name in self.names}
        if not self.names or len(self.forms) < len(self.names):
            raise VocabularyError("a label list holds names, and each thing once")
        self.lexicon, self.vectors, self.config = lexicon, vectors, config or MatchConfig()
        self.meanings = {name: lexicon.meanings(form, [normalise(name).plain]) for form, name in self.forms.items()}
        self._texts = None if vectors is None else vectors(self.names)  # (n, d)

    def match(self, labels: Sequence[Label], looks: Looks | None = None) -> list[Match]:
        """One match a label, in their order."""
        texts = None if self.vectors is None else self.vectors([label.name for label in labels])
        return [self._one(label, None if texts is None else texts[at], looks) for at, label in enumerate(labels)]

    def _one(self, label: Label, text: NDArray[np.float32] | None, looks: Looks | None) -> Match:
        normal = normalise(label.name)
        if normal.form in self.forms:
            return Match(label.name, label.count, self.forms[normal.form], "name", 1.0)
        member = next((member for member in label.members if member.form in self.forms), None)
        if member is not None:
            return Match(label.name, label.count, self.forms[member.form], "member", member.confidence)
        found = self._dictionary(label)
        nearest = found
        for how, scores, least in self._likenesses(label, text, looks):
            best = int(np.argmax(scores))
            candidate = (self.names[best], how, float(scores[best]))
            if found is None and candidate[2] >= least:
                found = candidate
            nearest = nearest or candidate
        if found is not None:
            return Match(label.name, label.count, found[0], found[1], found[2])
        return Match(label.name, label.count, None, "", nearest[2] if nearest else 0.0, nearest[0] if nearest else "")

    def _dictionary(self, label: Label) -> tuple[str, str, float] | None:
        """The listed name with the same meaning, or else the nearest one that the label is a kind of."""
        normal = normalise(label.name)
        mine = self.lexicon.meanings(normal.form, [normal.plain])
        shared = [(found.strength, name) for name, theirs in self.meanings.items()
                  if (found := self.lexicon.shared(mine, theirs)) is not None]  # fmt: skip
        if shared and max(shared)[0] >= self.config.strength:
            return max(shared)[1], "dictionary", max(shared)[0]
        if mine and self.lexicon.wordnet is not None:
            first = {meanings[0].synset: name for name, meanings in self.meanings.items() if meanings}
            for steps, offset in enumerate(self.lexicon.wordnet.above(mine[0].synset), start=1):
                if offset in first:
                    return first[offset], "kind of", 1.0 / (1 + 0.1 * steps)
        words = normal.form.split()
        head = " ".join(words[head_position(words) : head_position(words) + 1])
        return (self.forms[head], "kind of", 0.9) if not mine and head in self.forms else None

    def _likenesses(
        self, label: Label, text: NDArray[np.float32] | None, looks: Looks | None
    ) -> list[tuple[str, NDArray[np.float32], float]]:
        if self._texts is None or text is None:
            return []
        found = [("text", self._texts @ text, self.config.text)]
        if looks is not None and looks.width == self._texts.shape[1]:
            seen = [look for form in dict.fromkeys(member.form for member in label.members)
                    if (look := looks.of(form, self.config.least)) is not None]  # fmt: skip
            if seen:
                found.append(("segment", self._texts @ np.mean(seen, axis=0), self.config.segment))
        return found


def label_list(name: str) -> list[str]:
    """The names of a well-known label set: one of LISTS."""
    return [listed.plain for listed in class_list(name)]


def unmatched(names: Sequence[str], matches: Sequence[Match]) -> list[str]:
    """The listed names that no label is."""
    used = {match.target for match in matches}
    return [name for name in names if name not in used]
