"""What dictionaries know of a normal form: its meanings, whether a word describes, whether it is a word at all.

With WordNet (Debian's wordnet-base) all of it. Without, the word list of the preset `mini` says what a word is, the
built-in lists what describes, and there are no meanings: synonyms then rest on text embeddings alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from zgcore.vocabulary.word_lists import word_list

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zgcore.wordnet import WordNet

DESCRIBING: Final = word_list("describing") | word_list("material") | word_list("place")
ROOTS: Final = word_list("roots")


@dataclass(frozen=True)
class Meaning:
    """A dictionary meaning of a form. rank: 0 for the most frequent one that can be seen. uses: in WordNet's texts."""

    synset: str
    rank: int
    uses: int = 0


@dataclass(frozen=True)
class Shared:
    """A meaning that two forms share. strength: 0..1, how usual it is for both. words: to explain it."""

    strength: float
    words: str


class Lexicon:
    """A WordNet, or what is here without one. fallback_words: what counts as a word without it."""

    def __init__(self, wordnet: WordNet | None, fallback_words: Iterable[str] = ()) -> None:
        self.wordnet = wordnet
        self._fallback_words = frozenset(fallback_words)

    @cached_property
    def words(self) -> frozenset[str]:
        """Single words of the language."""
        known = self._fallback_words if self.wordnet is None else self.wordnet.words
        return known | DESCRIBING | word_list("determiners") | word_list("prepositions")

    def lemma(self, form: str, surfaces: Iterable[str] = ()) -> str | None:
        """The dictionary's word for a form: as it was written ("woods"), as it was normalised, or without its s."""
        return next(iter(self._lemmas(form, surfaces)), None)

    def meanings(self, form: str, surfaces: Iterable[str] = ()) -> list[Meaning]:
        """What a form can mean, of what can be seen, most usual first: "pants" what pants mean, then what a pant is."""
        found: dict[str, Meaning] = {}
        for lemma in self._lemmas(form, surfaces):
            assert self.wordnet is not None
            for synset in self.wordnet.senses(lemma):
                found.setdefault(synset, Meaning(synset, len(found), self.wordnet.uses(lemma, synset)))
        return list(found.values())

    def _lemmas(self, form: str, surfaces: Iterable[str]) -> list[str]:
        if self.wordnet is None:
            return []
        nouns = self.wordnet.nouns
        found = [word for word in dict.fromkeys([*surfaces, form]) if word in nouns]
        other = (form.removesuffix("s"), form.replace(" ", "-"), form.replace(" ", ""))
        return found or [word for word in other if word in nouns][:1]

    def category(self, meaning: Meaning) -> str:
        """The kind of thing: animal, object, food, ..."""
        assert self.wordnet is not None
        return self.wordnet.synsets[meaning.synset].category

    def shared(self, one: list[Meaning], other: list[Meaning]) -> Shared | None:
        """The most usual meaning that two forms have in common."""
        if self.wordnet is None:
            return None
        ranks = {meaning.synset: meaning.rank for meaning in other}
        found = [(self._strength(one, other, meaning, ranks[meaning.synset]), meaning) for meaning in one
                 if meaning.synset in ranks]  # fmt: skip
        if not found:
            return None
        strength, meaning = max(found, key=lambda pair: (pair[0], pair[1].synset))
        lemmas = ", ".join(self.wordnet.synsets[meaning.synset].lemmas[:4])
        return Shared(strength, f"WordNet: {lemmas}")

    def _strength(self, one: list[Meaning], other: list[Meaning], meaning: Meaning, rank: int) -> float:
        """1 where both mean it first; less for rarer meanings, and where a word's first meaning is of another kind."""
        strength = RANK_STRENGTH[min(meaning.rank, 3)] * RANK_STRENGTH[min(rank, 3)]
        kinds = {self.category(one[0]), self.category(other[0]), self.category(meaning)}
        return strength if len(kinds) == 1 else strength * OTHER_KIND

    def describes(self, word: str) -> bool:
        """True for a word that says how a thing looks rather than what it is."""
        return word in DESCRIBING or (self.wordnet is not None and self.wordnet.describes(word))

    def named(self, meaning: Meaning) -> str:
        """A word for what a meaning is a kind of, to tell two meanings of a word apart."""
        return next(iter(self.parents(meaning)), self.category(meaning))

    def parents(self, meaning: Meaning) -> list[str]:
        """More general words, nearest first, without those that say nothing."""
        if self.wordnet is None:
            return []
        above = (self.wordnet.synsets[offset].lemmas[0] for offset in self.wordnet.above(meaning.synset))
        return [word for word in above if word not in ROOTS]


RANK_STRENGTH: Final = (1.0, 0.8, 0.6, 0.45)
OTHER_KIND: Final = 0.7
