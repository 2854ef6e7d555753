"""Texts -> Vocabulary: normalise, gather evidence, group, name, find parents, flag; then people's decisions over it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from zgcore.vocabulary.decisions import Decisions, forms
from zgcore.vocabulary.evidence import EvidenceConfig, FormUse, gather
from zgcore.vocabulary.group import Groups, group
from zgcore.vocabulary.labels import Label, Member
from zgcore.vocabulary.naming import explain, head_form, members, spelling
from zgcore.vocabulary.normalise import head_position
from zgcore.vocabulary.senses import SenseConfig, flag, tell_apart
from zgcore.vocabulary.uses import LabelUse, Looks, collect, form_uses
from zgcore.vocabulary.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from zgcore.vocabulary.embedding import TextVectors
    from zgcore.vocabulary.evidence import Evidence, Link
    from zgcore.vocabulary.lexicon import Lexicon

UNNAMED = "unnamed"  # what the exports call a segment without a text


@dataclass(frozen=True)
class BuildConfig:
    """threshold: mean confidence from which two groups become one. parents: how many are listed. rare: a label met
    this often or less, and of no known word, is an outlier.
    """

    threshold: float = 0.5
    parents: int = 3
    rare: int = 1
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)
    senses: SenseConfig = field(default_factory=SenseConfig)


@dataclass(frozen=True)
class Builder:
    """Makes vocabularies. vectors: the text encoder; None does without text similarity."""

    lexicon: Lexicon
    vectors: TextVectors | None
    config: BuildConfig = field(default_factory=BuildConfig)

    def build(
        self, uses: Iterable[LabelUse], decisions: Decisions | None = None, made_by: Mapping[str, str] | None = None
    ) -> Vocabulary:
        """The vocabulary of some texts under some decisions. The same uses always give the same vocabulary.

        Raises VocabularyError where embeddings of different widths are mixed.
        """
        decisions = decisions or Decisions()
        by_form = collect(_added_up(uses))
        looks = Looks(use for found in by_form.values() for use in found)
        known = form_uses(by_form, self.lexicon, self.vectors, looks, self.config.evidence.looks_from)
        evidence = gather(known, self.lexicon, self.config.evidence)
        for form in forms(decisions.keep):
            evidence.variants.pop(form, None)
        groups = Groups(list(known), _apart(decisions), _together(decisions))
        links = group(groups, evidence, self.config.threshold)
        labels = [
            label
            for together in groups.members().values()
            for label in self._labels(together, known, by_form, evidence, links, decisions, looks)
        ]
        if nameless := by_form.get(""):
            texts = tuple(Member(use.text, use.count) for use in nameless)
            labels.append(Label(UNNAMED, texts, flags=("outlier: no letters",)))
        made = {"texts": self.vectors.name if self.vectors else "none",
                "wordnet": "3.0" if self.lexicon.wordnet else "none", **(made_by or {})}  # fmt: skip
        return Vocabulary(_with_parents(labels), made_by=made).decided(decisions)

    def _labels(
        self,
        together: Sequence[str],
        known: Mapping[str, FormUse],
        by_form: Mapping[str, Sequence[LabelUse]],
        evidence: Evidence,
        links: Sequence[Link],
        decisions: Decisions,
        looks: Looks,
    ) -> Iterator[Label]:
        """The label of one group, or several where its word has several meanings."""
        head = head_form(together, known, evidence.variants, forms(decisions.keep), self.lexicon)
        use = known[head]
        name = spelling(by_form[head], use, self.lexicon)
        inside = set(together)
        reasons = explain(head, together, [link for link in links if link.one in inside and link.other in inside])
        texts = members(name, reasons, by_form)
        senses = tell_apart(use, looks, self.vectors, self.lexicon, self.config.senses)
        if senses:
            own = [member for member in texts if member.form == head]
            rest = tuple(member for member in texts if member.form != head)
            for number, sense in enumerate(senses):
                shares = tuple(
                    replace(member, count=max(1, round(member.count * sense.share)), centre=sense.centre,
                            why=f"segments look like {sense.name}", confidence=1.0)
                    for member in own
                )  # fmt: skip
                yield Label(f"{name} ({sense.name})", (*shares, *(rest if number == 0 else ())), (sense.name,))
            return
        yield Label(name, texts, self._parents(use), tuple(self._flags(use, known)))

    def _parents(self, use: FormUse) -> tuple[str, ...]:
        words = use.form.split()
        at = head_position(words)
        head = () if at == 0 else (words[at],)
        above = self.lexicon.parents(use.meanings[0]) if use.meanings else []
        if not above and head:
            meanings = self.lexicon.meanings(words[at])
            above = self.lexicon.parents(meanings[0]) if meanings else []
        return tuple(dict.fromkeys([*head, *above]))

    def _flags(self, use: FormUse, known: Mapping[str, FormUse]) -> Iterator[str]:
        if ambiguous := flag(use, known, self.lexicon, self.config.senses):
            yield ambiguous
        strange = [word for word in use.form.split() if word not in self.lexicon.words]
        if strange and self.lexicon.words:
            yield f'outlier: "{strange[0]}" is in no dictionary'
        elif not use.meanings and all(self.lexicon.describes(word) for word in use.form.split()):
            yield "outlier: describes, names no thing"
        elif self.lexicon.wordnet and len(use.form.split()) == 1 and not use.meanings:
            yield "outlier: names nothing that can be seen"


def _added_up(uses: Iterable[LabelUse]) -> list[LabelUse]:
    """One use a text."""
    import numpy as np

    counts: dict[str, int] = {}
    embeddings: dict[str, list] = {}
    for use in uses:
        counts[use.text] = counts.get(use.text, 0) + use.count
        if use.embeddings is not None:
            embeddings.setdefault(use.text, []).append(use.embeddings)
    return [LabelUse(text, count, np.concatenate(embeddings[text]) if text in embeddings else None)
            for text, count in counts.items()]  # fmt: skip


def _apart(decisions: Decisions) -> Iterator[tuple[str, str]]:
    """Pairs of forms that must not share a label."""
    groups = [forms(texts) for texts in decisions.split]
    if len(decisions.keep) > 1:
        groups.append(forms(decisions.keep))
    for group_ in groups:
        yield from ((one, other) for at, one in enumerate(group_) for other in group_[:at])


def _together(decisions: Decisions) -> Iterator[tuple[str, str]]:
    for name, texts in decisions.merge.items():
        yield from zip(forms(texts), forms([name] * len(texts)), strict=True)


def _with_parents(labels: Sequence[Label], most: int = 3) -> tuple[Label, ...]:
    """Parents that are labels here go first: they make the tree of this vocabulary."""
    names = {label.name for label in labels}
    found = []
    for label in labels:
        others = [parent for parent in label.parents if parent != label.name]
        here = [parent for parent in others if parent in names]
        found.append(replace(label, parents=tuple(dict.fromkeys([*here, *others]))[:most]))
    return tuple(found)
