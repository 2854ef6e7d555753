"""`zeroguide weights`: fetch, check and list model weights."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from ls_backend.cli_params import OneOf, SuggestingGroup
from ls_backend.cli_report import console, printable
from ls_backend.files import OutputError
from zgcore.errors import WeightsError
from zgcore.presets import BUNDLED, PRESETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zgcore.weights import WeightStatus

PULLED = tuple(name for name in PRESETS if name not in BUNDLED)


@click.group(cls=SuggestingGroup)
def weights() -> None:
    """Fetch, check and list model weights.

    \b
    On a machine with a network:
      zeroguide weights pull --preset base --to weights/
    then, with the folder copied to a machine without:
      zeroguide weights verify weights/
      zeroguide label photos/ --preset base --weights weights/
    """


@weights.command()
@click.option("--preset", type=OneOf(PULLED), required=True, help="The preset whose weights to fetch.")
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="DIR",
              help="Folder for them; made if it is not there. What is there and sound is kept.")  # fmt: skip
def pull(preset: str, folder: Path) -> None:
    """Fetch a preset's weights into a folder, for --weights on this machine or another."""
    from zgcore import weights as store

    try:
        written = store.pull(preset, folder, lambda message: click.echo(printable(message), err=True))
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror or error}; choose another with --to") from error
    for path in written:
        click.echo(printable(str(path)))


@weights.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR")
def verify(folder: Path) -> None:
    """Check every file of a weights folder by its SHA-256; exit code 3 if one is missing or damaged."""
    from zgcore import weights as store

    statuses = store.verify(folder)
    show(statuses, ("name", "state", "size", "detail"))
    bad = [status.name for status in statuses if status.state in ("missing", "damaged")]
    if bad:
        raise WeightsError(f"{len(bad)} of {len(statuses)} files are missing or damaged; fetch them again with "
                           f"`zeroguide weights pull --preset PRESET --to {folder}`")  # fmt: skip


@weights.command("list")
def list_weights() -> None:
    """List what each preset needs, from where, and whether it is on this machine."""
    from zgcore import weights as store

    show(store.available(), ("preset", "name", "state", "size", "origin", "licence"))


def show(statuses: Sequence[WeightStatus], columns: Sequence[str]) -> None:
    """A table of some fields of each status."""
    to = console(sys.stdout)
    table = Table(*columns, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for status in statuses:
        table.add_row(*(Text(cell(getattr(status, column))) for column in columns))
    to.print(table)


def cell(value: str | int | None) -> str:
    """A field for people: sizes with a unit, names as text that is safe to print."""
    if value is None:
        return ""
    return decimal(value) if isinstance(value, int) else printable(value)
