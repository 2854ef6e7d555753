"""A Label Studio on this machine, with the settings that it and an ML backend need to talk to each other.

with LocalLabelStudio(program(Path(".venv-label-studio")), Path("studio"), port=8080) as studio:
    print(studio.url, studio.account.email, studio.account.password)
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import urllib.request
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from ls_backend.files import atomic_write
from ls_backend.local_server import HOST, LocalServer
from zgcore.errors import ZeroguideError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

EMAIL: Final = "annotator@example.com"
START_S: Final = 300.0  # the first start makes the database: half a minute, more on a busy machine
STOP_S: Final = 15.0
_KEPT: Final = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SSL_CERT_FILE", "NO_PROXY")


class LabelStudioError(ZeroguideError):
    """Label Studio is not installed, does not start, or stopped."""


@dataclass(frozen=True)
class Account:
    """The first user. token: of the legacy kind, 40 hex digits."""

    email: str
    password: str
    token: str

    @classmethod
    def of(cls, folder: Path) -> Account:
        """The account of a data folder: made up when it is first asked for, kept in a file that only its owner reads.

        Label Studio takes password and token over when it makes the user, and never again: they must not change.
        """
        file = folder / "account.json"
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            account = cls(EMAIL, secrets.token_urlsafe(12), secrets.token_hex(20))
        except (OSError, ValueError, TypeError):
            raise LabelStudioError(f"{file} cannot be read; delete {folder} to begin anew, with no projects") from None
        with atomic_write(file) as handle:
            os.fchmod(handle.fileno(), 0o600)
            handle.write(json.dumps(asdict(account)).encode())
        return account


def program(environment: Path) -> Path:
    """Label Studio's program in a virtual environment. Raises LabelStudioError where there is none."""
    found = environment / "bin" / "label-studio"
    if not found.is_file():
        raise LabelStudioError(
            f"there is no Label Studio in {environment}; install it, in an environment of its own (1 GB): "
            f"make {environment.name}/.installed, or python3 -m venv {environment} && "
            f"{environment}/bin/pip install label-studio==1.23.2"
        )
    return found


class LocalLabelStudio:
    """One Label Studio process, listening on this machine only.

    program: its executable. folder: for its database, uploads, log and account; made if it is not there. files:
    document root of its local files; a storage in a project must name a folder below it. settings: further variables
    of its environment, such as ML_TIMEOUT_PREDICT.
    """

    def __init__(
        self,
        program: Path,
        folder: Path,
        *,
        port: int = 8080,
        files: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.program = program.absolute()
        self.folder = folder.absolute()
        self.port = port
        self.files = self.folder / "files" if files is None else files.absolute()
        self.url = f"http://{HOST}:{port}"
        self.log = self.folder / "label-studio.log"
        self._server = LocalServer("Label Studio", self.log, LabelStudioError)
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._account: Account | None = None

    @property
    def account(self) -> Account:
        """Who may log in. Raises LabelStudioError where it cannot be read."""
        if self._account is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._account = Account.of(self.folder)
        return self._account

    def start(self, seconds: float = START_S) -> None:
        """Start it and wait until it answers.

        Raises LabelStudioError where it does not within `seconds`, with the end of its log, and where the port is
        taken: Label Studio would go to another without saying so.
        """
        self._server.refuse_taken(self.port)
        try:
            environment = self._environment()
            self.files.mkdir(parents=True, exist_ok=True)
            self._process = self._server.launch(self._command(), environment, self.folder)
        except OSError as error:
            raise LabelStudioError(f"Label Studio cannot be started in {self.folder}: {error}") from None
        try:
            self._server.wait(self._process, lambda: _is_up(self.url) or None, seconds)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it, if it runs; what it stored stays in the folder."""
        process, self._process = self._process, None
        if process is None:
            return
        _signal_group(process, signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            _signal_group(process, signal.SIGKILL)
            process.wait()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait(self) -> None:
        """Wait until it ends by itself. Raises LabelStudioError, since it never should."""
        if self._process is not None:
            self._process.wait()
            raise self._server.ended(self._process.returncode)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _command(self) -> list[str]:
        address = ["--internal-host", HOST, "--port", str(self.port), "--host", self.url]
        return [str(self.program), "start", "--no-browser", *address]

    def _environment(self) -> dict[str, str]:
        """Its settings, and of ours only what a program needs: it reads plain names such as HOST and DEBUG too."""
        account = self.account
        return {
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.folder),
            "LABEL_STUDIO_USERNAME": account.email,
            "LABEL_STUDIO_PASSWORD": account.password,
            "LABEL_STUDIO_USER_TOKEN": account.token,
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(self.files),
            # Since 1.23.1 it refuses backends on this machine: the first lets it ask one, the second store its webhook.
            "ML_BLOCK_LOCAL_IP": "false",
            "SSRF_PROTECTION_ENABLED": "false",
            # Silence on the network.
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            **self._settings,
        }


def _is_up(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{url}/health", timeout=5) as response:
            answer: Any = json.load(response)
    except (OSError, ValueError):
        return False
    return isinstance(answer, dict) and answer.get("status") == "UP"


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
