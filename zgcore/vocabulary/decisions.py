"""What people decided. Decisions stand in the vocabulary file, win over all evidence and survive every rebuild."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zgcore.suggest import closest
from zgcore.vocabulary.errors import VocabularyError
from zgcore.vocabulary.normalise import normalise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KINDS = ("keep", "merge", "rename", "split", "drop")


@dataclass(frozen=True)
class Decisions:
    """Texts are meant in any spelling: "Couches" is "couch". The name of a label stands for all of the label's texts.

    keep: texts that stay labels of their own, under this name; others may join them. merge: name -> texts that belong
    to it. rename: label -> its new name. split: lists of texts no two of which may share a label. drop: texts, or
    labels, that mean nothing; they are kept in the file and come out as no label.
    """

    keep: tuple[str, ...] = ()
    merge: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rename: Mapping[str, str] = field(default_factory=dict)
    split: tuple[tuple[str, ...], ...] = ()
    drop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for text in self.texts():
            if not normalise(text).form:
                raise VocabularyError(f"decisions: {text!r} has no letters; take it out")
        merged: dict[str, str] = {}
        for name, texts in self.merge.items():
            for form in forms(texts):
                if merged.setdefault(form, name) != name:
                    raise VocabularyError(f'decisions: merge puts "{form}" into "{merged[form]}" and into "{name}"')
        _disjoint("merge", set(merged), "keep", set(forms(self.keep)), set(forms(self.merge)))
        _disjoint("drop", set(forms(self.drop)), "keep", set(forms(self.keep)), set())
        _disjoint("drop", set(forms(self.drop)), "merge", set(merged) | set(forms(self.merge)), set())
        for old, new in self.rename.items():
            if normalise(new).form in set(forms(self.rename)) - {normalise(old).form}:
                raise VocabularyError(f'decisions: rename gives "{old}" the name "{new}", which is renamed as well')
        for group in self.split:
            if len(group) < 2 or len(set(forms(group))) < len(group):
                raise VocabularyError(f"decisions: split needs two or more different words, not {', '.join(group)}")
            owners = [merged.get(form, form) for form in forms(group)]
            if len({normalise(owner).form for owner in owners}) < len(owners):
                raise VocabularyError(f"decisions: split parts {', '.join(group)}, and merge puts two of them together")

    def __bool__(self) -> bool:
        return bool(self.keep or self.merge or self.rename or self.split or self.drop)

    def texts(self) -> Iterator[str]:
        """Every text that is named."""
        yield from self.keep
        for name, texts in self.merge.items():
            yield from (name, *texts)
        for old, new in self.rename.items():
            yield from (old, new)
        for group in self.split:
            yield from group
        yield from self.drop

    @classmethod
    def from_document(cls, document: object) -> Decisions:
        """Decisions as a vocabulary file holds them, checked. VocabularyError says what is wrong."""
        if document in (None, "", {}):
            return cls()
        if not isinstance(document, dict):
            raise VocabularyError(f"decisions is a mapping of {', '.join(KINDS)}")
        for kind in document:
            if kind not in KINDS:
                close = closest(str(kind), KINDS)
                hint = f', did you mean "{close}"?' if close else ""
                raise VocabularyError(f'decisions: there is no "{kind}" ({", ".join(KINDS)}){hint}')
        return cls(
            keep=_texts("keep", document.get("keep")),
            merge={name: _texts("merge", texts) for name, texts in _mapping("merge", document.get("merge")).items()},
            rename=_renames(_mapping("rename", document.get("rename"))),
            split=tuple(_texts("split", group) for group in _list("split", document.get("split"))),
            drop=_texts("drop", document.get("drop")),
        )

    def to_document(self) -> dict[str, object]:
        """The kinds that hold something, as plain lists and mappings."""
        whole: dict[str, object] = {
            "keep": list(self.keep),
            "merge": {name: list(texts) for name, texts in self.merge.items()},
            "rename": dict(self.rename),
            "split": [list(group) for group in self.split],
            "drop": list(self.drop),
        }
        return {kind: value for kind, value in whole.items() if value}


def forms(texts: object) -> list[str]:
    """Normal forms, in the order of the texts."""
    return [normalise(str(text)).form for text in texts]  # type: ignore[attr-defined]


def _disjoint(one: str, left: set[str], other: str, right: set[str], allowed: set[str]) -> None:
    if both := (left & right) - allowed:
        raise VocabularyError(f'decisions: "{min(both)}" is in {one} and in {other}; take it out of one of them')


def _list(kind: str, value: object) -> list[object]:
    if value in (None, ""):
        return []
    if not isinstance(value, list):
        raise VocabularyError(f"decisions: {kind} is a list, as in {_EXAMPLES[kind]}")
    return value


def _texts(kind: str, value: object) -> tuple[str, ...]:
    found = []
    for text in _list(kind, value):
        if not isinstance(text, str):
            raise VocabularyError(f"decisions: {kind} holds texts, not {text!r}, as in {_EXAMPLES[kind]}")
        found.append(text)
    return tuple(found)


def _mapping(kind: str, value: object) -> dict[str, object]:
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        raise VocabularyError(f"decisions: {kind} is a mapping, as in {_EXAMPLES[kind]}")
    return value


def _renames(mapping: dict[str, object]) -> dict[str, str]:
    found = {}
    for old, new in mapping.items():
        if not isinstance(new, str):
            raise VocabularyError(f"decisions: rename gives one new name, as in {_EXAMPLES['rename']}")
        found[old] = new
    return found


_EXAMPLES = {
    "keep": "keep: [polar bear]",
    "merge": "merge: {sofa: [couch, settee]}",
    "rename": "rename: {motor car: car}",
    "split": "split: [[cup, glass], [car, truck]]",
    "drop": "drop: [thing]",
}
