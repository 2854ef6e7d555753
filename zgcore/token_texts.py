"""CLIP's tokens of a text followed by a token of a language model, without tokenising whole texts again and again.

Words tokenise independently of each other. What a token that begins a word becomes in CLIP's vocabulary is therefore a
row of a table; a token that continues a word is tokenised together with the text's last word.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import numpy as np
from open_clip.tokenizer import SimpleTokenizer
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE

from zgcore.token_trie import Ragged

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from zgcore.clip_text import ClipText, ClipTokenizer, Tokens
    from zgcore.language import ContextModel


@dataclass(frozen=True)
class Continued:
    """CLIP's tokens of n texts that continue one text. heads: what they may begin with.

    order: (n,) the language model's tokens, in the order of the rest. owners: (n,) number of each one's head.
    rests: what follows the head, end of text last; never empty.
    """

    heads: list[Tokens]
    order: NDArray[np.int64]
    owners: NDArray[np.int64]
    rests: Ragged

    def owners_in(self, numbers: dict[Tokens, int]) -> NDArray[np.int64]:
        """(n,) the owners by other numbers of the heads; heads without a text need none."""
        return np.array([numbers.get(head, -1) for head in self.heads])[self.owners]


class TokenTexts:
    """clip_text: the text tower whose tokens are wanted. lm: the language model whose tokens continue the texts."""

    def __init__(self, clip_text: ClipText, lm: ContextModel) -> None:
        self.clip_text = clip_text
        self.lm = lm
        self.words = _words_of(cast("Hashable", clip_text.tokenizer), lm.token_texts)

    def text(self, token: int) -> str:
        """What the token decodes to on its own."""
        return self.lm.token_texts[token]

    def split(self, prefix: str, tokens: NDArray[np.int64]) -> Continued:
        """CLIP's tokens of "prefix + token", divided where the prefix ends.

        Byte-pair merges may change the prefix's last word when a candidate continues it: such texts are divided in
        front of that word, texts that cleaning changes altogether behind start of text.
        """
        head = self.clip_text.tokenize(prefix)[:-1]
        cut = prefix.rfind(" ") + 1  # where the last word begins
        before, last = self.clip_text.tokenize(prefix[:cut])[:-1], prefix[cut:]
        heads = [head, before, head[:1]]
        plain = is_plain(prefix)
        begins = self.words.begin[tokens] if plain else np.zeros(len(tokens), np.bool_)
        fitting, others = tokens[begins], tokens[~begins]
        easy = self.words.rows(fitting)
        fits = easy.lengths <= self.clip_text.context_length - len(head)
        others = np.concatenate([fitting[~fits], others])
        fitting, easy = fitting[fits], easy.rows(np.flatnonzero(fits))
        sequences = self._sequences(prefix, before, last, plain, others)
        owned = [next(n for n, kept in enumerate(heads) if _continues(sequence, kept)) for sequence in sequences]
        rests = Ragged.of([sequence[len(heads[n]) :] for n, sequence in zip(owned, sequences, strict=True)])
        owners = np.concatenate([np.zeros(len(fitting), np.int64), np.array(owned, np.int64)])
        return Continued(heads, np.concatenate([fitting, others]), owners, easy.joined(rests))

    def _sequences(
        self, prefix: str, before: Tokens, last: str, plain: bool, tokens: NDArray[np.int64]
    ) -> list[Tokens]:
        """CLIP's tokens, from start to end of text, of the texts that the table does not know."""
        texts = [self.text(token) for token in tokens.tolist()]
        words = [(last + text) if plain and is_plain(text) and text[:1] != " " else "" for text in texts]
        end = (self.clip_text.tokenizer.eot_token_id,)
        found = iter(self.words.encode([word for word in words if word]))
        return [
            self.clip_text.close(before + next(found) + end) if word else self.clip_text.tokenize(prefix + text)
            for word, text in zip(words, texts, strict=True)
        ]


class Words:
    """CLIP's tokens of words. texts: of all tokens of a language model.

    begin: (vocabulary,) tokens that are a plain text and begin with a space.
    """

    def __init__(self, tokenizer: ClipTokenizer, texts: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.texts = texts
        self.begin = np.array([text[:1] == " " and is_plain(text) for text in texts])
        self._fast = _compiled(tokenizer)
        self._known = Ragged(np.empty(0, np.int64), np.empty(0, np.int64))
        self._row = np.full(len(texts), -1, np.int64)  # token -> row of what is known
        self._lock = threading.Lock()

    def rows(self, tokens: NDArray[np.int64]) -> Ragged:
        """What (n,) tokens that begin a word become, end of text behind each."""
        with self._lock:
            new = np.unique(tokens[self._row[tokens] < 0])
            if len(new):
                end = self.tokenizer.eot_token_id
                found = [(*word, end) for word in self.encode([self.texts[token] for token in new.tolist()])]
                self._row[new] = len(self._known) + np.arange(len(new))
                self._known = self._known.joined(Ragged.of(found))
            return self._known.rows(self._row[tokens])

    def encode(self, words: list[str]) -> list[Tokens]:
        """CLIP's tokens of plain words."""
        if self._fast is None:
            return [tuple(self.tokenizer.encode(word)) for word in words]
        return [tuple(found.ids) for found in self._fast.encode_batch_fast(words)]


@lru_cache(maxsize=2)
def _words_of(tokenizer: Hashable, texts: tuple[str, ...]) -> Words:
    """One table for all that use the same tokenizers."""
    return Words(cast("ClipTokenizer", tokenizer), texts)


def _compiled(tokenizer: ClipTokenizer) -> Tokenizer | None:
    """CLIP's byte-pair tokenizer as compiled code, right for plain words; None for another kind of tokenizer."""
    if not isinstance(tokenizer, SimpleTokenizer):
        return None
    merges = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)
    fast = Tokenizer(BPE(vocab=tokenizer.encoder, merges=merges, end_of_word_suffix="</w>"))
    fast.normalizer = normalizers.Lowercase()
    words = pre_tokenizers.Split(Regex(tokenizer.pat.pattern), "removed", invert=True)
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    return fast


def _continues(sequence: Tokens, head: Tokens) -> bool:
    return len(sequence) > len(head) and sequence[: len(head)] == head


def is_plain(text: str) -> bool:
    """True where CLIP's text cleaning changes nothing but case and spaces, so that words tokenise independently.

    Angle brackets may be part of a special token, which ends a text wherever it stands.
    """
    return text.isascii() and text.isprintable() and not {"&", "<", ">"} & set(text)
