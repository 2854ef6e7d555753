"""CLIP's tokens of "text + token" against the tokenizer on the whole text."""

import numpy as np
import pytest

from tests import golden
from zgcore import token_texts
from zgcore.clip_cleaning import is_plain
from zgcore.clip_text import Tokens
from zgcore.language import ContextModel
from zgcore.mini.architecture import MiniTokenizer
from zgcore.token_texts import BEGINS, CARRIES, ODD, TokenTexts, Words
from zgcore.token_trie import Ragged

CLIP = golden.text_tower()
LM = ContextModel(golden.language_model(), golden.gpt2_tokenizer())
SPACE_DOG, FISH, END = 3290, 11084, 49407  # GPT-2's " dog" and "fish"; CLIP's end of text


def sequences(of: Ragged) -> list[Tokens]:
    return [tuple(part.tolist()) for part in np.split(of.values, np.cumsum(of.lengths)[:-1])]


@pytest.mark.parametrize(
    "prefix",
    [
        "Image of a",
        "Image of a cat",
        "Image of a ",
        "Image",
        "",
        "Image of a&lt",
        "Image of a \ufffd",
        "Image of a caf\u00e9",
        "Image of a don't",
        "Image of a <end_of_text>",
        "cat " * 73,  # room for one token more
        "cat " * 80,
    ],
)
def test_tokens_are_those_of_the_whole_text(prefix):
    """Also where a candidate continues the last word, so that byte-pair merges reach into the prefix."""
    texts = TokenTexts(CLIP, LM)
    tokens = np.unique([*np.random.default_rng(0).integers(0, 50257, 1500), 50256])
    found = texts.split(prefix, tokens)
    assert sorted(found.order.tolist()) == tokens.tolist()
    for token, owner, rest in zip(found.order.tolist(), found.owners, sequences(found.rests), strict=True):
        assert found.heads[owner] + rest == CLIP.tokenize(prefix + texts.text(token)), texts.text(token)
        assert len(rest) > 0


STRANGE = np.array([token for token, text in enumerate(LM.token_texts) if not is_plain(text)])


@pytest.mark.parametrize(
    ("prefix", "odd"),
    [
        ("Image of a", 118),
        ("Image of a cat", 118),
        ("Image of a caf\u00e9", 405),  # \u00e9 may begin mojibake with what follows
        ("Image of a \u201cdog", 118),
        ("Image of a\n", 117),
        ("Image of a \u039f\u0394\u039f\u03a3", 117),  # a final sigma, where nothing carries it on
        ("Image of a\x1b", 974),
    ],
)
def test_strange_tokens_are_those_of_the_whole_text(prefix, odd):
    """All of GPT-2's tokens that cleaning may change, few of them tokenised with the whole text."""
    texts = TokenTexts(CLIP, LM)
    found = texts.split(prefix, STRANGE)
    for token, owner, rest in zip(found.order.tolist(), found.owners, sequences(found.rests), strict=True):
        assert found.heads[owner] + rest == CLIP.tokenize(prefix + texts.text(token)), texts.text(token)
    assert int((texts.words.kinds(prefix, STRANGE) == ODD).sum()) == odd


def test_where_texts_are_divided():
    """ "catfish" is one token of CLIP's, so it must be divided in front of "cat"."""
    found = TokenTexts(CLIP, LM).split("Image of a cat", np.array([FISH, SPACE_DOG]))
    assert found.order.tolist() == [SPACE_DOG, FISH]
    head, before = CLIP.tokenize("Image of a cat")[:-1], CLIP.tokenize("Image of a")[:-1]
    assert [found.heads[owner] for owner in found.owners] == [head, before]
    assert sequences(found.rests) == [(1929, END), (26077, END)]  # dog</w>; catfish</w>


def test_nothing_to_split():
    found = TokenTexts(CLIP, LM).split("Image of a", np.empty(0, np.int64))
    assert (len(found.order), len(found.owners), len(found.rests)) == (0, 0, 0)


@pytest.mark.parametrize("tokenizer", [CLIP.tokenizer, MiniTokenizer()], ids=["CLIP", "mini"])
def test_compiled_tokenizer_is_the_tokenizer(tokenizer):
    """On every plain token of GPT-2, and on words with capitals, digits, apostrophes and punctuation."""
    plain = [text for text in LM.token_texts if is_plain(text)]
    assert len(plain) == 49283
    words = [*plain[::7], *(one + other.lstrip() for one, other in zip(plain[5000::97], plain[::89], strict=False))]
    assert Words(tokenizer, ["a"]).encode(words) == [tuple(tokenizer.encode(word)) for word in words]


def test_tokenizers_of_another_kind_are_asked():
    class Letters:
        sot_token_id, eot_token_id = 0, 1

        def encode(self, text: str) -> list[int]:
            return [ord(letter) for letter in text if letter != " "]

        def decode(self, tokens: list[int]) -> str:
            raise NotImplementedError

    words = Words(Letters(), [" ab", "c", " d"])
    assert words.kinds("x", np.array([0, 1, 2])).tolist() == [BEGINS, CARRIES, BEGINS]
    assert words.kinds("caf\u00e9", np.array([0])).tolist() == [ODD]  # who knows how it cleans
    assert sequences(words.rows(np.array([2, 0, 2]))) == [(100, 1), (97, 98, 1), (100, 1)]
    assert words.encode(["xy"]) == [(120, 121)]


def test_words_are_kept_up_to_a_bound(monkeypatch):
    monkeypatch.setattr(token_texts, "_WORDS_KEPT", 3)
    words = Words(CLIP.tokenizer, ["fish", "s", "er"])
    asked = []
    encode = words.encode
    monkeypatch.setattr(words, "encode", lambda new: asked.append(new) or encode(new))
    expected = [(26077, END), (3989, END), (26077, END)]  # catfish</w>; cats</w>
    assert sequences(words.rows_behind("cat", np.array([0, 1, 0]))) == expected
    assert sequences(words.rows_behind("cat", np.array([0, 1, 0]))) == expected
    words.rows_behind("dog", np.array([1, 2]))
    assert sequences(words.rows_behind("cat", np.array([0]))) == expected[:1]
    assert asked == [["catfish", "cats", "catfish"], [], ["dogs", "doger"], ["catfish"]]
