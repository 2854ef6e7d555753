"""The trie of texts, on small ones drawn by hand."""

import numpy as np
import pytest

from zgcore.token_trie import Ragged, TokenTrie, parts_of


def texts_of(trie: TokenTrie) -> list[tuple[int, list[int]]]:
    """Every text again, with its prefix, read from the trie."""
    found = []
    for end in trie.ends.tolist():
        (level,) = [level for level in trie.levels if level.first <= end < level.first + len(level)]
        path = [*level.ancestors[end - level.first].tolist(), end]
        assert {int(trie.owners[node]) for node in path} == {int(trie.owners[end])}
        assert trie.depths[path].tolist() == list(range(len(path)))
        found.append((int(trie.owners[end]), trie.tokens[path].tolist()))
    return found


def test_shared_beginnings_stand_once():
    """5 is shared by the first two texts; the third has the same tokens behind another prefix."""
    texts = Ragged.of([(5, 6, 9), (5, 9), (5, 9), (5, 9)])
    trie = TokenTrie.build(texts, np.array([0, 0, 1, 0]))
    assert [len(level) for level in trie.levels] == [2, 3, 1]
    assert trie.ends[1] == trie.ends[3]
    assert texts_of(trie) == [(0, [5, 6, 9]), (0, [5, 9]), (1, [5, 9]), (0, [5, 9])]


def test_random_texts_come_back():
    rng = np.random.default_rng(0)
    sequences = [tuple(rng.integers(0, 4, rng.integers(1, 7)).tolist()) for _ in range(300)]
    owners = rng.integers(0, 3, 300)
    trie = TokenTrie.build(Ragged.of(sequences), owners)
    assert texts_of(trie) == [(owner, list(text)) for owner, text in zip(owners.tolist(), sequences, strict=True)]
    distinct = {(owner, text[:end]) for owner, text in zip(owners.tolist(), sequences, strict=True)
                for end in range(1, len(text) + 1)}  # fmt: skip
    assert len(trie) == len(distinct)


def test_one_text_of_one_token():
    trie = TokenTrie.build(Ragged.of([(7,)]), np.array([2]))
    assert (trie.tokens.tolist(), trie.owners.tolist(), trie.depths.tolist(), trie.ends.tolist()) == (
        [7],
        [2],
        [0],
        [0],
    )


def test_ragged_rows():
    ragged = Ragged.of([(1, 2), (), (3,)])
    assert len(ragged) == 3
    assert ragged.starts.tolist() == [0, 2, 2]
    picked = ragged.rows(np.array([2, 0, 0, 1]))
    assert (picked.values.tolist(), picked.lengths.tolist()) == ([3, 1, 2, 1, 2], [1, 2, 2, 0])
    joined = ragged.joined(picked, Ragged.of([]))
    assert (joined.values.tolist(), joined.lengths.tolist()) == ([1, 2, 3, 3, 1, 2, 1, 2], [2, 0, 1, 1, 2, 2, 0])


@pytest.mark.parametrize(
    ("most", "parts"), [(3, [[1], [3], [0, 2]]), (1, [[1], [3], [0], [2]]), (99, [[1, 3, 0, 2]]), (5, [[1, 3], [0, 2]])]
)
def test_parts(most, parts):
    """Owners 1, 0, 1, 0 with 2, 3, 1 and 2 tokens: a text longer than the part stands alone."""
    texts = Ragged.of([(1, 1), (1, 1, 1), (1,), (1, 1)])
    assert [part.tolist() for part in parts_of(texts, np.array([1, 0, 1, 0]), most)] == parts


def test_no_parts_of_nothing():
    assert list(parts_of(Ragged.of([]), np.empty(0, np.int64), 5)) == []
