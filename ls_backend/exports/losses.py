"""What an export could not carry over, counted: nothing is dropped in silence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ls_backend.exports import compact
from ls_backend.files import atomic_write

if TYPE_CHECKING:
    from pathlib import Path

MOST_EXAMPLES: Final = 20
LONGEST_EXAMPLE: Final = 300


@dataclass
class Losses:
    """Counts by format and by what was lost.

    unreadable: what of the input could not be read, with some examples of each. left_out: what somebody's choice keeps
    out of all exports. formats: what a format has no place for. A format that lost nothing has an empty counter.
    """

    unreadable: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    formats: dict[str, Counter[str]] = field(default_factory=dict)

    def skip(self, what: str, example: str = "") -> None:
        """Something of the input cannot be read and is in no export. example: which, and why."""
        self.unreadable[what] += 1
        known = self.examples.setdefault(what, [])
        if example and len(known) < MOST_EXAMPLES:
            known.append(example[:LONGEST_EXAMPLE])

    def leave(self, what: str, number: int = 1) -> None:
        """Something of the input is in no export, as was asked for."""
        self.left_out[what] += number

    def start(self, name: str) -> Counter[str]:
        """The counter of a format, empty."""
        self.formats[name] = Counter()
        return self.formats[name]

    def document(self) -> dict[str, Any]:
        """As JSON; counts of 0 are left out."""
        return {
            "unreadable": [{**row, "examples": self.examples.get(row["what"], [])} for row in _rows(self.unreadable)],
            "left_out": _rows(self.left_out),
            "formats": {name: _rows(lost) for name, lost in sorted(self.formats.items())},
        }

    def write(self, path: Path) -> Path:
        """Write the document. OutputError where that cannot be done."""
        with atomic_write(path) as handle:
            handle.write(compact(self.document()).encode() + b"\n")
        return path


def _rows(counts: Counter[str]) -> list[dict[str, Any]]:
    return [{"what": what, "count": count} for what, count in sorted(counts.items()) if count]
