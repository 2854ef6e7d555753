"""What tests of the server share: a real one on a free port, projects, tasks, and a keeper of pushed predictions."""

import base64
import io
import json
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from ls_backend.app import create_app
from ls_backend.cli_serve import addresses, make_server
from ls_backend.settings import FetchSettings, Settings
from tests.ls_backend.loopback import Loopback, reply

PALETTE = """<View><Image name="image" value="$image"/>
<BrushLabels name="mask" toName="image"><Label value="obj 1"/><Label value="obj 2"/></BrushLabels>
<TextArea name="caption" toName="image" perRegion="true" editable="true"/></View>"""
LEGACY = "0123456789abcdef0123456789abcdef01234567"


def bands(first=0, size=(16, 12)):
    """PNG of vertical bands of brightness whose top-left pixel has the red level `first`."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[...] = (np.arange(width) * 4 // width * 64 + 32).astype(np.uint8)[None, :, None]
    image[0, 0, 0] = first
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def data_uri(content):
    return "data:image/png;base64," + base64.b64encode(content).decode()


def task(number, content=None):
    return {"id": number, "data": {"image": data_uri(bands(number) if content is None else content)}}


@dataclass
class Client:
    """Asks one server. An error's answer is an answer; headers may be asked for in any case."""

    url: str
    headers: dict = field(default_factory=dict)
    timeout: float = 60

    def ask(self, method, path, body=None, **headers):
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {**self.headers, **headers}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def get(self, path, **headers):
        return self.ask("GET", path, **headers)

    def post(self, path, body):
        """Status and JSON."""
        status, _, content = self.ask("POST", path, body, **{"Content-Type": "application/json"})
        return status, json.loads(content)

    def predict(self, tasks, project="7.1795240125", config=PALETTE):
        status, answer = self.post("/predict", {"tasks": tasks, "project": project, "label_config": config})
        assert status == 200, answer
        return answer["results"]


def settings_for(folder, preset="untrained", fetch=None, **values):
    fetch = FetchSettings(**(fetch or {}))
    values = {"min_area": 0.0, "device": "cpu", **values}
    return Settings(preset=preset, data_dir=folder, port=0, fetch=fetch, **values)


@contextmanager
def serving(settings, model=None):
    """A waitress server in a thread. Gives a client, and the parts of the server."""
    app = create_app(settings, model)
    backend, server = app.extensions["zeroguide"], make_server(app, settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield Client(addresses(server)[0]), backend
    finally:
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(lambda: _close(server))  # in the thread of its loop, which then ends
        thread.join(10)
        backend.close()


def _close(server):
    """Stop listening, and end the connections that a browser keeps open: the loop would go on for them."""
    for channel in [*server.active_channels.values()]:
        channel.handle_close()
    server.close()


class PredictionStore:
    """The three calls of Label Studio's API that a pushed prediction takes, over HTTP and with its answers.

    fails: statuses to answer uploads with, one after the other, before any is taken.
    """

    def __init__(self, fails=()):
        self.predictions = []
        self.fails = list(fails)
        self.lock = threading.Lock()

    def __call__(self, request, connection):
        if request.headers.get("authorization") != f"Token {LEGACY}":
            return reply(401)
        method, path = request.line.split()[:2]
        with self.lock:
            if method == "GET":
                number = int(path.rpartition("task=")[2])
                return reply(200, json.dumps([one for one in self.predictions if one["task"] == number]).encode())
            if method == "DELETE":
                number = int(path.strip("/").rpartition("/")[2])
                self.predictions = [one for one in self.predictions if one["id"] != number]
                return reply(204)
            if self.fails:
                return reply(self.fails.pop(0))
            for one in (new := json.loads(request.body)):
                self.predictions.append({**one, "id": len(self.predictions) + 1, "path": path})
            return reply(201, json.dumps({"created": len(new)}).encode())

    def serve(self):
        return Loopback(self)
