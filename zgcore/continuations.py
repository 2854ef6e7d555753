"""How well each candidate continuation of a text fits a segment, according to CLIP's text tower.

ZeroCap asks for the same (prefix, token) pairs again and again: in its iterations, beams, segments and images. Their
features are kept in one bank, found through a table per prefix, and bounded in bytes (least recently used prefix
goes first; the prompt, which every segment begins with, stays).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from zgcore.token_texts import TokenTexts

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from zgcore.clip_text import ClipText, Prefixes, Tokens
    from zgcore.language import ContextModel
    from zgcore.token_texts import Continued

_GATHERED_MB = 64  # features that are laid side by side for rows with different prefixes


class Continuations:
    """Cosines of segments with "prefix + token", for tokens of a language model.

    clip_text: the text tower. lm: the language model whose tokens are meant.
    lasting: prefixes whose features are never dropped.
    cache_mb: size of the feature bank, in MiB; a single call may exceed it by what it needs itself.
    text_format: what the tower's products are rounded to; features are kept in float32.
    """

    def __init__(
        self,
        clip_text: ClipText,
        lm: ContextModel,
        *,
        lasting: Collection[str] = (),
        cache_mb: int = 512,
        text_format: torch.dtype = torch.float32,
    ) -> None:
        self.clip_text = clip_text
        self.texts = TokenTexts(clip_text, lm)
        self.vocabulary = lm.vocabulary
        self.text_format = text_format
        self.lasting = frozenset(lasting)
        self.capacity = max(1, cache_mb * 2**20 // (4 * clip_text.output_dim))
        self._bank = torch.empty(0, clip_text.output_dim, device=clip_text.device)  # (slots, d) normalised
        self._free = np.empty(0, np.int32)  # slots that nothing is in
        self._prefixes: Prefixes | None = None  # of the last call
        self._tables: OrderedDict[str, NDArray[np.int32]] = OrderedDict()  # prefix -> (vocabulary,) slot or -1

    @torch.no_grad()  # not inference mode: the result enters a loss
    def cosines(self, prefixes: Sequence[str], ids: Tensor, embeddings: Tensor) -> Tensor:
        """Cosine of each row's embedding with each of its candidates.

        prefixes: n texts. ids: (n, k) token ids. embeddings: (n, d) unit vectors. Returns (n, k) float32.
        """
        asked = ids.cpu().numpy()
        groups: dict[str, list[int]] = {}
        for row, prefix in enumerate(prefixes):
            groups.setdefault(prefix, []).append(row)
        self._compute({prefix: self._distinct(asked[rows]) for prefix, rows in groups.items()})
        found = torch.empty(ids.shape, device=self._bank.device)
        alone = [rows[0] for rows in groups.values() if len(rows) == 1]
        for start in range(0, len(alone), self._rows_at_once(ids.shape[1])):
            rows = alone[start : start + self._rows_at_once(ids.shape[1])]
            slots = np.stack([self._tables[prefixes[row]][asked[row]] for row in rows])
            where = self._index(np.array(rows))
            found[where] = (self._bank[self._index(slots)] @ embeddings[where][..., None])[..., 0]
        for prefix, rows in groups.items():
            if len(rows) > 1:
                where = self._index(np.array(rows))
                found[where] = self._cosines_behind(prefix, asked[rows], embeddings[where])
        return found

    def _cosines_behind(self, prefix: str, asked: NDArray[np.int64], embeddings: Tensor) -> Tensor:
        """(m, k) cosines of m rows with one prefix, each distinct candidate read once."""
        tokens = self._distinct(asked)
        place = np.empty(self.vocabulary, dtype=np.int64)
        place[tokens] = np.arange(len(tokens))
        features = self._bank[self._index(self._tables[prefix][tokens])]  # (u, d)
        return (embeddings @ features.T).gather(1, self._index(place[asked]))

    def _distinct(self, asked: NDArray[np.int64]) -> NDArray[np.int64]:
        """(m, k) token ids -> the distinct ones, rising."""
        flags = np.zeros(self.vocabulary, dtype=np.bool_)
        flags[asked] = True
        return np.flatnonzero(flags)

    def _rows_at_once(self, candidates: int) -> int:
        return max(1, _GATHERED_MB * 2**20 // (4 * candidates * self.clip_text.output_dim))

    def _index(self, numbers: NDArray[np.integer]) -> Tensor:
        return torch.from_numpy(numbers.astype(np.int64, copy=False)).to(self._bank.device)

    def forget(self) -> None:
        """Drop the features behind all prefixes but the lasting ones."""
        self._forget(*(self._tables.keys() - self.lasting))

    def count(self, prefix: str) -> int:
        """How many tokens' features are known behind a prefix."""
        return int((self._tables[prefix] >= 0).sum()) if prefix in self._tables else 0

    def rows(self, prefix: str) -> tuple[NDArray[np.int64], Tensor]:
        """What is known of a prefix: (n,) token ids, rising, and their (n, d) unit features."""
        table = self._tables.get(prefix, np.empty(0, np.int32))
        ids = np.flatnonzero(table >= 0)
        return ids, self._bank[self._index(table[ids])]

    def add(self, prefix: str, ids: NDArray[np.int64], features: Tensor) -> None:
        """Take features of "prefix + token" that were computed before, in place of those known: as `rows` gave them."""
        self._forget(prefix)
        self._store({prefix: ids}, features.to(self._bank.device), keep={prefix})

    def _compute(self, wanted: dict[str, NDArray[np.int64]]) -> None:
        """Make the tables of some prefixes hold some tokens; what is missing runs through the tower together."""
        missing: dict[str, Continued] = {}
        for prefix, tokens in wanted.items():
            unknown = tokens[self._table(prefix)[tokens] < 0]
            if len(unknown):
                missing[prefix] = self.texts.split(prefix, unknown)
        if not missing:
            return
        parts = list(missing.values())
        rests = parts[0].rests.joined(*(one.rests for one in parts[1:]))
        rounded = self.text_format != torch.float32
        with torch.autocast(self._bank.device.type, self.text_format if rounded else None, enabled=rounded):
            prefixes = self._read({one.heads[owner] for one in parts for owner in np.unique(one.owners)})
            owners = np.concatenate([one.owners_in(prefixes.numbers) for one in parts])
            features = self.clip_text.encode_continuations(prefixes, owners, rests)
        self._store({prefix: one.order for prefix, one in missing.items()}, F.normalize(features, dim=-1), keep=wanted)

    def _read(self, heads: set[Tokens]) -> Prefixes:
        """Keys and values of some beginnings; the iterations of a step ask for the same ones, which are kept."""
        if self._prefixes is None or not heads <= self._prefixes.numbers.keys():
            self._prefixes = self.clip_text.read_prefixes(sorted(heads))
        return self._prefixes

    def _table(self, prefix: str) -> NDArray[np.int32]:
        """The prefix's table, now the most recently used."""
        if prefix not in self._tables:
            self._tables[prefix] = np.full(self.vocabulary, -1, dtype=np.int32)
        self._tables.move_to_end(prefix)
        return self._tables[prefix]

    def _store(self, tokens: dict[str, NDArray[np.int64]], features: Tensor, keep: Collection[str]) -> None:
        """Put (m, d) features, each prefix's in turn, into the bank; no prefix in `keep` is dropped for them."""
        slots = self._allocate(len(features), keep)
        self._bank[self._index(slots)] = features
        start = 0
        for prefix, own in tokens.items():
            self._table(prefix)[own] = slots[start : start + len(own)]
            start += len(own)

    def _allocate(self, count: int, keep: Collection[str]) -> NDArray[np.int32]:
        """Free slots: new ones up to the capacity, then those of the least recently used prefixes not in `keep`."""
        while len(self._free) < count and len(self._bank) + count - len(self._free) > self.capacity:
            oldest = next((prefix for prefix in self._tables if prefix not in self.lasting), None)
            if oldest is None or oldest in keep:
                break
            self._forget(oldest)
        if len(self._free) < count:
            size = len(self._bank)
            grown = max(size + count - len(self._free), min(2 * size, self.capacity))
            self._bank = torch.cat([self._bank, self._bank.new_empty(grown - size, self._bank.shape[1])])
            self._free = np.concatenate([self._free, np.arange(size, grown, dtype=np.int32)])
        self._free, taken = np.split(self._free, [len(self._free) - count])
        return taken

    def _forget(self, *prefixes: str) -> None:
        tables = [self._tables.pop(prefix, np.empty(0, np.int32)) for prefix in prefixes]
        self._free = np.concatenate([self._free, *(table[table >= 0] for table in tables)])
