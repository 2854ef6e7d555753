"""Kinds of labels by which a study's scores are told apart."""

from __future__ import annotations

from typing import Final

KINDS: Final = ("one word", "two words", "three words or more")


def label_kind(label: str) -> str:
    """By the number of words between spaces; an empty label counts as one word."""
    return KINDS[min(max(len(label.split()), 1), len(KINDS)) - 1]
