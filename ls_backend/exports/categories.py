"""Which category a region has: one rule for all formats."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from ls_backend.labelling_config import label_kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ls_backend.exports.items import ImageItem, Items, Region
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
        label, text = (region.labels or ("",))[0], " ".join(region.caption.split())
        by_label = self._rule == "label" or region.control in self._closed
        return (label or text) if by_label else (text or label)

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
    """Items less the regions whose names people dropped from the vocabulary."""

    items: Items
    naming: Naming

    def __iter__(self) -> Iterator[ImageItem]:
        if self.naming.vocabulary is None:
            yield from self.items
            return
        for item in self.items:
            kept = tuple(region for region in item.regions if self.naming.meaning(region) is not None)
            yield item if len(kept) == len(item.regions) else replace(item, regions=kept)


def unknown_names(items: Items, naming: Naming) -> tuple[int, int, int]:
    """How many regions have a name that the vocabulary drops, does not know, or knows several meanings of."""
    dropped = unknown = ambiguous = 0
    for item in items:
        for region in item.regions:
            name = naming.raw(region)
            if naming.vocabulary is None or not name:
                continue
            found = naming.vocabulary.resolve(name)
            dropped += naming.meaning(region) is None
            unknown += not found.known
            ambiguous += found.ambiguous and region.meaning == ""
    return dropped, unknown, ambiguous


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
