"""How well each candidate continuation of a text fits a segment, according to CLIP's text tower.

ZeroCap asks for the same (prefix, token) pairs again and again: in its iterations, beams, segments and images. Their
features are kept in one bank, found through a table per prefix, and bounded in bytes (least recently used prefix
goes first).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from zgcore.clip_text import ClipText, Tokens, common_prefix
from zgcore.language import ContextModel, decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor


class Continuations:
    """Cosines of segments with "prefix + token", for tokens of a language model.

    clip_text: the text tower. lm: the language model whose tokens are meant.
    cache_mb: size of the feature bank, in MiB; a single call may exceed it by what it needs itself.
    """

    def __init__(self, clip_text: ClipText, lm: ContextModel, *, cache_mb: int = 512) -> None:
        self.clip_text = clip_text
        self.texts = TokenTexts(clip_text, lm)
        self.vocabulary = lm.vocabulary
        self.capacity = max(1, cache_mb * 2**20 // (4 * clip_text.output_dim))
        self._bank = torch.empty(0, clip_text.output_dim, device=clip_text.device)  # (slots, d) normalised
        self._free: list[int] = []
        self._tables: OrderedDict[str, NDArray[np.int32]] = OrderedDict()  # prefix -> (vocabulary,) slot or -1

    @torch.no_grad()  # not inference mode: the result enters a loss
    def cosines(self, prefixes: Sequence[str], ids: Tensor, embeddings: Tensor) -> Tensor:
        """Cosine of each row's embedding with each of its candidates.

        prefixes: n texts. ids: (n, k) token ids. embeddings: (n, d) unit vectors. Returns (n, k) float32.
        """
        slots = torch.from_numpy(self._slots(prefixes, ids.cpu().numpy())).to(self._bank.device)  # (n, k)
        return torch.stack([self._bank[row] @ embedding for row, embedding in zip(slots, embeddings, strict=True)])

    def _slots(self, prefixes: Sequence[str], ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n, k) bank slots; features that are missing are computed, those of all rows together."""
        wanted: dict[str, NDArray[np.int64]] = {}
        for prefix in dict.fromkeys(prefixes):
            rows = [row for row, other in enumerate(prefixes) if other == prefix]
            if prefix not in self._tables:
                self._tables[prefix] = np.full(self.vocabulary, -1, dtype=np.int32)
            self._tables.move_to_end(prefix)
            unique = np.unique(ids[rows])
            wanted[prefix] = unique[self._tables[prefix][unique] < 0]
        self._compute(wanted, keep=set(prefixes))
        return np.stack([self._tables[prefix][row] for prefix, row in zip(prefixes, ids, strict=True)]).astype(np.int64)

    def _compute(self, wanted: dict[str, NDArray[np.int64]], keep: set[str]) -> None:
        """Fill the tables of the prefixes in `wanted` with the features of the tokens named there."""
        heads: list[Tokens] = []
        tails: list[Tokens] = []
        for prefix, missing in wanted.items():
            for head, tail in self.texts.split(prefix, missing.tolist()):
                heads.append(head)
                tails.append(tail)
        if not tails:
            return
        features = F.normalize(self.clip_text.encode_continuations(heads, tails), dim=-1)  # (m, d)
        slots = self._allocate(len(tails), keep)
        self._bank[torch.tensor(slots, device=self._bank.device)] = features
        start = 0
        for prefix, missing in wanted.items():
            self._tables[prefix][missing] = slots[start : start + len(missing)]
            start += len(missing)

    def _allocate(self, count: int, keep: set[str]) -> list[int]:
        """Free slots: new ones up to the capacity, then those of the least recently used prefixes not in `keep`."""
        while len(self._free) < count and len(self._bank) + count - len(self._free) > self.capacity:
            oldest = next(iter(self._tables))
            if oldest in keep:
                break
            table = self._tables.pop(oldest)
            self._free.extend(table[table >= 0].tolist())
        if len(self._free) < count:
            size = len(self._bank)
            grown = max(size + count - len(self._free), min(2 * size, self.capacity))
            self._bank = torch.cat([self._bank, self._bank.new_empty(grown - size, self._bank.shape[1])])
            self._free.extend(range(size, grown))
        taken, self._free = self._free[-count:], self._free[:-count]
        return taken


class TokenTexts:
    """The text of each language-model token, and CLIP's tokens of a prefix followed by it."""

    def __init__(self, clip_text: ClipText, lm: ContextModel) -> None:
        self.clip_text = clip_text
        self.lm = lm
        self._text: list[str | None] = [None] * lm.vocabulary
        self._own_tokens: dict[int, Tokens] = {}

    def text(self, token: int) -> str:
        """What the token decodes to on its own."""
        known = self._text[token]
        if known is None:
            known = self._text[token] = decode(self.lm.tokenizer, [token])
        return known

    def split(self, prefix: str, tokens: Sequence[int]) -> list[tuple[Tokens, Tokens]]:
        """CLIP's tokens of "prefix + token", each as (what it shares with the prefix's own tokens, the rest).

        Byte-pair merges may change the prefix's last word when a candidate continues it, so what is shared is
        found on token ids.
        """
        closed = self.clip_text.tokenize(prefix)
        head, eot = closed[:-1], closed[-1]
        separable_prefix = _plain(prefix)
        pairs = []
        for token in tokens:
            text = self.text(token)
            if separable_prefix and text[:1] == " " and _plain(text):
                sequence = self.clip_text.close((*head, *self._tokens_alone(token, text), eot))
            else:
                sequence = self.clip_text.tokenize(prefix + text)
            shared = min(common_prefix(head, sequence), len(sequence) - 1)
            pairs.append((sequence[:shared], sequence[shared:]))
        return pairs

    def _tokens_alone(self, token: int, text: str) -> Tokens:
        known = self._own_tokens.get(token)
        if known is None:
            known = self._own_tokens[token] = tuple(self.clip_text.tokenizer.encode(text))
        return known


def _plain(text: str) -> bool:
    """True where CLIP's text cleaning changes nothing but case and spaces, so that words tokenise independently."""
    return text.isascii() and text.isprintable() and "&" not in text
