"""Label Studio's side of the API over HTTP: its paths, its answers and its ways, as 1.23.2 showed them.

For what takes too long or cannot be provoked with the real one: thousands of tasks, broken connections, other versions,
blocked addresses. It keeps projects, tasks, predictions, backends and webhooks in memory.
"""

import json
import re
import threading
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit

from ls_backend.label_studio_api import LabelStudioApi
from ls_backend.settings import Secret, Settings
from tests.ls_backend.loopback import Loopback, reply

KEY = "0123456789abcdef0123456789abcdef01234567"
BLOCKED = "URL resolves to a reserved network address (block: 127.0.0.0/8)"
BRUSH = """<View><Image name="image" value="$image"/>
<BrushLabels name="mask" toName="image"><Label value="obj 1"/><Label value="obj 2"/></BrushLabels>
<TextArea name="caption" toName="image" perRegion="true" editable="true"/></View>"""


def error(status, detail="Validation error", **validation):
    document = {"status_code": status, "version": "1.23.2", "detail": detail, "exc_info": None}
    return status, {**document, **({"validation_errors": validation} if validation else {})}


class Studio:
    """Call it as a Loopback's answer.

    refuses: called with method and path before all else; a status and document to answer with, or None.
    deceived: something at the backend's address answers everything as a backend would.
    unreachable: what Label Studio says when it tries a backend's address; None where it gets an answer.
    """

    version = "1.23.2"

    def __init__(self):
        self.projects = {1: self.new_project(1, BRUSH)}
        self.tasks, self.backends, self.hooks, self.predictions, self.uploads = {}, {}, {}, [], []
        self.used_labels = set()
        self.blocked = set()  # of "ml", "webhooks"
        self.unreachable = None
        self.deceived = False
        self.refuses = lambda method, path: None
        self.lock = threading.Lock()
        self.seen = []  # method, path and query of every request

    @staticmethod
    def new_project(number, config):
        return {
            "id": number,
            "title": f"project {number}",
            "label_config": config,
            "config_has_control_tags": "toName" in config,
            "show_collab_predictions": False,
            "model_version": "",
        }

    @contextmanager
    def serve(self, key=KEY, **options):
        """Gives a client of it and the settings that name it."""
        with Loopback(self) as server:
            secret = key and Secret(key)
            settings = Settings(label_studio_url=f"http://127.0.0.1:{server.port}", label_studio_api_key=secret)
            yield LabelStudioApi(settings.label_studio_url, settings, **options), settings

    def __call__(self, request, connection):
        method, target = request.line.split()[:2]
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        with self.lock:
            self.seen.append((method, parts.path, query))
            refusal = self.refuses(method, parts.path)
            if isinstance(refusal, bytes):
                return refusal
            status, document = refusal or self.route(method, parts.path, query, request)
        return reply(status, b"" if document is None else json.dumps(document).encode())

    def route(self, method, path, query, request):
        if path == "/api/version":
            return 200, {"release": self.version}
        if request.headers.get("authorization") != f"Token {KEY}":
            return error(401, "Invalid token.")
        for verb, pattern, handler in self.routes():
            if verb == method and (found := re.fullmatch(pattern, path)):
                body = request.body
                if request.headers.get("content-type") == "application/json":
                    body = json.loads(body)
                return handler(*map(int, found.groups()), query=query, body=body)
        return 404, None

    def routes(self):
        project = r"/api/projects/(\d+)"
        return [
            ("GET", "/api/current-user/whoami", lambda **_: (200, {"email": "a@example.com"})),
            ("GET", "/api/projects/", self.list_projects),
            ("GET", project + "/", lambda n, **_: (200, self.projects[n]) if n in self.projects else error(404, "No")),
            ("PATCH", project + "/", self.patch_project),
            ("GET", project + "/summary/", self.summary),
            ("POST", project + "/validate/", self.validate),
            ("POST", project + "/import", self.import_tasks),
            ("POST", project + "/import/predictions", self.import_predictions),
            ("GET", project + "/export", self.export),
            ("GET", "/api/tasks/", self.list_tasks),
            ("GET", "/api/predictions/", lambda query, **_: (200, self.of_task(int(query["task"][0])))),
            ("DELETE", r"/api/predictions/(\d+)/", self.delete_prediction),
            ("GET", r"/api/import/file-upload/(\d+)", lambda n, **_: (200, {"id": n, "file": f"upload/1/{n}-a.jpg"})),
            ("GET", "/api/ml/", self.list_backends),
            ("POST", "/api/ml/", lambda query, body: self.save_backend(max(self.backends, default=0) + 1, body)),
            ("PATCH", r"/api/ml/(\d+)", lambda n, query, body: self.save_backend(n, body)),
            ("DELETE", r"/api/ml/(\d+)", lambda n, **_: (204, self.backends.pop(n) and None)),
            ("GET", "/api/webhooks/", lambda query, **_: (200, list(self.hooks.values()))),
            ("POST", "/api/webhooks/", self.add_webhook),
            ("PATCH", r"/api/webhooks/(\d+)/", self.patch_webhook),
            ("DELETE", r"/api/webhooks/(\d+)/", lambda n, **_: (204, self.hooks.pop(n) and None)),
        ]

    def list_projects(self, query, **_):
        page, size = int(query["page"][0]), int(query["page_size"][0])
        every = sorted(self.projects.values(), key=lambda one: one["id"])
        more = f"http://x/api/projects/?page={page + 1}" if len(every) > page * size else None
        return 200, {"count": len(every), "next": more, "results": every[(page - 1) * size : page * size]}

    def patch_project(self, number, query, body):
        self.projects[number].update(body)
        self.projects[number]["label_config"] = self.projects[number]["label_config"].strip()
        return 200, self.projects[number]

    def summary(self, number, **_):
        fields = [set(task["data"]) for task in self.tasks.values() if task["project"] == number]
        return 200, {"common_data_columns": sorted(set.intersection(*fields)) if fields else []}

    def validate(self, number, query, body):
        missing = [label for label in self.used_labels if f'value="{label}"' not in body["label_config"]]
        if missing:
            said = f"These labels still exist in annotations or drafts:\n{missing[0]} (1 annotation)\n"
            return error(400, non_field_errors=[said])
        return 200, {"config_essential_data_has_changed": None}

    def import_tasks(self, number, query, body):
        if query.get("commit_to_project") == ["false"]:
            self.uploads.append(body)
            return 201, {"task_count": 1, "file_upload_ids": [len(self.uploads)]}
        first = max(self.tasks, default=0) + 1
        for index, task in enumerate(body, first):
            self.tasks[index] = {"id": index, "project": number, "annotations": [], **task}
        return 201, {"task_count": len(body), "task_ids": list(range(first, first + len(body)))}

    def import_predictions(self, number, query, body):
        if any(one["task"] not in self.tasks for one in body):
            return error(400, non_field_errors=['contains invalid "task" field'])
        controls = self.projects[number]["label_config"]
        good = [one for one in body if all(f'name="{r["from_name"]}"' in controls for r in one["result"])]
        for one in good:
            self.predictions.append({**one, "id": max((p["id"] for p in self.predictions), default=0) + 1})
        return 201, {"created": len(good)}

    def of_task(self, number):
        return [one for one in self.predictions if one["task"] == number]

    def delete_prediction(self, number, **_):
        self.predictions = [one for one in self.predictions if one["id"] != number]
        return 204, None

    def list_tasks(self, query, **_):
        """Pages of tasks above an id, as the filter of the data manager gives them."""
        items = json.loads(unquote(query["query"][0]))["filters"]["items"]
        above = items[-1]["value"]
        assert (items[-1]["filter"], items[-1]["operator"]) == ("filter:tasks:id", "greater")
        project, size = int(query["project"][0]), int(query["page_size"][0])
        every = [task for _, task in sorted(self.tasks.items()) if task["project"] == project and task["id"] > above]
        page = [{"id": task["id"]} if query.get("include") == ["id"] else task for task in every[:size]]
        full = [{**task, "predictions": self.of_task(task["id"])} if "data" in task else task for task in page]
        return 200, {"total_annotations": 0, "total_predictions": 0, "total": len(every), "tasks": full}

    def export(self, number, query, **_):
        wanted = {int(one) for one in query["ids[]"]}
        assert query["download_all_tasks"] == ["true"]
        found = [task for task in self.tasks.values() if task["id"] in wanted and task["project"] == number]
        return 200, [{**task, "predictions": [p["id"] for p in self.of_task(task["id"])]} for task in found[::-1]]

    def list_backends(self, query, **_):
        number = int(query["project"][0])
        return 200, [one for one in self.backends.values() if one["project"] == number]

    def save_backend(self, number, body):
        if "ml" in self.blocked:
            return error(403, BLOCKED)
        if "project" not in body:
            return error(400, project=["This field is required."])
        if body["project"] not in self.projects:
            return error(404, "No Project matches the given query.")
        tried = self.unreachable
        if tried is None and not self.deceived and body["url"].endswith("/zeroguide-doctor"):
            tried = f"404 Client Error: NOT FOUND for url: {body['url']}/health"
        if tried is not None:
            said = f"Can't connect to ML backend {body['url']}, health check failed. Additional info: {tried}"
            return error(400, non_field_errors=[said])
        new = number not in self.backends
        old = self.backends.get(number, {"title": "default"})
        row = {**old, **body, "id": number, "state": "CO", "readable_state": "Connected", "model_version": "mini-1"}
        self.backends[number] = row
        if new:  # the backend stays where its webhook is blocked, and the answer is the webhook's
            status, answer = self.add_webhook({}, {"url": body["url"] + "/webhook", "project": body["project"]})
            if status == 403:
                return status, answer
        return (201 if new else 200), row

    def add_webhook(self, query, body):
        if "webhooks" in self.blocked:
            return error(403, BLOCKED)
        if body.get("actions") == [""]:
            return error(400, actions={"0": ['"" is not a valid choice.']})
        number = max(self.hooks, default=0) + 1
        self.hooks[number] = {"headers": {}, **body, "id": number}
        return 201, self.hooks[number]

    def patch_webhook(self, number, query, body):
        self.hooks[number].update(body)
        return 200, self.hooks[number]
