"""Texts and errors as log lines and the status page may show them."""

from __future__ import annotations

from zgcore.errors import ZeroguideError


def one_line(text: str) -> str:
    """The text as one line of as many characters that can be shown and encoded."""
    return "".join(char if char.isprintable() else "?" for char in text)


def reason(error: Exception) -> str:
    """What went wrong. Of errors that are not ours the class alone: nobody chose what their texts tell."""
    return str(error) if isinstance(error, ZeroguideError) else type(error).__name__
