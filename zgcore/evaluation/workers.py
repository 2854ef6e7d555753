"""Images through an evaluator, in this process or in several, each with its models.

When a worker dies (no memory, a crash in a library), the images that were in hand are tried again one at a time: the
one that takes its worker with it a second time has failed, the others have lost nothing.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections import deque
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Final

from zgcore.errors import EvaluationError
from zgcore.evaluation.evaluator import Evaluator
from zgcore.evaluation.rows import failed_rows
from zgcore.refine_workers import single_threaded, start_worker

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from concurrent.futures import Future

    from zgcore.evaluation.evaluator import Job
    from zgcore.evaluation.ground_truth import Sample
    from zgcore.evaluation.rows import ImageRows

log = logging.getLogger(__name__)

Task = tuple[int, "Sample"]
_AHEAD: Final = 2  # tasks handed out beyond one a worker, so that none waits

_job: Job | None = None  # of a worker process
_evaluator: Evaluator | None = None


def evaluate_all(job: Job, tasks: Sequence[Task], workers: int = 0) -> Generator[ImageRows, None, None]:
    """The rows of every task, in order without workers, else as they are finished.

    Raises what building the job's models raises. Leaving the iteration ends the workers.
    """
    if not tasks:
        return
    if not workers:
        evaluator = Evaluator(job)
        for position, sample in tasks:
            yield evaluator(position, sample)
        return
    yield from _Pool(job, min(workers, len(tasks))).run(tasks)


class _Pool:
    def __init__(self, job: Job, workers: int) -> None:
        self.job = job
        self.workers = workers

    def run(self, tasks: Sequence[Task]) -> Generator[ImageRows, None, None]:
        waiting, suspects = deque(tasks), deque[Task]()
        while waiting or suspects:
            running: dict[Future[ImageRows], Task] = {}
            pool, alone = self._start(), True
            try:
                yield from self._drain(pool, suspects, running, 1)
                alone = False
                yield from self._drain(pool, waiting, running, self.workers + _AHEAD)
            except BrokenProcessPool:
                log.warning("a worker process died; the images in hand are tried again, one at a time")
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
            if alone:
                yield from (_died(*task) for task in running.values())
            else:
                suspects.extend(running.values())

    def _drain(
        self,
        pool: ProcessPoolExecutor,
        waiting: deque[Task],
        running: dict[Future[ImageRows], Task],
        most: int,
    ) -> Generator[ImageRows, None, None]:
        """Results until nothing waits, `most` tasks handed out at a time; one leaves `running` with its result."""
        while waiting or running:
            while waiting and len(running) < most:
                task = waiting.popleft()
                try:
                    with single_threaded():  # submitting is what starts processes
                        running[pool.submit(_evaluate, *task)] = task
                except BrokenProcessPool:
                    waiting.appendleft(task)
                    raise
                except OSError as error:
                    raise EvaluationError(f"no worker process can be started: {error}; use fewer --workers") from error
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                rows = future.result()
                del running[future]
                yield rows

    def _start(self) -> ProcessPoolExecutor:
        spawn = multiprocessing.get_context("spawn")  # a process with torch's threads cannot be forked safely
        threads = max(1, (os.cpu_count() or 1) // self.workers)
        return ProcessPoolExecutor(self.workers, spawn, initializer=_start, initargs=(self.job, threads))


def _died(position: int, sample: Sample) -> ImageRows:
    return failed_rows(
        position, sample.name, str(sample.image), f"{sample.name}: its process died, for lack of memory?"
    )


def _start(job: Job, threads: int) -> None:
    """In a worker, before its first image."""
    global _job
    import torch

    start_worker()
    torch.set_num_threads(threads)
    _job = job


def _evaluate(position: int, sample: Sample) -> ImageRows:
    """In a worker. The models are built with the first image, so that what they raise reaches the run."""
    global _evaluator
    assert _job is not None
    if _evaluator is None:
        _evaluator = Evaluator(_job)
    return _evaluator(position, sample)
