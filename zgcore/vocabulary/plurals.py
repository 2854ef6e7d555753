"""One noun: plural -> singular. The rules are inflect's, kept from the words that only look like plurals."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from zgcore.vocabulary.word_lists import word_list

if TYPE_CHECKING:
    import inflect

UNCHANGED: Final = word_list("singular") | word_list("another_thing")
PLURAL: Final = word_list("plural")
_SINGULAR_END: Final = re.compile(r"(ss|us|is|ics|a)$")
_LETTERS: Final = re.compile(r"[a-z]{3,}")


def singular(word: str) -> str:
    """The singular of a lower-case English noun; the word itself where it is no plural or not plain a-z."""
    if word in UNCHANGED or not _LETTERS.fullmatch(word):
        return word
    if word in PLURAL:
        return word[:-1]
    if _SINGULAR_END.search(word):
        return word
    return _singular_noun(word)


@cache
def _singular_noun(word: str) -> str:
    found: Any = _engine().singular_noun(word)  # False where inflect takes it for a singular
    return str(found) if found else word


@cache
def _engine() -> inflect.engine:
    import inflect  # takes a third of a second

    return inflect.engine()
