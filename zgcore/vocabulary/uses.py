"""What goes into a vocabulary: texts, how often each is used, and the segments' embeddings where there are any."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zgcore.vocabulary.errors import VocabularyError
from zgcore.vocabulary.evidence import FormUse
from zgcore.vocabulary.normalise import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from zgcore.vocabulary.embedding import TextVectors
    from zgcore.vocabulary.lexicon import Lexicon


@dataclass(frozen=True, eq=False)
class LabelUse:
    """One text as it was met. count: segments that carry it. embeddings: (k, e) float32 of some of them, k <= count."""

    text: str
    count: int = 1
    embeddings: NDArray[np.float32] | None = None


class Looks:
    """The segments' embeddings of some uses, as unit vectors about their common mean.

    mean: (e,) over all segments, which says what all segments share and nothing of any. VocabularyError where widths
    differ.
    """

    def __init__(self, uses: Iterable[LabelUse]) -> None:
        rows: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
        for use in uses:
            if use.embeddings is not None and len(use.embeddings):
                rows[normalise(use.text).form].append(unit_rows(use.embeddings))
        widths = {part.shape[1] for parts in rows.values() for part in parts}
        if len(widths) > 1:
            raise VocabularyError(f"the segments' embeddings are {min(widths)} and {max(widths)} wide; "
                                  "build a vocabulary from results of one model")  # fmt: skip
        self.units = {form: np.concatenate(parts) for form, parts in rows.items()}
        self.width = next(iter(widths), 0)
        self.mean = np.concatenate(list(self.units.values())).mean(axis=0) if self.units else np.zeros(0, np.float32)

    def of(self, form: str, least: int) -> NDArray[np.float32] | None:
        """(e,) the mean look of a form; None where fewer than `least` of its segments are known."""
        rows = self.units.get(form)
        return None if rows is None or len(rows) < least else unit_rows(rows.mean(axis=0, keepdims=True) - self.mean)[0]


def unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, d) -> rows of length 1; rows of zeros stay."""
    rows = np.asarray(rows, dtype=np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def collect(uses: Iterable[LabelUse]) -> dict[str, list[LabelUse]]:
    """Normal form -> the uses of it, most frequent first; the forms in alphabetical order."""
    found: dict[str, list[LabelUse]] = defaultdict(list)
    for use in uses:
        found[normalise(use.text).form].append(use)
    return {form: sorted(found[form], key=lambda use: (-use.count, use.text)) for form in sorted(found)}


def form_uses(
    by_form: Mapping[str, Sequence[LabelUse]], lexicon: Lexicon, vectors: TextVectors | None, looks: Looks, least: int
) -> dict[str, FormUse]:
    """What is known of each form. least: segments from which a form's look counts. The empty form is left out."""
    forms = [form for form in by_form if form]
    embedded = None if vectors is None else vectors(forms)
    found = {}
    for number, form in enumerate(forms):
        written: Counter[str] = Counter()
        for use in by_form[form]:
            written[normalise(use.text).plain] += use.count
        surfaces = tuple(text for text, _ in sorted(written.items(), key=lambda pair: (-pair[1], pair[0])))
        found[form] = FormUse(
            form=form,
            count=sum(use.count for use in by_form[form]),
            surfaces=surfaces,
            meanings=tuple(lexicon.meanings(form, surfaces)),
            vector=None if embedded is None else embedded[number],
            look=looks.of(form, least),
        )
    return found
