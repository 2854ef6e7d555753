"""How far a step of a study is: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ls_backend.cli_report import line

if TYPE_CHECKING:
    from typing import Self

    from rich.console import Console

SECONDS_A_LINE: Final = 10.0


class Counter:
    """One step whose parts are counted."""

    def __init__(self, to: Console, what: str) -> None:
        self._to, self._what = to, what
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=to, disable=not to.is_terminal)
        self._task = self._bar.add_task(what, total=None)
        self._told = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, what: str, done: int, total: int) -> None:
        """As `at`, of a step with a name of its own."""
        if what != self._what:
            self._what, self._told = what, time.monotonic()
            self._bar.update(self._task, description=what)
        self.at(done, total)

    def at(self, done: int, total: int) -> None:
        """`done` of `total` parts are done."""
        self._bar.update(self._task, completed=done, total=total)
        if not self._to.is_terminal and time.monotonic() - self._told >= SECONDS_A_LINE:
            self._told = time.monotonic()
            line(self._to, f"{self._what}: {done} of {total}")
