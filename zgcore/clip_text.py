"""CLIP's text tower, with shared prefixes computed once.

The tower is causal and read at the end-of-text token, so nothing behind that token matters and texts need no padding;
texts that begin with the same tokens share those tokens' keys and values. Both change nothing but rounding.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
import torch.nn.functional as F

from zgcore.blocks import check_block, finish_block, project_qkv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from open_clip import CLIP, CustomTextCLIP
    from open_clip.transformer import TextTransformer
    from torch import Tensor, nn

Tokens = tuple[int, ...]


class ClipTokenizer(Protocol):
    """What is used of an open_clip tokenizer."""

    sot_token_id: int
    eot_token_id: int

    def encode(self, text: str) -> list[int]: ...

    def decode(self, tokens: list[int]) -> str: ...


@dataclass(frozen=True)
class Prefixes:
    """Keys and values of token prefixes of one length: one (p, heads, length, head width) pair a block."""

    length: int
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]


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
    chunk_tokens: tokens that go through the tower at once; bounds memory.

    Raises TypeError for a tower that is not causal or is read elsewhere.
    """

    def __init__(self, model: CLIP | CustomTextCLIP, tokenizer: ClipTokenizer, *, chunk_tokens: int = 8192) -> None:
        self.tower = getattr(model, "text", model)
        self.tokenizer = tokenizer
        self.chunk_tokens = chunk_tokens
        self.blocks = list(self.tower.transformer.resblocks)
        self.context_length = int(self.tower.positional_embedding.shape[0])
        _check_tower(self.tower, self.blocks)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.tower.positional_embedding.device
        return device

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

    def encode(self, texts: Sequence[str]) -> Tensor:
        """(n, d) float32 embeddings, unnormalised, on the tower's device."""
        sequences = [self.tokenize(text) for text in texts]
        if not sequences:
            return torch.empty(0, self.output_dim, device=self.device)
        shared = min(common_prefix(sequences[0], other) for other in sequences)
        shared = min(shared, *(len(sequence) - 1 for sequence in sequences))
        prefix = sequences[0][:shared]
        return self.encode_continuations([prefix] * len(sequences), [sequence[shared:] for sequence in sequences])

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

    @torch.no_grad()
    def encode_continuations(self, prefixes: Sequence[Tokens], suffixes: Sequence[Tokens]) -> Tensor:
        """Embed token sequences given as (prefix, suffix); equal prefixes are run once.

        prefixes: n token prefixes (may be empty). suffixes: n non-empty rests that end with end of text.
        Returns (n, d) float32, unnormalised.
        """
        out = torch.empty(len(suffixes), self.output_dim, device=self.device)
        by_prefix_length: dict[int, list[int]] = defaultdict(list)
        for row, prefix in enumerate(prefixes):
            by_prefix_length[len(prefix)].append(row)
        for rows in by_prefix_length.values():
            numbers = {prefix: number for number, prefix in enumerate(dict.fromkeys(prefixes[row] for row in rows))}
            past = self.run_prefixes(list(numbers))
            by_length: dict[int, list[int]] = defaultdict(list)
            for row in rows:
                by_length[len(suffixes[row])].append(row)
            for length, bucket in by_length.items():
                step = max(1, self.chunk_tokens // length)
                for start in range(0, len(bucket), step):
                    chunk = bucket[start : start + step]
                    tokens = torch.tensor([suffixes[row] for row in chunk], device=self.device)  # (b, length)
                    owner = torch.tensor([numbers[prefixes[row]] for row in chunk], device=self.device)  # (b,)
                    out[torch.tensor(chunk, device=self.device)] = self.run_suffixes(tokens, owner, past)
        return out

    def _embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Token and position embeddings, two index tensors of one shape (...) -> (..., width)."""
        table = self.tower.positional_embedding
        return self.tower.token_embedding(tokens).to(table.dtype) + table[positions]

    def run_prefixes(self, prefixes: list[Tokens]) -> Prefixes | None:
        """Keys and values of p prefixes of one length; None for the empty prefix."""
        length = len(prefixes[0])
        if length == 0:
            return None
        tokens = torch.tensor(prefixes, device=self.device)  # (p, length)
        x = self._embed(tokens, torch.arange(length, device=self.device).expand_as(tokens))  # (p, length, width)
        keys, values = [], []
        for block in self.blocks:
            q, k, v = project_qkv(block, x)  # (p, heads, length, head width)
            keys.append(k.contiguous())  # rows are picked from them for every suffix
            values.append(v.contiguous())
            if block is not self.blocks[-1]:  # only keys and values of the last block are wanted
                x = finish_block(block, x, F.scaled_dot_product_attention(q, k, v, is_causal=True))
        return Prefixes(length, tuple(keys), tuple(values))

    def run_suffixes(self, tokens: Tensor, owner: Tensor, past: Prefixes | None) -> Tensor:
        """(b, t) suffixes that continue prefix number `owner` (b,) -> (b, d)."""
        start = 0 if past is None else past.length
        t = tokens.shape[1]
        x, q, k, v = self._first_projections(tokens, start)
        seen = torch.ones(t, start + t, dtype=torch.bool, device=x.device).tril(start)  # (t, start + t)
        for number, block in enumerate(self.blocks):
            if number:
                q, k, v = project_qkv(block, x)  # (b, heads, t, head width)
            if past is not None:
                k = torch.cat([past.keys[number].index_select(0, owner), k], dim=2)  # (b, heads, start + t, head width)
                v = torch.cat([past.values[number].index_select(0, owner), v], dim=2)
            if block is self.blocks[-1]:  # only end of text is read
                x = finish_block(block, x[:, -1:], F.scaled_dot_product_attention(q[:, :, -1:], k, v))
            else:
                x = finish_block(block, x, F.scaled_dot_product_attention(q, k, v, attn_mask=seen))
        x = self.tower.ln_final(x[:, -1])  # (b, width)
        projection = self.tower.text_projection
        if projection is not None:
            x = projection(x) if callable(projection) else x @ projection
        return x.float()

    def _first_projections(self, tokens: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(b, t) tokens at positions start.. -> x (b, t, width), and the first block's queries, keys and values.

        Nothing is mixed before the first attention, so each token is projected once a position; all texts end alike.
        """
        t = tokens.shape[1]
        columns = torch.arange(t, device=tokens.device)
        pairs, which = (tokens * t + columns).unique(return_inverse=True)  # (u,), (b, t)
        x = self._embed(pairs // t, start + pairs % t)  # (u, width)
        q, k, v = (part[0, :, which] for part in project_qkv(self.blocks[0], x[None]))  # (heads, b, t, head width)
        return x[which], q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)


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
