"""Results into a Label Studio project: tasks where there are none, predictions in chunks, each task's only once."""

from __future__ import annotations

import hashlib
import logging
import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ls_backend.addresses import FetchError
from ls_backend.exports.labelstudio import local_files_url
from ls_backend.jobs.keys import path_of, shown, task_key
from ls_backend.jobs.project import has_prediction
from ls_backend.label_studio_http import LabelStudioRefuses
from ls_backend.pinned_http import ConnectionLost
from ls_backend.prediction_options import prediction_options
from ls_backend.protocol import TaskError, prediction
from ls_backend.record import RecordError, to_segmentation
from zgcore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ls_backend.inference import Inference
    from ls_backend.jobs.project import Project
    from ls_backend.jobs.store import Claimed, StateStore
    from ls_backend.record import ImageRecord
    from ls_backend.run_folder import RunFolder

log = logging.getLogger(__name__)

OUR_ID: Final = "zeroguide_id"  # in the data of tasks that we make, by which they are found again
TRIES: Final = 12  # to reach Label Studio, over about ten minutes
FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 60.0
PATIENT_TRIES: Final = 6  # for all images; then one that Label Studio fails on, while it answers otherwise, fails alone
_ENDS_THE_RUN: Final = (401, 403)


class ProjectDelivery:
    """Predictions for a project, made from a run's records.

    version: what they are tagged with; a task that has one of it gets no other. inference: matches texts to a closed
    list of labels. image_root: document root of Label Studio's local files; files are uploaded without it.
    """

    together: Final = 16

    def __init__(
        self,
        project: Project,
        store: StateStore,
        folder: RunFolder,
        inference: Inference,
        version: str,
        image_root: Path | None = None,
    ) -> None:
        self.project, self.store, self.folder, self.version = project, store, folder, version
        self._image_root = image_root
        self._options = prediction_options(project.settings, inference.match)

    def deliver(self, images: Sequence[Claimed]) -> dict[int, str]:
        """See `Delivery`. Waits longer each time while Label Studio cannot be reached; FetchError in the end.

        Raises LabelStudioRefuses where it refuses the token or the project.
        """
        pause = FIRST_PAUSE_S
        for tries in range(TRIES):
            try:
                return self._deliver(images, patient=tries < PATIENT_TRIES - 1)
            except FetchError as error:
                if tries == TRIES - 1:
                    raise
                log.warning("%s; next try in about %.0f s", error, pause)
                time.sleep(pause * random.uniform(0.8, 1.2))
                pause = min(2 * pause, LONGEST_PAUSE_S)
        raise AssertionError("the last try returns or raises")

    def _deliver(self, images: Sequence[Claimed], patient: bool) -> dict[int, str]:
        """One pass over all. patient: raise what may pass, once all others are through; else those images fail."""
        refused: dict[int, str] = {}
        late: dict[int, FetchError] = {}
        documents: dict[int, dict[str, Any]] = {}
        singly: list[int] = []
        for image in images:
            with _noting(refused, late, image, self.project):
                record = self._record(image)
                task = self._task(image, record)
                known = self.project.api.predictions(task["id"])
                if has_prediction(known, self.version):
                    continue
                documents[image.id] = {"task": task["id"], **self._prediction(record, task)}
                if any(one.get("model_version") == self.version for one in known):  # an empty one, to be replaced
                    singly.append(image.id)
        together = [number for number in documents if number not in singly]
        for number in [*singly, *self._sent(together, documents)]:
            image = next(image for image in images if image.id == number)
            with _noting(refused, late, image, self.project):
                document = dict(documents[number])
                self.project.api.store_prediction(self.project.number, document.pop("task"), document)
        if late and patient:
            raise next(iter(late.values()))
        return refused | {number: str(error) for number, error in late.items()}

    def _sent(self, numbers: list[int], documents: dict[int, dict[str, Any]]) -> list[int]:
        """Send predictions together; gives those to be sent one by one, since Label Studio did not take them all."""
        if not numbers:
            return []
        try:
            chunk = [documents[number] for number in numbers]
            taken = self.project.api.import_predictions(self.project.number, chunk)
        except LabelStudioRefuses as error:
            if error.status in _ENDS_THE_RUN:
                raise
            return numbers
        except ConnectionLost:
            raise
        except FetchError:
            self.project.api.project(self.project.number)  # raises if all of it cannot be reached
            return numbers
        return [] if taken == len(numbers) else numbers

    def _record(self, image: Claimed) -> ImageRecord:
        record = self.folder.load(image.name)
        if record is None:
            raise RecordError(f"{image.name}: its record is damaged; retry it")
        return record

    def _prediction(self, record: ImageRecord, task: dict[str, Any]) -> dict[str, Any]:
        """The embeddings go with it: by them a vocabulary tells the meanings of an ambiguous text apart."""
        embeddings = self.folder.load_embeddings(record.name)
        if embeddings is None or len(embeddings) != len(record.segments):
            raise RecordError(f"{record.name}: its embeddings are damaged; retry it")
        found = to_segmentation(record, embeddings)
        return prediction(task, [found], self.project.config, self.version, self._options)

    def _task(self, image: Claimed, record: ImageRecord) -> dict[str, Any]:
        """The task of an image as it is now; what it was given for an earlier photo is taken away.

        The mark of what a task is given is set before anything is, so that a crash in between is no excuse for it, and
        only after all of the old is gone. TaskError where people have annotated the earlier photo.
        """
        now, before = record.source.sha256, self.store.delivered(image.id)
        if before is None:
            self.store.set_delivered(image.id, now)
            return self._task_of(image)
        task = self._task_of(image)
        if before != now:
            task = self._renewed(image, task)
            self.store.set_delivered(image.id, now)
        return task

    def _renewed(self, image: Claimed, task: dict[str, Any]) -> dict[str, Any]:
        """A task whose photo has changed: without our old predictions, and with the new upload where it has one."""
        path = path_of(image.key)
        if path is not None and self._image_root is None:
            if task.get("annotations"):
                raise TaskError(
                    f"task {task['id']}: its photo has changed since people annotated it; delete the task or its "
                    "annotations, then retry"
                )
            data = {**task["data"], self._field: self._address(image, path)}
            self.project.api.update_task(task["id"], data)
            task = {**task, "data": data}
        for known in self.project.api.predictions(task["id"]):
            if known.get("model_version") == self.version:
                self.project.api.delete_prediction(known["id"])
        return task

    @property
    def _field(self) -> str:
        """Where the data of tasks has the photo's address. ConfigError where only people know."""
        field = self.project.config.targets[0].image.value.removeprefix("$")
        if not field.isidentifier():
            raise ConfigError(f'project {self.project.number}: tasks can only be made for an image like value="$image"')
        return field

    def _task_of(self, image: Claimed) -> dict[str, Any]:
        """The task of an image, which is made where the project has none."""
        if image.task is not None and image.key == task_key(self.project.number, image.task):
            return self.project.task(image)
        field = self._field
        own = hashlib.sha256(image.key.encode()).hexdigest()[:16]
        task = self._found(f"data.{OUR_ID}", own)
        path = path_of(image.key)
        if task is None and path is None:
            task = self._found(f"data.{field}", image.key)
        if task is None:
            data = {field: self._address(image, path), "file_name": shown(image.key), OUR_ID: own}
            (number,) = self.project.api.import_tasks(self.project.number, [{"data": data}])
            task = {"id": number, "data": data}
        self.store.set_task(image.id, task["id"])
        return task

    def _found(self, column: str, value: str) -> dict[str, Any] | None:
        this = {"filter": f"filter:tasks:{column}", "operator": "equal", "type": "String", "value": value}
        return next(self.project.api.tasks(self.project.number, page_size=1, filters=[this]), None)

    def _address(self, image: Claimed, path: Path | None) -> str:
        """Where Label Studio finds the photo."""
        if path is None:
            return image.key
        if self._image_root is None:
            return self.project.api.upload_file(self.project.number, path)
        try:
            return local_files_url(path, self._image_root)
        except ValueError:
            raise TaskError(f"{path}: is not below --image-root {self._image_root}") from None


@contextmanager
def _noting(refused: dict[int, str], late: dict[int, FetchError], image: Claimed, project: Project) -> Iterator[None]:
    """What is wrong with one image is noted; what is wrong with the project, its token or the network is raised.

    late: where errors go that may pass, of images that Label Studio fails on while it answers otherwise.
    """
    try:
        yield
    except ConnectionLost:
        raise
    except FetchError as error:
        project.api.project(project.number)
        late[image.id] = error
    except LabelStudioRefuses as error:
        if error.status in _ENDS_THE_RUN:
            raise
        project.api.project(project.number)  # raises if that is what is gone
        refused[image.id] = str(error)
    except (TaskError, RecordError, OSError) as error:
        refused[image.id] = str(error)
