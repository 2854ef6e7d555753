"""Cached candidate features against texts encoded one by one."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests import golden
from zgcore.continuations import Continuations
from zgcore.language import ContextModel

CLIP = golden.text_tower()
LM = ContextModel(golden.language_model(), golden.gpt2_tokenizer())
GENERATOR = np.random.default_rng(0)


def plain(prefixes: list[str], ids: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
    rows = []
    for prefix, tokens, embedding in zip(prefixes, ids.tolist(), embeddings, strict=True):
        texts = [prefix + LM.tokenizer.decode([token], clean_up_tokenization_spaces=False) for token in tokens]
        rows.append(F.normalize(CLIP.encode_plain(texts), dim=-1) @ embedding)
    return torch.stack(rows)


def sample(rows: int, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.from_numpy(GENERATOR.integers(0, 50257, (rows, k)))
    return ids, F.normalize(torch.from_numpy(GENERATOR.standard_normal((rows, 64)).astype(np.float32)), dim=-1)


@pytest.mark.parametrize(
    "prefixes",
    [
        ["Image of a", "Image of a", "Image of a cat"],
        ["Image of a caf\u00e9 ", "Image of a &am", "x" * 90],
    ],
)
def test_equal_to_texts_encoded_one_by_one(prefixes):
    continuations = Continuations(CLIP, LM)
    ids, embeddings = sample(3, 60)
    for _ in range(2):  # the second time from the cache
        assert torch.allclose(
            continuations.cosines(prefixes, ids, embeddings), plain(prefixes, ids, embeddings), atol=1e-5
        )


def test_repeated_pairs_are_encoded_once(monkeypatch):
    continuations = Continuations(CLIP, LM)
    ids, embeddings = sample(2, 30)
    encoded = []
    encode = CLIP.encode_continuations
    monkeypatch.setattr(CLIP, "encode_continuations", lambda *given: encoded.append(len(given[-1])) or encode(*given))
    continuations.cosines(["Image of a", "Image of a"], ids, embeddings)
    continuations.cosines(["Image of a", "Image of a"], ids.flip(0), embeddings)
    continuations.cosines(["Image of a"], ids[:1], embeddings[:1])
    assert encoded == [len(np.unique(ids))]


def test_the_bank_is_bounded_and_stays_right():
    continuations = Continuations(CLIP, LM, cache_mb=1)
    continuations.capacity = 100
    for number in range(12):
        ids, embeddings = sample(2, 40)
        prefixes = [f"Image of a {number % 5}", f"Image of a {number % 3} cat"]
        got = continuations.cosines(prefixes, ids, embeddings)
        assert torch.allclose(got, plain(prefixes, ids, embeddings), atol=1e-5)
    assert len(continuations._bank) <= 100
    used = sum(int((table >= 0).sum()) for table in continuations._tables.values())
    assert used + len(continuations._free) == len(continuations._bank)


def test_a_call_larger_than_the_bank():
    continuations = Continuations(CLIP, LM)
    continuations.capacity = 10
    ids, embeddings = sample(2, 40)
    prefixes = ["Image of a", "Image of a dog"]
    assert torch.allclose(continuations.cosines(prefixes, ids, embeddings), plain(prefixes, ids, embeddings), atol=1e-5)


def test_rounded_products_give_nearly_the_same_cosines():
    """bfloat16 keeps 8 bits: cosines move by some thousandths, and features are kept in float32."""
    ids, embeddings = sample(3, 60)
    prefixes = ["Image of a", "Image of a", "Image of a cat"]
    exact = Continuations(CLIP, LM).cosines(prefixes, ids, embeddings)
    rounded = Continuations(CLIP, LM, text_format=torch.bfloat16)
    found = rounded.cosines(prefixes, ids, embeddings)
    assert found.dtype == torch.float32
    assert rounded._bank.dtype == torch.float32
    assert 1e-4 < float((found - exact).abs().max()) < 0.03


def test_many_rows_are_gathered_in_parts(monkeypatch):
    """More different prefixes than features may be laid side by side for, and some that rows share."""
    monkeypatch.setattr(Continuations, "_rows_at_once", lambda *_: 2)
    ids, embeddings = sample(7, 20)
    prefixes = [f"Image of a {word}" for word in ("cat", "dog", "cat", "owl", "bus", "car", "cup")]
    found = Continuations(CLIP, LM).cosines(prefixes, ids, embeddings)
    assert torch.allclose(found, plain(prefixes, ids, embeddings), atol=1e-5)


def test_all_but_the_lasting_prefixes_are_forgotten():
    continuations = Continuations(CLIP, LM, lasting=["Image of a"])
    ids, embeddings = sample(2, 10)
    prefixes = ["Image of a", "Image of a dog"]
    found = continuations.cosines(prefixes, ids, embeddings)
    continuations.forget()
    assert [continuations.count(prefix) for prefix in prefixes] == [len(np.unique(ids[0])), 0]
    assert torch.allclose(continuations.cosines(prefixes, ids, embeddings), found, atol=1e-6)
