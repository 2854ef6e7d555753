"""What becomes of labels that describe people by origin, looks or status.

Free text from a language model may do that, and nobody asked for it: the paper names "Asian woman" and "homeless" as
examples. Words and their kinds stand in `data/people.toml`; the rules are these, for a description (a word of a kind,
with the adjectives behind it) by what comes next:

                     a word for people   nothing, or "in", "sitting"   a thing on the list   another word
  origin             replaced            replaced                      kept                  flagged
  status             replaced            replaced                      flagged               flagged
  looks              replaced            replaced                      kept                  flagged
  beside people only replaced            kept                          kept                  kept

Replaced: the description goes, and "woman", "guy" or nothing becomes "person"; words that say what somebody does stay
("Asian chef" is a chef). Flagged: the words stay and somebody should look.
"""

from __future__ import annotations

import re
import threading
import tomllib
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

PeopleMode = Literal["neutral", "flag", "keep"]
MODES: Final[tuple[PeopleMode, ...]] = ("neutral", "flag", "keep")
Kind = Literal["origin", "status", "looks", "beside_people_only"]

_WORD: Final = re.compile(r"(?<!\w['\u2019`])[^\W_]+")  # not the "s" of "woman's"
_ARTICLE: Final = re.compile(r"\b(a)n?(\s+)$", re.IGNORECASE)
_VOWELS: Final = "aeiou"
_KINDS: Final[tuple[Kind, ...]] = ("origin", "status", "looks", "beside_people_only")
_LONGEST: Final = 4  # words of an entry
_NOUNS_BETWEEN: Final = 2  # "Chinese opera singer", "homeless night shelter worker"


@dataclass(frozen=True)
class PeopleLabel:
    """A label after the policy. replaced: words went. flagged: words stand that somebody should look at."""

    text: str
    replaced: bool
    flagged: bool


class PeoplePolicy:
    """What is done with labels that describe people; counts what it did.

    mode: "neutral" puts a neutral noun in place of the description and flags doubtful labels, "flag" flags both and
    changes nothing, "keep" does nothing. What was replaced is kept nowhere.
    """

    def __init__(self, mode: PeopleMode = "neutral") -> None:
        if mode not in MODES:
            raise ValueError(f'the policy on labels that describe people is "neutral", "flag" or "keep", not {mode!r}')
        self.mode = mode
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def apply(self, label: str) -> PeopleLabel:
        """The label that may be shown."""
        result = self._judged(label)
        with self._lock:
            self._counts.update(labels=1, replaced=result.replaced, flagged=result.flagged)
        return result

    def would_replace(self, label: str) -> bool:
        """True if `apply` would change the label. Counts nothing."""
        return self._judged(label).replaced

    @property
    def counts(self) -> dict[str, int]:
        """How many "labels" were seen, "replaced" and "flagged" since the start."""
        with self._lock:
            return {name: self._counts[name] for name in ("labels", "replaced", "flagged")}

    def _judged(self, label: str) -> PeopleLabel:
        if self.mode == "keep":
            return PeopleLabel(label, replaced=False, flagged=False)
        text, flagged = _neutral(label, _lexicon())
        if self.mode == "flag":
            return PeopleLabel(label, replaced=False, flagged=flagged or text != label)
        return PeopleLabel(text, replaced=text != label, flagged=flagged)


@dataclass(frozen=True)
class _Lexicon:
    """The data file, for lookup. kinds, phrases: by their words. neutral: the noun for a word for people."""

    kinds: Mapping[tuple[str, ...], Kind]
    phrases: frozenset[tuple[str, ...]]
    plural_descriptions: frozenset[tuple[str, ...]]
    neutral: Mapping[str, str]
    between: frozenset[tuple[str, ...]]
    links: frozenset[str]
    ancestry: frozenset[str]
    ends: frozenset[str]
    languages: frozenset[str]
    things: frozenset[tuple[str, ...]]


@dataclass(frozen=True)
class _Edit:
    """Put `text` in place of the words first..last."""

    first: int
    last: int
    text: str


