"""Lexical reassignment: the class that a label says in words, by spelling and by WordNet's meanings.

Sentence embeddings put "grass" near "tree"; a dictionary does not. A label goes to the class that it
  exact     names, once case, articles, plurals and spelling are taken away (`vocabulary.normalise`);
  synonym   shares a meaning with ("sofa", "couch"), if that is a usual meaning of both (`Lexicon.shared`);
  hyponym   is a kind of ("poodle", dog), at most HYPONYM_DEPTH steps up, from the label's most usual meaning;
  hypernym  is a more general word for ("seat", chair), at most HYPERNYM_DEPTH steps: too general, but not wrong.
The first of these that holds for some class wins, and in it the class that is nearest: by strength of a synonym, by
steps otherwise, and of equals the first in the data set's order. A phrase that the dictionary lacks is a kind of its
head noun: "brown dog" is one step under "dog", and a "hot dog", which the dictionary has, is none. Adjectives alone are
no class.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from zgcore.evaluation.adjectives import adjectives_alone
from zgcore.evaluation.scored import Reassignment
from zgcore.vocabulary.lexicon import Lexicon
from zgcore.vocabulary.normalise import head_position, normalise
from zgcore.wordnet import WordNet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from zgcore.vocabulary.lexicon import Meaning

HYPONYM_DEPTH: Final = 7  # from a breed of dog to "animal"
HYPERNYM_DEPTH: Final = 2  # beyond, a word says hardly anything
HEAD_WORDS: Final = 8  # no name of a thing is longer; a long caption would have as many heads as words
STRENGTH: Final = 0.5  # of a shared meaning: neither word's third meaning, and hardly its second
RELATIONS: Final = ("exact", "synonym", "hyponym", "hypernym")  # best first

_TWO_IN_ONE: Final = {"tv monitor": ("tv", "monitor")}  # Pascal's class holds both


@dataclass(frozen=True)
class Match:
    """row: of the class, -1 for none. relation: of RELATIONS, "" without a match. steps: between their meanings."""

    row: int = -1
    relation: str = ""
    steps: int = 0


class LexicalMatcher:
    """Labels -> classes. classes: names of a data set; "wall;brick" and "wall, brick" are two names for one class."""

    def __init__(self, classes: Sequence[str], wordnet: WordNet) -> None:
        self._lexicon = Lexicon(wordnet)
        self._wordnet = wordnet
        self._entries = [[_Entry(name, self._lexicon) for name in _names(written)] for written in classes]
        self._found: dict[str, Match] = {}

    @classmethod
    def find(cls, classes: Sequence[str], folder: Path | None = None) -> LexicalMatcher | None:
        """With the WordNet of a folder, by default Debian's; None where that default is not installed."""
        wordnet = WordNet.find(folder)
        return None if wordnet is None else cls(classes, wordnet)

    def __call__(self, texts: Sequence[str]) -> Reassignment:
        """The class of each of n texts, and what the text is to it."""
        matches = [self.match(text) for text in texts]
        rows = np.array([match.row for match in matches], dtype=np.int32)
        return Reassignment(rows, (rows >= 0).astype(np.float32), tuple(match.relation for match in matches))

    def match(self, text: str) -> Match:
        """The class of one text."""
        if text not in self._found:
            self._found[text] = self._match(_Entry(text, self._lexicon))
        return self._found[text]

    def _match(self, label: _Entry) -> Match:
        if (match := self._exact(label)) is not None or not label.form:
            return match or Match()
        if adjectives_alone(label.form, self._wordnet):  # a "red" is a person too
            return Match()
        return self._synonym(label) or self._hyponym(label) or self._hypernym(label) or Match()

    def _exact(self, label: _Entry) -> Match | None:
        row = self._forms.get(label.form)
        return None if row is None else Match(row, "exact")

    def _synonym(self, label: _Entry) -> Match | None:
        best, strongest = None, 0.0
        for row, entry in self._each():
            shared = self._lexicon.shared(label.meanings, entry.meanings)
            if shared is not None and shared.strength >= STRENGTH and shared.strength > strongest:
                best, strongest = Match(row, "synonym"), shared.strength
        return best

    def _hyponym(self, label: _Entry) -> Match | None:
        above = self._above(label, HYPONYM_DEPTH)
        found = [(above[key], row) for row, entry in self._each() for key in entry.keys() if key in above]  # noqa: SIM118
        return self._nearest(found, "hyponym")

    def _hypernym(self, label: _Entry) -> Match | None:
        keys = set(label.keys())
        found = [(steps, row) for row, above in enumerate(self._over) for key, steps in above.items() if key in keys]
        return self._nearest(found, "hypernym")

    def _nearest(self, found: list[tuple[int, int]], relation: str) -> Match | None:
        steps, row = min(found, default=(0, -1))
        return None if row < 0 else Match(row, relation, steps)

    def _each(self) -> Iterator[tuple[int, _Entry]]:
        return ((row, entry) for row, entries in enumerate(self._entries) for entry in entries)

    @cached_property
    def _forms(self) -> dict[str, int]:
        """Normal form of each class name -> its row, the first of several."""
        forms: dict[str, int] = {}
        for row, entry in self._each():
            forms.setdefault(entry.form, row)
        return forms

    @cached_property
    def _over(self) -> list[dict[str, int]]:
        """What each class is a kind of -> steps; of several names the fewest."""
        over: list[dict[str, int]] = [{} for _ in self._entries]
        for row, entry in self._each():
            for key, steps in self._above(entry, HYPERNYM_DEPTH).items():
                over[row][key] = min(steps, over[row].get(key, steps))
        return over

    def _above(self, entry: _Entry, depth: int) -> dict[str, int]:
        """What an entry is a kind of -> steps: offsets of meanings, and phrases for those that have none."""
        found: dict[str, int] = {}
        for phrase, steps in entry.heads:
            found[phrase] = steps
            if (synset := _main(self._lexicon, self._lexicon.meanings(phrase))) is not None:
                return found | {synset: steps} | self._hypernyms(synset, steps, depth)
        return found if entry.synset is None else found | self._hypernyms(entry.synset, 0, depth)

    def _hypernyms(self, synset: str, steps: int, depth: int) -> dict[str, int]:
        found: dict[str, int] = {}
        level = [synset]
        while level and (steps := steps + 1) <= depth:
            level = [up for at in level for up in self._wordnet.synsets[at].hypernyms if up not in found]
            found.update(dict.fromkeys(level, steps))
        return found


