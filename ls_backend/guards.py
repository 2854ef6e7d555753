"""What stands before every handler: who may ask, how large a question may be, and how a refusal looks.

Web pages may not ask at all, whoever has them open: a browser lets any page post to a server on its own machine, and a
page whose name is made to resolve to that machine may read the answers too.

Every answer has an X-Request-ID, and every error is JSON with the same id and no stack trace; the log has the rest.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import time
import uuid
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from flask import Response, current_app, g, jsonify, request
from werkzeug.exceptions import Forbidden, HTTPException, InternalServerError, Unauthorized

from zgcore.errors import ZeroguideError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask
    from werkzeug.datastructures import Headers

    from ls_backend.metrics import Metrics
    from ls_backend.settings import BasicAuth

log = logging.getLogger(__name__)

NO_ENDPOINT: Final = "none"


def guard(app: Flask, auth: BasicAuth | None, max_body: int, metrics: Metrics, host: str) -> None:
    """Put authentication, the limit on bodies (bytes), request ids, counting and JSON errors before an app.

    host: what the server listens on. On loopback, where a password is often left out, without one the Host that a
    request names must be none that a stranger can own.
    """
    check_host = auth is None and is_loopback(host)
    app.config["MAX_CONTENT_LENGTH"] = max_body
    app.config["MAX_FORM_MEMORY_SIZE"] = max_body
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, _unexpected)

    @app.before_request
    def begin() -> None:
        g.request_id, g.started = new_request_id(), time.perf_counter()
        if request.method == "POST" and sent_by_a_page(request.headers):
            raise Forbidden("web pages may not ask this server; Label Studio's own server does")
        if check_host and not names_this_machine(request.headers.get("Host", "")):
            raise Forbidden(
                "without a password this server answers only to localhost and to addresses in numbers, since any name "
                "on the web can be made to lead here; set --auth USER:PASSWORD to use another name"
            )
        if auth is not None and not authorised(request.headers.get("Authorization", ""), auth):
            raise Unauthorized("wrong or missing user and password; set them in the connection's settings")

    @app.after_request
    def end(response: Response) -> Response:
        endpoint = request.endpoint or NO_ENDPOINT
        seconds = time.perf_counter() - g.started
        metrics.requests.labels(endpoint, str(response.status_code)).inc()
        metrics.request_seconds.labels(endpoint).observe(seconds)
        response.headers["X-Request-ID"] = g.request_id
        response.headers["X-Content-Type-Options"] = "nosniff"
        log.info("%s %s: %d in %.3f s", g.request_id, endpoint, response.status_code, seconds)
        return response


def new_request_id() -> str:
    return uuid.uuid4().hex[:16]


def is_loopback(host: str) -> bool:
    """Whether a server that listens on `host` can be reached from its own machine only."""
    try:
        return ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return host == "localhost"


def sent_by_a_page(headers: Headers) -> bool:
    """Whether a browser sent a POST for a web page: it then names the page's origin. Label Studio's server does not."""
    return "Origin" in headers or headers.get("Sec-Fetch-Site", "none") != "none"


def names_this_machine(host: str) -> bool:
    """Whether a Host header is an address in numbers, one that only this machine or its network can give a meaning
    (localhost, names without a dot, .internal as containers use it), or missing, as it never is in a browser.
    """
    name = host.strip().lower()
    if name.startswith("["):
        return True
    name = name.partition(":")[0].removesuffix(".")
    try:
        ip_address(name)
    except ValueError:
        return "." not in name or name.endswith((".localhost", ".internal"))
    return True


def authorised(header: str, auth: BasicAuth) -> bool:
    """Whether an Authorization header has the user and password, compared in constant time.

    Clients write letters beyond ASCII as UTF-8 (browsers) or Latin-1 (Python's requests, so Label Studio too).
    """
    scheme, _, token = header.partition(" ")
    try:
        given = base64.b64decode(token.strip().encode("latin-1"), validate=True)
    except (binascii.Error, ValueError):
        given = b""
    pair = f"{auth.user}:{auth.password.reveal()}"
    wanted = [pair.encode("utf-8", "surrogatepass"), pair.encode("latin-1", "replace")]
    if "?" not in pair and b"?" in wanted[1]:  # not to be written in Latin-1
        wanted[1] = wanted[0]
    same = [hmac.compare_digest(given, one) for one in wanted]
    return scheme.lower() == "basic" and any(same)


def error_document(code: int, message: str, request_id: str) -> dict[str, Any]:
    """The body of every error."""
    return {"error": message, "status": code, "request_id": request_id}


def http_error(error: HTTPException) -> Response:
    code = error.code or InternalServerError.code
    response = error.get_response()
    headers: Mapping[str, str] = {
        name: value for name, value in response.headers.items() if name not in ("Content-Type", "Content-Length")
    }
    answer = jsonify(error_document(code, error.description or error.name, g.request_id))
    answer.status_code = code
    answer.headers.extend(headers)
    if code == Unauthorized.code:
        answer.headers["WWW-Authenticate"] = 'Basic realm="zeroguide", charset="UTF-8"'
    return answer


def _unexpected(error: Exception) -> Response:
    current_app.extensions["zeroguide"].metrics.failed(error)
    if isinstance(error, ZeroguideError):
        log.error("%s: %s", g.request_id, error)
    else:
        log.exception("%s: failed", g.request_id)
    return http_error(InternalServerError("the server failed; its log says why, by this request id"))
