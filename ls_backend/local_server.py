"""A server that we start on this machine: whether its port is free and it answers, and the end of its log if not."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from zgcore.errors import ZeroguideError

T = TypeVar("T")

HOST: Final = "127.0.0.1"
POLL_S: Final = 0.2
_LOG_LINES: Final = 15  # in messages


@dataclass(frozen=True)
class LocalServer:
    """name: of what is started, in messages. log: the file that its process writes to. error: what to raise."""

    name: str
    log: Path
    error: type[ZeroguideError]

    def refuse_taken(self, port: int) -> None:
        """Raises `error` where somebody listens on a port: who asks there would take that one for ours."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection being closed is no matter
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise self.error(
                    f"{self.name} cannot listen on {HOST}:{port}: {error.strerror}; stop what does, or choose another "
                    "port"
                ) from None

    def launch(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start its process, with a new log. folder: to run in, None for ours. OSError where it cannot be started."""
        with self.log.open("wb") as log:
            return subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us: we stop it
            )

    def wait(self, process: subprocess.Popen[bytes], answer: Callable[[], T | None], seconds: float) -> T:
        """Its first answer that is one. Raises `error` where the process ends before, or none comes in time."""
        end = time.monotonic() + seconds
        while (found := answer()) is None:
            if (code := process.poll()) is not None:
                raise self.ended(code)
            if time.monotonic() > end:
                raise self.error(f"{self.name} does not answer after {seconds:g} s{self._log_end()}")
            time.sleep(POLL_S)
        return found

    def ended(self, code: int) -> ZeroguideError:
        """The error of a process that ended, with the end of its log."""
        return self.error(f"{self.name} ended with exit code {code}{self._log_end()}")

    def _log_end(self) -> str:
        with suppress(OSError):
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
            return "; the end of its log ({}):\n{}".format(self.log, "\n".join(lines))
        return ""


def free_port() -> int:
    """A port on this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
