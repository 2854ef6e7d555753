"""What a mistyped name was probably meant to be."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name most like `name`, or None where none reaches the cutoff (0..1, 1 is equal)."""
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)
