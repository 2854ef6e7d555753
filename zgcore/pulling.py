"""Bringing a preset's weights into a folder that can be carried to a machine without a network."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zgcore import hub
from zgcore.checkpoint import read_checkpoint
from zgcore.errors import WeightsError
from zgcore.manifest import MANIFEST, Entry, read_manifest, sha256, write_manifest
from zgcore.presets import BUNDLED, get_preset, save_preset
from zgcore.weights import LANGUAGE_MODEL, Origin, cure, language_model_files, origins

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_INCOMING = ".incoming"  # what a pull has not finished
_REPORT_EVERY = 0.05  # share of a file between two words of progress


def pull(preset: str, folder: Path, progress: Callable[[str], None]) -> list[Path]:
    """Bring a preset's weights into a folder and return the files, manifest last.

    Every file appears whole or not at all; a second call keeps what is there and sound, and goes on with what is not.
    `progress` gets a line of text for every file and for every twentieth of a large one.

    Raises WeightsError if the hub cannot be reached, the disk is too small, or a file is not what the hub says it is;
    OSError if the folder cannot be written.
    """
    config = get_preset(preset)
    if preset in BUNDLED:
        raise WeightsError(f"the weights of preset {preset} are installed with zeroguide: there is nothing to pull")
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for origin in origins(config):
        with cure(origin, preset):
            written += [_Pull(folder, progress).bring(item) for item in _items(origin)]
    shutil.rmtree(folder / _INCOMING, ignore_errors=True)
    return [*written, save_preset(config, folder), folder / MANIFEST]


@dataclass(frozen=True)
class _Item:
    """A file to bring. name: below the folder. file, revision: on the hub."""

    origin: Origin
    name: str
    file: str
    revision: str | None

    @property
    def source(self) -> str:
        return f"{self.origin.repo}/{self.file}"


def _items(origin: Origin) -> list[_Item]:
    if origin.file:
        return [_Item(origin, f"{origin.component}.safetensors", origin.file, None)]
    revision, files = language_model_files(origin.repo)
    return [_Item(origin, f"{LANGUAGE_MODEL}/{file}", file, revision) for file in files]


@dataclass(frozen=True)
class _Pull:
    folder: Path
    progress: Callable[[str], None]

    def bring(self, item: _Item) -> Path:
        """One file: kept if it is there and sound, else copied from the cache or downloaded, checked, and recorded."""
        target = self.folder / item.name
        entry = read_manifest(self.folder).get(item.name)
        if entry and entry.origin == item.source and target.is_file() and not entry.mismatch(target):
            self.progress(f"{item.name}: already there")
            return target
        incoming, expected = self._obtain(item)
        digest = sha256(incoming)
        if expected not in (None, digest):
            incoming.unlink()
            raise WeightsError(f"{item.name}: its SHA-256 is not the one the hub gives for {item.source}; pull again")
        if incoming.suffix == ".safetensors":
            read_checkpoint([incoming], item.name)
        size = incoming.stat().st_size
        target.parent.mkdir(parents=True, exist_ok=True)
        incoming.replace(target)
        recorded = Entry(digest, size, item.source, item.origin.licence)
        write_manifest(self.folder, {**read_manifest(self.folder), item.name: recorded})
        return target

    def _obtain(self, item: _Item) -> tuple[Path, str | None]:
        """The file in the folder for unfinished ones, and the sum the hub gives for it."""
        place = self.folder / _INCOMING / item.origin.component
        place.mkdir(parents=True, exist_ok=True)
        repo, file = item.origin.repo, item.file
        if (known := hub.cached(repo, file, item.revision)) is not None:
            self._check_space(known.stat().st_size, item.name)
            self.progress(f"{item.name}: copied from this machine's hub cache")
            shutil.copyfile(known, place / file)
            return place / file, hub.cached_sha256(known)
        said = hub.ask(repo, file, item.revision)
        self._check_space(said.size, item.name)
        self.progress(f"{item.name}: {said.size / 1e6:,.1f} MB from {item.source}")
        reporter = _Percent(item.name, said.size, self.progress)
        return hub.download_to(place, repo, file, said, reporter), said.sha256

    def _check_space(self, needed: int, name: str) -> None:
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise WeightsError(f"{name} needs {needed / 1e6:,.0f} MB, {self.folder} has {free / 1e6:,.0f} MB free")


class _Percent:
    """Bytes in, a line of progress out for every twentieth of a file."""

    def __init__(self, name: str, size: int, progress: Callable[[str], None]) -> None:
        self.name, self.size, self.progress = name, size, progress
        self.done = 0
        self.said = 0.0

    def __call__(self, n: int) -> None:
        self.done += n
        share = self.done / self.size if self.size else 1.0
        if share - self.said >= _REPORT_EVERY:
            self.said = share
            self.progress(f"{self.name}: {min(share, 1.0):.0%}")