@dataclass(frozen=True)
class _Description:
    """Words start..stop that describe, among them adjectives that stay. plural: it stands for several people."""

    start: int
    stop: int
    kinds: frozenset[Kind]
    stay: tuple[int, ...]
    plural: bool


@cache
def _lexicon() -> _Lexicon:
    data = tomllib.loads(files("ls_backend").joinpath("data/people.toml").read_text("utf-8"))
    neutral: dict[str, str] = {}
    for noun in data["neutral"]:
        for word in noun["words"]:
            neutral[word] = noun["plural"] if word == noun["plural"] else noun["singular"]
            neutral.update(dict.fromkeys(_plurals(word), noun["plural"]))
    for word in data["people"]["stay"]:
        neutral.update({form: form for form in (word, *_plurals(word))})
    kinds = {
        tuple(form.split()): kind
        for kind in _KINDS
        for word in data["descriptions"][kind]
        for form in ((word,) if kind == "beside_people_only" else (word, *_plurals(word)))
    }
    plural = (form for kind in _KINDS for word in data["descriptions"][kind] for form in _plurals(word))
    context = data["context"]
    return _Lexicon(
        kinds=kinds,
        phrases=_split(context["phrases"]),
        plural_descriptions=_split(plural),
        neutral=neutral,
        between=_split(context["between"]),
        links=frozenset(context["links"]),
        ancestry=frozenset(context["ancestry"]),
        ends=frozenset(context["ends"]),
        languages=frozenset(context["languages"]),
        things=_split(form for word in context["things"] for form in (word, *_plurals(word))),
    )


def _split(words: Iterable[str]) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(word.split()) for word in words)


def _plurals(word: str) -> tuple[str, ...]:
    """The regular plural, and those of -man and -child."""
    if word.endswith("man") and word != "human":
        return (word[:-2] + "en",)
    if word.endswith("child"):
        return (word + "ren",)
    if word.endswith("y") and word[-2:-1] not in _VOWELS:
        return (word[:-1] + "ies",)
    if word.endswith(("s", "x", "ch", "sh")):
        return (word + "es",)
    if word.endswith("f"):
        return (word + "s", word[:-1] + "ves")
    return (word[:-2] + "ves", word + "s") if word.endswith("fe") else (word + "s",)


def _neutral(label: str, lexicon: _Lexicon) -> tuple[str, bool]:
    """The label with neutral nouns, and whether doubtful words stand in it."""
    text = unicodedata.normalize("NFKC", label)
    reader = _read(text, lexicon)
    if not reader.edits:
        return label, reader.flagged
    while reader.edits:  # a noun put in may make a description of what stood before it; each round leaves fewer words
        text = _edited(text, reader.edits)
        reader = _read(text, lexicon)
    return text, reader.flagged


def _read(text: str, lexicon: _Lexicon) -> _Reader:
    reader = _Reader([match[0].casefold() for match in _WORD.finditer(text)], lexicon)
    reader.read()
    return reader


def _edited(text: str, edits: Sequence[_Edit]) -> str:
    """The text with words replaced, and "a" or "an" in front to fit."""
    spans = [match.span() for match in _WORD.finditer(text)]
    for edit in reversed(edits):
        before, after = text[: spans[edit.first][0]], text[spans[edit.last][1] :]
        before = _ARTICLE.sub(rf"\g<1>{'n' if edit.text[0] in _VOWELS else ''}\g<2>", before)
        text = before + edit.text + after
    return text


