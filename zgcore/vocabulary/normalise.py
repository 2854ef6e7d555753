"""Text -> normal form: what is left once case, articles, plurals, hyphens and spelling variants are taken away.

Needs no data beside this package, so that a vocabulary says the same on every machine.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from zgcore.vocabulary.plurals import singular
from zgcore.vocabulary.word_lists import american, word_list

DETERMINERS: Final = word_list("determiners")
PREPOSITIONS: Final = word_list("prepositions")
QUANTITY: Final = re.compile(
    r"(?:pair|couple|group|bunch|lot|lots|number|row|set|piece|slice|crowd|herd|flock"
    r"|image|picture|photo|photograph|view|close ?up)s? of (?=\w)"
)  # "a slice of pizza" is pizza to a mask, as "a photo of a dog" is a dog
_JOINTS: Final = re.compile(r"[\s_\-\u2010-\u2015/+]+")
_POSSESSIVE: Final = re.compile(r"['\u2019\u02bc](s\b|(?=\s|$))")
_NUMBER: Final = re.compile(r"(?<=[^\W\d]) ?\d+$|^\d+ (?=[^\W\d])")
_OTHER: Final = re.compile(r"[^\w\s]+")


@dataclass(frozen=True)
class NormalForm:
    """form: the key that texts of one meaning and different spelling share. steps: what was changed to get there.

    plain: the form before spelling and plural were touched, for dictionaries ("glasses" is in them, and so is "woods").
    readable: the form in the spelling of the text, for people.
    steps are among "case", "joints" (hyphens, underscores, spaces), "punctuation", "determiner", "quantity", "number"
    (a counter behind the name), "spelling" and "plural".
    """

    form: str
    steps: tuple[str, ...]
    plain: str = ""
    readable: str = ""


@lru_cache(maxsize=100_000)
def normalise(text: str) -> NormalForm:
    """The normal form of any text; empty only for a text without letters and digits.

    Only the head noun is made singular: the last word, or the one in front of the first preposition.
    """
    steps: list[str] = []

    def step(name: str, before: str, after: str) -> str:
        if after and after != before:
            steps.append(name)
            return after
        return before

    composed = unicodedata.normalize("NFKC", text)
    form = step("case", composed, composed.casefold())
    form = step("joints", form, _JOINTS.sub(" ", form).strip())
    bare = _OTHER.sub(" ", _POSSESSIVE.sub("", form))
    form = " ".join(step("punctuation", form, " ".join(bare.split())).split())
    if not any(char.isalnum() for char in form):
        return NormalForm("", tuple(steps))
    form = step("determiner", form, _without_determiners(form))
    if QUANTITY.match(form):
        form = step("quantity", form, _without_determiners(QUANTITY.sub("", form, count=1)))
    form = step("number", form, _NUMBER.sub("", form))
    plain = form
    form = step("spelling", form, _american(form))
    form = step("plural", form, _american(_singular_head(form)))
    return NormalForm(form, tuple(steps), plain, _singular_head(plain))


def head_position(words: list[str]) -> int:
    """Where the head noun of a phrase stands: "slice" in "slice of bread", "table" in "kitchen table"."""
    behind = next((at for at, word in enumerate(words) if word in PREPOSITIONS and at > 0), len(words))
    return behind - 1


def _without_determiners(form: str) -> str:
    words = form.split()
    while len(words) > 1 and words[0] in DETERMINERS:
        words = words[1:]
    return " ".join(words)


def _american(form: str) -> str:
    return " ".join(american(word) for word in form.split())


def _singular_head(form: str) -> str:
    words = form.split()
    at = head_position(words)
    words[at] = singular(words[at])
    return " ".join(words)
