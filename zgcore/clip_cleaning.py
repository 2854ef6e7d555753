"""What CLIP's text cleaning makes of a text in two parts, from what it makes of each.

Before it tokenises, open_clip mends mojibake and odd characters (ftfy), resolves HTML entities, and makes spaces and
case alike. Mojibake, entities and special tokens may reach across the place where two parts meet; everything else is
done to each character alone. So most parts can be mended once and then be joined.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import ftfy
from ftfy.badness import is_bad
from open_clip.tokenizer import SimpleTokenizer, get_clean_fn

if TYPE_CHECKING:
    from zgcore.clip_text import ClipTokenizer

_REACHING: Final = frozenset("&<>\x1b")  # of entities, special tokens, a terminal's escapes
_JAMO: Final = range(0x1160, 0x1200)  # Hangul vowels and finals, which join the letter before


@dataclass(frozen=True)
class Piece:
    """A text that can be mended apart from what stands beside it. mended: what ftfy makes of it."""

    text: str
    mended: str

    @classmethod
    def of(cls, text: str) -> Piece | None:
        """None for a text that may change what stands in front of it, or be changed by it."""
        if is_plain(text):
            return cls(text, text)
        mended = ftfy.fix_text(text)
        return None if _reaches(text) or _reaches(mended) else cls(text, mended)

    def joins(self, behind: Piece) -> bool:
        """True where both together are mended as each alone: where they hold no mojibake, before and after."""
        return not (_is_bad(self.text + behind.text) or _is_bad(self.mended + behind.mended))


def is_plain(text: str) -> bool:
    """True where cleaning changes nothing but case and spaces, beside whatever plain text."""
    return text.isascii() and text.isprintable() and not _REACHING & set(text)


def cleans_as_clip(tokenizer: ClipTokenizer) -> bool:
    """True for a tokenizer that cleans texts as CLIP's does."""
    return isinstance(tokenizer, SimpleTokenizer) and tokenizer.clean_fn is get_clean_fn("lower")


def _is_bad(text: str) -> bool:
    return not text.isascii() and is_bad(text)


def _reaches(text: str) -> bool:
    first = text[:1]
    combines = bool(first) and (unicodedata.category(first).startswith("M") or ord(first) in _JAMO)
    return combines or bool(_REACHING & set(text))
