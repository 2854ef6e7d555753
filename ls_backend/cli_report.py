"""What `zeroguide label` tells: a bar while it works, a summary for people, a document for programs."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from zgcore import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from rich.progress import Task

    from ls_backend.record import RunStamp
    from ls_backend.runner import Outcome

FREQUENT_LABELS = 8
FAILURES_SHOWN = 20
WIDTH_WITHOUT_TERMINAL = 200  # columns; wide enough that tables in logs keep their words whole


def printable(text: str) -> str:
    """Text that cannot steer a terminal: control characters and undecodable bytes are shown as escapes."""
    escaped = "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode() for char in text
    )
    return escaped.encode("utf-8", "backslashreplace").decode()


def console(stream: TextIO | IO[str]) -> Console:
    """A console without any control codes unless the stream is a terminal."""
    terminal = stream.isatty()
    return Console(
        file=stream,
        force_terminal=terminal,
        no_color=None if terminal else True,
        width=None if terminal else WIDTH_WITHOUT_TERMINAL,
        highlight=False,
    )


@dataclass
class RunReport:
    """What happened so far. `seconds` is the wall time of the whole run.

    profile: what the stages cost, as `StageProfile.document` gives it; None where that was not asked for.
    """

    total: int
    stamp: RunStamp
    out: Path
    images: list[dict[str, Any]] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    segments: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    files: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    profile: dict[str, Any] | None = None

    def add(self, outcome: Outcome) -> None:
        record = outcome.record
        labels = [segment.label for segment in record.segments]
        self.counts[outcome.status] += 1
        self.segments += len(labels)
        self.labels.update(labels)
        self.images.append(
            {
                "number": outcome.source.number,
                "path": outcome.source.shown,
                "name": outcome.source.name,
                "status": outcome.status,
                "height": record.height,
                "width": record.width,
                "labels": labels,
                "error": record.error,
            }
        )

    @property
    def failures(self) -> list[str]:
        """The reasons, in the order of the inputs."""
        ordered = sorted(self.images, key=lambda image: image["number"])
        return [image["error"] for image in ordered if image["status"] == "failed"]

    @property
    def frequent(self) -> list[tuple[str, int]]:
        """The most frequent labels; equally frequent ones in alphabetical order."""
        return sorted(self.labels.items(), key=lambda pair: (-pair[1], pair[0]))[:FREQUENT_LABELS]

    def document(self) -> dict[str, Any]:
        """The run for programs."""
        return {
            "version": __version__,
            "preset": self.stamp.preset,
            "model_version": self.stamp.model_version,
            "random_weights": self.stamp.random_weights,
            "out": str(self.out),
            "interrupted": self.interrupted,
            "images": self.total,
            "done": self.counts["done"],
            "skipped": self.counts["skipped"],
            "failed": self.counts["failed"],
            "segments": self.segments,
            "seconds": round(self.seconds, 3),
            "frequent_labels": [{"label": label, "count": count} for label, count in self.frequent],
            "files": {kind: str(path) for kind, path in self.files.items()},
            "results": sorted(self.images, key=lambda image: image["number"]),
            "notes": self.notes,
            **({} if self.profile is None else {"profile": self.profile}),
        }

    def show(self, to: Console) -> None:
        """The summary for people."""
        table = Table.grid(padding=(0, 2))
        rows = [("images", self._images_line()), ("segments", str(self.segments)), ("seconds", f"{self.seconds:.1f}")]
        if self.frequent:
            rows.append(("labels", ", ".join(f"{printable(label)} ({count})" for label, count in self.frequent)))
        for name, value in rows:
            table.add_row(Text(name, style="bold"), Text(value))
        to.print(table)
        if self.profile is not None:
            to.print(profile_table(self.profile))
        for message in self.failures[:FAILURES_SHOWN]:
            line(to, f"failed: {printable(message)}", "red")
        if len(self.failures) > FAILURES_SHOWN:
            line(to, f"... and {len(self.failures) - FAILURES_SHOWN} more; --json lists all", "red")
        for note in self.notes:
            line(to, f"note: {printable(note)}", "yellow")
        where = self.files.get("html") or self.out
        line(to, f"Look at {printable(str(where))}", "bold")

    def _images_line(self) -> str:
        parts = [f"{self.counts['done']} labelled"]
        if self.counts["skipped"]:
            parts.append(f"{self.counts['skipped']} kept from an earlier run")
        parts.append(f"{self.counts['failed']} failed")
        if left := self.total - self.counts.total():
            parts.append(f"{left} left")
        return f"{self.total}: " + ", ".join(parts)


def profile_table(profile: dict[str, Any]) -> Table:
    """A profile's stages for people."""
    peaks = ", ".join(f"{form} {rate / 1e9:,.0f}" for form, rate in profile["peak_flops_per_second"].items())
    table = Table(title=f"Stages on {profile['device']}", caption=f"Measured peak, GFLOP/s: {peaks or 'not needed'}")
    for name in ("stage", "runs", "seconds", "GFLOP", "share of peak"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for row in profile["stages"]:
        flops, share = row["flops"], row["share_of_peak"]
        table.add_row(
            row["stage"],
            str(row["runs"]),
            f"{row['seconds']:.2f}",
            "not counted" if flops is None else f"{flops / 1e9:,.1f}",
            "" if share is None else f"{share:.1%}",
        )
    return table


def line(to: Console, text: str, style: str = "") -> None:
    """Print one line of plain text."""
    to.print(Text(text, style=style), soft_wrap=True)  # never wrapped by us: paths stay whole for copying


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.2f} images/s")


class Watcher:
    """A progress bar on a terminal; elsewhere one plain line an image."""

    def __init__(self, to: Console, total: int, doing: str = "labelling") -> None:
        self.to = to
        self.total = total
        self.seen = 0
        columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=to, disable=not to.is_terminal)
        self.task = self.bar.add_task(doing, total=total)

    def __enter__(self) -> Watcher:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def resume(self, seen: int) -> None:
        """So many are finished already."""
        self.seen = seen
        self.bar.update(self.task, completed=seen)

    def see(self, outcome: Outcome) -> None:
        record = outcome.record
        status = "kept" if outcome.status == "skipped" else outcome.status
        self.tell(outcome.source.shown, status, len(record.segments), record.error)

    def tell(self, shown: str, status: str, segments: int, error: str | None) -> None:
        """One more image is finished. status: "done", "kept" or "failed"."""
        self.seen += 1
        self.bar.advance(self.task)
        if status == "failed":
            line(self.to, f"[{self.seen}/{self.total}] failed: {printable(error or '')}", "red")
        elif not self.to.is_terminal:
            what = f"{segments} segment{'' if segments == 1 else 's'}" if status == "done" else "kept"
            line(self.to, f"[{self.seen}/{self.total}] {printable(shown)}: {what}")


def streams(as_json: bool) -> tuple[Console, Console]:
    """Where progress and where the summary go."""
    errors = console(sys.stderr)
    return errors, errors if as_json else console(sys.stdout)
