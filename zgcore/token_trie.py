"""Texts as a trie: tokens that texts share, behind the same tokens, stand in it once.

A causal tower makes the same of equal beginnings, so what stands once needs to be computed once. All texts' nodes lie
in one row, whatever their lengths, and nothing is padded.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Ragged:
    """Sequences of several lengths. values: (sum of lengths,) int64. lengths: (n,) int64."""

    values: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]]) -> Ragged:
        lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
        values = np.fromiter(chain.from_iterable(sequences), np.int64, int(lengths.sum()))
        return cls(values, lengths)

    @property
    def starts(self) -> NDArray[np.int64]:
        return np.cumsum(self.lengths) - self.lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def joined(self, *others: Ragged) -> Ragged:
        """These sequences, then the others'."""
        every = (self, *others)
        return Ragged(np.concatenate([one.values for one in every]), np.concatenate([one.lengths for one in every]))

    def rows(self, index: NDArray[np.int64]) -> Ragged:
        """Some of the sequences, in the order of (m,) index."""
        lengths = self.lengths[index]
        offset = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return Ragged(self.values[np.repeat(self.starts[index], lengths) + offset], lengths)


@dataclass(frozen=True)
class Level:
    """Nodes of one depth: numbers first.. . ancestors: (m, depth) the nodes each one stands behind, outermost first."""

    first: int
    ancestors: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ancestors)

    @property
    def depth(self) -> int:
        return int(self.ancestors.shape[1])


@dataclass(frozen=True)
class TokenTrie:
    """n texts, each continuing one of several prefixes, as N nodes, level by level.

    tokens, owners, depths: (N,) a node's token, the number of its prefix, and how many nodes it stands behind.
    ends: (n,) the node each text ends in.
    """

    tokens: NDArray[np.int64]
    owners: NDArray[np.int64]
    depths: NDArray[np.int64]
    levels: tuple[Level, ...]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def build(cls, texts: Ragged, owners: NDArray[np.int64]) -> TokenTrie:
        """texts: n token sequences, none empty. owners: (n,) the prefix each one continues."""
        base = int(texts.values.max()) + 1
        starts, node = texts.starts, owners.copy()  # node: where each text has come to, first its prefix
        tokens: list[NDArray[np.int64]] = []
        owned: list[NDArray[np.int64]] = []
        levels: list[Level] = []
        going, first = np.arange(len(starts)), 0
        while len(going):
            depth = len(levels)
            steps, which = np.unique(node[going] * base + texts.values[starts[going] + depth], return_inverse=True)
            parents = steps // base
            if levels:
                before = levels[-1]
                behind = parents - before.first
                levels.append(Level(first, np.column_stack([before.ancestors[behind], parents])))
                owned.append(owned[-1][behind])
            else:
                levels.append(Level(first, np.empty((len(steps), 0), np.int64)))
                owned.append(parents)
            tokens.append(steps % base)
            node[going] = first + which
            first += len(steps)
            going = going[texts.lengths[going] > depth + 1]
        depths = np.repeat(np.arange(len(levels)), [len(level) for level in levels])
        return cls(np.concatenate(tokens), np.concatenate(owned), depths, tuple(levels), node)


def parts_of(texts: Ragged, owners: NDArray[np.int64], most: int) -> Iterator[NDArray[np.int64]]:
    """Index arrays that divide texts into parts of at most `most` tokens, or of one text; equal owners together."""
    order = np.argsort(owners, kind="stable")
    totals = np.cumsum(texts.lengths[order])
    start = 0
    while start < len(order):
        before = totals[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(totals, before + most, side="right")))
        yield order[start:end]
        start = end
