"""Labels by retrieval: the nearest of a list of words in CLIP's text space. Fast, and closed to what is on the list."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from zgcore.zerocap import Beam, Caption

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from zgcore.clip_text import ClipText


class Retrieval:
    """Embeddings -> labels, behind the same calls as ZeroCap.

    clip_text: the text tower that shares its space with the embeddings. words: the labels there are; their embeddings
    are computed on first use. prompt: what stands in front of a label when CLIP reads it. alternatives: how many of
    the nearest labels a caption lists.

    Raises ValueError for an empty list.
    """

    def __init__(
        self, clip_text: ClipText, words: Sequence[str], prompt: str = "Image of a", alternatives: int = 5
    ) -> None:
        if not words:
            raise ValueError("retrieval needs at least one word")
        self.clip_text = clip_text
        self.words = tuple(dict.fromkeys(words))
        self.prompt = prompt
        self.alternatives = min(alternatives, len(self.words))

    @cached_property
    def features(self) -> Tensor:
        """(words, d) unit vectors."""
        return self.label_features(list(self.words))

    def captions(self, embeddings: Tensor | NDArray[np.float32]) -> list[Caption]:
        """The nearest label of each of (n, d) embeddings, and the next nearest; a beam's score is its cosine."""
        units = F.normalize(torch.as_tensor(embeddings).to(self.clip_text.device, torch.float32), dim=-1)
        cosines, nearest = (units @ self.features.T).topk(self.alternatives, dim=-1)  # (n, alternatives)
        captions = []
        for scores, rows in zip(cosines.tolist(), nearest.tolist(), strict=True):
            beams = [Beam(self.words[row], (), score) for score, row in zip(scores, rows, strict=True)]
            captions.append(Caption(beams[0].text, beams[0].score, beams, self.features[rows[0]]))
        return captions

    def label_features(self, labels: list[str]) -> Tensor:
        """(n, d) unit vectors of labels, asked with the prompt."""
        return self.clip_text.encode_labels(labels, self.prompt)
