"""A folder of an export, that knows what it wrote the last time."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ls_backend.exports.names import relative_path
from ls_backend.files import OutputError, atomic_write, make_folder

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO, Self

WRITTEN: Final = ".zeroguide-files"
"""Lists the files of the last export, one path a line; files are named there before they are written."""


class OutputFolder:
    """Makes the folders for files as they are needed, and at its end removes what the last export into it wrote and
    this one did not. Files of anybody else stay. OutputError where it cannot be written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._made: set[Path] = set()
        self._written: set[str] = set()
        self._list: IO[str] | None = None

    def __enter__(self) -> Self:
        make_folder(self.root)
        try:
            self._list = (self.root / WRITTEN).open("a", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write {self.root / WRITTEN}: {error.strerror or error}") from error
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._list is not None:
            self._list.close()
        if kind is None:
            self._remove_others()
            with atomic_write(self.root / WRITTEN) as handle:
                handle.writelines(f"{name}\n".encode() for name in sorted(self._written))

    def path(self, relative: str) -> Path:
        """A path in it to write to, whose own folder is there. Only inside `with`."""
        assert self._list is not None
        path = self.root / relative
        if path.parent not in self._made:
            make_folder(path.parent)
            self._made.add(path.parent)
        self._written.add(relative)
        self._list.write(f"{relative}\n")
        self._list.flush()
        return path

    def _remove_others(self) -> None:
        kept = {name.casefold() for name in self._written}  # some file systems take "A.png" for "a.png"
        root = self.root.resolve()
        for name in (self.root / WRITTEN).read_text(encoding="utf-8", errors="replace").splitlines():
            path = self.root / name
            inside = name == relative_path(name) and path.parent.resolve().is_relative_to(root)
            if not inside or name.casefold() in kept or not path.is_file():
                continue
            with suppress(OSError):
                path.unlink()
                for parent in path.relative_to(self.root).parents[:-1]:
                    (self.root / parent).rmdir()  # refused, and the loop left, where something is in it
