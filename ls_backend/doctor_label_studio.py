"""Whether Label Studio and the backend find each other, and whether a project can carry what the backend makes."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from ls_backend.addresses import AddressPolicy, FetchError, Url
from ls_backend.doctor import Finding, config_finding, from_error
from ls_backend.fetch import Fetcher
from ls_backend.label_studio_api import LabelStudioApi, LabelStudioRefuses
from ls_backend.label_studio_parts import at_address, webhook_headers, without_markup
from ls_backend.label_studio_token import claims
from ls_backend.labelling_config import parse_config
from ls_backend.pinned_http import Deadline, PinnedHttp, basic_authorization
from ls_backend.protocol import TaskError, task_images
from zgcore.errors import ImageError
from zgcore.images import load_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ls_backend.labelling_config import LabellingConfig
    from ls_backend.settings import BasicAuth, Settings

TESTED: Final = "1.23.2"
TIMEOUT_S: Final = 30.0  # of a request to Label Studio, which may itself ask the backend and wait
HEALTH_S: Final = 5.0
EXPIRES_SOON_DAYS: Final = 7
UNBLOCK: Final = "ML_BLOCK_LOCAL_IP=false SSRF_PROTECTION_ENABLED=false label-studio start"
_MAX_HEALTH: Final = 100_000  # bytes
_TOKEN_PAGE: Final = "/user/account/personal-access-token"
_NOWHERE: Final = "/zeroguide-doctor"  # the backend has nothing there, so Label Studio cannot connect it


class LabelStudioDoctor:
    """Looks at one Label Studio, the project in it if one is named, and the backend's address."""

    def __init__(self, settings: Settings, project: int | None, backend: str) -> None:
        self._settings = settings
        self._url = settings.label_studio_url or ""
        self._api = LabelStudioApi(self._url, settings, tries=1, timeout_s=TIMEOUT_S)
        self._number = project
        self._backend = backend

    def findings(self) -> Iterator[Finding]:
        """Every check that can be made: without Label Studio or a token that it takes, those that need neither."""
        label_studio = self.version()
        yield label_studio
        if label_studio.state == "failed":
            yield self.backend()
            return
        token = self.token()
        yield token
        backend = self.backend()
        yield backend
        if token.state == "failed":
            return
        address = self.addresses("ml", "backend address", "ML_BLOCK_LOCAL_IP")
        yield address
        yield self.addresses("webhooks", "webhook address", "SSRF_PROTECTION_ENABLED")
        if backend.state == address.state == "ok":
            yield self.reached()
        if self._number is not None:
            yield from self.project(self._number)

    def version(self) -> Finding:
        """Whether Label Studio answers, and how old it is."""
        check = "Label Studio"
        try:
            version = self._api.version()
        except (FetchError, LabelStudioRefuses) as error:
            return from_error(check, error, f"start it, or name where it runs: --url URL; try: curl {self._url}/health")
        if not version:
            return Finding(check, "failed", f"what answers at {self._url} is not Label Studio", "name another: --url")
        if _numbers(version) < _numbers(TESTED)[:2]:
            old = f"{version} at {self._url} is older than {TESTED}, which this was tested with"
            return Finding(check, "warning", old, "pip install --upgrade label-studio")
        return Finding(check, "ok", f"{version} at {self._url}")

    def token(self) -> Finding:
        """What kind the token is, and whether Label Studio takes it."""
        check, key = "token", self._settings.label_studio_api_key
        new = f"make one at {self._url}{_TOKEN_PAGE}, then: export LABEL_STUDIO_API_KEY=TOKEN"
        if key is None:
            return Finding(check, "failed", "there is none: uploads cannot be read nor predictions sent", new)
        said = claims(key.reveal())
        kind = {"refresh": "personal access token", None: "legacy token"}.get(said.get("token_type"), "access token")
        try:
            whose = self._api.user().get("email", "somebody")
        except LabelStudioRefuses as error:
            return Finding(check, "failed", f"the {kind} is refused: {error.detail}", new)
        except FetchError as error:
            return from_error(check, error, new)
        if kind == "access token":
            return Finding(check, "warning", f"an access token of {whose}, which ends after minutes", new)
        days = _days_left(said)
        if days is not None and days < EXPIRES_SOON_DAYS:
            return Finding(check, "warning", f"{kind} of {whose}, which ends in {max(days, 0):.0f} days", new)
        return Finding(check, "ok", f"{kind} of {whose}")

    def backend(self) -> Finding:
        """Whether the backend answers us, takes our password, and could load its model."""
        check = "backend"
        start = f"zeroguide serve --label-studio-url {self._url}"
        try:
            status, health = ask_backend(self._backend, "/health", self._settings.auth)
            _, ready = ask_backend(self._backend, "/ready", self._settings.auth)
        except (FetchError, ValueError) as error:
            return from_error(check, error, f"{start}, or name where it runs: --backend URL")
        if status == 401:
            cure = "export BASIC_AUTH_USER=USER BASIC_AUTH_PASS=PASSWORD, as the backend has them"
            return Finding(check, "failed", f"{self._backend} wants a user and a password, or others than these", cure)
        if status != 200 or "model_version" not in health:
            return Finding(check, "failed", f"what answers at {self._backend} is no zeroguide (status {status})", start)
        if ready.get("error"):
            return Finding(check, "failed", f"its model cannot be loaded: {ready['error']}", "zeroguide weights list")
        loaded = "loaded" if ready.get("status") == "ready" else "not loaded yet"
        return Finding(check, "ok", f"{health['model_version']} at {self._backend}, model {loaded}")

    def addresses(self, kind: Literal["ml", "webhooks"], check: str, setting: str) -> Finding:
        """Whether Label Studio lets the backend's address be connected, or told of annotations."""
        try:
            self._api.check_url(kind, self._backend)
        except LabelStudioRefuses as error:
            if error.status == 403:
                blocked = f"Label Studio blocks {self._backend} ({setting} is on): {error.detail}"
                return Finding(check, "failed", blocked, UNBLOCK)
            return from_error(check, error)
        except FetchError as error:
            return from_error(check, error, "name an address that Label Studio's machine can resolve: --backend URL")
        return Finding(check, "ok", f"{self._backend} is not blocked ({setting})")

    def reached(self) -> Finding:
        """Whether Label Studio's machine reaches the backend, found out without connecting it.

        Label Studio is asked to connect an address at which the backend has nothing. It refuses, and its words tell
        whether the backend answered.
        """
        check = "Label Studio to backend"
        try:
            project = self._number if self._number is not None else next(iter(self._api.projects()), {}).get("id")
            if project is None:
                return Finding(
                    check, "warning", "not checked: Label Studio has no project yet", "make one, and ask again"
                )
            self._api.add_ml_backend(project, self._backend + _NOWHERE, auth=self._settings.auth)
            self._undo(project)  # something answers everything there
        except LabelStudioRefuses as error:
            return self._reached(check, error)
        except FetchError as error:
            return from_error(check, error)
        return Finding(check, "failed", f"what Label Studio finds at {self._backend} is no zeroguide", "--backend URL")

    def _undo(self, project: int) -> None:
        """Take away what Label Studio did connect."""
        for backend in at_address(self._api.ml_backends(project), self._backend + _NOWHERE):
            self._api.delete_ml_backend(backend["id"])
        for hook in at_address(self._api.webhooks(project), f"{self._backend}{_NOWHERE}/webhook"):
            self._api.delete_webhook(hook["id"])

    def _reached(self, check: str, error: LabelStudioRefuses) -> Finding:
        if "404 Client Error" in error.detail:
            return Finding(check, "ok", f"Label Studio reaches {self._backend}")
        if error.status == 404:
            return Finding(check, "failed", f"there is no project {self._number}", "name another: --project N")
        reason = without_markup(error.detail.rpartition("Additional info: ")[2])
        cure = (
            "let the backend listen where Label Studio's machine or container reaches it: zeroguide serve --host "
            "0.0.0.0 --auth USER:PASSWORD, then name that address: --backend http://HOST:9090"
        )
        return Finding(check, "failed", f"Label Studio does not reach {self._backend}: {reason}", cure)

    def project(self, number: int) -> Iterator[Finding]:
        """A project's connection, labelling config and first image."""
        try:
            project = self._api.project(number)
            yield self._connection(number, project)
            config = parse_config(str(project.get("label_config", "")))
            yield config_finding(config, f"zeroguide connect --url {self._url} --project {number} --set-config")
            if config.targets:
                yield self._image(number, config)
        except LabelStudioRefuses as error:
            yield from_error("project", error, f"name a project that the token's user may see; they are at {self._url}")
        except FetchError as error:
            yield from_error("project", error)

    def _connection(self, number: int, project: dict[str, Any]) -> Finding:
        """Whether this backend is the one that Label Studio will ask, and can."""
        check = "connection"
        connect = f"zeroguide connect --url {self._url} --project {number} --backend-url {self._backend}"
        backends = sorted(self._api.ml_backends(number), key=lambda one: one.get("id", 0))
        mine = next(iter(at_address(backends, self._backend)), None)
        if mine is None:
            return Finding(check, "warning", f'project {number} "{project.get("title")}" has no such backend', connect)
        if mine is not backends[0]:
            other = f"project {number} has another backend first, {backends[0].get('url')}, and only that is asked"
            return Finding(check, "failed", other, f"disconnect the other at {self._url}/projects/{number}/settings/ml")
        if mine.get("state") != "CO":
            broken = f"{mine.get('readable_state')}: {mine.get('error_message') or 'it does not answer Label Studio'}"
            return Finding(check, "failed", broken, connect)
        hooks = at_address(self._api.webhooks(number), f"{self._backend}/webhook")
        if not hooks:
            untold = "the backend is connected and not told of annotations: Label Studio has stored no webhook for it"
            return Finding(check, "warning", untold, connect)
        auth = self._settings.auth
        if auth is not None and not any(one.get("headers") == webhook_headers(one, auth) for one in hooks):
            refused = "the backend is connected and refuses what it is told of annotations: the webhook has no password"
            return Finding(check, "warning", f"{refused}, or another", connect)
        return Finding(check, "ok", f'project {number} "{project.get("title")}" asks {self._backend}')

    def _image(self, number: int, config: LabellingConfig) -> Finding:
        """Whether the first task's first image is read as the backend would read it."""
        check = "sample image"
        task = next(self._api.tasks(number, page_size=1), None)
        if task is None:
            where = f"{self._url}/projects/{number}/data/import"
            return Finding(check, "warning", f"not checked: project {number} has no tasks", f"import photos at {where}")
        try:
            content = Fetcher(self._settings).fetch(task_images(task, config)[0].reference)
            height, width, _ = load_image(content, max_pixels=self._settings.fetch.max_pixels).shape
        except (ImageError, TaskError) as error:
            return from_error(check, error)
        return Finding(check, "ok", f"task {task['id']}: {width} x {height} pixels, {len(content) / 1e3:,.0f} kB")


def ask_backend(address: str, path: str, auth: BasicAuth | None = None) -> tuple[int, dict[str, Any]]:
    """Status and JSON object of a backend's answer, an empty object where it is none. FetchError where none comes."""
    url = Url.parse(address + path)
    http = PinnedHttp(AddressPolicy(own=url.origin), _MAX_HEALTH, all_bodies=True)
    headers = {} if auth is None else basic_authorization(auth.user, auth.password.reveal())
    answer = http.send(url, Deadline(HEALTH_S), headers)
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    return answer.status, document if isinstance(document, dict) else {}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", version)[:3])


def _days_left(said: dict[str, Any]) -> float | None:
    """Days until a token ends by its own words; None where it does not say."""
    try:
        return (float(said["exp"]) - datetime.now(UTC).timestamp()) / 86400
    except (LookupError, TypeError, ValueError):
        return None
