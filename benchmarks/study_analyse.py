"""What it takes to analyse a rating study, by its size; the paper's: 23,076 questions, three answers each, 429 raters.

    python benchmarks/study_analyse.py
    python benchmarks/study_analyse.py --questions 2000 --questions 23076 --images 5000

The answers are made: questions have a true score with the paper's frequencies, raters give it in two of three answers,
a tenth of the raters answers at random, four methods name the same segments. Gold questions, times and rules are there,
so that everything is computed twice, with all raters and without those whom the rules leave out. The command runs in a
process of its own: its seconds hold Python's start, memory is its high-water mark.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from subprocess import DEVNULL, run

import numpy as np

from ls_backend.studies.answers import Answer, write_answers
from ls_backend.studies.label_kinds import label_kind
from ls_backend.studies.manifest import Question, Rules, Source, StudySettings, write_study
from ls_backend.studies.sampling import size_of

PAPER_QUESTIONS, PAPER_RATERS = 23_076, 429
TRUE = (0.360, 0.208, 0.239, 0.193)
METHODS = ("full", "no-merge", "no-subtraction", "crop")
LABELS = ("cat", "grass field", "a very old house")
PER_BATCH = 30
RATERS = 3
COMMAND = "import sys; from ls_backend.cli import main; sys.exit(main(sys.argv[1:]))"


def questions_of(count: int, images: int, rng: np.random.Generator) -> list[Question]:
    """Batches of 30, two of them with a known answer; the methods take turns on the same segments."""
    found, rated = [], 0
    while rated < count:
        batch, position = len(found) // PER_BATCH + 1, len(found) % PER_BATCH + 1
        gold = position in (7, 21)
        segment = rated // len(METHODS)
        area, label = float(rng.uniform(0.001, 0.5)), LABELS[rated % len(LABELS)]
        found.append(
            Question(
                id=f"q{len(found) + 1:05}", batch=batch, position=position, kind="gold" if gold else "rated",
                label=label, picture=f"{len(found)}.jpg", method=METHODS[rated % len(METHODS)],
                image=f"image {segment % images}", segment=segment, area=area, size=size_of(area),
                label_kind=label_kind(label), file="", height=1, width=1, counts=str(segment),
                expected=(int(rng.integers(4)),) if gold else (),
            )
        )  # fmt: skip
        rated += not gold
    return found


def answers_of(questions: list[Question], raters: int, rng: np.random.Generator) -> list[Answer]:
    """Three raters a batch; those whose number ends in 0 answer at random."""
    true = rng.choice(4, len(questions), p=TRUE)
    right, anything = rng.random((RATERS, len(questions))) < 2 / 3, rng.integers(0, 4, (RATERS, len(questions)))
    found = []
    for number, question in enumerate(questions):
        for turn in range(RATERS):
            rater = (question.batch * RATERS + turn) % raters + 1
            sure = rater % 10 and (right[turn, number] or question.expected)
            score = (question.expected[0] if question.expected else true[number]) if sure else anything[turn, number]
            minute = number * RATERS + turn
            when = f"2026-01-{1 + minute // 1440 % 28:02}T{minute // 60 % 24:02}:{minute % 60:02}:00Z"
            found.append(Answer(str(rater), question.id, int(score), seconds=4.5, answered_at=when))
    return found


def make(root: Path, count: int, images: int, raters: int) -> int:
    """Write the study and its answers; returns how many there are."""
    rng = np.random.default_rng(0)
    questions = questions_of(count, images, rng)
    settings = StudySettings(
        title="made", version="", seed=0, labels="predicted", questions=count, rated=count, per_task=PER_BATCH,
        raters=RATERS, gold=2, repeat=0, per_image=None, sizes=(0.01, 0.1),
        sources=tuple(Source(method, "run", "", "", images, count) for method in METHODS), strata={}, gold_from={},
        picture={}, rules=Rules(),
    )  # fmt: skip
    study = write_study(root, settings, questions)
    return write_answers(study.answers, answers_of(questions, raters, rng))


def measure(root: Path) -> tuple[float, float, float]:
    """Seconds by the clock, seconds of the processor, and MiB. The mark is that of all children so far: sizes go up."""
    start, before = time.perf_counter(), processor_seconds()
    run([sys.executable, "-c", COMMAND, "study", "analyse", str(root)], check=True, stdout=DEVNULL, stderr=DEVNULL)
    mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return time.perf_counter() - start, processor_seconds() - before, mib


def processor_seconds() -> float:
    """Of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure the sizes, from small to large."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, action="append", help="rated ones; may be given again")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--raters", type=int, default=PAPER_RATERS)
    arguments = parser.parse_args()
    for count in sorted(arguments.questions or [300, 3000, PAPER_QUESTIONS]):
        with tempfile.TemporaryDirectory() as folder:
            total = make(Path(folder), count, arguments.images, arguments.raters)
            seconds, processor, mib = measure(Path(folder))
            figures = json.loads(Path(folder, "analysis", "figures.json").read_text())
        excluded = len(figures["exclusion"]["excluded"])
        print(
            f"{count:,} questions, {total:,} answers, {figures['raters']} raters, {excluded} left out: {seconds:.1f} s "
            f"({processor:.1f} s of the processor), {mib:,.0f} MiB; load {os.getloadavg()[0]:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
