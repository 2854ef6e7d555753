"""What labels are like as language, whatever they name: how many there are, how long, and how many say nothing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from zgcore.evaluation.adjectives import adjectives_alone
from zgcore.vocabulary.lexicon import Lexicon
from zgcore.vocabulary.normalise import normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Singular nouns that any picture, or any part of one, can be called by; they tell an annotator nothing.
GENERIC: Final = frozenset([
    "area", "background", "bit", "camera", "close up", "closeup", "color", "detail", "example", "foreground", "frame",
    "graphic", "illustration", "image", "item", "kind", "look", "object", "one", "part", "pattern", "photo",
    "photograph", "photography", "pic", "picture", "piece", "scene", "screenshot", "segment", "shape", "shot", "side",
    "something", "stuff", "subject", "surface", "texture", "thing", "thumbnail", "type", "view",
])  # fmt: skip
FREQUENT: Final = 30


class LabelStatistics:
    """Counts labels as they come. lexicon: tells adjectives; without WordNet the share of adjectives alone is None."""

    def __init__(self, lexicon: Lexicon | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._lexicon = lexicon or Lexicon(None)

    def add(self, texts: Iterable[str]) -> None:
        """Labels of one image's segments."""
        self.counts.update(texts)

    def document(self) -> dict[str, Any]:
        """segments; vocabulary: different labels as written; forms: different normal forms; words_per_label: their mean
        number over segments; adjectives_alone, generic: shares of segments whose label is nothing but adjectives, or a
        word of GENERIC with nothing but adjectives; used_once: share of the vocabulary; frequent: the most frequent.
        """
        segments = self.counts.total()
        once = sum(count == 1 for count in self.counts.values())
        return {
            "segments": segments,
            "vocabulary": len(self.counts),
            "forms": len({normalise(text).form for text in self.counts}),
            "words_per_label": _share(self._sum(lambda text: len(text.split())), segments),
            "adjectives_alone": None if self._lexicon.wordnet is None else _share(self._sum(self._describes), segments),
            "generic": _share(self._sum(self._generic), segments),
            "used_once": _share(once, len(self.counts)),
            "frequent": [
                {"label": text, "count": count}
                for text, count in sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:FREQUENT]
            ],
        }

    def _sum(self, value: Callable[[str], float]) -> float:
        """Over segments, of a value that each label has."""
        return sum(count * value(text) for text, count in self.counts.items())

    def _describes(self, text: str) -> bool:
        assert self._lexicon.wordnet is not None
        return adjectives_alone(normalise(text).form, self._lexicon.wordnet)

    def _generic(self, text: str) -> bool:
        form = normalise(text).form
        *before, last = form.split() or [""]
        return form in GENERIC or (last in GENERIC and all(self._lexicon.describes(word) for word in before))


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None
