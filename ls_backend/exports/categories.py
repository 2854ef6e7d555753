"""Which category a region has: one rule for all formats."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from ls_backend.exports.task_texts import with_raw
from ls_backend.labelling_config import label_kind
from zgcore.vocabulary import Resolution

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ls_backend.exports.items import ImageItem, Items, Region
    from ls_backend.exports.losses import Losses
    from zgcore.vocabulary import Vocabulary

CategoryRule = Literal["auto", "label", "text"]
RULES: Final[tuple[CategoryRule, ...]] = ("auto", "label", "text")
UNNAMED: Final = "unnamed"
"""The category of a region that nobody named; readers drop nameless categories."""

LEAST_STRIDE: Final = 1000


class Naming:
    """Names the category of a region.

    rule: "label" takes the region's label, "text" its free text, each where it has one. "auto" takes the label where
    the labels of its control are names of things, and the text where they only tell instances apart ("obj 1").
    vocabulary: turns the name into its canonical one.
    """

    def __init__(self, items: Items, rule: CategoryRule = "auto", vocabulary: Vocabulary | None = None) -> None:
        self._rule = rule
        self.vocabulary = vocabulary
        self._closed = _closed_controls(items) if rule == "auto" else frozenset[str]()
        self._known: dict[str, str | None] = {}
        labels = () if vocabulary is None else vocabulary.labels
        self.parents = {label.name: next(iter(label.parents), "") for label in labels}

    def raw(self, region: Region) -> str:
        """The region's name as somebody wrote it; "" where nobody did."""
        text = " ".join(region.caption.split())
        return text if self.by_text(region) else next(iter(region.labels), text)

    def by_text(self, region: Region) -> bool:
        """True where its free text names it, False where its label does or nothing."""
        by_label = self._rule == "label" or region.control in self._closed
        return bool(region.caption.strip()) and not (by_label and any(region.labels[:1]))

    def __call__(self, region: Region) -> str:
        """The region's category; never empty."""
        return self.meaning(region) or UNNAMED

    def meaning(self, region: Region) -> str | None:
        """The region's canonical name; None where people dropped it from the vocabulary."""
        name = self.raw(region)
        if self.vocabulary is None or not name:
            return name
        if region.meaning != "" and name == " ".join(region.caption.split()):
            return region.meaning
        if name not in self._known:
            self._known[name] = self.vocabulary.canonical(name)
        return self._known[name]


@dataclass(frozen=True)
class NamedItems:
    """Items under a vocabulary: with their raw texts, and less the regions whose names people dropped from it."""

    items: Items
    naming: Naming

    def __iter__(self) -> Iterator[ImageItem]:
        if self.naming.vocabulary is None:
            yield from self.items
            return
        for item in self.items:
            raw = tuple(map(with_raw, item.regions))
            kept = tuple(region for region in raw if self.naming.meaning(region) is not None)
            gone = _marks(raw) - _marks(kept)
            results = tuple(
                replace(result, rest=tuple(row for row in result.rest if not _relates(row[1], place, gone)))
                for place, result in enumerate(item.results)
            )
            yield replace(item, regions=kept, results=results)


@dataclass
class Settled:
    """What a vocabulary makes of regions. regions: how many have a name. dropped: how many are left out. unknown,
    ambiguous: names that stand for themselves, with their counts."""

    regions: int = 0
    dropped: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    ambiguous: Counter[str] = field(default_factory=Counter)

    def see(self, name: str, found: Resolution, number: int = 1) -> None:
        """Count so many regions of a name."""
        self.regions += number
        self.dropped += number * (found.name is None)
        if not found.known:
            self.unknown[name] += number
        if found.ambiguous:
            self.ambiguous[name] += number


def settled(items: Items, naming: Naming, losses: Losses) -> Settled:
    """What the vocabulary of `naming` makes of all regions; what is left out is counted in `losses`, too."""
    counted = Settled()
    if naming.vocabulary is None:
        return counted
    for item in items:
        for region in map(with_raw, item.regions):
            if name := naming.raw(region):
                found = naming.vocabulary.resolve(name)
                meaning = naming.meaning(region)
                counted.see(name, Resolution(meaning, found.known, found.ambiguous and region.meaning == ""))
    relations = 0
    for before, after in zip(items, NamedItems(items, naming), strict=True):
        relations += sum(len(result.rest) for result in before.results)
        relations -= sum(len(result.rest) for result in after.results)
    losses.leave("regions whose names the vocabulary drops", counted.dropped)
    losses.leave("relations with regions whose names the vocabulary drops", relations)
    return counted


def _marks(regions: Iterable[Region]) -> set[tuple[int, str]]:
    return {(region.result, region.id) for region in regions}


def _relates(entry: dict[str, Any], place: int, gone: set[tuple[int, str]]) -> bool:
    """True for a relation with a region that is left out."""
    ends = (entry.get("from_id"), entry.get("to_id"))
    return entry.get("type") == "relation" and any((place, end) in gone for end in ends if isinstance(end, str))


def _closed_controls(items: Items) -> frozenset[str]:
    """The controls whose labels, as far as the input uses them, are names of things."""
    labels: dict[str, set[str]] = defaultdict(set)
    for item in items:
        for region in item.regions:
            labels[region.control].update(region.labels)
    return frozenset(control for control, used in labels.items() if label_kind(sorted(used)) == "closed")


class Survey:
    """What a writer has to know of all items before the first.

    numbers: of the categories, from 1 in the order of their names. counts: regions of each. images, regions: how many.
    """

    def __init__(self, items: Items, naming: Naming) -> None:
        self.naming = naming
        self.counts: Counter[str] = Counter()
        self.images = most = 0
        for item in items:
            self.images += 1
            most = max(most, len(item.regions))
            self.counts.update(naming(region) for region in item.regions)
        self.regions = self.counts.total()
        self.numbers = {name: number for number, name in enumerate(sorted(self.counts), start=1)}
        self._stride = LEAST_STRIDE
        while self._stride < most:
            self._stride *= 10

    def categories(self) -> Iterator[dict[str, Any]]:
        """The categories as COCO has them; a vocabulary's parents are the supercategories."""
        for name, number in self.numbers.items():
            yield {"id": number, "name": name, "supercategory": self.naming.parents.get(name, "")}

    def number(self, region: Region) -> int:
        """The number of a region's category."""
        return self.numbers[self.naming(region)]

    def annotation_id(self, item: ImageItem, index: int) -> int:
        """The id of an image's region: image number x stride + place, so that it stays when another image changes."""
        return item.number * self._stride + index
