"""Label Studio's ML backend protocol as a Flask app: handlers parse, call the backend, format."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import BadRequest, TooManyRequests

from ls_backend.backend import Backend
from ls_backend.guards import guard
from ls_backend.metrics import CONTENT_TYPE
from ls_backend.status_page import status_page
from zgcore.gallery import templates_folder

if TYPE_CHECKING:
    from ls_backend.settings import Settings
    from zgcore import ZeroGuidance

MAX_TASKS: Final = 10_000  # of one request
RETRY_AFTER_S: Final = 10


def create_app(settings: Settings, model: ZeroGuidance | None = None) -> Flask:
    """The server of some settings; its parts are `app.extensions["zeroguide"]`, whose `close` stops its threads.

    model: one that is loaded already; else the preset is loaded when it is first needed, or now with `preload`.
    Raises ConfigError for a broken preset, OSError or sqlite3.Error where the data folder cannot be used.
    """
    app = Flask("ls_backend", template_folder=str(templates_folder()), static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.json.compact = True  # type: ignore[attr-defined]
    backend = Backend(settings, model)
    app.extensions["zeroguide"] = backend
    guard(app, settings.auth, int(settings.max_body_mb * 1e6), backend.metrics, settings.host)
    _add_protocol(app, backend)
    _add_pages(app, backend)
    return app


def _add_protocol(app: Flask, backend: Backend) -> None:
    @app.get("/health")
    def health() -> Response:
        return jsonify({"status": "UP", "model_version": backend.version})

    @app.get("/ready")
    def ready() -> tuple[Response, int]:
        if backend.inference.ready:
            return jsonify({"status": "ready", "model_version": backend.version}), 200
        return jsonify({"status": "not loaded", "error": backend.inference.error}), 503

    @app.get("/versions")
    def versions() -> Response:
        return jsonify({"versions": [backend.version]})

    @app.post("/setup")
    def setup() -> Response:
        body = _body()
        backend.see_project(_project(body), _text(body, "schema"))
        return jsonify({"model_version": backend.version})

    @app.post("/predict")
    def predict() -> Response:
        body = _body()
        tasks, context = body.get("tasks"), _context(body)
        if not isinstance(tasks, list) or len(tasks) > MAX_TASKS:
            raise BadRequest(f"tasks must be a list of at most {MAX_TASKS:,} tasks")
        if not backend.places.acquire(blocking=False):
            raise TooManyRequests("too many requests wait for the model; try again later", retry_after=RETRY_AFTER_S)
        try:
            with backend.metrics.predicting.track_inprogress():
                found = backend.predict(tasks, _project(body), _text(body, "label_config"), g.request_id, context)
        finally:
            backend.places.release()
        # Of a list of no results Label Studio stores nothing. An empty result it would store, perhaps after the queue
        # has sent the prediction, and it would stay beside it. The editor, which reads prompts' answers, takes no list.
        left_out: Any = [] if context is None else {"result": []}
        results = [left_out if result is None else result for result in found]
        return jsonify({"results": results, "model_version": backend.version})

    @app.post("/webhook")
    def webhook() -> Response:
        backend.acceptance.event(_body())
        return jsonify({"status": "ok"})


def _add_pages(app: Flask, backend: Backend) -> None:
    @app.get("/metrics")
    def metrics() -> Response:
        backend.refresh_metrics()
        return Response(backend.metrics.text(), content_type=CONTENT_TYPE)

    @app.get("/openapi.yaml")
    def openapi() -> Response:
        return Response(files("ls_backend").joinpath("openapi.yaml").read_bytes(), content_type="application/yaml")

    @app.get("/")
    def status() -> Response:
        return status_page(backend)


def _body() -> dict[str, Any]:
    """The request's JSON object; BadRequest for anything else."""
    try:
        body = request.get_json(force=True)
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    return body


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"{name} must be a text")
    return value


def _context(body: dict[str, Any]) -> Any:
    """What an annotator asked for in the editor, in whatever form; None for an ordinary request."""
    params = body.get("params")
    return params.get("context") if isinstance(params, dict) else None


def _project(body: dict[str, Any]) -> str | int | None:
    value = body.get("project")
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
        raise BadRequest("project must be a text or a number")
    return value if value is None or len(str(value)) <= 100 else str(value)[:100]
