"""A file whose JSON does not nest without end: parsers take time by the square of the depth, or all of the stack."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

from zgcore.errors import ConfigError

if TYPE_CHECKING:
    from typing import BinaryIO

DEEPEST: Final = 10_000  # no export nests a hundredth as deep
_ESCAPE: Final = re.compile(rb"\\.", re.DOTALL)
_STRING: Final = re.compile(rb'"[^"]*"')
_OTHERS: Final = bytes(set(range(256)) - set(b'[]{}"'))


class ShallowFile:
    """Reads a binary file of JSON, and raises ConfigError from `read` where brackets nest deeper than DEEPEST."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._start()

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, as the file's own."""
        data = self._file.read(size)
        self._see(data)
        return data

    def seek(self, place: int) -> int:
        """Start again; `place` is 0, for the depth is known there alone."""
        if place:
            raise ValueError("a file that is watched is read from its beginning")
        self._start()
        return self._file.seek(0)

    def tell(self) -> int:
        """Bytes that are read."""
        return self._file.tell()

    def _start(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = b""

    def _see(self, data: bytes) -> None:
        """Follow the depth through one part; escapes and strings may go on in the next."""
        data = _ESCAPE.sub(b"", self._escaped + data) if self._escaped or b"\\" in data else data
        self._escaped = b"\\" if data.endswith(b"\\") else b""
        marks = data.translate(None, _OTHERS)
        marks = _STRING.sub(b"", b'"' * self._in_string + marks)
        marks, quote, _ = marks.partition(b'"')
        self._in_string = bool(quote)
        if not marks:
            return
        brackets = np.frombuffer(marks, dtype=np.uint8)
        opened = (brackets == ord("[")) | (brackets == ord("{"))
        depths = self._depth + np.cumsum(np.where(opened, 1, -1))
        if depths.max() > DEEPEST:
            raise ConfigError(
                f"{self._name} nests lists and objects more than {DEEPEST:,} deep, as no export does; "
                "export the project from Label Studio again, or take the broken part out"
            )
        self._depth = int(depths[-1])
