"""Why two normal forms may mean the same: spelling, dictionary, text embeddings, and how their segments look.

Two kinds. A variant is a form that says nothing of its own (a typo, "hot-dog", "red car"): it hangs on another form. A
similarity is between two words in their own right, and is weighed by `zgcore.vocabulary.group`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np

from zgcore.vocabulary.normalise import head_position

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from zgcore.vocabulary.lexicon import Lexicon, Meaning

BLOCK: Final = 1024  # rows of the cosine matrix at a time


@dataclass(frozen=True)
class EvidenceConfig:
    """Confidences and thresholds, tuned on the first half of benchmarks/vocabulary_labels.csv.

    Cosines are of centred text embeddings: 0 for unrelated phrases. same_meaning: confidence of a shared first meaning.
    usual_cosine, cosine_weight: how the text's cosine moves that. alike_known, alike_unknown, alike_alone: cosine from
    which texts alone make a similarity: both in the dictionary and without a shared meaning, one of them not, and no
    dictionary at all. looks: how much the segments' likeness moves a confidence; looks_from: segments a form needs
    for it to count.
    """

    joint: float = 0.97
    typo: float = 0.9
    far_typo: float = 0.8
    described: float = 0.85
    same_meaning: float = 0.9
    usual_cosine: float = 0.35
    cosine_weight: float = 0.4
    alike_known: float = 0.85
    alike_unknown: float = 0.72
    alike_alone: float = 0.8
    looks: float = 0.2
    looks_from: int = 3
    typo_letters: int = 4
    far_typo_letters: int = 7


@dataclass(frozen=True)
class FormUse:
    """One normal form. surfaces: how it is written, most frequent first. meanings: of the dictionary.

    vector: (d,) unit text embedding, centred. look: (e,) unit mean of its segments' embeddings, centred; None where it
    has too few.
    """

    form: str
    count: int
    surfaces: tuple[str, ...]
    meanings: tuple[Meaning, ...] = ()
    vector: NDArray[np.float32] | None = None
    look: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Link:
    """Two forms, how sure it is that they mean the same (0..1), and why."""

    one: str
    other: str
    confidence: float
    why: str


@dataclass
class Evidence:
    """variants: form -> the link to the form it hangs on. similar: links between words of their own."""

    variants: dict[str, Link] = field(default_factory=dict)
    similar: list[Link] = field(default_factory=list)


def gather(uses: Mapping[str, FormUse], lexicon: Lexicon, config: EvidenceConfig) -> Evidence:
    """All evidence among some forms."""
    evidence = Evidence()
    for links in (_joints(uses, lexicon, config), _typos(uses, lexicon, config), _described(uses, lexicon, config)):
        for link in links:
            evidence.variants.setdefault(link.one, link)
    _cut_circles(evidence.variants)
    free = [use for form, use in uses.items() if form not in evidence.variants]
    evidence.similar = [*_same_meaning(free, lexicon, config), *_alike(free, lexicon, config)]
    return evidence


def _cut_circles(variants: dict[str, Link]) -> None:
    """Each chain of variants ends at a form that hangs on none."""
    for form in list(variants):
        seen, at = {form}, form
        while at in variants:
            at = variants[at].other
            if at in seen:
                del variants[form]
                break
            seen.add(at)


def _joints(uses: Mapping[str, FormUse], lexicon: Lexicon, config: EvidenceConfig) -> Iterator[Link]:
    """The same letters, joined otherwise: the rarer hangs on the more frequent, the unknown on the known."""
    by_letters: dict[str, list[FormUse]] = defaultdict(list)
    for use in uses.values():
        by_letters[use.form.replace(" ", "")].append(use)
    for same in by_letters.values():
        best = max(same, key=lambda use: (bool(use.meanings), use.count, use.form))
        for use in same:
            if use is not best:
                yield Link(use.form, best.form, config.joint, f'spelling: "{best.form}" joined otherwise')


def _typos(uses: Mapping[str, FormUse], lexicon: Lexicon, config: EvidenceConfig) -> Iterator[Link]:
    """A form with a word of no language that is another form once that word is set right."""
    from rapidfuzz.distance import OSA
    from rapidfuzz.process import extract

    if not lexicon.words:
        return
    spoken = sorted({word for form in uses for word in form.split() if word in lexicon.words})
    by_letters = {form.replace(" ", ""): form for form in uses}
    spoken += sorted(letters for letters, form in by_letters.items() if " " in form and uses[form].meanings)
    for form in uses:
        strange = [word for word in form.split() if word not in lexicon.words and len(word) >= config.typo_letters]
        if len(strange) != 1:
            continue
        word = strange[0]
        most = 2 if len(word) >= config.far_typo_letters else 1
        near = extract(word, spoken, scorer=OSA.distance, score_cutoff=most, limit=5)
        for right, distance, _ in sorted(near, key=lambda found: (found[1], found[0][0] != word[0], found[0])):
            mended = " ".join(right if part == word else part for part in form.split())
            target = by_letters.get(mended.replace(" ", ""))
            if target is not None and target != form and right[0] == word[0]:
                confidence = config.typo if distance == 1 else config.far_typo
                yield Link(form, target, confidence, f'spelling: "{word}" is no word, "{right}" is {distance} away')
                break


def _described(uses: Mapping[str, FormUse], lexicon: Lexicon, config: EvidenceConfig) -> Iterator[Link]:
    """A thing with words that say how it looks: "red car" hangs on "car", and "red kite" on "blue kite"."""
    cores: dict[str, list[FormUse]] = defaultdict(list)
    for use in uses.values():
        if (core := core_of(use, lexicon)) != use.form:
            cores[core].append(use)
    for core, described in cores.items():
        others = [use for use in described if use.form != core]
        target = core if core in uses else max(others, key=lambda use: (use.count, use.form)).form
        for use in others:
            if use.form != target:
                words = use.form.removesuffix(core).strip()
                yield Link(use.form, target, config.described, f'"{words}" describes, "{core}" is the thing')


def core_of(use: FormUse, lexicon: Lexicon) -> str:
    """A form without the words in front that only describe; a phrase the dictionary knows stays whole."""
    words = use.form.split()
    if use.meanings:
        return use.form
    while len(words) > 1 and head_position(words) > 0 and lexicon.describes(words[0]):
        words = words[1:]
        if lexicon.meanings(" ".join(words)):
            break
    return " ".join(words)


def _same_meaning(uses: Sequence[FormUse], lexicon: Lexicon, config: EvidenceConfig) -> Iterator[Link]:
    by_synset: dict[str, list[FormUse]] = defaultdict(list)
    for use in uses:
        for meaning in use.meanings:
            by_synset[meaning.synset].append(use)
    pairs = {
        tuple(sorted((one.form, other.form))): (one, other)
        for same in by_synset.values()
        for one, other in combinations(same, 2)
    }
    for one, other in pairs.values():
        shared = lexicon.shared(list(one.meanings), list(other.meanings))
        assert shared is not None
        confidence, why = config.same_meaning * shared.strength, shared.words
        if (cosine := _cosine(one.vector, other.vector)) is not None:
            confidence += config.cosine_weight * (cosine - config.usual_cosine) * shared.strength
            why += f"; texts {cosine:.2f} alike"
        yield _look(one, other, confidence, why, config)


def _alike(uses: Sequence[FormUse], lexicon: Lexicon, config: EvidenceConfig) -> Iterator[Link]:
    """Texts alike that share no meaning. A phrase and its own head noun are a kind and its parent, and left alone."""
    rows = [use for use in uses if use.vector is not None]
    if len(rows) < 2:
        return
    vectors = np.stack([use.vector for use in rows if use.vector is not None])
    least = config.alike_alone if lexicon.wordnet is None else config.alike_unknown
    for start in range(0, len(rows), BLOCK):
        cosines = vectors[start : start + BLOCK] @ vectors.T
        for i, j in np.argwhere(cosines >= least).tolist():
            one, other = rows[start + i], rows[j]
            if start + i >= j or lexicon.shared(list(one.meanings), list(other.meanings)) is not None:
                continue
            both = bool(one.meanings and other.meanings)
            needed = config.alike_known if both else least
            cosine = float(cosines[i, j])
            if cosine >= needed and not is_kind(one.form, other.form, whole=both):
                yield _look(one, other, 0.5 + (cosine - needed), f"texts {cosine:.2f} alike", config)


def is_kind(one: str, other: str, *, whole: bool = False) -> bool:
    """True where both are kinds of one noun, or one is that noun. whole: where they share any word at all."""
    mine, theirs = one.split(), other.split()
    if whole:
        return bool(set(mine) & set(theirs))
    return mine[head_position(mine)] == theirs[head_position(theirs)]


def _cosine(one: NDArray[np.float32] | None, other: NDArray[np.float32] | None) -> float | None:
    return None if one is None or other is None else float(one @ other)


def _look(one: FormUse, other: FormUse, confidence: float, why: str, config: EvidenceConfig) -> Link:
    """Segments that look alike make it surer, segments that do not less so."""
    if (cosine := _cosine(one.look, other.look)) is not None:
        confidence += config.looks * (cosine - config.usual_cosine)
        why += f"; segments {cosine:.2f} alike"
    return Link(one.form, other.form, float(np.clip(confidence, 0.0, 0.99)), why)
