"""Decisions laid over labels. Laying them twice changes nothing, so a file may be edited and used without a rebuild."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from zgcore.vocabulary.labels import Label, Member
from zgcore.vocabulary.normalise import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zgcore.vocabulary.decisions import Decisions


@dataclass(frozen=True)
class Decided:
    """labels: what is left, most frequent first. dropped: what people dropped, as the labels it would be."""

    labels: tuple[Label, ...]
    dropped: tuple[Label, ...]


@dataclass(eq=False)
class _Draft:
    name: str
    members: list[Member]
    parents: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    formerly: set[str] = field(default_factory=set)  # forms of the names it had before people renamed it

    def is_called(self, form: str) -> bool:
        return form in name_forms(self.name) or form in self.formerly


@dataclass
class _Drafts:
    drafts: list[_Draft]
    dropped: list[_Draft] = field(default_factory=list)

    def named(self, form: str) -> list[_Draft]:
        """The label of that name, or the meanings of that word."""
        return [draft for draft in self.drafts if draft.is_called(form)]

    def take(self, form: str) -> tuple[list[Member], list[_Draft]]:
        """Take out the members of a form; with it, as whole labels, those that carry it as their name."""
        whole = self.named(form)
        taken = [member for draft in whole for member in draft.members]
        self.drafts = [draft for draft in self.drafts if draft not in whole]
        for draft in self.drafts:
            taken += [member for member in draft.members if member.form == form]
            draft.members = [member for member in draft.members if member.form != form]
        return taken, whole

    def drop(self, text: str) -> None:
        """Take out a text, and the whole label where it is the name of one."""
        form = normalise(text).form
        for draft in self.named(form):
            self.drafts.remove(draft)
            self.dropped.append(draft)
        if members := self.take_members(form):
            self.dropped.append(_Draft(text, members))

    def take_members(self, form: str) -> list[Member]:
        taken = [member for draft in self.drafts for member in draft.members if member.form == form]
        for draft in self.drafts:
            draft.members = [member for member in draft.members if member.form != form]
        return taken

    def own_label(self, form: str, spelling: str, why: str) -> None:
        """Let the members of a form be a label of their own, called as `spelling`."""
        if members := self.take_members(form):
            decided = [replace(member, why=why, confidence=1.0, centre=None) for member in members]
            self.drafts.append(_Draft(spelling, decided))


def lay_over(decisions: Decisions, labels: Iterable[Label], dropped: Iterable[Label] = ()) -> Decided:
    """Labels as people want them: renamed first, so that a label answers to both names; then merge, split, keep, drop.

    What was dropped before and is no longer wanted so comes back as the labels it would be.
    """
    all_labels = [*labels, *dropped]
    state = _Drafts([_Draft(label.name, list(label.members), label.parents, label.flags) for label in all_labels])
    _rename_all(decisions, state)
    for name, texts in decisions.merge.items():
        _merge(name, texts, state)
    _rename_all(decisions, state)  # what a merge has made; below, what split and keep have
    _split(decisions, state)
    for text in decisions.keep:
        if not state.named(normalise(text).form):
            state.own_label(normalise(text).form, text, "decision: keep")
    _rename_all(decisions, state)
    for text in decisions.drop:
        state.drop(text)
    return Decided(_finish(state.drafts), _finish(state.dropped))


def _split(decisions: Decisions, state: _Drafts) -> None:
    for group in decisions.split:
        for draft in list(state.drafts):
            inside = {member.form for member in draft.members}
            found = [(text, normalise(text).form) for text in group]
            together = [
                (draft.is_called(form), text) for text, form in found if form in inside or draft.is_called(form)
            ]
            together.sort(key=lambda pair: not pair[0])  # the name's own stays
            for _, text in together[1:]:
                state.own_label(normalise(text).form, text, "decision: split")


def _merge(name: str, texts: tuple[str, ...], state: _Drafts) -> None:
    form = normalise(name).form
    target = next(iter(state.named(form)), None)
    if target is None:
        target = _Draft(name, state.take_members(form))
        state.drafts.append(target)
    if form in name_forms(target.name):
        target.name = name
    for other in (normalise(text).form for text in texts):
        if target.is_called(other):
            continue
        here = [member for member in target.members if member.form == other]
        target.members = [member for member in target.members if member.form != other]
        members, whole = state.take(other)
        why = "decision: merge"
        target.members += [replace(member, why=why, confidence=1.0) for member in (*here, *members)]
        target.parents = target.parents or next((draft.parents for draft in whole if draft.parents), ())
    if not target.members:  # nobody has used any of the texts yet: the decision waits
        state.drafts.remove(target)


def _rename_all(decisions: Decisions, state: _Drafts) -> None:
    for old, new in decisions.rename.items():
        _rename(old, new, state)


def _rename(old: str, new: str, state: _Drafts) -> None:
    """A label gets a new name; where another has it already, both become one. Done before, it is only noted."""
    there = next((draft for draft in state.drafts if draft.name == new), None)
    renamed = next((draft for draft in state.drafts if draft.name == old), None)
    renamed = renamed or next(
        (draft for draft in state.drafts if normalise(draft.name).form == normalise(old).form), None
    )
    renamed = renamed or there
    if renamed is None:
        return
    renamed.formerly.add(normalise(old).form)
    renamed.name = new
    if there is not None and there is not renamed:
        renamed.members += [replace(member, why="decision: rename", confidence=1.0) for member in there.members]
        renamed.parents = renamed.parents or there.parents
        state.drafts.remove(there)


@lru_cache(maxsize=100_000)
def name_forms(name: str) -> frozenset[str]:
    """What a label answers to: the form of its name, and of its word without what tells two meanings apart."""
    return frozenset((normalise(name).form, normalise(name.partition(" (")[0]).form))


def _finish(drafts: list[_Draft]) -> tuple[Label, ...]:
    """The labels that have texts, most frequent first. Two that decisions gave one name are one."""
    by_name: dict[str, _Draft] = {}
    for draft in drafts:
        known = by_name.setdefault(draft.name, draft)
        if known is not draft:
            known.members = [*known.members, *draft.members]
    labels = [
        Label(draft.name, tuple(sorted(draft.members, key=_order)), draft.parents, draft.flags)
        for draft in by_name.values()
        if draft.members
    ]
    return tuple(sorted(labels, key=lambda label: (-label.count, label.name)))


def _order(member: Member) -> tuple[int, str]:
    return -member.count, member.text
