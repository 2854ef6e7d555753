"""`zeroguide quickstart`: everything on this machine, for a first look. `make labelstudio` calls it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click

if TYPE_CHECKING:
    from types import FrameType

_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)  # SIGHUP: the terminal was closed


@click.command()
@click.option(
    "--label-studio",
    "environment",
    type=click.Path(path_type=Path),
    default=".venv-label-studio",
    show_default=True,
    metavar="DIR",
    help="Virtual environment that Label Studio is installed in.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default="out/labelstudio",
    show_default=True,
    metavar="DIR",
    help="For all that both store; the next start goes on with it.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Label Studio's port.")
@click.option(
    "--backend-port", type=click.IntRange(1, 65535), default=9090, show_default=True, help="The backend's port."
)
@click.option("--preset", default="mini", show_default=True, help="Preset, or a folder that holds one.")  # fmt: skip
def quickstart(environment: Path, folder: Path, port: int, backend_port: int, preset: str) -> None:
    """Start Label Studio and the backend on this machine, with the sample photos predicted.

    Prints where to look and how to log in; Ctrl-C, or closing the terminal, stops both.
    """
    from ls_backend.local_label_studio import program
    from ls_backend.quickstart import start

    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup does with SIGHUP
            signal.signal(number, _interrupt)
    start(program(environment), folder, port, backend_port, preset)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """End as with Ctrl-C. Once: a closing terminal may signal twice, and the second must not cut the stopping short."""
    for other in _ENDING:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt
