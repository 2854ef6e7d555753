"""What the server asks of Label Studio's own API: to take a prediction that was not ready in time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from ls_backend.addresses import AddressPolicy, FetchError, Url
from ls_backend.label_studio_token import LabelStudioToken
from ls_backend.pinned_http import Deadline, PinnedHttp
from zgcore.errors import ZeroguideError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ls_backend.pinned_http import Answer
    from ls_backend.settings import Settings

MAX_ANSWER: Final = 256_000_000  # bytes
TIMEOUT_S: Final = 60.0
_JSON: Final = {"Content-Type": "application/json", "Accept": "application/json"}


class LabelStudioRefuses(ZeroguideError):
    """Label Studio answered, and will give the same answer again."""


class LabelStudioApi:
    """One Label Studio. url: its address. Raises FetchError where it cannot be reached or is busy."""

    def __init__(self, url: str, settings: Settings) -> None:
        self._base = url
        http = PinnedHttp(AddressPolicy(own=Url.parse(url).origin), MAX_ANSWER)
        self._token = LabelStudioToken(url, settings.label_studio_api_key, http)

    def store_prediction(self, project: int, task: int, prediction: Mapping[str, Any]) -> bool:
        """Give a task its prediction; False where it has one of that version already.

        Empty predictions of the same version are taken away: Label Studio has stored them for the answer that came
        without this one. Raises LabelStudioRefuses where project or task are gone or the token may not write.
        """
        version = prediction["model_version"]
        same = [known for known in self._predictions(task) if known.get("model_version") == version]
        if any(known.get("result") for known in same):
            return False
        body = [{"task": task, **prediction}]
        self._ask("POST", f"/api/projects/{project}/import/predictions", json.dumps(body).encode())
        for empty in same:
            if isinstance(empty.get("id"), int):
                self._ask("DELETE", f"/api/predictions/{empty['id']}/")
        return True

    def _predictions(self, task: int) -> list[dict[str, Any]]:
        answer = self._ask("GET", f"/api/predictions/?task={task}")
        try:
            found = json.loads(answer.body)
        except ValueError:
            found = None
        if isinstance(found, dict):  # in pages
            found = found.get("results")
        if not isinstance(found, list):
            raise FetchError(f"{self._base}: its list of predictions cannot be read; check label_studio_url")
        return [known for known in found if isinstance(known, dict)]

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        url, deadline = Url.parse(self._base + path), Deadline(TIMEOUT_S)
        answer = self._token.send(url, deadline, _JSON, method=method, body=body)
        if answer.status in (200, 201, 204):
            return answer
        if answer.status in (401, 403):
            raise LabelStudioRefuses(
                f"{url.shown}: Label Studio refuses label_studio_api_key (status {answer.status}); take a token of a "
                "user who may change the project"
            )
        if answer.status in (400, 404, 405, 413):
            raise LabelStudioRefuses(f"{url.shown}: Label Studio answers {answer.status}; is the task still there?")
        raise FetchError(f"{url.shown}: Label Studio answers {answer.status}; it is tried again")


def connect(settings: Settings) -> LabelStudioApi | None:
    """The Label Studio of some settings; None where they name none or have no token."""
    if settings.label_studio_url is None or settings.label_studio_api_key is None:
        return None
    return LabelStudioApi(settings.label_studio_url, settings)
