"""From free text to the classes of a data set (paper section 4.2): TT by texts, ST by segments, and by the dictionary.

Each gives every segment its best class and how near it is; thresholds come later (`scores`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from zgcore.evaluation.scored import LEXICAL, ST, TT, Reassignment, rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from zgcore.evaluation.lexical import LexicalMatcher
    from zgcore.evaluation.prediction import Prediction
    from zgcore.sentences import SentenceEncoder

KEPT: Final = 20_000  # vectors of texts, of 768 float32 each: 60 MB


class TextToText:
    """TT: a label goes to the class whose name is nearest in sentence-embedding space. Both are asked as they stand.

    Texts come back again and again, so their vectors are kept, KEPT at most.
    """

    def __init__(self, classes: Sequence[str], encoder: SentenceEncoder) -> None:
        self.encoder = encoder
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._classes = self._encode(classes)  # (c, d)

    def __call__(self, texts: Sequence[str]) -> Reassignment:
        """The nearest class of n texts, the first of equals."""
        return _nearest(self.cosines(texts))

    def cosines(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, c) of n texts and all class names; exactly 1 where they are the same text."""
        if not texts:
            return np.zeros((0, len(self._classes)), np.float32)
        unique = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        cosines = _cosines(self._encode(list(unique)), self._classes)
        return cosines[[unique[text] for text in texts]]

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) float32 unit vectors of n different texts."""
        new = [text for text in texts if text not in self._vectors]
        if len(self._vectors) + len(new) > KEPT:
            self._vectors.clear()
            new = list(texts)
        self._vectors.update(zip(new, np.asarray(self.encoder.encode(new), dtype=np.float32), strict=True))
        return np.array([self._vectors[text] for text in texts], np.float32)


class SegmentToText:
    """ST: a segment goes to the class whose name, asked as "Image of a {class}.", is nearest in CLIP's space.

    label_features: n names -> (n, d) unit vectors, as the labeller of the segments makes them (`ZeroCap`, `Retrieval`).
    """

    def __init__(self, classes: Sequence[str], label_features: Callable[[list[str]], ArrayLike]) -> None:
        self._classes = np.asarray(label_features(list(classes)), dtype=np.float32)  # (c, d)

    def __call__(self, embeddings: NDArray[np.float32]) -> Reassignment:
        """The nearest class of (n, d) embeddings of any norm, the first of equals. ValueError for another width."""
        if not len(embeddings):
            return _nearest(np.zeros((0, len(self._classes)), np.float32))
        return _nearest(_cosines(embeddings, self._classes))


class Reassigners:
    """All kinds that can be had for a data set's classes.

    sentences: for TT and text generation quality; label_features: for ST; lexical: for lexical. notes: one sentence a
    kind that cannot be had.
    """

    def __init__(
        self,
        classes: Sequence[str],
        sentences: SentenceEncoder | None = None,
        label_features: Callable[[list[str]], ArrayLike] | None = None,
        lexical: LexicalMatcher | None = None,
    ) -> None:
        self.texts = None if sentences is None else TextToText(classes, sentences)
        self.segments = None if label_features is None else SegmentToText(classes, label_features)
        self.lexical = lexical
        absent = {
            "TT and text generation quality are absent: no sentence encoder was given": self.texts,
            "ST is absent: no text tower in the segments' space was given": self.segments,
            "Lexical matches are absent: there is no WordNet (Debian: apt install wordnet-base)": self.lexical,
        }
        self.notes = tuple(note for note, found in absent.items() if found is None)

    def __call__(self, prediction: Prediction) -> dict[str, Reassignment]:
        """By TT, ST or LEXICAL; ST only where the prediction has embeddings."""
        found = {}
        if self.texts is not None:
            found[TT] = self.texts(prediction.texts)
        if self.segments is not None and prediction.embeddings is not None:
            found[ST] = self.segments(prediction.embeddings)
        if self.lexical is not None:
            found[LEXICAL] = self.lexical(prediction.texts)
        return found

    def named(self, texts: Sequence[str], classes: Sequence[int]) -> Reassignment | None:
        """How near m labels come to the names of the m classes whose true masks they describe; None without TT."""
        if self.texts is None:
            return None
        rows = np.array(classes, dtype=np.int32)
        return Reassignment(rows, self.texts.cosines(texts)[np.arange(len(rows)), rows])


def _cosines(vectors: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, c) of (n, d) and (c, d) vectors of any norm, 0 for a zero vector. ValueError for another width.

    In float64: unit vectors in float32 are up to 5e-7 off.
    """
    return rounded(_unit(vectors) @ _unit(others).T)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    exact = vectors.astype(np.float64)
    norms = np.linalg.norm(exact, axis=1, keepdims=True)
    return exact / np.where(norms > 0, norms, 1)


def _nearest(cosines: NDArray[np.float32]) -> Reassignment:
    """(n, c) -> the best class of each row, the first of equals."""
    if not cosines.shape[1]:
        return Reassignment(np.full(len(cosines), -1, np.int32), np.zeros(len(cosines), np.float32))
    best = cosines.argmax(axis=1)
    return Reassignment(best.astype(np.int32), cosines[np.arange(len(best)), best])
