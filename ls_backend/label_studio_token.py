"""The Authorization header that Label Studio wants, for legacy tokens and for personal access tokens.

A personal access token is a JSON web token that is only good for buying access tokens of a few minutes.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from typing import TYPE_CHECKING, Any

from ls_backend.addresses import FetchDelayed, Url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ls_backend.pinned_http import Answer, Deadline, PinnedHttp
    from ls_backend.settings import Secret

_REFRESH_PATH = "/api/token/refresh/"
_MARGIN_S = 30.0  # an access token is not used in its last half minute
_LIFE_S = 300.0  # of an access token that does not say


class LabelStudioToken:
    """Gives the header for one Label Studio; safe to use from several threads.

    url: Label Studio's own address. key: None where none is configured.
    """

    def __init__(self, url: str, key: Secret | None, http: PinnedHttp) -> None:
        self._refresh_url = Url.parse(url + _REFRESH_PATH)
        self._key = key
        self._claims = {} if key is None else claims(key.reveal())
        self._http = http
        self._lock = threading.Lock()
        self._access = ""
        self._good_until = 0.0

    def send(
        self,
        url: Url,
        deadline: Deadline,
        headers: Mapping[str, str],
        *,
        method: str = "GET",
        body: bytes | None = None,
    ) -> Answer:
        """`PinnedHttp.send` with the token; an access token that is refused is bought anew, once.

        url: on Label Studio's origin, or the token would go elsewhere. Raises FetchError as PinnedHttp does, and where
        Label Studio refuses a personal access token.
        """
        answer = self._http.send(url, deadline, {**headers, **self.header(deadline)}, method=method, body=body)
        if answer.status == 401 and self.renewable:
            self.forget()
            answer = self._http.send(url, deadline, {**headers, **self.header(deadline)}, method=method, body=body)
        return answer

    @property
    def renewable(self) -> bool:
        """Whether the key is a personal access token, so that a refused access token may be bought anew."""
        return self._claims.get("token_type") == "refresh"

    def header(self, deadline: Deadline) -> dict[str, str]:
        """The header with the token, empty where there is no key. FetchError where Label Studio refuses the key."""
        if self._key is None:
            return {}
        if self.renewable:
            return {"Authorization": f"Bearer {self._current(deadline)}"}
        kind = "Bearer" if self._claims else "Token"
        return {"Authorization": f"{kind} {self._key.reveal()}"}

    def forget(self) -> None:
        """Buy a new access token next time: Label Studio has refused the present one."""
        self._good_until = 0.0  # without the lock: one who is buying now sets it to a new token's

    def _current(self, deadline: Deadline) -> str:
        """The access token, bought by one thread for all. FetchError where that takes longer than the deadline."""
        if not self._lock.acquire(timeout=deadline.left):
            raise FetchDelayed(f"{self._refresh_url.shown}: another request waits for an access token; try again later")
        try:
            if time.monotonic() >= self._good_until:
                asked = time.monotonic()
                self._access = self._buy(deadline)
                self._good_until = asked + _life(self._access) - _MARGIN_S
            return self._access
        finally:
            self._lock.release()

    def _buy(self, deadline: Deadline) -> str:
        assert self._key is not None
        body = json.dumps({"refresh": self._key.reveal()}).encode()
        headers = {"Content-Type": "application/json"}
        answer = self._http.send(self._refresh_url, deadline, headers, method="POST", body=body)
        where = self._refresh_url.shown
        if answer.status in (400, 401, 403):
            raise FetchDelayed(
                f"{where}: Label Studio refuses the personal access token (status {answer.status}): it has expired or "
                "was revoked; make another on its account page and set label_studio_api_key"
            )
        try:
            access = json.loads(answer.body)["access"]
        except (ValueError, TypeError, LookupError, RecursionError):
            access = None
        if answer.status != 200 or not isinstance(access, str) or not access.isascii() or not access.isprintable():
            raise FetchDelayed(f"{where}: status {answer.status} and no access token; check label_studio_url")
        return access


def claims(token: str) -> dict[str, Any]:
    """What a JSON web token says of itself, unverified; empty where the text is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _life(access: str) -> float:
    """Seconds an access token is good for, from its own two times: the two machines' clocks may differ."""
    said = claims(access)
    try:
        return float(said["exp"]) - float(said["iat"])
    except (LookupError, TypeError, ValueError):
        return _LIFE_S
