"""What the text tower and the language model are taught to say: phrases made of WordNet's nouns and adjectives."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zgcore.mini.load import words
from zgcore.wordnet import read_index

if TYPE_CHECKING:
    from pathlib import Path

HELD_OUT_PHRASES = 2_000
HELD_OUT_NOUNS = 200
KNOWN, COMMON, EVERYDAY = 1.0, 2.8, 3.5  # Zipf frequency, log10 of the number in a thousand million words
NOUN_FRAMES = ("{a} {b}", "{a} and {b}", "{a} of {b}", "{a} on the {b}", "{a} in the {b}", "{a} with {b}")
SHARES = {"nouns": 0.3, "adjectives": 0.5, "frames": 0.2}


@dataclass(frozen=True)
class Lexicon:
    """nouns: WordNet's, up to three words, frequent enough to be met. common, adjectives: the frequent single words.

    vocabulary: the words labels are made of. only_adjectives: those of them that are no nouns. describing: those that
    are adjectives more often than nouns.
    """

    nouns: list[str]
    common: list[str]
    adjectives: list[str]
    vocabulary: list[str]
    only_adjectives: frozenset[str]
    describing: frozenset[str]


@dataclass(frozen=True)
class Phrases:
    """train: phrases to learn from. phrases: unseen phrases. nouns: single words in none of the phrases of `train`."""

    train: list[str]
    phrases: list[str]
    nouns: list[str]


def read_lexicon(wordnet: Path) -> Lexicon:
    """Nouns and adjectives of a WordNet 3.0 dictionary folder. WeightsError where it is not one."""
    senses = {part: _senses(wordnet, part) for part in ("noun", "adj")}
    nouns = [noun for noun in sorted(senses["noun"]) if len(noun) > 2 and frequency(noun) >= KNOWN]
    single = [noun for noun in nouns if noun.isalpha()]
    common = [noun for noun in single if frequency(noun) >= COMMON]
    adjectives = [word for word in sorted(senses["adj"]) if word.isalpha() and frequency(word) >= COMMON]
    vocabulary = words()
    only_adjectives = frozenset(word for word in vocabulary if word not in senses["noun"])
    describing = frozenset(word for word in vocabulary if senses["adj"].get(word, -1) > senses["noun"].get(word, -1))
    return Lexicon(nouns, common, adjectives, vocabulary, only_adjectives, describing)


def _senses(wordnet: Path, part: str) -> dict[str, int]:
    """Lemmas of up to three words of a part of speech, and how many of their senses WordNet's texts use."""
    plain = re.compile(r"[a-z]+([ -][a-z]+){0,2}")
    return {lemma: entry.tagged for lemma, entry in read_index(wordnet, part).items() if plain.fullmatch(lemma)}


def frequency(word: str) -> float:
    """Zipf frequency of a word or phrase in English; 0 where it is never met."""
    from wordfreq import zipf_frequency

    return float(zipf_frequency(word, "en"))


def make_phrases(lexicon: Lexicon, count: int, seed: int) -> Phrases:
    """Some `count` phrases to learn from beside the everyday words, and those held out.

    Held-out nouns are in no phrase; held-out phrases are nouns and adjective-noun pairs in equal parts.
    """
    rng = np.random.default_rng(seed)
    nouns = set(lexicon.nouns)
    candidates = [word for word in lexicon.vocabulary if word in nouns and frequency(word) < EVERYDAY]
    unseen = set(rng.choice(candidates, HELD_OUT_NOUNS, replace=False).tolist())
    pick = [word for word in dict.fromkeys([*lexicon.vocabulary, *lexicon.common]) if word not in unseen]
    adjectives = [word for word in lexicon.adjectives if word not in unseen]

    def draw(source: list[str], number: int) -> list[str]:
        return [source[i] for i in rng.integers(len(source), size=number)]

    whole = count + HELD_OUT_PHRASES
    singles = rng.permutation([noun for noun in lexicon.nouns if not unseen & set(noun.split())]).tolist()
    singles = singles[: round(SHARES["nouns"] * whole)]
    number = round(SHARES["adjectives"] * whole)
    described = [f"{a} {b}" for a, b in zip(draw(adjectives, number), draw(pick, number), strict=True) if a != b]
    number = round(SHARES["frames"] * whole)
    frames = draw(list(NOUN_FRAMES), number)
    framed = [
        frame.format(a=a, b=b) for frame, a, b in zip(frames, draw(pick, number), draw(pick, number), strict=True)
    ]
    half = HELD_OUT_PHRASES // 2
    held_out = [*singles[:half], *dict.fromkeys(described[:half])]
    train = dict.fromkeys([*pick, *singles[half:], *described[half:], *framed])
    for phrase in held_out:
        train.pop(phrase, None)
    return Phrases(list(train), held_out, sorted(unseen))
