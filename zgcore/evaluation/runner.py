"""A run: every image predicted and scored, kept the moment it is done, and its tables and summary at the end.

An image that cannot be evaluated is noted with its reason and stops nothing. A run that was stopped, however, goes on
where it was when it is started again with the same settings; with others it is refused.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from zgcore.errors import EvaluationError
from zgcore.evaluation.human import human_notes
from zgcore.evaluation.progress import PROGRESS, Progress
from zgcore.evaluation.rating_table import read_ratings, write_ratings
from zgcore.evaluation.records import (
    SUMMARY,
    read_failures,
    read_scored,
    write_summary,
    write_tables,
)
from zgcore.evaluation.rows import KINDS
from zgcore.evaluation.run_info import RUN_FILE, RunInfo, read_run, write_run
from zgcore.evaluation.summary import MetricConfig, Summary
from zgcore.evaluation.truth_digests import keep_digests
from zgcore.vocabulary.lexicon import Lexicon
from zgcore.wordnet import WordNet

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from zgcore.evaluation.evaluator import Job
    from zgcore.evaluation.ground_truth import Sample
    from zgcore.evaluation.human import Ratings
    from zgcore.evaluation.rows import ImageRows

_LISTED: Final = 6  # differing settings that a refusal names
_PER_IMAGE_SECONDS: Final = (
    "seconds"  # not in a summary: the same run gives the same bytes, however often it was stopped
)


@dataclass(frozen=True)
class Run:
    """One run to make or to go on with. root: its folder. samples: its images, in the data set's order."""

    root: Path
    info: RunInfo
    job: Job
    samples: Sequence[Sample]

    def evaluate(
        self, *, workers: int = 0, watch: Callable[[ImageRows, int], None] = lambda rows, left: None
    ) -> dict[str, Any]:
        """Evaluate what is not done yet and write the tables and the summary, which is returned.

        workers: processes that evaluate; 0 does it in this one. watch: told of every image that is finished.

        Raises EvaluationError where the folder holds another run or cannot be written, and what building the predictor
        raises. After KeyboardInterrupt what was finished is kept.
        """
        self._claim()
        if self.is_finished:
            self._keep_truth(range(len(self.samples)))
            return summarise_run(self.root)
        from zgcore.evaluation.workers import evaluate_all  # brings torch, which a finished run's report never needs

        with Progress(self.root) as progress:
            done = progress.done
            self._keep_truth(done)
            todo = [(place, sample) for place, sample in enumerate(self.samples) if place not in done]
            left = len(todo)
            with closing(evaluate_all(self.job, todo, workers)) as results:
                for rows in results:
                    progress.append(rows)
                    left -= 1
                    watch(rows, left)
            summary = self._write(progress)
            if not summary["failed"]:
                progress.remove()
        return summary

    @property
    def is_finished(self) -> bool:
        """True where all images are in the tables without a failure."""
        return (self.root / SUMMARY).is_file() and not (self.root / PROGRESS).exists()

    def _claim(self) -> None:
        """Make the folder this run's, or see that it is."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EvaluationError(f"{self.root} cannot be made: {error.strerror}; choose another --out") from error
        if (self.root / RUN_FILE).exists():
            if differing := read_run(self.root).differences(self.info):
                named = ", ".join(differing[:_LISTED]) + (", ..." if len(differing) > _LISTED else "")
                raise EvaluationError(
                    f"{self.root} holds a run with other settings ({named}); choose another --out, or delete the folder"
                )
        elif any(path for path in self.root.iterdir() if not path.name.startswith(".")):
            raise EvaluationError(f"{self.root} is not empty and holds no evaluation run; choose another --out")
        else:
            write_run(self.root, self.info)

    def _keep_truth(self, scored: Collection[int]) -> None:
        """Refuse to go on where the truth of images that are scored is another by now. scored: their positions."""
        digests = {sample.name: self.job.data.digest(sample) for sample in self.samples}
        keep_digests(self.root, digests, [self.samples[place].name for place in scored])

    def _write(self, progress: Progress) -> dict[str, Any]:
        write_tables(self.root, progress)
        return summarise_run(self.root)


def summarise_run(run: Path, ratings: Mapping[str, Ratings] | None = None) -> dict[str, Any]:
    """Make summary.json again from the tables, without a model.

    ratings: people's points for the labels of some kinds of reassignment. They are kept with the run, in place of those
    it has of these kinds, and every later summary has their figures. EvaluationError where a table is missing or
    damaged, and, before anything is written, where no point is of a segment that the run keeps.
    """
    points = read_ratings(run) | dict(ratings or {})
    info = read_run(run)
    wordnet = WordNet.find(None)
    lexicon = None if wordnet is None else Lexicon(wordnet)
    config = MetricConfig(tt=info.threshold_tt, st=info.threshold_st)
    summary = Summary(info.classes, config, lexicon, points)
    for image in read_scored(run):
        summary.add(image)
    figures = {name: value for name, value in summary.document().items() if name != _PER_IMAGE_SECONDS}
    document = {
        "preset": info.preset,
        "data": info.data_set,
        "predictor": info.predictor,
        "subset": info.subset,
        "sentence_model": info.sentence_model,
        "random_weights": info.random_weights,
        **dict.fromkeys(KINDS),
        **figures,
        "failed": len(read_failures(run)),
        "notes": [*info.notes, *human_notes(figures.get("human", {}))],
        "versions": info.versions,
    }
    if ratings:
        write_ratings(run, points)
    write_summary(run, document)
    return document
