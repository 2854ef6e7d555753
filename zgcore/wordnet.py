"""WordNet 3.0 as Debian's wordnet-base lays it out (man 5 wndb): nouns, their meanings, and what those are kinds of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from zgcore.errors import WeightsError
from zgcore.garbage import without_collections

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = Path("/usr/share/wordnet")  # where Debian's wordnet-base puts it
CATEGORIES: Final = {  # lexicographer files of nouns (man 5 lexnames)
    "03": "thing", "04": "act", "05": "animal", "06": "object", "07": "attribute", "08": "body part", "09": "idea",
    "10": "communication", "11": "event", "12": "feeling", "13": "food", "14": "group", "15": "place", "16": "motive",
    "17": "natural object", "18": "person", "19": "phenomenon", "20": "plant", "21": "possession", "22": "process",
    "23": "quantity", "24": "relation", "25": "shape", "26": "state", "27": "substance", "28": "time",
}  # fmt: skip
TOPS: Final = {  # of file 03, the words for whole categories
    "animal": "animal", "person": "person", "plant": "plant", "food": "food", "artifact": "object",
    "natural object": "natural object", "substance": "substance",
}  # fmt: skip
VISIBLE: Final = frozenset(
    ["animal", "object", "body part", "food", "group", "place", "natural object", "person", "phenomenon", "plant",
     "substance"]
)  # fmt: skip


@dataclass(frozen=True)
class IndexEntry:
    """synsets: offsets of a lemma's meanings, most frequent first. tagged: how many of them WordNet's texts use."""

    synsets: tuple[str, ...]
    tagged: int


@dataclass(frozen=True)
class Synset:
    """One meaning. lemmas: the words for it, lower-case. hypernyms: offsets of what it is a kind of; for a name such
    as a person's, of what it is an instance of, and `instance` is true. category: see CATEGORIES. gloss: explanation.
    """

    lemmas: tuple[str, ...]
    hypernyms: tuple[str, ...]
    instance: bool
    category: str
    gloss: str


@without_collections()
def read_index(folder: Path, part: str) -> dict[str, IndexEntry]:
    """Lemmas of a part of speech ("noun", "adj", "verb"). WeightsError where the folder is no WordNet."""
    found = {}
    for line in _lines(folder / f"index.{part}"):
        fields = line.split()
        pointers = int(fields[3])
        offsets = tuple(fields[6 + pointers :])  # behind the pointers: sense count, tagged sense count, the offsets
        found[fields[0].replace("_", " ")] = IndexEntry(offsets, int(fields[5 + pointers]))
    return found


@without_collections()
def read_synsets(folder: Path) -> dict[str, Synset]:
    """The noun meanings by offset. WeightsError where the folder is no WordNet."""
    found = {}
    for line in _lines(folder / "data.noun"):
        data, _, gloss = line.partition(" | ")
        fields = data.split()
        words = int(fields[3], 16)
        pointers = fields[5 + 2 * words :]
        above = [(pointers[at], pointers[at + 1]) for at in range(0, len(pointers), 4) if pointers[at] in ("@", "@i")]
        lemmas = tuple(fields[4 + 2 * word].replace("_", " ").lower() for word in range(words))
        hypernyms, instance = tuple(offset for _, offset in above), any(kind == "@i" for kind, _ in above)
        category = CATEGORIES[fields[1]]
        if category == "thing":
            category = TOPS.get(lemmas[0], category)
        found[fields[0]] = Synset(lemmas, hypernyms, instance, category, gloss.strip())
    return found


def read_counts(folder: Path) -> dict[str, dict[int, int]]:
    """Noun -> number of its meaning (from 0) -> how often WordNet's texts mean it; meanings never met are left out."""
    found: dict[str, dict[int, int]] = {}
    for line in _lines(folder / "cntlist.rev"):
        key, number, count = line.split()
        lemma, _, sense = key.partition("%")
        if sense.startswith("1:"):
            found.setdefault(lemma.replace("_", " "), {})[int(number) - 1] = int(count)
    return found


def _lines(path: Path) -> Iterator[str]:
    """The entries of a file, without the licence at its head."""
    try:
        text = path.read_text(encoding="ascii")
    except OSError as error:
        raise WeightsError(
            f"{path.parent} is no WordNet dictionary folder ({error.strerror}); install Debian's wordnet-base, or "
            "give the folder that holds index.noun and index.adj with --wordnet"
        ) from None
    return (line for line in text.splitlines() if not line.startswith(" "))


class WordNet:
    """The nouns and adjectives of a WordNet folder. WeightsError where it is none."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.nouns = read_index(folder, "noun")
        self.adjectives = read_index(folder, "adj")
        self.synsets = read_synsets(folder)
        self.counts = read_counts(folder)

    @classmethod
    def find(cls, folder: Path | None = None) -> WordNet | None:
        """The WordNet of a folder, by default Debian's; None where that default is not installed."""
        if folder is None and not (FOLDER / "data.noun").is_file():
            return None
        return _read(folder or FOLDER)

    def senses(self, noun: str) -> list[str]:
        """Offsets of a noun's meanings that can be seen, most frequent first; names of persons and places are none.

        Signs and writings ("traffic light") count where a word has no other: most messages cannot be seen.
        """
        entry = self.nouns.get(noun)
        offsets = [at for at in (entry.synsets if entry else ()) if not self.synsets[at].instance]
        seen = [at for at in offsets if self.synsets[at].category in VISIBLE]
        return seen or [at for at in offsets if self.synsets[at].category == "communication"]

    def uses(self, noun: str, offset: str) -> int:
        """How often WordNet's texts use a noun in this meaning."""
        return self.counts.get(noun, {}).get(self.nouns[noun].synsets.index(offset), 0)

    def above(self, offset: str) -> list[str]:
        """The meanings a meaning is a kind of, nearest first, each once."""
        found: dict[str, None] = {}
        level = list(self.synsets[offset].hypernyms)
        while level:
            found.update(dict.fromkeys(level))
            level = [up for at in level for up in self.synsets[at].hypernyms if up not in found]
        return list(found)

    def describes(self, word: str) -> bool:
        """True for a word that is an adjective, or a participle, rather than a noun."""
        noun, adjective = self.nouns.get(word), self.adjectives.get(word)
        if adjective:
            return noun is None or adjective.tagged > noun.tagged
        return noun is None and word.endswith(("ed", "ing"))

    @cached_property
    def words(self) -> frozenset[str]:
        """Single words it knows as nouns or adjectives."""
        whole = {word for lemma in (*self.nouns, *self.adjectives) for word in lemma.replace("-", " ").split()}
        return frozenset(whole)


@cache
def _read(folder: Path) -> WordNet:
    return WordNet(folder)
