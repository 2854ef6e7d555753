"""Items on disk, so that they can be walked through again and again with one in memory."""

from __future__ import annotations

import json
import tempfile
from typing import TYPE_CHECKING, Final

from ls_backend.exports import compact
from ls_backend.exports.items import ImageItem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

LARGEST_NUMBER: Final = 2**31 - 1


class Spool:
    """Items in a file without a name in `folder`, which goes when this is closed or the process dies.

    Items keep their numbers where these are whole numbers from 1 to LARGEST_NUMBER and each is there once; else all are
    numbered from 1 in their order.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, prefix=".export-", suffix=".tmp")  # noqa: SIM115  # our own to close
        self._numbers: set[int] | None = set()
        self.images = 0
        self.regions = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, item: ImageItem) -> None:
        """Keep one more. ValueError or RecursionError where it is no JSON: it is left out then."""
        line = compact(item.to_document()).encode() + b"\n"
        self._file.write(line)
        self.images += 1
        self.regions += len(item.regions)
        if self._numbers is not None:
            if type(item.number) is int and 1 <= item.number <= LARGEST_NUMBER and item.number not in self._numbers:
                self._numbers.add(item.number)
            else:
                self._numbers = None

    def __iter__(self) -> Iterator[ImageItem]:
        self._file.seek(0)
        place = 0
        for order in range(1, self.images + 1):
            self._file.seek(place)  # another walk may have moved it
            document = json.loads(self._file.readline())
            place = self._file.tell()
            if self._numbers is None:
                document["number"] = order
            yield ImageItem.from_document(document)
