"""What `zeroguide export` tells: bars while it works, then what was written and what was lost."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import rich.progress
from rich.table import Table
from rich.text import Text

from ls_backend.cli_report import printable
from zgcore import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

    from rich.console import Console

    from ls_backend.exports.categories import Survey
    from ls_backend.exports.items import ImageItem
    from ls_backend.exports.losses import Losses
    from ls_backend.exports.spool import Spool

IMAGES_A_LINE: Final = 1000
"""Without a terminal, a line of progress each so many images."""
FREQUENT: Final = 8
EXAMPLES_SHOWN: Final = 3


class Stage:
    """One bar: how many images a step has done."""

    def __init__(self, bars: Progress, name: str, bar: rich.progress.TaskID, by_images: bool) -> None:
        self._bars = bars
        self._name = name
        self._bar = bar
        self._by_images = by_images
        self.done = 0

    def advance(self) -> None:
        """One image more."""
        self.done += 1
        self._bars.bar.update(self._bar, completed=self.done if self._by_images else None, images=self.done)
        if self.done % IMAGES_A_LINE == 0:
            self._bars.line(f"{self._name}: {self.done} images")

    def at(self, place: int) -> None:
        """How much of the total is done, where that is not counted in images."""
        self._bars.bar.update(self._bar, completed=place)


class Progress:
    """Bars on a terminal; elsewhere a plain line now and then."""

    def __init__(self, to: Console) -> None:
        self._to = to
        columns = (
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.TextColumn("{task.fields[images]} images"),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TimeRemainingColumn(),
        )
        self.bar = rich.progress.Progress(*columns, console=to, disable=not to.is_terminal)

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    @contextmanager
    def stage(self, name: str, total: int | None, *, by_images: bool = False) -> Iterator[Stage]:
        """A step. total: of images, or of whatever `Stage.at` is told; None where nobody knows."""
        bar = self.bar.add_task(name, total=total, images=0)
        stage = Stage(self, name, bar, by_images)
        try:
            yield stage
        finally:
            self.bar.remove_task(bar)
            self.line(f"{name}: {stage.done} images, done")

    def line(self, text: str) -> None:
        """A line for logs; nothing on a terminal, which has the bars."""
        if not self._to.is_terminal:
            self._to.print(Text(text), soft_wrap=True)


class Watched:
    """Items whose every walk is a bar. name: of the format that walks."""

    def __init__(self, spool: Spool, bars: Progress) -> None:
        self._spool = spool
        self._bars = bars
        self.name = ""

    def __iter__(self) -> Iterator[ImageItem]:
        with self._bars.stage(self.name, self._spool.images, by_images=True) as stage:
            for item in self._spool:
                yield item
                stage.advance()


@dataclass
class ExportReport:
    """What was written, and what was not."""

    out: Path
    losses: Losses
    files: dict[str, Path] = field(default_factory=dict)
    images: int = 0
    regions: int = 0
    categories: int = 0
    frequent: list[tuple[str, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def see(self, survey: Survey) -> None:
        """Take the counts."""
        self.images, self.regions, self.categories = survey.images, survey.regions, len(survey.numbers)
        self.frequent = sorted(survey.counts.items(), key=lambda pair: (-pair[1], pair[0]))[:FREQUENT]

    def document(self) -> dict[str, Any]:
        """The export for programs."""
        return {
            "version": __version__,
            "out": str(self.out),
            "images": self.images,
            "regions": self.regions,
            "categories": self.categories,
            "files": {name: str(path) for name, path in self.files.items()},
            "losses": self.losses.document(),
            "notes": self.notes,
        }

    def show(self, to: Console) -> None:
        """The summary for people."""
        table = Table.grid(padding=(0, 2))
        frequent = ", ".join(f"{printable(name)} ({count})" for name, count in self.frequent)
        rows = [
            ("images", str(self.images)),
            ("regions", str(self.regions)),
            ("categories", f"{self.categories}: {frequent}" if frequent else "0"),
            *((name, printable(str(path))) for name, path in self.files.items()),
        ]
        for name, value in rows:
            table.add_row(Text(name, style="bold"), Text(value))
        to.print(table)
        for text, style in self._loss_lines():
            to.print(Text(text, style=style), soft_wrap=True)

    def _loss_lines(self) -> Iterator[tuple[str, str]]:
        document = self.losses.document()
        for row in document["unreadable"]:
            yield f"not exported: {row['count']} {row['what']}", "red"
            for example in row["examples"][:EXAMPLES_SHOWN]:
                yield f"  {printable(example)}", "red"
        for row in document["left_out"]:
            yield f"left out: {row['count']} {row['what']}", "yellow"
        for note in self.notes:
            yield f"note: {note}", "yellow"
        for name, rows in document["formats"].items():
            if not rows:
                yield f"{name} holds everything", "green"
            for row in rows:
                yield f"{name} loses: {row['count']} {row['what']}", "yellow"