class _Entry:
    """A label, or one name of a class. meanings: that can be seen, most usual first; of the whole phrase only.

    synset: the main one. heads: phrases that it is a kind of, where the dictionary lacks it, and steps to each.
    """

    def __init__(self, text: str, lexicon: Lexicon) -> None:
        normal = normalise(text)
        self.form = normal.form
        self.meanings: list[Meaning] = lexicon.meanings(normal.form, [normal.plain]) if normal.form else []
        self.synset = _main(lexicon, self.meanings)
        self.heads = () if self.meanings or not self.form else tuple(_heads(self.form.split()))

    def keys(self) -> tuple[str, ...]:
        """By what something else may be found to be a kind of it: its main meaning, and its form."""
        return (self.form,) if self.synset is None else (self.form, self.synset)


def _main(lexicon: Lexicon, meanings: list[Meaning]) -> str | None:
    """The most usual meaning, of one thing if there is such: a table is furniture before it is rows and columns."""
    single = (meaning.synset for meaning in meanings if lexicon.category(meaning) != "group")
    return next(single, meanings[0].synset if meanings else None)


def _heads(words: list[str]) -> Iterator[tuple[str, int]]:
    """ "red traffic light on a pole" -> ("red traffic light", 1), ("traffic light", 2), ("light", 3).

    Of the phrases that end like the head, those of HEAD_WORDS words at most.
    """
    end = head_position(words) + 1
    behind = int(end < len(words))
    if behind:
        yield " ".join(words[:end]), 1
    for start in range(max(1, end - HEAD_WORDS), end):
        yield " ".join(words[start:end]), start + behind


def _names(written: str) -> list[str]:
    """All names that a data set's list gives a class."""
    names = [part.strip() for part in written.replace(";", ",").split(",")]
    return [name for whole in names for name in (whole, *_TWO_IN_ONE.get(whole, ())) if name]
