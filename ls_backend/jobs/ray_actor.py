"""What a Ray actor does: one model, batches of images, records written where all machines see them.

Knows nothing of Ray, so that it can be tried without. Only small rows come back to the process that keeps the state.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ls_backend.fetch import Fetcher
from ls_backend.files import OutputError
from ls_backend.jobs.local_engine import LocalEngine
from ls_backend.jobs.photos import Photos
from ls_backend.jobs.project import Project
from ls_backend.jobs.store import Claimed
from ls_backend.run_folder import RunFolder
from ls_backend.runner import stamp_of
from zgcore.errors import ZeroguideError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ls_backend.label_studio_project import ProjectAddress
    from ls_backend.model_options import ModelOptions
    from ls_backend.record import RunStamp
    from ls_backend.runner import RunOptions
    from ls_backend.settings import Settings


LOST: Final = "lost"
ENDED: Final = "ended"  # the folder cannot be written: nothing of the run can


@dataclass(frozen=True)
class ActorSpec:
    """Everything an actor is made from. root: the run's folder, the same path on every machine. driver: see `Hand`."""

    root: Path
    model: ModelOptions
    options: RunOptions
    settings: Settings
    source: ProjectAddress | None = None
    driver: str = ""


class Hand:
    """Which images actors are at: an empty file for each, which one that dies leaves behind.

    driver: whose actors they are; several may be at one run, and none touches what the others' have in hand.
    """

    def __init__(self, root: Path, driver: str) -> None:
        self._all = root / "in-hand"
        self._folder = self._all / driver

    def take(self, image: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / str(image)).touch()

    def holds(self, image: int) -> bool:
        return (self._folder / str(image)).exists()

    def clear(self, images: Iterable[int]) -> None:
        for image in images:
            (self._folder / str(image)).unlink(missing_ok=True)

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        with suppress(OSError):  # unless others have something in hand
            self._all.rmdir()


class Labeller:
    """A model and the run's folder. Raises as `ModelOptions.build` and `RunFolder` do."""

    def __init__(self, spec: ActorSpec) -> None:
        project = None if spec.source is None else Project(spec.source, spec.settings)
        settings = spec.settings if project is None else project.settings
        photos = Photos(Fetcher(settings).fetch, project, settings.fetch.max_pixels)
        self._hand = Hand(spec.root, spec.driver)
        self._engine = LocalEngine(spec.model.build(), RunFolder(spec.root), photos, spec.options)

    def __call__(self, batch: Any) -> dict[str, list[Any]]:
        """An Arrow table of `Claimed` -> columns of `Labelled`, with LOST for what an actor died with in hand, and
        ENDED for what is left where the folder cannot be written.

        Never raises for what is wrong with an image.
        """
        images = [Claimed(**row) for row in batch.to_pylist()]
        found: dict[int, tuple[str, int, str | None]] = {
            image.id: (LOST, 0, None) for image in images if self._hand.holds(image.id)
        }
        try:
            for one in self._engine.results(self._taken(image for image in images if image.id not in found)):
                found[one.id] = (one.status, one.segments, one.error)
                self._hand.clear([one.id])
        except Exception as error:
            message = str(error) if isinstance(error, ZeroguideError) else f"{type(error).__name__}: {error}"
            status = ENDED if isinstance(error, OutputError) else "failed"
            for image in images:
                found.setdefault(image.id, (status, 0, message))
            self._hand.clear(found)
        statuses, segments, errors = zip(*found.values(), strict=True)
        return {"id": list(found), "status": list(statuses), "segments": list(segments), "error": list(errors)}

    def _taken(self, images: Iterable[Claimed]) -> Iterator[Claimed]:
        for image in images:
            self._hand.take(image.id)
            yield image


def stamp_there(spec: ActorSpec) -> RunStamp | tuple[str, int]:
    """What results will be marked with on the machine where this runs; an error's text and exit code else."""
    try:
        return stamp_of(spec.model.build())
    except ZeroguideError as error:
        return str(error), error.exit_code
