"""CLIP's text tower, with shared prefixes computed once.

The tower is causal and read at the end-of-text token, so nothing behind that token matters and texts need no padding;
texts that begin with the same tokens share those tokens' keys and values. Both change nothing but rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import torch
import torch.nn.functional as F

from zgcore.attention_kernels import ready_kernels
from zgcore.blocks import check_block, finish_block, project_qkv, project_tokens
from zgcore.token_trie import Ragged, TokenTrie, parts_of
from zgcore.trie_attention import Asking, Stems, attend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from open_clip import CLIP, CustomTextCLIP
    from open_clip.transformer import TextTransformer
    from torch import Tensor, nn

Tokens = tuple[int, ...]

THREAD_TOKENS: Final = (
    3072  # of each core: with fewer, starting operations takes longer than their tensors are quick to reach
)
MOST_TOKENS: Final = {"cpu": 16384, "cuda": 32768}  # some gigabytes with the largest towers


class ClipTokenizer(Protocol):
    """What is used of an open_clip tokenizer."""

    sot_token_id: int
    eot_token_id: int

    def encode(self, text: str) -> list[int]: ...

    def decode(self, tokens: list[int]) -> str: ...


@dataclass(frozen=True)
class Prefixes:
    """p token prefixes that went through the tower.

    numbers: prefix -> its number. lengths: (p,). stems: a block's keys and values of all, None where all are empty.
    """

    numbers: dict[Tokens, int]
    lengths: NDArray[np.int64]
    stems: list[Stems | None]


def common_prefix(one: Tokens, other: Tokens) -> int:
    """How many leading tokens two sequences share."""
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return index
    return min(len(one), len(other))


class ClipText:
    """Texts -> embeddings, identical to the plain tower.

    model: an open_clip model (`CLIP`, or `CustomTextCLIP` with a `text` tower), causal, read at end of text.
    tokenizer: its tokenizer (byte-pair encoding; `encode`, `sot_token_id`, `eot_token_id`).
    chunk_tokens: tokens that go through the tower at once, which bounds memory; by default what suits the device.

    Raises TypeError for a tower that is not causal or is read elsewhere.
    """

    def __init__(self, model: CLIP | CustomTextCLIP, tokenizer: ClipTokenizer, *, chunk_tokens: int = 0) -> None:
        self.tower = getattr(model, "text", model)
        self.tokenizer = tokenizer
        self._chunk_tokens = chunk_tokens
        self.blocks = list(self.tower.transformer.resblocks)
        self.context_length = int(self.tower.positional_embedding.shape[0])
        _check_tower(self.tower, self.blocks)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.tower.positional_embedding.device
        return device

    @property
    def chunk_tokens(self) -> int:
        if self._chunk_tokens:
            return self._chunk_tokens
        most = MOST_TOKENS.get(self.device.type, MOST_TOKENS["cuda"])
        return min(most, THREAD_TOKENS * torch.get_num_threads()) if self.device.type == "cpu" else most

    @property
    def output_dim(self) -> int:
        """Width d of the embeddings."""
        projection = self.tower.text_projection
        if projection is None:
            return int(self.tower.positional_embedding.shape[1])
        return int(projection.out_features if hasattr(projection, "out_features") else projection.shape[1])

    def tokenize(self, text: str) -> Tokens:
        """Start of text, the text's tokens, end of text; cut to the context length as open_clip does."""
        eot = self.tokenizer.eot_token_id
        return self.close((self.tokenizer.sot_token_id, *self.tokenizer.encode(text), eot))

    def close(self, tokens: Tokens) -> Tokens:
        """Cut behind the first end of text, and to the context length with the last token the end of text."""
        eot = self.tokenizer.eot_token_id
        tokens = tokens[: tokens.index(eot) + 1]
        return tokens if len(tokens) <= self.context_length else (*tokens[: self.context_length - 1], eot)

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """(n, d) float32 embeddings, unnormalised, on the tower's device."""
        sequences = [self.tokenize(text) for text in texts]
        if not sequences:
            return torch.empty(0, self.output_dim, device=self.device)
        shared = min(common_prefix(sequences[0], other) for other in sequences)
        shared = min(shared, *(len(sequence) - 1 for sequence in sequences))
        rests = Ragged.of([sequence[shared:] for sequence in sequences])
        prefix = self.read_prefixes([sequences[0][:shared]])
        return self.encode_continuations(prefix, np.zeros(len(sequences), np.int64), rests)

    def encode_labels(self, labels: Sequence[str], prompt: str) -> Tensor:
        """(n, d) unit vectors of labels, each asked as "{prompt} {label}." (paper section 3.4)."""
        return F.normalize(self.encode([f"{prompt} {label}." for label in labels]), dim=-1)

    @torch.no_grad()
    def encode_plain(self, texts: Sequence[str]) -> Tensor:
        """The reference path: padded to the context length, through the tower as the library runs it."""
        padded = torch.zeros(len(texts), self.context_length, dtype=torch.long)
        for row, text in enumerate(texts):
            tokens = self.tokenize(text)
            padded[row, : len(tokens)] = torch.tensor(tokens)
        run = self.tower.encode_text if hasattr(self.tower, "encode_text") else self.tower
        return run(padded.to(self.device)).float()

    @ready_kernels()
    def read_prefixes(self, prefixes: Sequence[Tokens]) -> Prefixes:
        """Run different token prefixes (may be empty) through the tower; gradients flow where they are on."""
        lengths = np.array([len(prefix) for prefix in prefixes])
        numbers = {prefix: number for number, prefix in enumerate(prefixes)}
        longest = int(lengths.max())
        if not longest:
            return Prefixes(numbers, lengths, [None] * len(self.blocks))
        padded = np.zeros((len(prefixes), longest), np.int64)
        for row, prefix in zip(padded, prefixes, strict=True):
            row[: len(prefix)] = prefix
        tokens = torch.from_numpy(padded).to(self.device)  # (p, longest); causal, so what fills up is not seen
        x = self._embed(tokens, torch.arange(longest, device=self.device).expand_as(tokens))  # (p, longest, width)
        filled = torch.from_numpy(np.arange(longest) < lengths[:, None]).to(self.device)  # (p, longest)
        bias = torch.zeros(filled.shape, device=self.device).masked_fill(~filled, float("-inf"))
        stems: list[Stems | None] = []
        for block in self.blocks:
            q, k, v = project_qkv(block, x)  # (p, heads, longest, head width)
            stems.append(Stems(k, v, bias))
            if block is not self.blocks[-1]:  # only keys and values of the last block are wanted
                x = finish_block(block, x, F.scaled_dot_product_attention(q, k, v, is_causal=True))
        return Prefixes(numbers, lengths, stems)

    def encode_continuations(self, prefixes: Prefixes, owners: NDArray[np.int64], rests: Ragged) -> Tensor:
        """Embed token sequences given as (number of the prefix, rest); gradients flow where they are on.

        owners: (n,) numbers of prefixes. rests: n non-empty rests that end with end of text.
        Returns (n, d) float32, unnormalised.
        """
        order, found = [], []
        for part in parts_of(rests, owners, self.chunk_tokens):
            order.append(part)
            found.append(self._run_trie(TokenTrie.build(rests.rows(part), owners[part]), prefixes))
        back = np.argsort(np.concatenate(order))
        return torch.cat(found)[torch.from_numpy(back).to(self.device)]

    def _embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Token and position embeddings, two index tensors of one shape (...) -> (..., width)."""
        table = self.tower.positional_embedding
        return self.tower.token_embedding(tokens).to(table.dtype) + table[positions]

    def _run_trie(self, trie: TokenTrie, prefixes: Prefixes) -> Tensor:
        """(n, d) float32 of a trie's texts, in their order."""
        last, texts = np.unique(trie.ends, return_inverse=True)
        everyone, enders = Asking(trie, self.device), Asking(trie, self.device, last)
        x, q, k, v = self._first_projections(trie.tokens, prefixes.lengths[trie.owners] + trie.depths)
        for number, (block, stems) in enumerate(zip(self.blocks, prefixes.stems, strict=True)):
            if number:
                q, k, v = project_tokens(block, x).unbind(1)
            asking = enders if block is self.blocks[-1] else everyone  # only end of text is read
            attended = attend(asking.pick(q), k, v, asking, stems)  # (r, heads, head width)
            x = finish_block(block, asking.pick(x)[None], attended.transpose(0, 1)[None])[0]  # (r, width)
        return self._project(x)[torch.from_numpy(texts).to(x.device)]

    def _project(self, x: Tensor) -> Tensor:
        """(r, width) at end of text -> (r, d) float32; within autocast too, since cosines lie close together."""
        projection = self.tower.text_projection
        with torch.autocast(x.device.type, enabled=False):
            x = self.tower.ln_final(x)
            if projection is not None:
                x = projection(x) if callable(projection) else x @ projection
            return x.float()

    def _first_projections(
        self, tokens: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of N tokens: x (N, width), and the first block's queries, keys and values (N, heads, head width).

        Nothing is mixed before the first attention, so each token is projected once a position; all texts end alike.
        """
        pairs, which = np.unique(tokens * self.context_length + positions, return_inverse=True)  # (u,), (N,)
        kinds = torch.from_numpy(pairs).to(self.device)
        x = self._embed(kinds // self.context_length, kinds % self.context_length)  # (u, width)
        projected = project_tokens(self.blocks[0], x)  # (u, 3, heads, head width)
        index = torch.from_numpy(which).to(self.device)
        q, k, v = projected.index_select(0, index).unbind(1)
        return x.index_select(0, index), q, k, v


def _check_tower(tower: CLIP | TextTransformer, blocks: list[nn.Module]) -> None:
    pool = getattr(tower, "text_pool_type", getattr(tower, "pool_type", "argmax"))
    if pool not in ("argmax", "eos"):
        raise TypeError(f"the text tower must be read at end of text, not by {pool!r} pooling")
    if getattr(tower, "attn_mask", None) is None:
        raise TypeError("the text tower must be causal (no attention mask found): prefixes cannot be shared")
    if not getattr(tower.transformer, "batch_first", True):
        raise TypeError("the text tower must be built with batch_first=True")
    for block in blocks:
        check_block(block)
