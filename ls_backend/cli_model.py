"""Options that `zeroguide label` and `zeroguide prelabel` share: which model, how it runs, what is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ls_backend.cli_params import Device, OneOf, Words
from ls_backend.merged import FORMATS
from zgcore.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., Any]

LOG_LEVELS: Final = ("debug", "info", "warning", "error")


class WorkerCount(click.ParamType):
    """A number of processes, or "auto" (None)."""

    name = "workers"
    numbers = click.IntRange(0, 64)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return None if value == "auto" else self.numbers.convert(value, param, ctx)


def with_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Give a command several options, listed in this order by its --help."""

    def give(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return give


def device_option(kind: click.ParamType, meaning: str) -> Callable[[Command], Command]:
    return click.option("--device", type=kind, default="auto", show_default=True, help=meaning)


DEVICE: Final = device_option(Device(), "auto takes a GPU if there is one.")
PRESET: Final = click.option(
    "--preset",
    type=OneOf(tuple(PRESETS), folder=True),
    default="mini",
    show_default=True,
    help="mini: small weights that ship with zeroguide. base: for modest GPUs. paper: the published settings. "
    "untrained: random weights, to try the plumbing.",
)
WEIGHTS: Final = click.option(
    "--weights",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Folder of weights to use in place of the model hub (see: zeroguide weights pull).",
)
FORMAT: Final = click.option(
    "--format",
    "formats",
    type=Words(FORMATS),
    default=",".join(FORMATS),
    help="What to write, separated by commas. All by default.",
)
RECURSIVE: Final = click.option(
    "--recursive", "-r", is_flag=True, help="Also take photos from folders below the named ones."
)
SEED: Final = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything random."
)
SEGMENTS: Final = with_options(
    click.option(
        "--max-segments",
        type=click.IntRange(min=1),
        metavar="N",
        help="At most N segments an image; the most alike are merged.",
    ),
    click.option(
        "--min-area",
        type=click.FloatRange(0, 1, max_open=True),
        metavar="SHARE",
        help="Smaller segments join the one they came from. Share of the image, 0.01 is one percent.",
    ),
    SEED,
)
SPEED: Final = with_options(
    click.option(
        "--batch-size",
        type=click.IntRange(1, 64),
        default=1,
        show_default=True,
        metavar="N",
        help="Images the model gets together. More is faster on a GPU and takes more memory.",
    ),
    click.option(
        "--workers",
        type=WorkerCount(),
        default="auto",
        show_default=True,
        metavar="N",
        help="Processes that refine masks while the model is at other images. 0 does everything in one process, with "
        "the least memory.",
    ),
)
IMAGE_ROOT: Final = click.option(
    "--image-root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="LOCAL_FILES_DOCUMENT_ROOT of your Label Studio, a folder above the photos' folder. labelstudio.json "
    "then names the photos as local files instead of carrying them.",
)
LOG_LEVEL: Final = click.option(
    "--log-level",
    type=OneOf(LOG_LEVELS),
    default="warning",
    show_default=True,
    help="debug shows where an image failed.",
)
