"""Attention over a trie against attention over each text on its own."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from zgcore import trie_attention
from zgcore.token_trie import Ragged, TokenTrie
from zgcore.trie_attention import BLOCK, Asking, Stems, attend

HEADS, WIDTH, LENGTHS = 2, 4, (3, 0, 5)  # of the prefixes, one of them empty
CPU = torch.device("cpu")


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


def stems() -> Stems:
    filled = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    keys, values = (drawn(len(LENGTHS), HEADS, max(LENGTHS), WIDTH, seed=seed) for seed in (1, 2))
    return Stems(keys, values, torch.zeros(filled.shape).masked_fill(~filled, float("-inf")))


def alone(node: int, trie: TokenTrie, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, past: Stems) -> torch.Tensor:
    """(heads, head width) what one node is told: torch's attention over its prefix, its ancestors and itself."""
    (level,) = [level for level in trie.levels if level.first <= node < level.first + len(level)]
    path = [*level.ancestors[node - level.first].tolist(), node]
    owner = int(trie.owners[node])
    keys, values = (
        torch.cat([prefix[owner][:, : LENGTHS[owner]], own[path].transpose(0, 1)], dim=1)
        for prefix, own in ((past.keys, k), (past.values, v))
    )
    return F.scaled_dot_product_attention(q[node][:, None], keys, values)[:, 0]


@pytest.mark.parametrize("few", [0, 100, trie_attention.FEW])
@pytest.mark.parametrize("ends_only", [False, True])
def test_equals_attention_over_each_text(ends_only, few, monkeypatch):
    monkeypatch.setattr(trie_attention, "FEW", few)
    rng = np.random.default_rng(0)
    sequences = [tuple(rng.integers(0, 5, rng.integers(1, 6)).tolist()) for _ in range(3 * BLOCK)]
    trie = TokenTrie.build(Ragged.of(sequences), rng.choice(3, 3 * BLOCK, p=[0.8, 0.1, 0.1]))
    q, k, v = (drawn(len(trie), HEADS, WIDTH, seed=seed) for seed in (3, 4, 5))
    nodes = np.unique(trie.ends) if ends_only else np.arange(len(trie))
    asking = Asking(trie, CPU, nodes if ends_only else None)
    found = attend(asking.pick(q), k, v, asking, stems())
    expected = torch.stack([alone(node, trie, q, k, v, stems()) for node in nodes.tolist()])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_levels_of_few_nodes_are_answered_together(monkeypatch):
    """40 texts share a first token; their depths below it have 40, 2 and 1 nodes."""
    sequences = [(9, number) for number in range(38)] + [(9, 38, 1), (9, 39, 2, 3)]
    trie = TokenTrie.build(Ragged.of(sequences), np.zeros(40, np.int64))
    assert [len(level) for level in trie.levels] == [1, 40, 2, 1]
    monkeypatch.setattr(trie_attention, "FEW", 3 * 3)
    behind = Asking(trie, CPU).behind
    assert [group.rows for group in behind] == [slice(41, 44), slice(1, 41)]
    assert behind[0].ancestors.tolist() == [[0, 39, 0], [0, 40, 0], [0, 40, 42]]
    assert behind[0].unseen is not None
    assert behind[0].unseen.tolist() == [[False, False, True], [False, False, True], [False, False, False]]
    assert behind[1].unseen is None


def test_without_prefixes():
    trie = TokenTrie.build(Ragged.of([(1, 2), (1,)]), np.zeros(2, np.int64))
    q, k, v = (drawn(2, HEADS, WIDTH, seed=seed) for seed in (3, 4, 5))
    found = attend(q, k, v, Asking(trie, CPU), None)
    torch.testing.assert_close(found[0], v[0])  # the first token sees itself alone
    expected = F.scaled_dot_product_attention(q[1][:, None], k.transpose(0, 1), v.transpose(0, 1))[:, 0]
    torch.testing.assert_close(found[1], expected)


def test_gradients_reach_prefixes_and_nodes():
    trie = TokenTrie.build(Ragged.of([(1, 2), (3, 4)]), np.array([0, 2]))
    q, k, v = (drawn(4, HEADS, WIDTH, seed=seed).double().requires_grad_() for seed in (3, 4, 5))
    past = stems()
    attend(q, k, v, Asking(trie, CPU), past).sum().backward()
    parts = torch.zeros(4, HEADS, WIDTH, dtype=torch.float64)
    assert v.grad is not None
    assert q.grad is not None
    # every node's shares sum to 1, so its own and its ancestors' values get at most that
    assert bool((v.grad > parts).all())
    assert bool((v.grad.sum(0) < 4).all())
    assert bool(q.grad.abs().sum() > 0)


def test_half_precision_is_summed_in_float32():
    trie = TokenTrie.build(Ragged.of([(1, 2, 3)]), np.zeros(1, np.int64))
    q, k, v = (drawn(3, HEADS, WIDTH, seed=seed).bfloat16() for seed in (3, 4, 5))
    found = attend(q, k, v, Asking(trie, CPU), None)
    assert found.dtype == torch.bfloat16
    exact = attend(q.float(), k.float(), v.float(), Asking(trie, CPU), None)
    assert torch.equal(found, exact.bfloat16())
