"""The fast search against the plain one of benchmarks/plain_zerocap.py: same tokens, in the same order."""

import numpy as np
import pytest
import torch

from benchmarks.plain_zerocap import PlainBeam, PlainStep
from benchmarks.zerocap import Difference, Setup, compare, compare_all, mini, tiny
from tests import golden

PUBLISHED = golden.load("zerocap.npz")
REFERENCE = PUBLISHED["embeddings"]


@pytest.fixture(scope="module")
def small() -> Setup:
    return tiny(candidates=16)


def test_the_plain_search_is_the_published_one():
    """Probabilities of the first token after five iterations over 512 candidates."""
    plain = tiny().plain(remember=True)
    unit = torch.nn.functional.normalize(REFERENCE[1], dim=-1)
    (log_p,) = plain.log_probabilities(torch.tensor([plain.prompt]), unit, 0, 0)
    got = log_p[PUBLISHED["probs_step0_top50_ids_1"]].exp()
    assert torch.allclose(got, PUBLISHED["probs_step0_top50_1"], rtol=1e-3, atol=0)


def test_reference_embeddings_end_alike(small):
    result = compare_all(small, REFERENCE)
    assert result.differences == []
    assert result.largest < 1e-4


def test_random_embeddings_end_alike(small):
    result = compare_all(small, small.embeddings(3))
    assert result.differences == []


def test_real_weights_end_alike():
    setup = mini(candidates=16, first_candidates=0)
    result = compare_all(setup, setup.embeddings(3))
    assert result.differences == []
    assert result.largest < 1e-3


def test_words_tokenised_together_are_those_of_the_whole_text():
    """With the tokenizer of the mini preset, whose merges are fewer, behind prefixes that continue and that do not."""
    texts = mini().fast().continuations.texts
    tokens = np.arange(0, 7000, 35)
    for prefix in ("Image of a", "Image of a cat", "Image of a cat ", "Image of a <end", "x " * 40):
        found = texts.split(prefix, tokens)
        rests = np.split(found.rests.values, np.cumsum(found.rests.lengths)[:-1])
        for token, owner, rest in zip(found.order.tolist(), found.owners, rests, strict=True):
            assert found.heads[owner] + tuple(rest) == texts.clip_text.tokenize(prefix + texts.text(token)), prefix


def test_nothing_is_kept_unless_asked_for(small):
    plain, remembering = small.plain(), small.plain(remember=True)
    unit = torch.nn.functional.normalize(REFERENCE[0], dim=-1)
    rows = torch.tensor([plain.prompt])
    expected = plain.log_probabilities(rows, unit, 0, 0)
    assert torch.allclose(remembering.log_probabilities(rows, unit, 0, 0), expected, atol=1e-5)
    assert plain.texts_encoded == 5 * 16
    assert 16 <= remembering.texts_encoded < 5 * 16


def test_a_difference_is_found_and_measured():
    """Kept by one search and weighed lower by the other: reported with the gap of their scores."""
    steps = [
        PlainStep([PlainBeam((1,), -1.0, -1.0, False)], {(1,): -1.0, (2,): -1.25}),
        PlainStep([PlainBeam((1, 3), -3.0, -1.5, False)], {(1, 3): -1.5}),
    ]
    assert compare(0, [{(1,)}, {(1, 3)}], [((1, 3), -1.5)], steps) is None
    assert compare(7, [{(2,)}, {(2, 3)}], [((2, 3), -1.5)], steps) == Difference(7, 0, 0.25)
    assert compare(7, [{(1,)}, {(1, 4)}], [((1, 4), -1.5)], steps) == Difference(7, 1, float("inf"))
