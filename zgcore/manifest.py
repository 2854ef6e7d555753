"""The manifest of a weights folder: every file with its size, SHA-256, origin and licence."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from zgcore.errors import WeightsError
from zgcore.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MANIFEST = "manifest.json"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """One file. sha256: 64 hex digits. size: bytes. origin: where it was had from. licence: SPDX name or a sentence."""

    sha256: str
    size: int
    origin: str
    licence: str

    def mismatch(self, file: Path) -> str:
        """What is wrong with a file that exists; empty if it is as recorded. Reads the whole file."""
        size = file.stat().st_size
        if size != self.size:
            return f"it has {size:,} bytes of {self.size:,}"
        return "" if sha256(file) == self.sha256 else "its SHA-256 is not the recorded one"


def sha256(file: Path) -> str:
    """64 hex digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_manifest(folder: Path) -> dict[str, Entry]:
    """Name below the folder (with forward slashes) -> entry; empty if there is no manifest.

    Raises WeightsError for a manifest that cannot be understood or names files outside the folder.
    """
    file = folder / MANIFEST
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise WeightsError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{file} is not JSON ({error}); pull the weights again") from None
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, dict):
        raise WeightsError(f'{file} is not a manifest: it has no object "files"; pull the weights again')
    return {_safe_name(name, file): _read_entry(entry, name, file) for name, entry in files.items()}


def write_manifest(folder: Path, entries: Mapping[str, Entry]) -> Path:
    """Write the manifest, whole or not at all."""
    content = {"files": {name: asdict(entries[name]) for name in sorted(entries)}}
    file = folder / MANIFEST
    with whole_file(file) as handle:
        handle.write((json.dumps(content, indent=2) + "\n").encode())
    return file


def fingerprint(folder: Path) -> str:
    """12 hex digits that change when the folder's weights do.

    Taken from the recorded sums, or from names and sizes where there is no manifest.
    """
    known = [f"{name} {entry.sha256}" for name, entry in sorted(read_manifest(folder).items())]
    if not known:
        files = sorted(folder.rglob("*.safetensors"))
        known = [f"{file.relative_to(folder).as_posix()} {file.stat().st_size}" for file in files]
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:12]


def _safe_name(name: str, manifest: Path) -> str:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise WeightsError(f"{manifest} names a file outside its folder: {name!r}")
    return name


def _read_entry(entry: object, name: str, manifest: Path) -> Entry:
    fields = entry if isinstance(entry, dict) else {}
    digest, size = fields.get("sha256"), fields.get("size")
    origin, licence = fields.get("origin", ""), fields.get("licence", "")
    known = isinstance(digest, str) and _SHA256.fullmatch(digest) and type(size) is int and size >= 0
    if not (known and isinstance(origin, str) and isinstance(licence, str)):
        raise WeightsError(f"{manifest}: the entry of {name!r} needs sha256 (64 hex digits) and size (bytes)")
    return Entry(digest, size, origin, licence)  # type: ignore[arg-type]
