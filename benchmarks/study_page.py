"""Concurrent raters at a study's own page: what requests take, and whether an acknowledged answer is ever lost.

Run from the repository's root:

    python -m benchmarks.study_page --raters 50 --seconds 60

The server is a process of its own, as `zeroguide study serve` starts it; the raters share another, over kept
connections on loopback. Each rater fetches a picture, waits for --pause seconds, and answers.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
from collections import Counter
from pathlib import Path

from ls_backend.studies.manifest import load_study
from ls_backend.studies.page_reader import read_page_answers
from tests.ls_backend.study_load import drive
from tests.ls_backend.studying import links, make_study, study_server
from zgcore import __version__

BATCHES, PER_TASK = 150, 33


def measured(raters: int, seconds: float, pause: float) -> str:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "study")
        make_study(root, batches=BATCHES, size=PER_TASK)
        with study_server(root, "--raters", str(raters)) as (_, url):
            load = drive(url.removeprefix("http://"), links(root), seconds, pause)
        study = load_study(root)
        answers = read_page_answers(study)
    stored = Counter((int(one.rater), one.score) for one in answers)
    said = Counter((rater, score) for (rater, _), score in load.acknowledged.items())
    lost = (said - stored).total()
    most = max(Counter(one.question for one in answers).values())
    rows = [
        f"| {kind} | {len(all_)} | {len(all_) / seconds:.1f} | {1000 * statistics.median(all_):.1f} "
        f"| {1000 * statistics.quantiles(all_, n=100)[98]:.1f} | {1000 * max(all_):.1f} |"
        for kind, all_ in sorted(load.seconds.items())
    ]
    return "\n".join(
        [
            f"zeroguide {__version__}, {os.cpu_count()} CPU cores, Python {platform.python_version()}; "
            f"{raters} raters for {seconds:g} s, an answer {pause:g} s after each picture",
            "",
            "| request | count | a second | p50 (ms) | p99 (ms) | slowest (ms) |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            f"{len(load.acknowledged)} answers acknowledged, {len(answers)} stored, {lost} lost; "
            f"{len(load.errors)} errors; at most {most} raters a question",
            *load.errors[:10],
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--raters", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pause", type=float, default=0.5, help="Seconds that a rater looks at a picture.")
    given = parser.parse_args()
    print(measured(given.raters, given.seconds, given.pause))
