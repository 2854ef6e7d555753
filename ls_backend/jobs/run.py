"""One run on disk: its state, its folder of results, its settings, and the files that gather them."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ls_backend.jobs.keys import scheme_of, shown
from ls_backend.jobs.records import StoreRecords
from ls_backend.jobs.registry import STATE_FILE, register
from ls_backend.jobs.store import StateStore
from ls_backend.merged import write_merged
from ls_backend.record import RunStamp
from ls_backend.run_folder import RunFolder
from zgcore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ls_backend.jobs.photos import Photos
    from ls_backend.jobs.store import Added, NewImage
    from ls_backend.people import PeoplePolicy


@dataclass(frozen=True)
class RunSettings:
    """What decides the results of a run; kept with it, so that whoever joins works alike."""

    preset: str = "mini"
    weights: str | None = None
    max_segments: int | None = None
    min_area: float | None = None
    seed: int = 0
    formats: tuple[str, ...] = ()
    image_root: str | None = None

    def with_values(self, values: dict[str, Any]) -> RunSettings:
        """The same with other values; paths become absolute, since others may join from elsewhere."""
        own: dict[str, Any] = {
            name: str(value.resolve()) if isinstance(value, Path) else value for name, value in values.items()
        }
        if (preset := Path(own.get("preset", self.preset))).is_dir():
            own["preset"] = str(preset.resolve())
        return replace(self, **own)


class Run:
    """A run in a folder, which is made if it is not there. OutputError or StateError where that cannot be.

    state: the file with its state, for folders on other machines, where SQLite does not work; in the folder without.

    Use as a context manager.
    """

    def __init__(self, root: Path, *, target: str, data_dir: Path, state: Path | None = None) -> None:
        self.folder = RunFolder(root, "--to")
        self.state = state or root / STATE_FILE
        self.store = StateStore(self.state, create=True)
        job = register(data_dir, self.state)
        self.store.set(id=job, target=target, started=self.store.get("started") or time.time())
        known = self.store.get("options") or {}
        self.settings = RunSettings(**{**known, "formats": tuple(known.get("formats", ()))})

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    def take_settings(self, given: dict[str, Any]) -> RunSettings:
        """The run's settings with those that were given now in their place; `adopt` keeps them."""
        self.settings = self.settings.with_values(given)
        return self.settings

    def add(self, source: str, images: Iterable[NewImage]) -> Added:
        """List a source's images. Of an address its secrets are not noted, since the source is shown to people."""
        added = self.store.add(images)
        name = source if scheme_of(source) is None or os.path.exists(source) else shown(source)
        sources = (self.store.get("source") or "").split("\n")
        self.store.set(source="\n".join(dict.fromkeys(filter(None, [*sources, name]))))
        return added

    def adopt(self, stamp: RunStamp, version: str | None = None) -> int:
        """Make the run one of this model and of the settings taken; what another made is queued again.

        version: what a project's predictions are tagged with; results of another are handed over again. Returns how
        many images are queued again.

        Raises ConfigError where processes with another model are at it.
        """
        known, before = self.store.get("stamp"), self.store.get("version")
        same = known == asdict(stamp) and before == version
        self.store.recover()
        if known is not None and not same and self.store.owners():
            raise ConfigError(
                f"{self.folder.root}: other processes are at this run with preset {known['preset']}, version "
                f"{known['model_version']}; stop them (zeroguide jobs cancel) or choose another --to"
            )
        again = 0 if known is None or same else self.store.redo()
        self.store.set(stamp=asdict(stamp), options=asdict(self.settings), version=version)
        return again

    @property
    def stamp(self) -> RunStamp:
        return RunStamp(**self.store.get("stamp"))

    def forget_results(self) -> None:
        """Delete the records of all that is done and queue it again."""
        for (name,) in self.store.rows("SELECT name FROM images WHERE state = 'done'"):
            self.folder.record_path(name).unlink(missing_ok=True)
        self.store.redo()

    def redo_missing(self, *, overlays: bool) -> int:
        """Queue images again whose record, or overlay where there should be one, is not there; returns how many."""

        def missing(name: str) -> bool:
            wanted = [self.folder.record_path(name), *([self.folder.overlay_path(name)] if overlays else [])]
            return not all(path.is_file() for path in wanted)

        done = self.store.rows("SELECT id, name FROM images WHERE state = 'done'")
        return self.store.redo([number for number, name in done if missing(name)])

    def gather(self, photos: Photos, formats: Sequence[str], people: PeoplePolicy) -> tuple[dict[str, Path], int]:
        """Write the merged files, unless another process has done so for what there is now.

        people: what becomes of texts that describe people in labelstudio.json, and counts them.
        Returns them by what they are, and how many damaged records were met and queued again.
        """
        image_root = self.settings.image_root
        root = None if image_root is None else Path(image_root)
        with self._alone():
            found = [self.store.counts(), self.store.last_finished()]
            now = [*found, list(formats), image_root, asdict(self.stamp), people.mode]
            files = {name: Path(path) for name, path in (self.store.get("files") or {}).items()}
            if self.store.get("gathered") == now and all(path.exists() for path in files.values()):
                return files, 0
            records = StoreRecords(self.store, self.folder, self.stamp, photos, root)
            files = write_merged(records, formats, records.links(), people)
            self.store.set(files={name: str(path) for name, path in files.items()}, gathered=now)
            return files, self.store.redo(records.damaged)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time; the system lets go when it ends, however it ends."""
        with self.state.with_suffix(".lock").open("a") as lock:  # nothing is written: it may be somebody's
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
