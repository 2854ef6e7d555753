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
from tokenizers import Regex, Tokenizer, pre_tokenizers
from tokenizers.models import BPE

from zgcore.clip_cleaning import Piece, cleans_as_clip, is_plain
from zgcore.token_trie import Ragged

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from zgcore.clip_text import ClipText, ClipTokenizer, Tokens
    from zgcore.language import ContextModel


BEGINS, CARRIES, ODD = 1, 2, 3  # what a token does to the text's last word; ODD where all must be tokenised together
_UNKNOWN = 0
_HEADS_KEPT = 4096  # prefixes whose tokens are kept
_WORDS_KEPT = 2**17  # words whose tokens are kept, some 20 MB


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
        self._known_heads: dict[str, tuple[list[Tokens], str]] = {}
        self.words = _words_of(cast("Hashable", clip_text.tokenizer), lm.token_texts)

    def text(self, token: int) -> str:
        """What the token decodes to on its own."""
        return self.lm.token_texts[token]

    def split(self, prefix: str, tokens: NDArray[np.int64]) -> Continued:
        """CLIP's tokens of "prefix + token", divided where the prefix ends.

        Byte-pair merges may change the prefix's last word when a candidate continues it: such texts are divided in
        front of that word, texts that cleaning changes altogether behind start of text.
        """
        heads, last = self._heads(prefix)
        kinds = self.words.kinds(prefix, tokens)
        begin, carry = kinds == BEGINS, (kinds == CARRIES) & bool(last)
        parts = [
            self._fitting(tokens[begin], self.words.rows(tokens[begin]), heads, 0),
            self._fitting(tokens[carry], self.words.rows_behind(last, tokens[carry]), heads, 1),
        ]
        others = [tokens[~(begin | carry)], *(part.left for part in parts)]
        parts.append(self._one_by_one(prefix, np.concatenate(others), heads))
        orders, owners = [part.order for part in parts], [part.owners for part in parts]
        rests = parts[0].rests.joined(*(part.rests for part in parts[1:]))
        return Continued(heads, np.concatenate(orders), np.concatenate(owners), rests)

    def _heads(self, prefix: str) -> tuple[list[Tokens], str]:
        """The prefix's tokens, those in front of its last word, and start of text; and that word, "" behind a space.
        Kept for the steps that follow."""
        if prefix not in self._known_heads:
            if len(self._known_heads) >= _HEADS_KEPT:
                self._known_heads.clear()
            piece = self.words.piece(prefix)
            mended = piece.mended if piece else prefix
            last = "" if mended[-1:].isspace() else "".join(mended.split()[-1:])
            texts = prefix, mended[: len(mended) - len(last)]
            head, before = (self.clip_text.tokenize(text)[:-1] for text in texts)
            self._known_heads[prefix] = [head, before, head[:1]], last
        return self._known_heads[prefix]

    def _fitting(self, tokens: NDArray[np.int64], rests: Ragged, heads: list[Tokens], owner: int) -> _Part:
        """Texts behind one head; those too long for the tower are left."""
        fits = rests.lengths <= self.clip_text.context_length - len(heads[owner])
        order = tokens[fits]
        return _Part(order, np.full(len(order), owner), rests.rows(np.flatnonzero(fits)), tokens[~fits])

    def _one_by_one(self, prefix: str, tokens: NDArray[np.int64], heads: list[Tokens]) -> _Part:
        """Texts that are tokenised whole."""
        sequences = [self.clip_text.tokenize(prefix + self.text(token)) for token in tokens.tolist()]
        owned = [next(n for n, head in enumerate(heads) if _continues(sequence, head)) for sequence in sequences]
        rests = Ragged.of([sequence[len(heads[n]) :] for n, sequence in zip(owned, sequences, strict=True)])
        return _Part(tokens, np.array(owned, np.int64), rests, tokens[:0])


@dataclass(frozen=True)
class _Part:
    """As `Continued`; left: tokens that are not in it."""

    order: NDArray[np.int64]
    owners: NDArray[np.int64]
    rests: Ragged
    left: NDArray[np.int64]


