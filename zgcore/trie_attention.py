"""Attention of a trie's nodes to what they stand behind: the keys of a shared prefix, their ancestors, themselves.

A prefix's keys are not copied to every text that continues it: nodes of one prefix ask together, in blocks. All three
parts go through one softmax, so nothing but rounding differs from attention over each text on its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from zgcore.token_trie import TokenTrie

FEW = 4096  # ancestors, with those that are filled up, of levels that are answered together
BLOCK = 32  # nodes of one prefix that ask together; the last block of a prefix is filled up


@dataclass(frozen=True)
class Stems:
    """What one block of the tower keeps of p prefixes.

    keys, values: (p, heads, length, head width). bias: (p, length), 0 where a prefix has a token, -inf behind its end.
    """

    keys: Tensor
    values: Tensor
    bias: Tensor


@dataclass(frozen=True)
class _Blocks:
    """rows: (blocks * BLOCK,) which asking row stands where, filled up with row 0. places: (r,) where each row stands.
    owners: (blocks,) prefix of each block."""

    rows: Tensor
    places: Tensor
    owners: Tensor


@dataclass(frozen=True)
class _Behind:
    """Rows of neighbouring levels below the first, and the nodes they stand behind.

    ancestors: (m, depth), filled up with node 0 where a row has fewer. unseen: (m, depth), True where it is filled up;
    None where all have as many.
    """

    rows: slice
    ancestors: Tensor
    unseen: Tensor | None

    @classmethod
    def of(cls, levels: Sequence[_AskingLevel], device: torch.device) -> _Behind:
        """levels: deepest first."""
        first, depth = levels[-1].first, levels[0].depth
        rows = slice(first, levels[0].first + len(levels[0].ancestors))
        padded = np.zeros((rows.stop - first, depth), np.int64)
        unseen = np.ones(padded.shape, np.bool_)
        for level in levels:
            place = slice(level.first - first, level.first - first + len(level.ancestors)), slice(level.depth)
            padded[place] = level.ancestors
            unseen[place] = False
        return cls(
            rows, torch.from_numpy(padded).to(device), torch.from_numpy(unseen).to(device) if len(levels) > 1 else None
        )

    @property
    def depth(self) -> int:
        return int(self.ancestors.shape[1])

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        """(depth, m, heads) products of the rows' queries with their ancestors' keys; -inf where none is."""
        found = (_gather(k, self.ancestors) * q[self.rows, None]).sum(-1)  # (m, depth, heads)
        if self.unseen is not None:
            found.masked_fill_(self.unseen[..., None], float("-inf"))
        return found.transpose(0, 1)


@dataclass(frozen=True)
class _AskingLevel:
    """Rows of one level: numbers first.. . ancestors: (m, depth) the nodes each one stands behind."""

    first: int
    ancestors: NDArray[np.int64]

    @property
    def depth(self) -> int:
        return int(self.ancestors.shape[1])


def _asking_levels(trie: TokenTrie, asking: NDArray[np.int64]) -> Iterator[_AskingLevel]:
    """Levels below the first that hold one of (r,) asking nodes, deepest first."""
    for level in trie.levels[:0:-1]:
        start, end = np.searchsorted(asking, [level.first, level.first + len(level)])
        if start < end:
            yield _AskingLevel(int(start), level.ancestors[asking[start:end] - level.first])


def _grouped(levels: Iterable[_AskingLevel]) -> Iterator[list[_AskingLevel]]:
    """Levels that are answered together: a rare word of many tokens has levels of few nodes, each of which would cost
    as much as one of thousands."""
    group: list[_AskingLevel] = []
    nodes = 0
    for level in levels:
        if group and (nodes + len(level.ancestors)) * group[0].depth > FEW:
            yield group
            group, nodes = [], 0
        group.append(level)
        nodes += len(level.ancestors)
    if group:
        yield group


class Asking:
    """Which nodes of a trie ask, and whom. nodes: (r,) rising node numbers, or all nodes."""

    def __init__(self, trie: TokenTrie, device: torch.device, nodes: NDArray[np.int64] | None = None) -> None:
        asking = np.arange(len(trie)) if nodes is None else nodes
        self.nodes = None if nodes is None else torch.from_numpy(nodes).to(device)
        self.blocks = _blocks(trie.owners[asking], device)
        self.behind = [_Behind.of(levels, device) for levels in _grouped(_asking_levels(trie, asking))]
        self.deepest = max((group.depth for group in self.behind), default=0)

    def pick(self, of_nodes: Tensor) -> Tensor:
        """(N, ...) -> (r, ...), the rows that ask."""
        return of_nodes if self.nodes is None else of_nodes.index_select(0, self.nodes)


def _blocks(owners: NDArray[np.int64], device: torch.device) -> _Blocks:
    order = np.argsort(owners, kind="stable")
    counts = np.bincount(owners)
    blocks = -(-counts // BLOCK)
    ranks = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)  # among those of the same prefix
    taken = np.repeat(np.cumsum(blocks) - blocks, counts) * BLOCK + ranks
    rows, places = np.zeros(int(blocks.sum()) * BLOCK, np.int64), np.empty(len(owners), np.int64)
    rows[taken], places[order] = order, taken
    tensors = (torch.from_numpy(part).to(device) for part in (rows, places, np.repeat(np.arange(len(counts)), blocks)))
    return _Blocks(*tensors)


def attend(q: Tensor, k: Tensor, v: Tensor, asking: Asking, stems: Stems | None) -> Tensor:
    """Attention values of the r rows that ask.

    q: (r, heads, head width). k, v: (N, heads, head width) of all nodes. stems: None where prefixes are empty.
    Returns (r, heads, head width) of v's dtype; computed in float32, within autocast too.
    """
    with torch.autocast(q.device.type, enabled=False):
        return _attend(q.float(), k, v, asking, stems)


def _attend(q: Tensor, k: Tensor, v: Tensor, asking: Asking, stems: Stems | None) -> Tensor:
    shares = _scores(q, k, asking, stems).mul_(q.shape[-1] ** -0.5).softmax(0)  # (keys, r, heads)
    length = 0 if stems is None else stems.keys.shape[2]
    out = asking.pick(v).float() * shares[-1][..., None]
    if stems is not None:
        blocks = asking.blocks
        share = shares[:length].index_select(1, blocks.rows).unflatten(1, (-1, BLOCK)).permute(1, 3, 2, 0)
        told = share @ stems.values[blocks.owners].float()  # (blocks, heads, BLOCK, head width)
        out += told.transpose(1, 2).flatten(0, 1).index_select(0, blocks.places)
    for group in asking.behind:
        share = shares[length : length + group.depth, group.rows].transpose(0, 1)[..., None]  # (m, depth, heads, 1)
        out[group.rows] += (_gather(v, group.ancestors) * share).sum(1)
    return out.to(v.dtype)


def _scores(q: Tensor, k: Tensor, asking: Asking, stems: Stems | None) -> Tensor:
    """(keys, r, heads) products with the prefix's keys, the ancestors', and last the node's own; -inf where none is.

    Keys come first, since a softmax over the first axis runs along memory.
    """
    length = 0 if stems is None else stems.keys.shape[2]
    scores = q.new_full((length + asking.deepest + 1, *q.shape[:2]), float("-inf"))
    scores[-1] = (q * asking.pick(k).float()).sum(-1)
    if stems is not None:
        blocks = asking.blocks
        queries = q.index_select(0, blocks.rows).unflatten(0, (-1, BLOCK)).permute(0, 2, 3, 1)
        found = stems.keys[blocks.owners].float() @ queries  # (blocks, heads, length, BLOCK)
        found = found + stems.bias[blocks.owners][:, None, :, None]
        scores[:length] = found.permute(2, 0, 3, 1).flatten(1, 2).index_select(1, blocks.places)
    for group in asking.behind:
        scores[length : length + group.depth, group.rows] = group.scores(q, k)
    return scores


def _gather(of_nodes: Tensor, index: Tensor) -> Tensor:
    """(N, ...) by (m, depth) -> (m, depth, ...) float32."""
    return of_nodes.index_select(0, index.flatten()).unflatten(0, index.shape).float()
