"""A whole run put together: sources, target, model, engine, merged files. Knows no command line."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ls_backend.fetch import Fetcher, object_store
from ls_backend.inference import Inference
from ls_backend.jobs.delivery import ProjectDelivery
from ls_backend.jobs.helpers import helpers
from ls_backend.jobs.local_engine import LocalEngine
from ls_backend.jobs.photos import Photos
from ls_backend.jobs.project import Project, new_project, version_of
from ls_backend.jobs.registry import STATE_FILE, project_folder
from ls_backend.jobs.run import Run
from ls_backend.jobs.sources import Reading, listed
from ls_backend.jobs.store import Added
from ls_backend.jobs.work import FolderDelivery, Work
from ls_backend.label_studio_project import NEW, ProjectAddress
from ls_backend.merged import FORMATS, people_notes
from ls_backend.model_options import ModelOptions
from ls_backend.people import PeoplePolicy
from ls_backend.runner import RunOptions, stamp_of, worker_count
from zgcore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ls_backend.jobs.project import Which
    from ls_backend.jobs.work import Delivery, Engine, Told
    from ls_backend.runner import Segmenter
    from ls_backend.settings import Settings


@dataclass(frozen=True)
class Engines:
    """Which engine, and how it runs. devices: each after the first gets a process of its own.

    address, actors: of Ray.
    """

    name: str = "local"
    devices: Sequence[str] = ("auto",)
    batch: int = 1
    workers: int | None = None
    address: str | None = None
    actors: int | None = None


class Prelabel:
    """One process's part in a run. to: TARGET. given: settings of the run to change. build: makes the model.

    state: where the state is, if not beside the results. helping: whether another process has started this one.
    """

    def __init__(
        self,
        to: str,
        settings: Settings,
        given: dict[str, Any],
        build: Callable[[ModelOptions], Segmenter],
        state: Path | None = None,
        *,
        helping: bool = False,
    ) -> None:
        self._state, self._helping = state, helping
        self._to, self._settings, self._given, self._build = to, settings, given, build
        self._target: Project | None = None
        self._source: Project | None = None
        self._changed = False  # whether what is done may have been made with other settings
        self.run: Run

    @contextmanager
    def opened(self, *, new: bool = True) -> Iterator[Run]:
        """The run while it is worked at. Raises as Run and Project do.

        new: make it if it is not there; ConfigError otherwise.
        """
        address = ProjectAddress.parse(self._to)
        if address is None:
            root, target = Path(self._to), os.path.abspath(self._to)
        else:
            if address.number == NEW:
                address = new_project(self._settings)
            self._target = Project(address, self._settings)
            target = self._target.page
            root = project_folder(self._settings.data_dir, self._target.api.url, self._target.number)
        if not new and not (self._state or root / STATE_FILE).is_file():
            raise self._nothing()
        with Run(root, target=target, data_dir=self._settings.data_dir, state=self._state) as self.run:
            before = self.run.settings
            own = self.run.take_settings(self._given)
            self._changed = own != before
            weights = None if own.weights is None else Path(own.weights)
            self._settings = replace(self._settings, preset=own.preset, weights=weights)
            if not self._helping:  # or a cancel that came in between would be undone
                self.run.store.resume()
            yield self.run

    @cached_property
    def photos(self) -> Photos:
        """The run's images as photos."""
        self._find_source()
        project = self._source or self._target
        settings = self._settings if project is None else project.settings
        fetcher = Fetcher(settings)
        return Photos(fetcher.fetch, self._source, settings.fetch.max_pixels)

    @property
    def version(self) -> str:
        """What predictions are tagged with."""
        return version_of(self._settings, self.run.settings)

    @property
    def _delivered_version(self) -> str | None:
        """`version` where predictions are handed over."""
        return None if self._target is None else self.version

    @property
    def _overlays(self) -> bool:
        return "png" in (self.run.settings.formats or FORMATS) and self._target is None

    def list_sources(self, sources: Sequence[str], *, which: Which, recursive: bool, images: Path | None) -> Added:
        """List the images of all sources.

        Without sources the run must have images already. Raises ConfigError where it has not, else as the sources do.
        """
        reading = Reading(self.run.folder.root, recursive, images, self._object_store)
        added = Added()
        for source in sources:
            address = ProjectAddress.parse(source)
            found = listed(source, reading) if address is None else self._tasks(address, which)
            added += self.run.add(source, found)
        if not any(self.run.store.counts().values()):
            raise self._nothing()
        return added

    def _nothing(self) -> ConfigError:
        return ConfigError(f"{self._to}: there is no run to go on with; name its SOURCE")

    def prepare(self, *, resume: bool, retry_failed: bool) -> list[str]:
        """Queue again what has to be made again; gives notes for the user."""
        store, notes = self.run.store, []
        if not resume:
            self.run.forget_results()
            retry_failed = True
        if retry_failed:
            store.retry()
        if again := self.run.redo_missing(overlays=self._overlays):
            notes.append(f"{again} results were not whole and are made again")
        return notes

    def work(self, engines: Engines, tell: Callable[[Told], None]) -> None:
        """Work until nothing is left, with a process for each further device."""
        self.run.store.set(engine=engines.name)
        left = sum(self.run.store.counts()[state] for state in ("queued", "running"))
        if not left and not self._changed and self._delivered_version == self.run.store.get("version"):
            return
        devices = all_devices(engines.devices) if engines.name == "local" else engines.devices[:1]
        model, engine = self._engine(engines, devices[0], left)
        delivery = self._delivery(model)
        with closing(engine), helpers(self._command(engines), devices[1:], self._settings):
            Work(self.run.store, engine, delivery, tell).run()

    def _command(self, engines: Engines) -> list[str]:
        """What another process is called with to help."""
        command = [
            "prelabel",
            "--helping",
            "--quiet",
            "--to",
            self.run.store.get("target"),
            "--batch-size",
            str(engines.batch),
        ]
        command += [] if engines.workers is None else ["--workers", str(engines.workers)]
        return command + ([] if self._state is None else ["--state", str(self._state)])

    def gather(self) -> tuple[dict[str, Path], list[str]]:
        """Write the merged files of a run into a folder once nothing is left; gives them and notes for the user."""
        counts = self.run.store.counts()
        if self._target is not None or counts["queued"] or counts["running"] or not counts["done"]:
            return {}, []
        people = PeoplePolicy(self._settings.people_labels)
        files, damaged = self.run.gather(self.photos, self.run.settings.formats or FORMATS, people)
        notes = people_notes(people)
        if damaged:
            notes.append(f"{damaged} results were damaged and are queued again: run the command once more")
        if self.run.stamp.random_weights:
            notes.append("random weights: the masks and labels mean nothing, they show that the pipeline runs")
        return files, notes

    def _tasks(self, address: ProjectAddress, which: Which) -> Iterator[Any]:
        self._source = Project(address, self._settings)
        known = self.run.store.get("source_project")
        own = [self._source.api.url, self._source.number]
        if self._target is not None and own != [self._target.api.url, self._target.number]:
            raise ConfigError(
                f"{self._source.page}: tasks of one project cannot go into another; name the same project with --to, "
                "or a folder"
            )
        if known not in (None, own):
            raise ConfigError(f"{self._to}: has images of {known[0]}/projects/{known[1]}; one project a run")
        self.run.store.set(source_project=own)
        return self._source.images(which, self.version)

    def _find_source(self) -> None:
        """The project that earlier commands of the run took images from."""
        known = self.run.store.get("source_project")
        if known is not None and self._source is None:
            self._source = Project(ProjectAddress(*known), self._settings)

    def _object_store(self, scheme: str) -> Any:
        return object_store(scheme, f"{scheme}://", self._settings.fetch.timeout_s)

    def _engine(self, engines: Engines, device: str, left: int) -> tuple[Segmenter | None, Engine]:
        own = self.run.settings
        options = RunOptions(True, self._overlays, engines.batch, worker_count(engines.workers, left))
        model_options = ModelOptions(
            own.preset,
            device,
            None if own.weights is None else Path(own.weights),
            own.max_segments,
            own.min_area,
            own.seed,
        )
        if engines.name == "ray":
            from ls_backend.jobs.ray_actor import ActorSpec
            from ls_backend.jobs.ray_engine import RayEngine

            known = self.run.store.get("source_project")
            source = None if known is None else ProjectAddress(*known)
            root = self.run.folder.root.resolve()
            spec = ActorSpec(root, model_options, replace(options, workers=0), self._settings, source)
            ray = RayEngine(spec, engines.address, engines.actors)
            try:
                self.run.adopt(ray.stamp(), self._delivered_version)
            except BaseException:
                ray.close()
                raise
            return None, ray
        model = self._build(model_options)
        self.run.adopt(stamp_of(model), self._delivered_version)
        return model, LocalEngine(model, self.run.folder, self.photos, options)

    def _delivery(self, model: Any) -> Delivery:
        if self._target is None:
            return FolderDelivery()
        root = self.run.settings.image_root
        return ProjectDelivery(
            self._target,
            self.run.store,
            self.run.folder,
            Inference(self._settings, model),
            self.version,
            None if root is None else Path(root),
        )


def all_devices(devices: Sequence[str]) -> list[str]:
    """Devices by name: "auto" stands for all GPUs where there are several."""
    if list(devices) != ["auto"]:
        return list(devices)
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [f"cuda:{number}" for number in range(count)] if count > 1 else ["auto"]
