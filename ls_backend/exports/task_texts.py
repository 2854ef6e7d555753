"""What texts become on their way into a task: canonical names and neutral words, with the raw text beside, and back.

The raw text stands in the `meta` of a region's mask: as a note that the editor shows, worded as the ML backend words
it, and as `raw_text` beside the `vocabulary_text` that took its place, so that the next vocabulary starts from the raw
text again, unless a person has written another text since.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from ls_backend.people import PeoplePolicy
from ls_backend.protocol import RAW_NOTE, REVIEW_NOTE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ls_backend.exports.categories import Naming
    from ls_backend.exports.items import ImageItem, Items, Region

RAW: Final = "raw_text"
NAMED: Final = "vocabulary_text"
NEUTRAL: Final = "texts that describe people, made neutral (--people-labels)"
FIXED: Final = "regions whose label has another canonical name, and stays as the labelling config has it"


@dataclass(frozen=True)
class TaskTexts:
    """Items with the texts that a task shows.

    items: may be empty, for `shown`. naming: its vocabulary replaces texts; None replaces none. people: what becomes of
    texts that a model wrote and no task has held yet. lost: counts what a task does not hold.
    """

    items: Items
    naming: Naming | None = None
    people: PeoplePolicy = field(default_factory=PeoplePolicy)
    lost: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[ImageItem]:
        return map(self.shown, self.items)

    def shown(self, item: ImageItem) -> ImageItem:
        """One item so."""
        return replace(item, regions=tuple(self._named(self._judged(region)) for region in item.regions))

    def _judged(self, region: Region) -> Region:
        if not from_model(region):
            return region
        labels = [self.people.apply(text) for text in region.texts]
        self.lost[NEUTRAL] += sum(label.replaced for label in labels)
        flagged = any(label.flagged for label in labels)
        return replace(region, texts=tuple(label.text for label in labels), flagged=flagged)

    def _named(self, region: Region) -> Region:
        if self.naming is None or self.naming.vocabulary is None:
            return region
        name = self.naming(region)
        if not self.naming.by_text(region):
            self.lost[FIXED] += bool(region.labels) and name in self.naming.parents and name != region.labels[0]
            return region
        if from_model(region):
            name = PeoplePolicy(self.people.mode).apply(name).text  # another one: no text is counted twice
        return region if region.texts == (name,) else replace(region, texts=(name,), raw=region.texts)


def from_model(region: Region) -> bool:
    """True for what a model wrote and Label Studio never held."""
    return region.origin == "prediction" and not region.entries


def noted(mask: dict[str, Any], region: Region) -> dict[str, Any]:
    """The entry of a region's mask with what its `meta` has to tell: the raw text, and that people should check."""
    notes = [RAW_NOTE.format(" ".join(" ".join(region.raw).split()))] if region.raw else []
    notes += [REVIEW_NOTE] if region.flagged else []
    if not notes:
        return mask
    meta = _meta(mask)
    others = [note for note in _texts(meta.get("text")) if note not in notes and not (region.raw and _is_raw(note))]
    own = {RAW: list(region.raw), NAMED: list(region.texts)} if region.raw else {}
    return {**mask, "meta": {**meta, "text": [*others, *notes], **own}}


def with_raw(region: Region) -> Region:
    """The region with its raw texts in place of what a vocabulary made of them; as it is where that was edited."""
    if not region.entries:
        return region
    place, mask = region.entries[0]
    meta = _meta(mask)
    raw = tuple(_texts(meta.get(RAW)))
    if not raw or tuple(_texts(meta.get(NAMED))) != region.texts:
        return region
    notes = [note for note in _texts(meta.get("text")) if not _is_raw(note)]
    kept = {key: value for key, value in meta.items() if key not in (RAW, NAMED, "text")}
    kept |= {"text": notes} if notes else {}
    bare = {key: value for key, value in mask.items() if key != "meta"} | ({"meta": kept} if kept else {})
    return replace(region, texts=raw, entries=((place, bare), *region.entries[1:]))


def _is_raw(note: str) -> bool:
    return note.startswith(RAW_NOTE.format(""))


def _meta(entry: dict[str, Any]) -> dict[str, Any]:
    meta = entry.get("meta")
    return meta if isinstance(meta, dict) else {}


def _texts(value: object) -> list[str]:
    return [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
