"""What a group of forms is called, and how each of its texts is explained."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from zgcore.vocabulary.labels import Member
from zgcore.vocabulary.normalise import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from zgcore.vocabulary.evidence import FormUse, Link
    from zgcore.vocabulary.lexicon import Lexicon
    from zgcore.vocabulary.uses import LabelUse

CHANGED = {
    "case": "case", "joints": "hyphens and spaces", "punctuation": "punctuation", "determiner": "article",
    "quantity": "quantity", "number": "number", "spelling": "spelling variant", "plural": "plural",
}  # fmt: skip


def head_form(
    forms: Sequence[str], uses: Mapping[str, FormUse], variants: Iterable[str], kept: Iterable[str], lexicon: Lexicon
) -> str:
    """The form a group is named by: one people keep, else the most frequent that is no variant and is made of words."""
    hanging, keep = set(variants), set(kept)

    def rank(form: str) -> tuple[bool, bool, bool, int, int, str]:
        real = all(word in lexicon.words for word in form.split())
        return form not in keep, form in hanging, not real, -uses[form].count, len(form), form

    return min(forms, key=rank)


def spelling(uses: Sequence[LabelUse], use: FormUse, lexicon: Lexicon) -> str:
    """A form as people write it, in the singular unless only its plural is met and that is a word of its own."""
    written: Counter[str] = Counter()
    for one in uses:
        written[normalise(one.text).readable] += one.count
    if use.form not in use.surfaces and lexicon.lemma(use.form, use.surfaces) == use.surfaces[0]:
        return use.surfaces[0]
    return min(written, key=lambda text: (-written[text], text))


def explain(head: str, forms: Iterable[str], links: Sequence[Link]) -> dict[str, tuple[str, float]]:
    """Form -> why it is in the head's group, and the confidence of the surest way there (the product of its links).

    A form that came along with others, with no way of links to the head, has "came with" and their mean confidence.
    """
    near: dict[str, list[tuple[str, Link]]] = defaultdict(list)
    for link in links:
        near[link.one].append((link.other, link))
        near[link.other].append((link.one, link))
    found: dict[str, tuple[str, float]] = {}
    queue: list[tuple[float, str, str]] = [(-1.0, head, "")]
    while queue:
        confidence, form, why = heapq.heappop(queue)
        if form in found:
            continue
        found[form] = (why, -confidence)
        for other, link in near[form]:
            heapq.heappush(queue, (confidence * link.confidence, other, f"as {form}: {link.why}"))
    return {form: found.get(form, ("decision: merge", 1.0)) for form in forms}


def members(
    name: str, reasons: Mapping[str, tuple[str, float]], by_form: Mapping[str, Sequence[LabelUse]]
) -> tuple[Member, ...]:
    """The texts of a group. The name's own text needs no reason, one of its form has what was changed."""
    found = []
    for form, (why, confidence) in reasons.items():
        for use in by_form[form]:
            reason = why or ("" if use.text == name else ", ".join(CHANGED[step] for step in normalise(use.text).steps))
            found.append(Member(use.text, use.count, reason, confidence))
    return tuple(sorted(found, key=lambda member: (-member.count, member.text)))
