"""What the state of a run costs, by the number of its images: listing, taking in hand, noting what became of them.

    python benchmarks/jobs.py                       # 100, 10,000 and 1,000,000 images; the last takes minutes
    python benchmarks/jobs.py --images 1000

The loop of `zeroguide prelabel` runs with a stage that does nothing, so that all that is measured is the state: one
image in hand at a time as with the local engine, every twentieth a failure. Each figure comes from a process of its
own. Times are of the processor, since SQLite waits for the disk at checkpoints only; "by the clock" is with all waits.
Memory is the process's high-water mark above what it had before the state was opened.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ls_backend.jobs.snapshot import snapshot
from ls_backend.jobs.store import NewImage, StateStore
from ls_backend.jobs.work import FolderDelivery, Labelled, Work
from zgcore import __version__

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from ls_backend.jobs.store import Claimed

IMAGES = (100, 10_000, 1_000_000)
FAILS_EVERY = 20
TENTHS = 10


@dataclass
class NothingStage:
    """An engine that says at once that an image is done; notes the time after each tenth of the run."""

    images: int
    together: int = 1
    lost_together: int = 1
    elsewhere: bool = False
    marks: list[float] = field(default_factory=list)

    def results(self, images: Iterator[Claimed]) -> Generator[Labelled, None, None]:
        for number, image in enumerate(images):
            if number % (self.images // TENTHS) == 0:
                self.marks.append(time.process_time())
            if number % FAILS_EVERY:
                yield Labelled(image.id, "done", segments=5)
            else:
                yield Labelled(image.id, "failed", error=f"{image.key}: no such file; check the spelling")

    def close(self) -> None:
        pass


def high_water_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(count: int, folder: Path) -> dict[str, Any]:
    """One run, in this process. Times in microseconds an image; the look at the finished run in milliseconds."""
    before = high_water_mib()
    with StateStore(folder / "state.sqlite", create=True) as store:
        start = time.process_time()
        store.add(NewImage(f"/photos/{number // 1000:04}/{number:08}.jpg", f"{number:08}", "52417:1") for number in
                  range(count))  # fmt: skip
        listed = time.process_time()
        stage, clock = NothingStage(count), time.perf_counter()
        Work(store, stage, FolderDelivery()).run()
        worked, clock = time.process_time(), time.perf_counter() - clock
        assert store.counts() == {
            "queued": 0,
            "running": 0,
            "done": count - count // FAILS_EVERY,
            "failed": count // FAILS_EVERY,
        }
        looks = []
        for _ in range(5):
            look = time.process_time()
            snapshot(store)
            looks.append(time.process_time() - look)
    marks = [*stage.marks[:TENTHS], worked]
    tenths = [1e6 * (end - begin) / (count // TENTHS) for begin, end in pairwise(marks)]
    return {
        "images": count,
        "listing": 1e6 * (listed - start) / count,
        "working": 1e6 * (worked - listed) / count,
        "clock": 1e6 * clock / count,
        "first_tenth": tenths[0],
        "last_tenth": tenths[-1],
        "look": 1e3 * statistics.median(looks),
        "mib": high_water_mib() - before,
        "file_bytes": (folder / "state.sqlite").stat().st_size / count,
    }


def in_own_process(count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--one", str(count), "--folder", folder]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


COLUMNS = {
    "images": "{:,}",
    "listing": "{:.0f}",
    "working": "{:.0f}",
    "first_tenth": "{:.0f}",
    "last_tenth": "{:.0f}",
    "clock": "{:.0f}",
    "mib": "{:.1f}",
    "look": "{:.1f}",
    "file_bytes": "{:.0f}",
}
HEAD = (
    "| images | listing (µs each) | working (µs each) | first tenth | last tenth | by the clock | memory (MiB) "
    "| jobs show (ms) | state (bytes each) |"
)


def table(rows: list[dict[str, Any]]) -> str:
    cells = [[form.format(row[name]) for name, form in COLUMNS.items()] for row in rows]
    return "\n".join([HEAD, "|---" * len(COLUMNS) + "|", *(f"| {' | '.join(row)} |" for row in cells)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=IMAGES, help="numbers of images, each at least 10")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.folder)))
        return
    print(f"zeroguide {__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}\n")
    print(table([in_own_process(count) for count in options.images]))


if __name__ == "__main__":
    main()
