"""Further processes of a run on this machine, each with a device of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from ls_backend.settings import PREFIX, SETTINGS, Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ls_backend.settings import Settings

ENDING_S: Final = 30.0  # once there is nothing left
_OWN: Final = ("preset", "device", "weights", "auth", "host", "port")  # the run's, or the server's


@contextmanager
def helpers(command: Sequence[str], devices: Sequence[str], settings: Settings) -> Iterator[None]:
    """Run `zeroguide COMMAND --device DEVICE` for each device beside the block. They end when nothing is left."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for device in devices:
            line = [sys.executable, "-m", "ls_backend", *command, "--device", device]
            processes.append(subprocess.Popen(line, env=os.environ | variables(settings), stdout=subprocess.DEVNULL))
        yield
        end = time.monotonic() + ENDING_S
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, end - time.monotonic()))
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
        for process in processes:
            process.wait()


def variables(settings: Settings) -> dict[str, str]:
    """Settings as environment variables: other users of the machine can read command lines."""
    found = {}
    for setting in SETTINGS:
        owner, _, name = setting.name.rpartition(".")
        value: Any = getattr(settings.fetch if owner else settings, name)
        if value is None or setting.name in _OWN:
            continue
        text = value.reveal() if isinstance(value, Secret) else value
        found[PREFIX + setting.key.upper()] = ",".join(text) if isinstance(text, tuple) else str(text)
    return found
