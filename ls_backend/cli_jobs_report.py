"""What `zeroguide jobs` and `zeroguide prelabel` tell of runs: a table of them, one with its failures."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from ls_backend.cli_report import line, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from ls_backend.jobs.snapshot import Snapshot

REASONS_SHOWN: Final = 10
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def duration(seconds: float) -> str:
    """About how long: the two largest units, as "2 h 5 min"."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for size, name in _UNITS:
        count, left = divmod(left, size)
        if count or (parts and len(parts) < 2):
            parts.append(f"{count} {name}")
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"


def speed(run: Snapshot) -> str:
    """Images a second and the time left, as far as they are known."""
    if run.rate is None:
        return ""
    text = f"{run.rate:.2f} images/s"
    return text if run.eta_s is None else f"{text}, {duration(run.eta_s)} left"


def counts(run: Snapshot) -> str:
    """Images by what became of them."""
    parts = [f"{run.done} done", f"{run.failed} failed"]
    parts += [f"{run.running} in hand"] if run.running else []
    parts += [f"{run.queued} left"] if run.queued else []
    return f"{run.images}: " + ", ".join(parts)


def show_list(runs: Sequence[Snapshot], to: Console) -> None:
    to.print(list_table(runs))


def list_table(runs: Sequence[Snapshot]) -> Table:
    """One line a run."""
    table = Table(box=None, pad_edge=False)
    for name in ("job", "status", "images", "speed", "preset", "target"):
        table.add_column(name, overflow="fold")
    for run in runs:
        cells = (run.id, run.status, counts(run), speed(run), run.preset, run.target)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def show_run(run: Snapshot, to: Console) -> None:
    """Everything that is known of a run."""
    rows = [
        ("job", run.id),
        ("target", run.target),
        *(("source", source) for source in run.source.split("\n") if source),
        ("preset", run.preset),
        ("status", f"{run.status}, {run.processes} processes" if run.processes else run.status),
        ("started", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.started))),
        ("images", counts(run)),
    ]
    if run.rate is not None:
        rows.append(("speed", speed(run)))
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, style="bold"), Text(printable(value)))
    to.print(table)
    show_reasons(run, to)


def show_reasons(run: Snapshot, to: Console) -> None:
    """Failures, grouped by what they say."""
    for reason in run.reasons[:REASONS_SHOWN]:
        line(to, f"failed: {reason.images} x {printable(reason.reason)}", "red")
        line(to, f"        as {printable(reason.example)}", "red")
    if len(run.reasons) > REASONS_SHOWN:
        line(to, f"... and {len(run.reasons) - REASONS_SHOWN} more reasons; --json lists them", "red")
