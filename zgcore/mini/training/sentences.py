"""The text teacher: Sentence-BERT (all-MiniLM-L6-v2), asked as CLIP is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F

from zgcore.sentences import MiniLm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

PROMPT = "Image of a {}."


class SentenceTeacher(MiniLm):
    """Names -> (n, 384) unit vectors."""

    def encode_names(self, names: Sequence[str], title: str | None = None) -> Tensor:
        """(n, 384) float32 of names, each asked with the prompt, and once however often it is there."""
        rows = {name: row for row, name in enumerate(dict.fromkeys(names))}
        vectors = self.encode([PROMPT.format(name) for name in rows], title)
        return vectors[[rows[name] for name in names]]


def centre(embeddings: Tensor, mean: Tensor) -> Tensor:
    """Unit vectors after the mean of all phrases, which says nothing, is taken away."""
    return F.normalize(embeddings - mean, dim=-1)
