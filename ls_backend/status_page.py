"""The page at `/`: whether the server works, for whom, what it made last, and what keeps it from working well."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from flask import Response, render_template

from ls_backend.jobs.registry import jobs_overview
from zgcore import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ls_backend.backend import Backend

JOBS: Final = 8  # the last ones
_POLICY: Final = (
    "default-src 'none'; img-src data:; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_TASKS: Final = {
    "predicted": "predicted",
    "failed": "failed",
    "late": "missed the deadline",
    "background": "finished in the background",
}
_OUTCOMES: Final = {
    "accepted": ("as predicted", "#00b39f"),
    "text_edited": ("text edited", "#3d8bff"),
    "mask_edited": ("mask edited", "#f08a00"),
    "added": ("drawn by hand", "#8e5ae8"),
    "deleted": ("deleted", "#d6456b"),
}


@dataclass(frozen=True)
class Share:
    """One part of the bar of what people did. start, width: in percent of the bar."""

    name: str
    text: str
    colour: str
    count: int
    start: float
    width: float


def status_page(backend: Backend) -> Response:
    """The page, under a policy that lets it run nothing and load nothing but its own style."""
    nonce = secrets.token_urlsafe(16)
    response = Response(render_template("status.html", nonce=nonce, **_contents(backend)))
    response.headers["Content-Security-Policy"] = _POLICY.format(nonce=nonce)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _contents(backend: Backend) -> dict[str, Any]:
    kept = backend.kept()
    log = backend.log
    with log.lock:
        projects = list(reversed(log.projects.values()))
        recent, failures, tasks = list(log.recent), list(log.failures), dict(log.tasks)
    inference = backend.inference
    return {
        "version": __version__,
        "model_version": backend.version,
        "preset": backend.settings.preset,
        "device": inference.device,
        "state": "ready" if inference.ready else "waiting" if inference.error is None else "broken",
        "problems": backend.misconfigured(kept),
        "jobs": [(job, ago(job.updated or job.started)) for job in jobs_overview(backend.settings.data_dir)[:JOBS]],
        "projects": [(seen, ago(seen.seen)) for seen in projects],
        "recent": [(one, ago(one.when)) for one in recent],
        "failures": [(_clock(when), request_id, message) for when, request_id, message in failures],
        "tasks": [(kind, text, tasks.get(kind, 0)) for kind, text in _TASKS.items()],
        "queue": {"waiting": 0, "failed": 0, **kept.queue},
        "deadline_s": backend.settings.deadline_s,
        "acceptance": _shares({name: kept.annotated.get(name, 0) for name in _OUTCOMES}),
        "annotations": kept.annotated.get("annotations", 0),
        "people": backend.predictor.people.counts,
        "people_mode": backend.predictor.people.mode,
    }


def _shares(counts: Mapping[str, int]) -> list[Share]:
    """The outcomes side by side, in percent of all regions."""
    total = sum(counts[name] for name in _OUTCOMES)
    shares: list[Share] = []
    start = 0.0
    for name, (text, colour) in _OUTCOMES.items():
        width = 100 * counts[name] / total if total else 0.0
        shares.append(Share(name, text, colour, counts[name], start, width))
        start += width
    return shares


def ago(when: float) -> str:
    seconds = max(0, int(time.time() - when))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _clock(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
