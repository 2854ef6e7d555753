"""What stands before every handler of a study's page: who asks, how often, from where, and how a refusal looks.

A rater's browser shows who it is by a cookie that no script can read and that it sends for our own pages only. What
changes something must besides be JSON, and come from our own page where the browser says where it comes from. The log
has no token, no address of a request and nothing of its body.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from flask import Flask, Response, g, request
from werkzeug.exceptions import (
    Forbidden,
    HTTPException,
    InternalServerError,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
)

from ls_backend.guards import NO_ENDPOINT, authorised, http_error, new_request_id
from ls_backend.studies.rate_limit import RateLimit
from zgcore.errors import ZeroguideError

if TYPE_CHECKING:
    from ls_backend.studies.page_people import People
    from ls_backend.studies.page_settings import PageSettings

log = logging.getLogger(__name__)

MAX_BODY: Final = 16_384  # bytes
OPEN_YOUR_LINK: Final = "open the link that you were given"
_RATE, _BURST = 10.0, 150  # of one rater: an answer and a picture a second leave room, also for what waited offline
_SHARED_RATE, _SHARED_BURST = 50.0, 600  # of one address: a class may sit behind it
_FAILED_RATE, _FAILED_BURST = 0.5, 20  # wrong links of one address
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # no-referrer has some browsers hide the origin of what our page posts
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Limits:
    """The rates of one server."""

    def __init__(self) -> None:
        self.rater = RateLimit(_RATE, _BURST)
        self.address = RateLimit(_SHARED_RATE, _SHARED_BURST)
        self.failed = RateLimit(_FAILED_RATE, _FAILED_BURST)


def guard_page(app: Flask, settings: PageSettings, people: People, cookie: str, limits: Limits) -> None:
    """Put all of it before an app. `g.person` is then who asks: the number of a rater, `ORGANISER`, or None.

    cookie: its name.
    """
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # other origins get no hint
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, _unexpected)

    @app.before_request
    def begin() -> None:
        g.request_id, g.started, g.person = new_request_id(), time.perf_counter(), None
        if settings.auth is not None and not authorised(request.headers.get("Authorization", ""), settings.auth):
            raise Unauthorized("wrong or missing user and password")
        g.person = people.of(request.cookies.get(cookie))
        within = limits.rater.allows(g.person) if g.person else limits.address.allows(request.remote_addr)
        if not within:
            raise TooManyRequests("too many requests; wait a little", retry_after=1)
        if request.method == "POST":
            _refuse_strangers(settings)

    @app.after_request
    def end(response: Response) -> Response:
        response.headers.extend(_HEADERS)
        response.headers["X-Request-ID"] = g.request_id
        response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        response.headers.setdefault("Cache-Control", "no-store")
        if response.location:  # a proxy may not have told us what we are called outside
            response.headers["Location"] = urlsplit(response.location).path
        endpoint = request.endpoint or NO_ENDPOINT
        seconds = time.perf_counter() - g.started
        log.info("%s %s: %d in %.3f s", g.request_id, endpoint, response.status_code, seconds)
        return response


def _refuse_strangers(settings: PageSettings) -> None:
    """Forbidden where a browser posts for another site's page, UnsupportedMediaType where the body is not JSON.

    A browser says by Sec-Fetch-Site, which no page can forge, whose page asks; where it does not (plain HTTP, and old
    ones) Origin must be ours. Programs send neither, and have no rater's cookie to misuse.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    ours = {f"{request.scheme}://{request.host}", settings.origin, None}
    if (origin not in ours) if site is None else (site != "same-origin"):
        raise Forbidden("only the page itself may ask this; a proxy's address is told with --public-url")
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("the body must be JSON")


def _unexpected(error: Exception) -> Response:
    if isinstance(error, ZeroguideError):
        log.error("%s: %s", g.request_id, error)
    else:
        log.exception("%s: failed", g.request_id)
    return http_error(InternalServerError("the server failed; its log says why, by this request id"))
