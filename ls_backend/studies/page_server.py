"""A study's page: what raters fetch and send. Handlers parse, call the store, format.

A rater meets questions, batches and pictures under names that are made for this rater alone, and of a question nothing
but its label and its picture.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, Response, g, jsonify, request, send_file
from werkzeug.exceptions import BadRequest, Conflict, Forbidden, NotFound, TooManyRequests

from ls_backend.studies.attention import RECENT, checks, missed, too_fast
from ls_backend.studies.page_database import Database
from ls_backend.studies.page_guard import OPEN_YOUR_LINK, Limits, guard_page
from ls_backend.studies.page_html import Page, progress_page
from ls_backend.studies.page_people import SESSION_S, People
from ls_backend.studies.page_progress import progress
from ls_backend.studies.page_schema import fingerprint
from ls_backend.studies.page_store import PageStore
from ls_backend.studies.tokens import ORGANISER, handle

if TYPE_CHECKING:
    from pathlib import Path

    from ls_backend.studies.manifest import Question, Study
    from ls_backend.studies.page_settings import PageSettings
    from ls_backend.studies.page_store import Work

_KEY: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")
_LONGEST_S: Final = 1e6  # on one question
_PICTURE_AGE_S: Final = 86400
_UNKNOWN: Final = "there is no such question in your hands"


class StudyPage:
    """The parts of the server of one study. `close` ends its connections."""

    def __init__(self, study: Study, settings: PageSettings) -> None:
        self.study = study
        self.database = Database(study)
        self.people = People(self.database)
        self.store = PageStore(self.database, settings.abandoned_s, settings.most_batches)
        self.limits = Limits()
        self.page = Page(study)
        self.cookie = f"zeroguide_study_{fingerprint(study).hex()[:8]}"  # ports of one host share cookies
        self._secret: bytes = self.database.rows("SELECT value FROM meta WHERE name = 'secret'")[0][0]
        self.names = lru_cache(maxsize=2048)(self._names)

    def close(self) -> None:
        self.database.close()

    def own(self, rater: int, what: str) -> str:
        return handle(self._secret, rater, what)

    def batch_name(self, rater: int, batch: int) -> str:
        return self.own(rater, f"batch {batch}")

    def _names(self, rater: int, batch: int) -> dict[str, Question]:
        """The questions of a batch by the names that the rater meets them under, in order."""
        return {self.own(rater, f"question {question.id}"): question for question in self.study.batches[batch]}

    def question(self, rater: int, name: str) -> Question:
        """NotFound unless it is one of a batch that the rater has or had."""
        for batch in self.store.batches(rater):
            if found := self.names(rater, batch).get(name):
                return found
        raise NotFound(_UNKNOWN)

    def state(self, rater: int, work: Work | None, warnings: tuple[str, ...] = ()) -> dict[str, Any]:
        """All that a rater's page needs. rater: names the rater's own part of the browser's storage."""
        return {
            "rater": self.own(rater, "storage"),
            "finished": len(self.store.finished(rater)),
            "batch": None if work is None else self._shown(rater, work),
            "warnings": warnings,
        }

    def _shown(self, rater: int, work: Work) -> dict[str, Any]:
        names = self.names(rater, work.batch)
        return {
            "id": self.batch_name(rater, work.batch),
            "questions": [
                {
                    "id": name,
                    "label": question.label,
                    "score": work.scores.get(question.id),
                    "seconds": work.seconds.get(question.id, 0.0),
                }
                for name, question in names.items()
            ],
        }

    def missed_checks(self, rater: int) -> bool:
        """Whether the rater missed too many known answers, of the batches that were handed in."""
        scores = {question: score for question, (score, _) in self.store.latest(rater).items()}
        questions = [one for batch in self.store.finished(rater) for one in self.study.batches[batch]]
        return missed(*checks(scores, questions), self.study.settings.rules)


