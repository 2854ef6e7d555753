"""The word lists of word_lists.toml."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any, Final

_LISTS: Final[dict[str, Any]] = tomllib.loads(files(__package__).joinpath("word_lists.toml").read_text("utf-8"))


def word_list(name: str) -> frozenset[str]:
    """The words of one list, lower-case, American spelling."""
    return frozenset(_LISTS[name])


def american(word: str) -> str:
    """The spelling by which variants of a lower-case word are looked up; only a key, never shown."""
    return str(_LISTS["variants"].get(word, word))
