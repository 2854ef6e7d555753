"""A Label Studio project as a source of images: which tasks, and what each shows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

from ls_backend.inference import model_version
from ls_backend.jobs.keys import stem_of, task_key
from ls_backend.jobs.store import NewImage
from ls_backend.label_studio_project import ProjectAddress, connected
from ls_backend.labelling_config import parse_config
from ls_backend.merged import LABELLING_CONFIG
from ls_backend.protocol import TaskError, task_images
from ls_backend.run_folder import safe_stem
from zgcore.errors import ConfigError
from zgcore.gallery import templates_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ls_backend.jobs.run import RunSettings
    from ls_backend.jobs.store import Claimed
    from ls_backend.labelling_config import LabellingConfig
    from ls_backend.settings import Settings

Which = Literal["all", "unlabelled", "unpredicted"]
WHICH: Final = ("all", "unlabelled", "unpredicted")
LONGEST_DATA: Final = 16_384  # characters of task data that the state keeps; more is asked for again
UNLABELLED: Final = {"filter": "filter:tasks:total_annotations", "operator": "equal", "type": "Number", "value": 0}


def version_of(settings: Settings, run: RunSettings) -> str:
    """What predictions of a run are tagged with: the version that `zeroguide serve` has with the same settings."""
    base = model_version(settings)
    changed = [run.max_segments, run.min_area, run.seed]
    if changed == [None, None, 0]:
        return base
    return f"{base}-{hashlib.sha256(json.dumps(changed).encode()).hexdigest()[:6]}"


class Project:
    """One project. Raises ConfigError without an address or a token, else as LabelStudioApi does."""

    def __init__(self, address: ProjectAddress, settings: Settings) -> None:
        self.settings = settings if address.url is None else replace(settings, label_studio_url=address.url)
        self.api = connected(self.settings)
        self.number = address.number
        self.document = self.api.project(self.number)
        self.config: LabellingConfig = parse_config(str(self.document.get("label_config") or ""))
        if self.config.problems:
            raise ConfigError(f"project {self.number}: {'; '.join(self.config.problems)}")

    @property
    def page(self) -> str:
        """Where people see it."""
        return f"{self.api.url}/projects/{self.number}"

    def images(self, which: Which, version: str) -> Iterator[NewImage]:
        """The images of its tasks: of all, of those without annotations, or without a prediction of `version`."""
        filters = [UNLABELLED] if which == "unlabelled" else []
        for task in self.api.tasks(self.number, filters=filters, resolve=True):
            if which != "unpredicted" or not has_prediction(task.get("predictions") or [], version):
                yield self._image(task)

    def _image(self, task: Mapping[str, Any]) -> NewImage:
        number = int(task["id"])
        try:
            reference = self._reference(task)
        except TaskError:
            reference = ""  # it fails when its turn comes
        inline = reference.startswith("data:")
        data = json.dumps(task.get("data"))
        return NewImage(
            key=task_key(self.number, number),
            stem=f"task-{number}" if inline or not reference else safe_stem(stem_of(reference)),
            mark=hashlib.sha256(reference.encode("utf-8", "surrogatepass")).hexdigest()[:32],
            task=number,
            data=data if len(data) <= LONGEST_DATA else None,
        )

    def task(self, image: Claimed) -> dict[str, Any]:
        """The task of an image, with its data. TaskError where it is gone."""
        if image.data is not None:
            return {"id": image.task, "data": json.loads(image.data)}
        this = {"filter": "filter:tasks:id", "operator": "equal", "type": "Number", "value": image.task}
        found = next(self.api.tasks(self.number, filters=[this], resolve=True), None)
        if found is None:
            raise TaskError(f"task {image.task}: is not in project {self.number} any more")
        return found

    def reference(self, image: Claimed) -> str:
        """Where the image of a task is. TaskError where it has none, or several."""
        return self._reference(self.task(image))

    def _reference(self, task: Mapping[str, Any]) -> str:
        images = task_images(task, self.config)
        if len(images) > 1:
            raise TaskError(
                f"task {task.get('id')}: has {len(images)} images and prelabel takes tasks of one; the ML backend "
                "(zeroguide serve) predicts them all"
            )
        return images[0].reference


def has_prediction(predictions: list[dict[str, Any]], version: str) -> bool:
    """Whether one that is not empty has this version."""
    return any(known.get("model_version") == version and known.get("result") for known in predictions)


def new_project(settings: Settings) -> ProjectAddress:
    """Make a project for free text. Raises as `Project` does."""
    api = connected(settings)
    config = templates_folder().joinpath(LABELLING_CONFIG).read_text(encoding="utf-8")
    made = api.create_project(title="zeroguide prelabel", label_config=config)
    return ProjectAddress(api.url, int(made["id"]))