class _Reader:
    """Walks over a label's words once and notes what to replace."""

    def __init__(self, words: Sequence[str], lexicon: _Lexicon) -> None:
        self.words = words
        self.lexicon = lexicon
        self.edits: list[_Edit] = []
        self.flagged = False

    def read(self) -> None:
        at = 0
        while at < len(self.words):
            if length := self._entry(at, self.lexicon.phrases):
                at += length
            elif self._entry(at, self.lexicon.kinds):
                at = self._judge(self._description(at))
            else:
                at += 1

    def _word(self, at: int) -> str:
        return self.words[at] if 0 <= at < len(self.words) else ""

    def _entry(self, at: int, entries: Collection[tuple[str, ...]]) -> int:
        """How many words the longest entry at this place has; 0 if there is none."""
        longest = min(_LONGEST, len(self.words) - at)
        return next((n for n in range(longest, 0, -1) if tuple(self.words[at : at + n]) in entries), 0)

    def _description(self, start: int) -> _Description:
        """The description that starts here: words of a kind, and adjectives and conjunctions among them."""
        at, plural = start, False
        kinds: set[Kind] = set()
        stay: list[int] = []
        while True:
            if length := self._entry(at, self.lexicon.kinds):
                entry = tuple(self.words[at : at + length])
                kinds.add(self.lexicon.kinds[entry])
                plural = plural or entry in self.lexicon.plural_descriptions
                at += length
            elif length := self._entry(at, self.lexicon.between):
                stay += range(at, at + length)
                at += length
            elif self._word(at) in ("and", "or") and self._entry(at + 1, self.lexicon.kinds):
                at += 1
            else:
                return _Description(start, at, frozenset(kinds), tuple(stay), plural)

    def _judge(self, found: _Description) -> int:
        """Do with a description what the rules say. Returns where to read on."""
        following = self._word(found.stop)
        if found.kinds == {"beside_people_only"}:
            if following in self.lexicon.neutral and not self._entry(found.stop + 1, self.lexicon.things):
                return self._replace_before(found, found.stop)
            return found.stop
        if following in self.lexicon.ancestry:
            person = self._person_before(found.start, {"of", "with", *self.lexicon.links})
            if person is not None:
                return self._replace_behind(found, person, found.stop)
        elif not following or following in self.lexicon.ends:
            if self._word(found.start - 1) in self.lexicon.languages and "origin" in found.kinds:
                return found.stop
            person = self._person_before(found.start, self.lexicon.links)
            if person is not None:
                return self._replace_behind(found, person, found.stop - 1)
            several = found.plural or self._word(found.start - 1) == "of"  # "a group of homeless"
            self._edit(found.start, found.stop - 1, found.stay, "people" if several else "person")
            return found.stop
        person = self._person_after(found.stop)
        if person is not None:
            return self._replace_before(found, person)
        self.flagged = self.flagged or "status" in found.kinds or not self._names_thing(found.stop)
        return found.stop

    def _person_after(self, at: int) -> int | None:
        """The word for people that the nouns from here lead to, a few words on at most."""
        for place in range(at, at + _NOUNS_BETWEEN + 1):
            if self._word(place) in self.lexicon.neutral:
                return place
            if not self._word(place) or self._word(place) in self.lexicon.ends:
                break
        return None

    def _person_before(self, at: int, links: Collection[str]) -> int | None:
        """The word for people that the words before this place lead back to."""
        at -= 1
        while self._word(at) in links:
            at -= 1
        return at if self._word(at) in self.lexicon.neutral else None

    def _names_thing(self, at: int) -> bool:
        """True if one of the nouns from here is a thing on the list."""
        for place in range(at, at + _NOUNS_BETWEEN + 1):
            if self._entry(place, self.lexicon.things):
                return True
            if self._word(place) in self.lexicon.ends:
                break
        return False

    def _replace_before(self, found: _Description, person: int) -> int:
        """A description in front of a word for people; of several such words the last one counts."""
        stay = (*found.stay, *range(found.stop, person))
        while self._word(person + 1) in self.lexicon.neutral:
            person += 1
        self._edit(found.start, person, stay, self.lexicon.neutral[self.words[person]])
        return person + 1

    def _replace_behind(self, found: _Description, person: int, last: int) -> int:
        """A description behind a word for people: "man who is homeless", "woman of Asian descent"."""
        if self.edits and self.edits[-1].last >= person:  # that word has been replaced already
            self.edits[-1] = replace(self.edits[-1], last=last)
        else:
            self._edit(person, last, found.stay, self.lexicon.neutral[self.words[person]])
        return last + 1

    def _edit(self, first: int, last: int, stay: Iterable[int], noun: str) -> None:
        self.edits.append(_Edit(first, last, " ".join([*(self.words[place] for place in stay), noun])))
