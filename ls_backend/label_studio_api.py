"""Label Studio's own API, as far as we use it: projects, tasks, annotations, predictions, uploads, ML backends.

Written after Label Studio 1.23.2 as it runs. Tasks are read by id and not by page number, so that none is missed or
seen twice while others add and delete, and in answers of bounded size, so that memory does not grow with the project.
"""

from __future__ import annotations

import json
import mimetypes
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal

from urllib3.filepost import encode_multipart_formdata

from ls_backend.addresses import FetchError
from ls_backend.label_studio_http import TIMEOUT_S, TRIES, LabelStudioHttp, LabelStudioRefuses
from ls_backend.label_studio_parts import as_object, as_objects, request_bodies, small_enough

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ls_backend.settings import BasicAuth, Settings

__all__ = ["LabelStudioApi", "LabelStudioRefuses", "connect"]

IDS_A_PAGE: Final = 1000
TASKS_AN_EXPORT: Final = 50  # their numbers stand in the address


class LabelStudioApi:
    """One Label Studio. url: its address. tries: how often a request is sent at most. timeout_s: seconds for each.

    Every method raises LabelStudioRefuses where the token may not do it or what it is about is gone, and FetchError
    where Label Studio cannot be reached or stays busy.
    """

    def __init__(self, url: str, settings: Settings, *, tries: int = TRIES, timeout_s: float = TIMEOUT_S) -> None:
        self.url = url
        self._http = LabelStudioHttp(url, settings.label_studio_api_key, tries=tries, timeout_s=timeout_s)
        self._open = LabelStudioHttp(url, None, tries=tries, timeout_s=timeout_s)

    def version(self) -> str:
        """Label Studio's release, such as "1.23.2"; told whatever the token is."""
        return str(as_object(self._open.get("/api/version")).get("release", ""))

    def user(self) -> dict[str, Any]:
        """Whose token it is."""
        return as_object(self._http.get("/api/current-user/whoami"))

    # Projects

    def projects(self) -> Iterator[dict[str, Any]]:
        """All projects that the token's user may see."""
        page, more = 1, True
        while more:
            answer = as_object(self._http.get("/api/projects/", page=page, page_size=100))
            yield from as_objects(answer.get("results"))
            page, more = page + 1, answer.get("next") is not None

    def project(self, number: int) -> dict[str, Any]:
        """A project with its counts and labelling config."""
        return as_object(self._http.get(f"/api/projects/{number}/"))

    def create_project(self, **fields: Any) -> dict[str, Any]:
        """A new project. fields: `title`, `label_config` and others as `project` shows them."""
        return as_object(self._http.ask("POST", "/api/projects/", fields))

    def update_project(self, number: int, **fields: Any) -> dict[str, Any]:
        """Change some fields. Of labelling configs it takes some that orphan annotations: see `check_config`."""
        return as_object(self._http.ask("PATCH", f"/api/projects/{number}/", fields))

    def check_config(self, number: int, label_config: str) -> None:
        """Raises LabelStudioRefuses where a labelling config is wrong, or lacks what the project's annotations use."""
        self._http.ask("POST", f"/api/projects/{number}/validate/", {"label_config": label_config})

    def data_fields(self, number: int) -> list[str]:
        """The fields that the data of all tasks of a project have."""
        found = as_object(self._http.get(f"/api/projects/{number}/summary/")).get("common_data_columns")
        return [field for field in found if isinstance(field, str)] if isinstance(found, list) else []

    # Tasks

    def tasks(
        self,
        project: int,
        page_size: int = 100,
        *,
        filters: Sequence[Mapping[str, Any]] = (),
        resolve: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """All tasks with data, annotations and predictions, by id, as they are when their page is read.

        page_size: tasks asked for at a time; fewer where the answer would be too large. filters: conditions that must
        all hold, as Label Studio's data manager writes them:
        {"filter": "filter:tasks:total_annotations", "operator": "equal", "type": "Number", "value": 0}.
        resolve: addresses of cloud storages as paths on Label Studio's host, in place of s3: and the like.
        """
        # With `review` listing does not predict: it would, before it answers, where a project does so by itself.
        fields = {"fields": "all", "review": "true", "resolve_uri": str(resolve).lower()}
        yield from self._pages(project, page_size, filters, fields)

    def task_ids(self, project: int, *, filters: Sequence[Mapping[str, Any]] = ()) -> Iterator[int]:
        """The numbers of all tasks, ascending; much cheaper than `tasks`. filters: as there."""
        for task in self._pages(project, IDS_A_PAGE, filters, {"include": "id", "review": "true"}):
            yield task["id"]

    def _pages(
        self, project: int, page_size: int, filters: Sequence[Mapping[str, Any]], fields: Mapping[str, str]
    ) -> Iterator[dict[str, Any]]:
        """Tasks by id, each page those above the last id seen."""
        last, size, left = 0, page_size, 1
        while left > 0:
            after = {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": last}
            query = {"filters": {"conjunction": "and", "items": [*filters, after]}, "ordering": ["tasks:id"]}

            def ask(size: int, query: Mapping[str, Any] = query) -> dict[str, Any]:
                parameters = {**fields, "project": project, "page_size": size, "query": json.dumps(query)}
                return as_object(self._http.get("/api/tasks/", **parameters))

            answer, size = small_enough(ask, size)
            page = as_objects(answer.get("tasks"))
            yield from page
            left = int(answer.get("total", 0)) - len(page) if page else 0
            last = page[-1]["id"] if page else last

    def export_tasks(self, project: int) -> Iterator[dict[str, Any]]:
        """All tasks by id as `exportType=JSON` has them, those without annotations too; predictions are ids only."""
        numbers = self.task_ids(project)
        size = TASKS_AN_EXPORT
        while some := list(islice(numbers, TASKS_AN_EXPORT)):
            while some:

                def ask(size: int, some: list[int] = some) -> list[dict[str, Any]]:
                    ids = "&".join(f"ids[]={number}" for number in some[:size])
                    path = f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true&{ids}"
                    return as_objects(self._http.get(path))

                found, size = small_enough(ask, size)
                yield from sorted(found, key=lambda task: task["id"])
                some = some[size:]

    def import_tasks(self, project: int, tasks: Iterable[Mapping[str, Any]]) -> list[int]:
        """Store tasks ({"data": {...}}, perhaps with annotations and predictions); their numbers in the same order.

        Sent in parts: where this raises, those of earlier parts are stored.
        """
        numbers: list[int] = []
        for count, body in request_bodies(tasks):
            answer = self._http.send("POST", f"/api/projects/{project}/import?return_task_ids=true", body)
            new = as_object(answer).get("task_ids")
            if not isinstance(new, list) or len(new) != count:
                raise FetchError(f"{self.url}: {count} tasks were sent and Label Studio does not tell their numbers")
            numbers += new
        return numbers

    def update_task(self, number: int, data: Mapping[str, Any]) -> None:
        """Give a task other data; its annotations and predictions stay."""
        self._http.ask("PATCH", f"/api/tasks/{number}/", {"data": dict(data)})

    def upload_file(self, project: int, path: Path) -> str:
        """Give Label Studio a file, without a task; the address to name in a task's data ("/data/upload/...")."""
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        body, content_type = encode_multipart_formdata({"file": (path.name, path.read_bytes(), kind)})
        where = f"/api/projects/{project}/import?commit_to_project=false"
        (number,) = as_object(self._http.send("POST", where, body, content_type))["file_upload_ids"]
        return f"/data/{as_object(self._http.get(f'/api/import/file-upload/{number}'))['file']}"

    def upload_files(self, project: int, files: Mapping[str, bytes]) -> None:
        """Give Label Studio files, without tasks; by default it takes up to 100 at once. `uploads` tells where."""
        fields = [(name, (name, content)) for name, content in files.items()]  # of fields of one name it keeps the last
        body, content_type = encode_multipart_formdata(fields)
        self._http.send("POST", f"/api/projects/{project}/import?commit_to_project=false", body, content_type)

    def uploads(self, project: int) -> dict[str, str]:
        """The addresses of all files that the token's user has uploaded to a project, by the names they came with."""
        paths = (str(one["file"]) for one in as_objects(self._http.get(f"/api/projects/{project}/file-uploads", all=1)))
        return {path.rpartition("/")[2].partition("-")[2]: f"/data/{path}" for path in paths}

    def create_annotation(self, task: int, result: Sequence[Mapping[str, Any]], **fields: Any) -> dict[str, Any]:
        """Annotate a task as the token's user. fields: `lead_time`, `was_cancelled` and the like."""
        return as_object(self._http.ask("POST", f"/api/tasks/{task}/annotations/", {**fields, "result": list(result)}))

    # Predictions

    def predictions(self, task: int) -> list[dict[str, Any]]:
        """All predictions of a task."""
        found = self._http.get("/api/predictions/", task=task)
        return as_objects(found.get("results") if isinstance(found, dict) else found)  # a dict holds pages

    def import_predictions(self, project: int, predictions: Iterable[Mapping[str, Any]]) -> int:
        """Store predictions ({"task", "result", "model_version", "score"}); how many Label Studio took.

        It leaves those out that do not fit the labelling config, and does not say which; one of a task that is not the
        project's makes it refuse all of its part.
        """
        created = 0
        for _, body in request_bodies(predictions):
            answer = as_object(self._http.send("POST", f"/api/projects/{project}/import/predictions", body))
            created += int(answer.get("created", 0))
        return created

    def store_prediction(self, project: int, task: int, prediction: Mapping[str, Any]) -> bool:
        """Give a task its prediction; False where it has one of that version already.

        Empty predictions of the same version are taken away: Label Studio has stored them for the answer that came
        without this one. Raises LabelStudioRefuses also where the prediction does not fit the labelling config.
        """
        version = prediction["model_version"]
        same = [known for known in self.predictions(task) if known.get("model_version") == version]
        if any(known.get("result") for known in same):
            return False
        if self.import_predictions(project, [{"task": task, **prediction}]) == 0:
            raise LabelStudioRefuses(
                f"{self.url}: Label Studio took no prediction for task {task}: it does not fit the labelling config of "
                f"project {project}, which may have been changed; retrieve the task's predictions again"
            )
        for empty in same:
            if isinstance(empty.get("id"), int):
                self.delete_prediction(empty["id"])
        return True

    def delete_prediction(self, number: int) -> None:
        """Delete a prediction."""
        self._http.ask("DELETE", f"/api/predictions/{number}/")

    def retrieve_predictions(self, project: int, tasks: Sequence[int]) -> None:
        """Have Label Studio ask the project's ML backend for predictions, as its "Retrieve Predictions" does.

        It says that all is well whatever the backend answers. Tasks with a prediction of the same version are left out.
        """
        selected = {"all": False, "included": list(tasks)}
        path = f"/api/dm/actions/?id=retrieve_tasks_predictions&project={project}"
        self._http.ask("POST", path, {"selectedItems": selected, "ordering": [], "project": project})

    # ML backends and webhooks

    def ml_backends(self, project: int) -> list[dict[str, Any]]:
        """The ML backends of a project. Label Studio asks each for its state before it answers."""
        return as_objects(self._http.get("/api/ml/", project=project))

    def add_ml_backend(
        self, project: int, url: str, *, title: str = "zeroguide", auth: BasicAuth | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Connect an ML backend. auth: what it asks for. fields: `is_interactive`, `timeout` and the like.

        Raises LabelStudioRefuses where Label Studio cannot reach it, in Label Studio's words.
        """
        document = {"project": project, "url": url, "title": title, **_authentication(auth), **fields}
        return as_object(self._http.ask("POST", "/api/ml/", document))

    def update_ml_backend(
        self, number: int, project: int, url: str, *, auth: BasicAuth | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Change an ML backend; address and authentication are always sent, since Label Studio tries them."""
        document = {"project": project, "url": url, **_authentication(auth), **fields}
        return as_object(self._http.ask("PATCH", f"/api/ml/{number}", document))

    def delete_ml_backend(self, number: int) -> None:
        """Disconnect an ML backend. Its webhook stays: see `webhooks`."""
        self._http.ask("DELETE", f"/api/ml/{number}")

    def check_url(self, kind: Literal["ml", "webhooks"], url: str) -> None:
        """Raises LabelStudioRefuses with status 403 where Label Studio blocks an address for ML backends or webhooks.

        Makes neither: it looks at the address before it finds that the rest of the form is not filled in.
        """
        try:
            self._http.ask("POST", f"/api/{kind}/", {"url": url, "actions": [""]})
        except LabelStudioRefuses as error:
            if error.status != 400:
                raise

    def webhooks(self, project: int) -> list[dict[str, Any]]:
        """The webhooks of a project."""
        return as_objects(self._http.get("/api/webhooks/", project=project))

    def add_webhook(self, project: int, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
        """Tell an address of everything that happens in a project, as Label Studio does when it connects a backend.

        headers: sent with it; Label Studio does not send the backend's password by itself.
        """
        document = {"project": project, "url": url, "send_payload": True, "send_for_all_actions": True}
        return as_object(self._http.ask("POST", "/api/webhooks/", {**document, "headers": dict(headers)}))

    def update_webhook(self, number: int, **fields: Any) -> dict[str, Any]:
        """Change some fields of a webhook."""
        return as_object(self._http.ask("PATCH", f"/api/webhooks/{number}/", fields))

    def delete_webhook(self, number: int) -> None:
        """Delete a webhook."""
        self._http.ask("DELETE", f"/api/webhooks/{number}/")


def connect(settings: Settings) -> LabelStudioApi | None:
    """The Label Studio of some settings; None where they name none or have no token."""
    if settings.label_studio_url is None or settings.label_studio_api_key is None:
        return None
    return LabelStudioApi(settings.label_studio_url, settings)


def _authentication(auth: BasicAuth | None) -> dict[str, str]:
    if auth is None:
        return {"auth_method": "NONE"}
    return {
        "auth_method": "BASIC_AUTH",
        "basic_auth_user": auth.user,
        "basic_auth_pass": auth.password.reveal(),
    }
