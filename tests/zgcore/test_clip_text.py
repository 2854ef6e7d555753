"""The text tower with shared prefixes against the plain one and the published one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import golden
from zgcore.clip_text import ClipText, common_prefix
from zgcore.token_trie import Ragged

CLIP = golden.text_tower()


def test_published_embeddings():
    expected = golden.load("zerocap.npz")["text_probe"]
    texts = golden.texts()["text_probe"]
    assert torch.allclose(CLIP.encode_plain(texts), expected, atol=1e-4)
    assert torch.allclose(CLIP.encode(texts), expected, atol=1e-4)


TEXTS = [
    "",
    "a",
    "Image of a cat",
    "Image of a catfish & chips",
    "été " * 60,
    "one<end_of_text>two",
    "Image of a cat",
    "\x00",
]


def test_equals_the_plain_tower():
    assert torch.allclose(CLIP.encode(TEXTS), CLIP.encode_plain(TEXTS), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=8), st.sampled_from(["", "Image of a", "ima"]))
def test_equals_the_plain_tower_on_any_text(texts, prefix):
    texts = [prefix + text for text in texts]
    assert torch.allclose(CLIP.encode(texts), CLIP.encode_plain(texts), atol=1e-5)


def test_small_chunks_change_nothing():
    chunked = ClipText(CLIP.tower, CLIP.tokenizer, chunk_tokens=4)
    assert torch.allclose(chunked.encode(TEXTS), CLIP.encode(TEXTS), atol=1e-5)


def test_continuations_with_different_prefixes():
    texts = ["Image of a red ball", "Image of a dog", "Image of an owl"]
    sequences = [CLIP.tokenize(text) for text in texts]
    cuts = [4, 2, 4]
    prefixes = CLIP.read_prefixes([sequences[0][:4], sequences[1][:2], sequences[2][:4]])
    rests = Ragged.of([sequence[cut:] for sequence, cut in zip(sequences, cuts, strict=True)])
    got = CLIP.encode_continuations(prefixes, np.arange(3), rests)
    assert torch.allclose(got, CLIP.encode_plain(texts), atol=1e-5)


def test_tokens():
    """Numbers of OpenAI's tokenizer."""
    assert CLIP.tokenize("a photo of a cat") == (49406, 320, 1125, 539, 320, 2368, 49407)
    assert CLIP.tokenize("") == (49406, 49407)
    long = CLIP.tokenize("cat " * 100)
    assert len(long) == 77
    assert long[-2:] == (2368, 49407)


def test_no_texts():
    assert CLIP.encode([]).shape == (0, 64)
    assert CLIP.output_dim == 64


@pytest.mark.parametrize(("one", "other", "shared"), [((1, 2, 3), (1, 2, 4), 2), ((), (1,), 0), ((1, 2), (1, 2, 3), 2)])
def test_common_prefix(one, other, shared):
    assert common_prefix(one, other) == shared
