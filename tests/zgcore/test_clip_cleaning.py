"""Texts that are cleaned in two parts."""

import ftfy
import pytest

from tests import golden
from zgcore.clip_cleaning import Piece, cleans_as_clip, is_plain


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        (" Dog", " Dog"),
        ("\u201cdog\u2019s", "\"dog's"),  # curled quotes
        ("\ufb01sh", "fish"),  # a ligature
        ("a\x00b", "ab"),
        ("", ""),
        ("caf\u00e9", "caf\u00e9"),
        ("a&lt;", None),
        ("<b", None),
        ("\uff06", None),  # a full-width ampersand becomes one
        ("\u0301", None),  # an accent without a letter
        ("\uff9e", None),  # becomes a mark of voice on the letter before
        ("\u1161", None),  # a Hangul vowel joins the consonant before
    ],
)
def test_pieces(text, mended):
    piece = Piece.of(text)
    assert (None if piece is None else piece.mended) == mended


@pytest.mark.parametrize(
    ("before", "after", "joins"),
    [
        ("a dog", "\u00a9", True),
        ("\u00c3", "\u00a9", False),  # together what \u00e9 in UTF-8 looks like in Latin-1
        ("\u00c3", "\uff10", True),  # a full-width digit
        ("a\u00c3", " ", False),
    ],
)
def test_mojibake_across_the_place_where_they_meet(before, after, joins):
    one, other = Piece.of(before), Piece.of(after)
    assert one is not None
    assert other is not None
    assert one.joins(other) is joins
    assert (ftfy.fix_text(before + after) == one.mended + other.mended) is joins


def test_what_is_plain():
    assert [is_plain(text) for text in (" Dog", "don't", "\u00e9", "a\nb", "&", "a<b", "")] == [
        True, True, False, False, False, False, True,
    ]  # fmt: skip


def test_who_cleans_as_clip_does():
    tokenizer = golden.text_tower().tokenizer
    assert cleans_as_clip(tokenizer)
    assert not cleans_as_clip(type(tokenizer)(clean="canonicalize"))  # it drops punctuation
