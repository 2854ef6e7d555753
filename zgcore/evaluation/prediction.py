"""What is scored: segments of one image, whoever made them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class Prediction:
    """Segments of one image; they may overlap (other systems' do), and need not cover it.

    masks: n COCO run-length masks, {"size": [H, W], "counts": bytes or str}, all of one size.
    texts: n free-text labels. scores: (n,) float32; ours are the CLIP cosine of label and segment.
    embeddings: (n, d) float32 in CLIP's space, for ST; None where a system has none.
    seconds: wall time of each stage that ran for this image.
    """

    masks: tuple[dict, ...]
    texts: tuple[str, ...]
    scores: NDArray[np.float32]
    embeddings: NDArray[np.float32] | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.masks) == len(self.texts) == len(self.scores):
            raise ValueError("masks, texts and scores must have one entry a segment")
        if self.embeddings is not None and len(self.embeddings) != len(self.texts):
            raise ValueError("embeddings must have one row a segment")

    def __len__(self) -> int:
        return len(self.texts)
