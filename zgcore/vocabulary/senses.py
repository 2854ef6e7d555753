"""Words with several meanings: told apart by how their segments look, or flagged for people to see to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.cluster.vq import kmeans2

from zgcore.vocabulary.uses import unit_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from zgcore.vocabulary.embedding import TextVectors
    from zgcore.vocabulary.evidence import FormUse
    from zgcore.vocabulary.lexicon import Lexicon, Meaning
    from zgcore.vocabulary.uses import Looks

KINDS: Final = {"animal": "animal", "object": "object", "food": "organic", "plant": "organic", "body part": "body part"}
"""Of what photos show. An orange and its tree are one kind; bears that invest in shares are not in photos."""


@dataclass(frozen=True)
class SenseConfig:
    """rare: a second kind of meaning less frequent than this share of the first is no reason for a flag.

    least: segments of each look. apart: share of the variance that two looks must explain; of one even cloud in many
    dimensions they explain a few hundredths.
    """

    rare: float = 0.25
    least: int = 3
    apart: float = 0.35


@dataclass(frozen=True, eq=False)
class Sense:
    """One meaning of a form, seen in segments.

    name: what tells it apart. centre: (e,) unit mean. share: of the form's segments.
    """

    name: str
    centre: NDArray[np.float32]
    share: float


def kinds(meanings: Sequence[Meaning], lexicon: Lexicon) -> dict[str, Meaning]:
    """The kinds of things a form can mean, each with its most usual meaning; most usual kind first."""
    found: dict[str, Meaning] = {}
    for meaning in meanings:
        if (kind := KINDS.get(lexicon.category(meaning))) is not None:
            found.setdefault(kind, meaning)
    return found


def flag(use: FormUse, uses: Mapping[str, FormUse], lexicon: Lexicon, config: SenseConfig) -> str:
    """Why people should look at a form, or "": two kinds of meaning are both usual, or both are in use here."""
    found = kinds(use.meanings, lexicon)
    if len(found) < 2:
        return ""
    first, *rest = found.values()
    for meaning in rest:
        usual = (meaning.uses + 1) >= config.rare * (first.uses + 1)
        other = next((form for form, them in uses.items() if form != use.form
                      and any(meaning.synset == theirs.synset for theirs in them.meanings)), None)  # fmt: skip
        if usual or other is not None:
            both = f"{lexicon.named(first)} or {lexicon.named(meaning)}"
            return f"ambiguous: {both}" + (f' (as "{other}")' if other is not None else "")
    return ""


def tell_apart(
    use: FormUse, looks: Looks, vectors: TextVectors | None, lexicon: Lexicon, config: SenseConfig
) -> list[Sense]:
    """The meanings of a form that its segments show, most frequent first; fewer than two where they show no more.

    Its segments must fall into two looks, and the text tower must see different meanings in them, so that black and
    white dogs stay dogs. Needs texts and segments in one space.
    """
    rows, found = looks.units.get(use.form), kinds(use.meanings, lexicon)
    if rows is None or vectors is None or len(found) < 2 or len(rows) < 2 * config.least:
        return []
    named = [lexicon.named(meaning) for meaning in found.values()]
    texts = vectors([f"{name} {use.form}" for name in named])
    if texts.shape[1] != looks.width or len(set(named)) < len(named):
        return []
    centred = unit_rows(rows - looks.mean)
    centres, which = kmeans2(centred.astype(np.float64), 2, minit="++", rng=np.random.default_rng(0))
    sizes = np.bincount(which, minlength=2)
    spread = float(((centred - centred.mean(axis=0)) ** 2).sum())
    if (
        sizes.min() < config.least
        or spread <= 0
        or 1 - float(((centred - centres[which]) ** 2).sum()) / spread < config.apart
    ):
        return []
    meant = (unit_rows(centres.astype(np.float32)) @ texts.T).argmax(axis=1)  # (2,)
    if meant[0] == meant[1]:
        return []
    senses = [Sense(named[meant[at]], unit_rows(rows[which == at].mean(axis=0, keepdims=True))[0],
                    float(sizes[at] / sizes.sum())) for at in (0, 1)]  # fmt: skip
    return sorted(senses, key=lambda sense: -sense.share)
