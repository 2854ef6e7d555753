"""A study in Label Studio: a project that three raters work through with the keys 0 to 3, and the answers out of it.

The project is one and the same however often it is published: what is there already is not sent again. Each question is
a task that holds what a rater may see and nothing else. "Label All Tasks" deals them out in the order of their numbers,
which is that of the batches, whatever the project's sampling; `/api/projects/N/next` deals them at random.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from ls_backend.exports.labelstudio import local_files_url
from ls_backend.files import atomic_write
from ls_backend.studies.collect import RawAnswer
from ls_backend.studies.instruction import PARTS, instruction_html, picture_name
from zgcore.errors import StudyError
from zgcore.gallery import templates_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ls_backend.label_studio_api import LabelStudioApi
    from ls_backend.studies.manifest import Study

CONFIG: Final = "rating.xml"
CONTROL: Final = "score"  # of the config
STATE_FILE: Final = "label_studio.json"
FILES_A_REQUEST: Final = 50
BYTES_A_REQUEST: Final = 16_000_000
TASKS_A_STEP: Final = 1000
EXAMPLE_PICTURES: Final = tuple(map(picture_name, PARTS))


@dataclass(frozen=True)
class Published:
    """Where a study is. url: of Label Studio; project: its number there."""

    url: str
    project: int

    @property
    def page(self) -> str:
        return f"{self.url}/projects/{self.project}"


@dataclass(frozen=True)
class PicturePlace:
    """Where Label Studio finds the pictures: uploaded to it unless one of these is given.

    base_url: an address under which somebody serves the study's pictures/. root: Label Studio's document root of local
    files, above the study.
    """

    base_url: str | None = None
    root: Path | None = None


def published(study: Study) -> Published | None:
    """Where the study was published, None if nowhere."""
    try:
        return Published(**json.loads((study.root / STATE_FILE).read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise StudyError(f"{study.root / STATE_FILE} is damaged ({error}); name the project with --to") from error


def publish(
    study: Study,
    api: LabelStudioApi,
    project: int | None,
    place: PicturePlace,
    tell: Callable[[str, int, int], None] = lambda *_: None,
) -> tuple[Published, int]:
    """Make the project, or finish it; where it is, and how many tasks are new. project: an empty one to use.

    tell: gets a step's name, and how many of how many parts are done. Stopped at any moment, the next call goes on.
    StudyError where pictures are missing or the project is used for something else.
    """
    if missing := study.missing_pictures():
        raise StudyError(f"{len(missing)} pictures are missing; run the same zeroguide study create again")
    if project is None:
        project, there = int(api.create_project(title=study.settings.title, **_fields(study))["id"]), set[str]()
    else:
        there = _questions_there(study, api, project)
        api.update_project(project, **_fields(study))
    found = Published(api.url, project)
    with atomic_write(study.root / STATE_FILE) as handle:
        handle.write(json.dumps(asdict(found)).encode() + b"\n")
    examples = _uploaded(api, project, study.instruction, EXAMPLE_PICTURES)
    api.update_project(project, expert_instruction=instruction_html(lambda name: examples[name]))
    addresses = _addresses(study, api, project, place, tell)
    tasks = [
        {"data": {"image": addresses[question.picture], "label": question.label, "question": question.id}}
        for question in study.questions
        if question.id not in there
    ]
    for start in range(0, len(tasks), TASKS_A_STEP):
        tell("making tasks", start, len(tasks))
        api.import_tasks(project, tasks[start : start + TASKS_A_STEP])
    tell("making tasks", len(tasks), len(tasks))
    return found, len(tasks)


def _fields(study: Study) -> dict[str, Any]:
    """As many raters a task as the study asks for, no skipping, no empty answers, the instruction first."""
    return {
        "label_config": (templates_folder() / CONFIG).read_text(encoding="utf-8"),
        "show_instruction": True,
        "maximum_annotations": study.settings.raters,
        "overlap_cohort_percentage": 100,
        "sampling": "Uniform sampling",
        "show_skip_button": False,
        "enable_empty_annotation": False,
        "show_collab_predictions": False,
    }


def _questions_there(study: Study, api: LabelStudioApi, project: int) -> set[str]:
    """Questions that have a task. StudyError where the project has tasks of something else."""
    found: set[str] = set()
    for task in api.tasks(project, page_size=TASKS_A_STEP):
        question = study.by_id.get(str(_data(task).get("question")))
        if question is None or question.label != _data(task).get("label"):
            raise StudyError(
                f"project {project} has task {task.get('id')}, which is none of this study; take an empty project"
            )
        found.add(question.id)
    return found


def _data(task: Mapping[str, Any]) -> Mapping[str, Any]:
    data = task.get("data")
    return data if isinstance(data, dict) else {}


def _addresses(
    study: Study, api: LabelStudioApi, project: int, place: PicturePlace, tell: Callable[[str, int, int], None]
) -> Mapping[str, str]:
    """The address of each picture in the tasks, by its name."""
    names = list(dict.fromkeys(question.picture for question in study.questions))
    if place.base_url is not None:
        return {name: picture_url(place.base_url, name) for name in names}
    if place.root is not None:
        try:
            return {name: local_files_url(study.pictures / name, place.root) for name in names}
        except ValueError:
            raise StudyError(f"{study.pictures} is not below --image-root {place.root}") from None
    return _uploaded(api, project, study.pictures, names, lambda done, total: tell("uploading pictures", done, total))


def _uploaded(
    api: LabelStudioApi,
    project: int,
    folder: Path,
    names: Sequence[str],
    tell: Callable[[int, int], None] = lambda *_: None,
) -> Mapping[str, str]:
    """Addresses of files of a folder, which are uploaded where they are not there yet; known by their names."""
    there = api.uploads(project)
    left = [name for name in names if name not in there]
    for done, files in _parts(folder, left):
        tell(done, len(left))
        api.upload_files(project, files)
    if left:
        there = api.uploads(project)
        tell(len(left), len(left))
    if lost := [name for name in names if name not in there]:
        raise StudyError(f"Label Studio has not kept {len(lost)} of the pictures; publish again")
    return there


def picture_url(base: str, name: str) -> str:
    """The address of a picture that somebody serves."""
    return f"{base.rstrip('/')}/{quote(name)}"


def _parts(folder: Path, names: Iterable[str]) -> Iterator[tuple[int, dict[str, bytes]]]:
    """Files for one request each, after how many were in earlier ones."""
    part: dict[str, bytes] = {}
    size = done = 0
    for name in names:
        content = (folder / name).read_bytes()
        if part and (len(part) == FILES_A_REQUEST or size + len(content) > BYTES_A_REQUEST):
            yield done, part
            done, part, size = done + len(part), {}, 0
        part[name] = content
        size += len(content)
    if part:
        yield done, part


def label_studio_answers(api: LabelStudioApi, project: int) -> Iterator[RawAnswer]:
    """All annotations of a project, good or not, as they are."""
    for task in api.export_tasks(project):
        question = str(_data(task).get("question", ""))
        for annotation in task.get("annotations") or []:
            if isinstance(annotation, dict):
                yield RawAnswer(
                    source="label-studio",
                    rater=_rater(annotation.get("completed_by")),
                    question=question,
                    score=_choice(annotation.get("result")),
                    seconds=annotation.get("lead_time"),
                    answered_at=str(annotation.get("created_at") or ""),
                    cancelled=bool(annotation.get("was_cancelled")),
                )


def _rater(who: Any) -> str:
    return str(who.get("id", "")) if isinstance(who, dict) else str(who or "")


def _choice(result: Any) -> object:
    """What was chosen; None where it is not one answer."""
    values = [
        entry.get("value")
        for entry in (result if isinstance(result, list) else [])
        if isinstance(entry, dict) and entry.get("from_name") == CONTROL
    ]
    choices = values[0].get("choices") if len(values) == 1 and isinstance(values[0], dict) else None
    return choices[0] if isinstance(choices, list) and len(choices) == 1 else None
