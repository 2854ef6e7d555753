"""Label Studio's API, as far as these tests use it."""

import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from tests.ls_backend.serving import Client

TEMPLATES = Path(__file__).parents[2] / "templates"
PATIENCE_S = 240  # for what may take long on a busy machine; no test is about speed


def until(condition, what, seconds=PATIENCE_S, pause=0.2):
    """The first value of `condition()` that counts as true. AssertionError, with what it is, where none comes."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"after {seconds} s still not so: {what}"
        time.sleep(pause)
    return found


def multipart(files):
    """Content type and body of an upload of {name: bytes}."""
    boundary = secrets.token_hex(16)
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in files.items()
    )
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


@dataclass
class Studio:
    """One user of one Label Studio. token: of the legacy kind."""

    url: str
    token: str

    def ask(self, method, path, body=None, content_type="application/json", token=None):
        """Status and JSON (None where the answer has no body)."""
        client = Client(self.url, {"Authorization": token or f"Token {self.token}"}, timeout=PATIENCE_S)
        status, _, content = client.ask(method, path, body, **{"Content-Type": content_type})
        return status, json.loads(content) if content else None

    def call(self, method, path, body=None, **how):
        """What `ask` gives, without the status, which must be one of success."""
        status, answer = self.ask(method, path, body, **how)
        assert 200 <= status < 300, (method, path, status, answer)
        return answer

    def project(self, title, config):
        """A new project's number. config: XML, or the name of a template."""
        if not config.startswith("<"):
            config = (TEMPLATES / config).read_text(encoding="utf-8")
        return self.call("POST", "/api/projects", {"title": title, "label_config": config})["id"]

    def upload(self, project, files):
        """Upload {name: bytes}, as dropping photos on the project does; the tasks' numbers by name."""
        content_type, body = multipart(files)
        path = f"/api/projects/{project}/import?return_task_ids=true"
        self.call("POST", path, body, content_type=content_type)
        return {self._name(task): task["id"] for task in self.tasks(project) if self._name(task) in files}

    @staticmethod
    def _name(task):
        """Of the file that was uploaded for a task: Label Studio puts 8 hex digits and a dash in front."""
        return next(iter(task["data"].values())).rpartition("/")[2].partition("-")[2]

    def tasks(self, project):
        """Tasks with their predictions and annotations."""
        return self.call("GET", f"/api/tasks?project={project}&page_size=100&fields=all")["tasks"]

    def connect(self, project, url, **more):
        body = {"project": project, "url": url, "title": "zeroguide", **more}
        return self.call("POST", "/api/ml", body)

    def action(self, project, name, **how):
        """An action of the data manager on all tasks."""
        chosen = {"selectedItems": {"all": True, "excluded": []}}
        return self.call("POST", f"/api/dm/actions?id={name}&project={project}", chosen, **how)

    def retrieve(self, project):
        """Press "Retrieve Predictions"."""
        return self.action(project, "retrieve_tasks_predictions")

    def predictions(self, project):
        """Lists of predictions by task."""
        found = {task["id"]: [] for task in self.tasks(project)}
        for prediction in self.call("GET", f"/api/predictions/?project={project}"):
            found[prediction["task"]].append(prediction)
        return found

    def export(self, project):
        """Tasks of an export as JSON, the form that is complete."""
        return self.call("GET", f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true")