class Words:
    """CLIP's tokens of words. texts: of all tokens of a language model."""

    def __init__(self, tokenizer: ClipTokenizer, texts: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.texts = texts
        self._mends = cleans_as_clip(tokenizer)
        self._fast = _compiled(tokenizer)
        self._kinds = np.zeros(len(texts), np.int8)
        self._strange = np.zeros(len(texts), np.bool_)  # tokens that may make mojibake with what they stand beside
        self._mended: dict[int, str] = {}  # texts of tokens that cleaning changes
        self._known = Ragged(np.empty(0, np.int64), np.empty(0, np.int64))
        self._row = np.full(len(texts), -1, np.int64)  # token -> row of what is known
        self._carried: dict[str, Tokens] = {}  # words that tokens carried on, images say the same ones
        self._lock = threading.Lock()

    def piece(self, text: str) -> Piece | None:
        """The text as one that is cleaned apart from what it stands beside, if it is."""
        if is_plain(text):
            return Piece(text, text)
        piece = Piece.of(text) if self._mends else None
        # compiled code may know other letters than the tokenizer's, of another version of Unicode
        known = piece and self.encode([piece.mended]) == [tuple(self.tokenizer.encode(text))]
        return piece if known else None

    def kinds(self, prefix: str, tokens: NDArray[np.int64]) -> NDArray[np.int8]:
        """Whether each of (n,) tokens BEGINS a word, CARRIES one on, or is ODD, behind a text."""
        before = self.piece(prefix)
        if before is None:
            return np.full(len(tokens), ODD, np.int8)
        with self._lock:
            for token in tokens[self._kinds[tokens] == _UNKNOWN].tolist():
                self._kinds[token] = self._kind_alone(token)
            kinds = self._kinds[tokens]
            asked = (kinds != ODD) & (self._strange[tokens] | (not is_plain(prefix)))
            for place in np.flatnonzero(asked).tolist():
                if not before.joins(self._piece_of(int(tokens[place]))):
                    kinds[place] = ODD
        return kinds

    def _kind_alone(self, token: int) -> int:
        piece = self.piece(self.texts[token])
        if piece is None:
            return ODD
        if piece.mended != piece.text:
            self._mended[token] = piece.mended
        self._strange[token] = not is_plain(piece.text)
        return BEGINS if piece.mended[:1].isspace() else CARRIES

    def _piece_of(self, token: int) -> Piece:
        return Piece(self.texts[token], self._mended_text(token))

    def _mended_text(self, token: int) -> str:
        return self._mended.get(token, self.texts[token])

    def rows(self, tokens: NDArray[np.int64]) -> Ragged:
        """What (n,) tokens that begin a word become, end of text behind each."""
        with self._lock:
            new = np.unique(tokens[self._row[tokens] < 0])
            if len(new):
                self._row[new] = len(self._known) + np.arange(len(new))
                end = self.tokenizer.eot_token_id
                found = [(*word, end) for word in self.encode(list(map(self._mended_text, new.tolist())))]
                self._known = self._known.joined(Ragged.of(found))
            return self._known.rows(self._row[tokens])

    def rows_behind(self, last: str, tokens: NDArray[np.int64]) -> Ragged:
        """What a word becomes that (n,) tokens carry on, end of text behind each."""
        with self._lock:
            words = [last + self._mended_text(token) for token in tokens.tolist()]
            new = [word for word in words if word not in self._carried]
            if len(self._carried) + len(new) > _WORDS_KEPT:
                self._carried.clear()
                new = words
            end = self.tokenizer.eot_token_id
            self._carried.update((word, (*found, end)) for word, found in zip(new, self.encode(new), strict=True))
            return Ragged.of([self._carried[word] for word in words])

    def encode(self, words: list[str]) -> list[Tokens]:
        """CLIP's tokens of words that need no mending."""
        if self._fast is None:
            return [tuple(self.tokenizer.encode(word)) for word in words]
        cleaned = [" ".join(word.split()).lower() for word in words]
        return [tuple(found.ids) for found in self._fast.encode_batch_fast(cleaned)]


@lru_cache(maxsize=2)
def _words_of(tokenizer: Hashable, texts: tuple[str, ...]) -> Words:
    """One table for all that use the same tokenizers."""
    return Words(cast("ClipTokenizer", tokenizer), texts)


def _compiled(tokenizer: ClipTokenizer) -> Tokenizer | None:
    """CLIP's byte-pair tokenizer as compiled code, for words in lower case; None for another kind of tokenizer."""
    if not isinstance(tokenizer, SimpleTokenizer):
        return None
    merges = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)
    fast = Tokenizer(BPE(vocab=tokenizer.encoder, merges=merges, end_of_word_suffix="</w>"))
    words = pre_tokenizers.Split(Regex(tokenizer.pat.pattern), "removed", invert=True)
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    return fast


def _continues(sequence: Tokens, head: Tokens) -> bool:
    return len(sequence) > len(head) and sequence[: len(head)] == head
