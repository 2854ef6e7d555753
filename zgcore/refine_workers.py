"""Mask refinement in processes of its own, beside the models: DenseCRF holds Python's global lock while it runs.

A worker that dies costs time and no image: what it had in hand is refined in the main process.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

    from zgcore.refinement import Candidates
    from zgcore.segmentation import SegmentTree

    Refine = Callable[[NDArray[np.uint8], Candidates], SegmentTree]

log = logging.getLogger(__name__)

MOST_WORKERS: Final = 8  # each holds an image and its leaf map; beyond that the models are what is waited for
POOLS: Final = 3  # a run whose workers keep dying goes on without them
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def default_workers(device: str) -> int:
    """How many workers pay off with the models on "cpu" or "cuda".

    Models on a CPU use all cores themselves and take far longer than the refinement: one worker keeps up. Beside a GPU
    the refinement is what is waited for. With a single core nothing can overlap.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores == 1:
        return 0
    return 1 if device == "cpu" else min(MOST_WORKERS, cores // 2)


@dataclass(frozen=True, eq=False)
class Refined:
    """A tree and the seconds of its making."""

    tree: SegmentTree
    seconds: float


def _refined(refine: Refine, image: NDArray[np.uint8], candidates: Candidates) -> Refined:
    start = time.perf_counter()
    return Refined(refine(image, candidates), time.perf_counter() - start)


class PendingTree:
    """A tree that is being made, or already made."""

    def __init__(
        self, refine: Refine, image: NDArray[np.uint8], candidates: Candidates, future: Future[Refined] | None
    ) -> None:
        self._task = (refine, image, candidates)
        self._future = future

    @cached_property
    def refined(self) -> Refined:
        """Waits for it. Raises what the refinement raised."""
        if self._future is not None:
            try:
                return self._future.result()
            except BrokenProcessPool:
                log.warning("a refinement worker died; its image is refined in the main process")
        return _refined(*self._task)


class RefineWorkers:
    """Up to `workers` processes that refine trees; with 0 the work is done on submission, in this process.

    refine: what they run; it travels to them by pickle. Use as a context manager, or call `close`.

    Processes are spawned, since a process with torch's threads cannot be forked safely. Python then imports the main
    program in each of them: a script of your own needs `if __name__ == "__main__":` around what it does.
    """

    def __init__(self, refine: Refine, workers: int = 0) -> None:
        if workers < 0:
            raise ValueError(f"workers must be at least 0, not {workers}")
        self.refine = refine
        self.workers = workers
        self._pools_left = POOLS
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> RefineWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, image: NDArray[np.uint8], candidates: Candidates) -> PendingTree:
        """Begin to refine one image's candidates. Without workers this raises what the refinement raises."""
        pending = PendingTree(self.refine, image, candidates, self._begin(image, candidates))
        if not self.workers:
            _ = pending.refined
        return pending

    def close(self) -> None:
        """Drop what was not begun. Workers end when they have finished what they are at."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _begin(self, image: NDArray[np.uint8], candidates: Candidates) -> Future[Refined] | None:
        while self.workers and (self._pool is not None or self._pools_left):
            if self._pool is None:
                self._pools_left -= 1
                spawn = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(self.workers, mp_context=spawn, initializer=start_worker)
            try:
                with single_threaded():  # submitting is what starts processes
                    return self._pool.submit(_refined, self.refine, image, candidates)
            except (BrokenProcessPool, OSError) as error:  # OSError: no memory or no process to be had
                log.warning("refinement workers ended unexpectedly: %s", error)
                self.close()
        return None


@contextmanager
def single_threaded() -> Iterator[None]:
    """Processes started within keep their linear algebra to one thread."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def start_worker() -> None:
    """Leave Ctrl-C to the main process, and end with it however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