def create_page_app(study: Study, settings: PageSettings) -> Flask:
    """The server of a study; its parts are `app.extensions["study"]`. StudyError where its answers cannot be used."""
    app = Flask("ls_backend.studies", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    parts = StudyPage(study, settings)
    app.extensions["study"] = parts
    guard_page(app, settings, parts.people, parts.cookie, parts.limits)
    _add_entrance(app, parts, settings)
    _add_rating(app, parts)
    _add_files(app, parts)
    return app


def _add_entrance(app: Flask, parts: StudyPage, settings: PageSettings) -> None:
    @app.get("/health")
    def health() -> Response:
        return jsonify({"status": "UP"})

    @app.get("/")
    def page() -> Response:
        return parts.page.response()

    @app.post("/enter")
    def enter() -> Response:
        entered = parts.people.enter(_text(_body(), "token"))
        if entered is None:
            if not parts.limits.failed.allows(request.remote_addr):
                raise TooManyRequests("too many wrong links; wait a little", retry_after=2)
            raise Forbidden(OPEN_YOUR_LINK)
        number, session = entered
        answer = jsonify({"organiser": number == ORGANISER})
        secure = request.is_secure or (settings.origin or "").startswith("https:")
        path = request.script_root or "/"
        answer.set_cookie(
            parts.cookie, session, int(SESSION_S), path=path, secure=secure, httponly=True, samesite="Strict"
        )
        return answer

    @app.get("/progress")
    def show_progress() -> Response:
        if g.person != ORGANISER:
            raise Forbidden(OPEN_YOUR_LINK)
        return progress_page(progress(parts.database))


def _add_rating(app: Flask, parts: StudyPage) -> None:
    @app.get("/state")
    def state() -> Response:
        rater = _rater()
        parts.store.heard(rater)
        return jsonify(parts.state(rater, parts.store.work(rater)))

    @app.post("/batch")
    def batch() -> Response:
        """The next batch. done: name of the one to hand in first; a second request with it finds it handed in."""
        rater, done = _rater(), _body().get("done")
        warned = False
        if done is not None:
            number = next((b for b in parts.store.batches(rater) if parts.batch_name(rater, b) == done), None)
            if number is None:
                raise NotFound(_UNKNOWN)
            if not parts.store.finish(rater, number):
                raise Conflict("some questions have no answer, or the batch was given to another rater")
            warned = parts.missed_checks(rater)
        return jsonify(parts.state(rater, parts.store.take(rater), ("checks",) if warned else ()))

    @app.post("/answer")
    def answer() -> Response:
        rater, body = _rater(), _body()
        question = parts.question(rater, _text(body, "question"))
        key, score, seconds = _answer(body)
        outcome = parts.store.answer(rater, question.id, key, score, seconds)
        if outcome == "refused":
            raise NotFound(_UNKNOWN)
        if outcome == "finished":
            raise Conflict("this batch was handed in")
        fast = too_fast(parts.store.last_seconds(rater, RECENT), parts.study.settings.rules)
        return jsonify({"released": outcome == "released", "warnings": ["fast"] if fast else []})


def _add_files(app: Flask, parts: StudyPage) -> None:
    @app.get("/pictures/<name>")
    def picture(name: str) -> Response:
        question = parts.question(_rater(), name)
        return _picture(parts.study.pictures / question.picture)

    @app.get("/instruction/<name>")
    def example(name: str) -> Response:
        if g.person is None:
            raise Forbidden(OPEN_YOUR_LINK)
        path = parts.page.examples.get(name)
        if path is None:
            raise NotFound("there is no such picture")
        return _picture(path)


def _picture(path: Path) -> Response:
    """A picture that the rater's own browser may keep. What its file is called and when it was made stays here.

    path: absolute. NotFound where there is no such file.
    """
    try:
        response = send_file(path, etag=False)
    except FileNotFoundError:
        raise NotFound("the picture is missing") from None
    response.headers.remove("Content-Disposition")
    response.headers.remove("Last-Modified")
    response.headers["Cache-Control"] = f"private, max-age={_PICTURE_AGE_S}"
    return response


def _rater() -> int:
    if not g.person:  # nobody, or the organiser
        raise Forbidden(OPEN_YOUR_LINK)
    return g.person


def _body() -> dict[str, Any]:
    """The request's JSON object; BadRequest for anything else."""
    try:
        body = request.get_json()
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    return body


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise BadRequest(f"{name} must be a text")
    return value


def _answer(body: dict[str, Any]) -> tuple[str, int, float]:
    """Key, score and seconds of an answer; BadRequest where one is not as it must be."""
    key, score = _text(body, "key"), body.get("score")
    seconds: Any = body.get("seconds")
    if not _KEY.fullmatch(key):
        raise BadRequest("key must be 8 to 64 letters, digits, hyphens and underscores")
    if type(score) is not int or not 0 <= score <= 3:
        raise BadRequest("score must be 0, 1, 2 or 3")
    if type(seconds) not in (int, float) or not 0 <= seconds <= _LONGEST_S:  # also where it is not a number
        raise BadRequest(f"seconds must be a number from 0 to {_LONGEST_S:g}")
    return key, score, float(seconds)
