"""The first token's candidates, kept on disk: every segment of every image begins with the prompt.

A table holds rows that were computed: ids of the language model's tokens, and the features of "prompt + token". It is
named by a hash of all they come from, so other weights, tokenizers or another prompt never meet it. What cannot be read
whole is as good as absent, and what cannot be written costs only the time it would have saved.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import uuid
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from huggingface_hub.constants import HF_ASSETS_CACHE
from safetensors import SafetensorError
from safetensors.torch import load, save

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from zgcore.clip_text import ClipText
    from zgcore.continuations import Continuations
    from zgcore.language import ContextModel

log = logging.getLogger(__name__)

_FORMAT = "first step 2"  # of the file, and of how features are computed: changes when either does
_PROBES = 64  # token texts whose CLIP tokens enter the key
_GROWTH = 1.25  # a table is written again once it has this many times the rows


@dataclass(frozen=True)
class Rows:
    """Part of a table. ids: (n,) int64, rising. features: (n, d) float32 unit vectors."""

    ids: NDArray[np.int64]
    features: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def joined(self, other: Rows) -> Rows:
        """These rows, and those of the other for ids that are not here."""
        new = ~np.isin(other.ids, self.ids)
        ids = np.concatenate([self.ids, other.ids[new]])
        order = np.argsort(ids)
        features = torch.cat([self.features, other.features[torch.from_numpy(new)]])
        return Rows(ids[order], features[torch.from_numpy(order)])

    def digest(self, key: str) -> Tensor:
        """(32,) uint8, SHA-256 of a table's key and values."""
        hasher = hashlib.sha256(key.encode())
        hasher.update(self.ids.tobytes())
        hasher.update(_bytes(self.features))
        return torch.frombuffer(bytearray(hasher.digest()), dtype=torch.uint8)


class FirstStep:
    """The table of one prompt, between a cache of continuations and the disk.

    folders: where it may lie, best first: it is read from the first that has it, written to the first that lets it.
    """

    def __init__(self, continuations: Continuations, lm: ContextModel, prompt: str, folders: Sequence[Path]) -> None:
        self.continuations = continuations
        self.lm = lm
        self.prompt = prompt
        self.folders = folders
        self._key = ""  # until it is asked for
        self._saved = 0  # rows that are on disk, as far as known

    def load(self) -> None:
        """Give what is on disk to the cache. Once; later calls do nothing."""
        if self._key or not self.folders:
            return
        self._key = table_key(self.continuations.clip_text, self.lm, self.prompt, self.continuations.text_format)
        rows = self._read()
        if rows is not None:
            self._saved = len(rows)
            self.continuations.add(self.prompt, rows.ids, rows.features)

    def save(self) -> None:
        """Write what the cache knows, joined with what is there by now, if it has grown by a quarter since.

        So a table is written after the first image, and seldom afterwards.
        """
        if not self._key or self.continuations.count(self.prompt) <= self._saved * _GROWTH:
            return
        ids, features = self.continuations.rows(self.prompt)
        rows = Rows(ids, features.cpu())
        if (there := self._read()) is not None:
            rows = rows.joined(there)
        self._saved = len(rows)  # also where no folder takes it: another attempt waits for more rows
        any(write_table(file, self._key, rows) for file in self._files())  # the first that takes it

    def _files(self) -> list[Path]:
        name = f".first-step-{self._key[:16]}.table"  # hidden, and no name that weights have
        return [folder / name for folder in self.folders]

    def _read(self) -> Rows | None:
        vocabulary, width = self.continuations.vocabulary, self.continuations.clip_text.output_dim
        found = (read_table(file, self._key, vocabulary, width) for file in self._files())
        return next((rows for rows in found if rows is not None), None)


def cache_folders(weights: Path | None) -> list[Path]:
    """Where tables may lie: beside weights that came from a folder, then with the hub client's assets (HF_HOME)."""
    beside = [] if weights is None else [weights]
    return [*beside, Path(HF_ASSETS_CACHE) / "zeroguide" / "zerocap" / "first_step"]


def table_key(clip_text: ClipText, lm: ContextModel, prompt: str, text_format: torch.dtype = torch.float32) -> str:
    """64 hex digits that change with all the features come from: text tower, tokenizers, prompt, arithmetic."""
    tower, tokenizer = clip_text.tower, clip_text.tokenizer
    texts = lm.token_texts
    probes = [clip_text.tokenize(text) for text in (prompt, *texts[:: max(1, len(texts) // _PROBES)])]
    arithmetic = [
        torch.__version__,
        version("open_clip_torch"),
        clip_text.device.type,
        torch.get_float32_matmul_precision(),
        str(text_format),
    ]
    architecture = [repr(tower.transformer), *(block.attn.num_heads for block in clip_text.blocks)]
    vocabularies = _vocabularies_digest(cast("Hashable", tokenizer), texts)
    described = [_FORMAT, prompt, arithmetic, architecture, probes, vocabularies]
    hasher = hashlib.sha256(json.dumps(described).encode())
    for name, tensor in tower.state_dict().items():
        if not name.startswith("visual."):  # one module holds both towers
            hasher.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            hasher.update(_bytes(tensor))
    return hasher.hexdigest()


@lru_cache(maxsize=2)
def _vocabularies_digest(tokenizer: Hashable, texts: tuple[str, ...]) -> str:
    """Of CLIP's vocabulary and merges, where it has them, and of the texts of the language model's tokens."""
    merges = list(map(list, getattr(tokenizer, "bpe_ranks", {})))
    return hashlib.sha256(json.dumps([getattr(tokenizer, "encoder", {}), merges, texts]).encode()).hexdigest()


def read_table(file: Path, key: str, vocabulary: int, width: int) -> Rows | None:
    """The rows of a file; None where it is missing, damaged, or of another key, vocabulary or width."""
    try:
        tensors = load(file.read_bytes())  # at once: another process may put a new file in its place
        _check(tensors, vocabulary, width)
        rows = Rows(tensors["ids"].numpy(), tensors["features"])
        if not torch.equal(rows.digest(key), tensors["sha256"]):
            raise ValueError("it has another key, or values that were not written")
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        log.debug("%s is not used: %s", file, error)
        return None
    return rows


def _check(tensors: dict[str, Tensor], vocabulary: int, width: int) -> None:
    ids, features = tensors["ids"], tensors["features"]
    if ids.dtype != torch.int64 or features.dtype != torch.float32 or features.shape != (ids.numel(), width):
        raise ValueError(f"it holds {ids.dtype} {list(ids.shape)} and {features.dtype} {list(features.shape)}")
    if not ids.numel() or ids.ndim != 1 or ids[0] < 0 or ids[-1] >= vocabulary or not bool((ids.diff() > 0).all()):
        raise ValueError("its token ids are out of range or out of order")
    if not bool(features.isfinite().all()):
        raise ValueError("it holds values that are not finite")


def write_table(file: Path, key: str, rows: Rows) -> bool:
    """Write the rows, whole or not at all; False where the disk does not let us. Safe beside other writers."""
    partial = file.with_name(f"{file.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial")
    digest = rows.digest(key)
    tensors = {"ids": torch.from_numpy(rows.ids), "features": rows.features.contiguous(), "sha256": digest}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(save(tensors))
        partial.replace(file)
    except OSError as error:
        log.debug("%s is not written: %s", file, error)
        _remove(partial)
        return False
    return True


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        log.debug("%s is left: %s", file, error)


def _bytes(tensor: Tensor) -> memoryview:
    """The tensor's memory, in the order of its elements, of any number format."""
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
