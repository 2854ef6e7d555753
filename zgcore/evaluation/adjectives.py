"""Labels that say how something looks, and not what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from zgcore.vocabulary.word_lists import word_list

if TYPE_CHECKING:
    from zgcore.wordnet import WordNet

# What WordNet has more often as a noun: colours, mostly. Materials are nouns here: a stone is a thing to see.
_DESCRIBING: Final = word_list("describing")


def adjectives_alone(form: str, wordnet: WordNet) -> bool:
    """Whether every word of a normal form (`vocabulary.normalise`) is an adjective or a participle."""
    words = form.split()
    return bool(words) and all(word in _DESCRIBING or wordnet.describes(word) for word in words)
