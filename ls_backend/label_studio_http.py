"""Requests to Label Studio's API: the token, JSON in and out, further tries where they may help, errors with cures."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from ls_backend.addresses import AddressPolicy, FetchError, Url, shortened
from ls_backend.label_studio_token import LabelStudioToken
from ls_backend.pinned_http import ConnectionLost, Deadline, PinnedHttp
from zgcore.errors import ZeroguideError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ls_backend.pinned_http import Answer
    from ls_backend.settings import Secret

MAX_ANSWER: Final = 64_000_000  # bytes
TIMEOUT_S: Final = 120.0
TRIES: Final = 4
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 8.0
_JSON: Final = "application/json"
_BUSY: Final = (429, 503)  # said before anything was done
_PASSING: Final = (*_BUSY, 500, 502, 504)
_TOKEN: Final = (
    "Label Studio refuses label_studio_api_key (status {status}{detail}); take a token of a user who may change the "
    "project"
)
_BLOCKED: Final = (
    "Label Studio refuses private addresses (status {status}{detail}); start it with ML_BLOCK_LOCAL_IP=false and "
    "SSRF_PROTECTION_ENABLED=false"
)


class LabelStudioRefuses(ZeroguideError):
    """Label Studio answered, and will give the same answer again. detail: its own words; may be empty."""

    def __init__(self, message: str, status: int = 0, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


class LabelStudioHttp:
    """Asks one Label Studio; safe to use from several threads.

    url: its address. key: None to ask without a token. tries: how often a request is sent at most. timeout_s: seconds
    for each.

    Every request raises LabelStudioRefuses where asking again would not help, TooLarge for an answer of more than
    `max_answer` bytes, and FetchError where Label Studio cannot be reached or stays busy.
    """

    def __init__(
        self,
        url: str,
        key: Secret | None,
        *,
        tries: int = TRIES,
        timeout_s: float = TIMEOUT_S,
        max_answer: int = MAX_ANSWER,
    ) -> None:
        self.url = url
        self._tries = tries
        self._timeout_s = timeout_s
        http = PinnedHttp(AddressPolicy(own=Url.parse(url).origin), max_answer, all_bodies=True)
        self._token = LabelStudioToken(url, key, http)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON that a path answers with."""
        return self.ask("GET", path + ("?" + urlencode(query) if query else ""))

    def ask(self, method: str, path: str, document: Any = None) -> Any:
        """The JSON of an answer, None where it has no body. document: sent as JSON unless it is None."""
        if document is None:
            return self.send(method, path)
        return self.send(method, path, json.dumps(document).encode(), _JSON)

    def send(self, method: str, path: str, body: bytes | None = None, content_type: str = _JSON) -> Any:
        """As `ask`, with a body that is ready."""
        url = Url.parse(self.url + path)
        headers = {"Accept": _JSON, **({} if body is None else {"Content-Type": content_type})}
        answer = self._answer(method, url, headers, body)
        if not 200 <= answer.status < 300:
            raise _error(url, answer)
        if not answer.body:
            return None
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError):
            raise FetchError(
                f"{url.shown}: the answer is no JSON; check that label_studio_url is Label Studio"
            ) from None

    def _answer(self, method: str, url: Url, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """The first answer that is more than "try again later", or the last one.

        A POST that may have arrived is not sent again: it would make things twice.
        """
        again = _BUSY if method == "POST" else _PASSING
        for tries in range(1, self._tries + 1):
            last = tries == self._tries
            try:
                answer = self._token.send(url, Deadline(self._timeout_s), headers, method=method, body=body)
            except ConnectionLost as error:
                if last or (error.sent and method == "POST"):
                    raise
                time.sleep(_pause(tries))
                continue
            if last or answer.status not in again:
                break
            time.sleep(_pause(tries, answer.headers.get("retry-after", "")))
        return answer


def _pause(tries: int, wanted: str = "") -> float:
    """Seconds until the next try: twice as long each time, not the same for all who wait. wanted: Retry-After."""
    seconds = FIRST_PAUSE_S * 2 ** (tries - 1) * random.uniform(0.8, 1.2)
    if wanted.isascii() and wanted.isdecimal():
        seconds = max(seconds, float(wanted[:9]))
    return min(seconds, LONGEST_PAUSE_S)


def _error(url: Url, answer: Answer) -> Exception:
    """What to raise for an answer that is none of success."""
    status, detail = answer.status, _detail(answer.body)
    said = f": {shortened(detail)}" if detail else ""
    if "reserved network address" in detail:
        message = _BLOCKED.format(status=status, detail=said)
    elif status in (401, 403):
        message = _TOKEN.format(status=status, detail=said)
    elif 300 <= status < 400:
        message = f"Label Studio answers with a redirect (status {status}); set label_studio_url to where it leads"
    elif status in _PASSING:
        return FetchError(f"{url.shown}: Label Studio answers {status}{said}; try again later")
    else:
        gone = "; is it still there?" if status == 404 else ""
        message = f"Label Studio answers {status}{said}{gone}"
    return LabelStudioRefuses(f"{url.shown}: {message}", status, detail)


def _detail(body: bytes) -> str:
    """What Label Studio says of an error; empty where it says nothing readable."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(document, dict):
        return ""
    wrong = document.get("validation_errors")
    said = list(_sentences(wrong)) if wrong else [document.get("detail")]
    return " ".join(word for text in said if isinstance(text, str) for word in text.split())


def _sentences(errors: Any, name: str = "") -> Iterable[str]:
    """Messages of Django's forms: texts, in lists and dictionaries by field, of any depth."""
    if isinstance(errors, dict):
        for field, inner in errors.items():
            yield from _sentences(inner, "" if field == "non_field_errors" else str(field))
    elif isinstance(errors, list):
        for inner in errors:
            yield from _sentences(inner, name)
    else:
        yield f"{name}: {errors}" if name else str(errors)
