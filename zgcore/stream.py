"""Images in, segmentations out, in order, with the stages of neighbouring images overlapping.

While one group of images is embedded and named, the next ones are refined in other processes and read in threads.
How many are under way at a time is bounded.
"""

from __future__ import annotations

import contextvars
import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

    from zgcore.segmentation import Segmentation

log = logging.getLogger(__name__)

T = TypeVar("T")
Result = TypeVar("Result")
Begun = TypeVar("Begun")


@dataclass(frozen=True)
class Failure:
    """Why an image has no segmentation."""

    error: Exception


class SegmentStream(Generic[Begun]):
    """Takes images one at a time and gives their results, in order, a group at a time.

    begin: an image's first stages; may leave work running elsewhere.
    finish: the remaining stages of a group of images together. Where a group fails, its images are tried alone.
    group: images finished together. ahead: further images begun before a group is finished.
    close: ends what `begin` left running.

    At most group + ahead images are under way. Use as a context manager.
    """

    def __init__(
        self,
        begin: Callable[[NDArray[np.uint8]], Begun],
        finish: Callable[[Sequence[Begun]], list[Segmentation]],
        *,
        group: int = 1,
        ahead: int = 0,
        close: Callable[[], None] | None = None,
    ) -> None:
        if group < 1 or ahead < 0:
            raise ValueError(f"group must be at least 1 and ahead at least 0, not {group} and {ahead}")
        self._begin, self._finish, self._close = begin, finish, close
        self.group, self.ahead = group, ahead
        self._waiting: deque[Begun | Failure] = deque()

    def __enter__(self) -> SegmentStream[Begun]:
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.clear()
        if self._close is not None:
            self._close()

    def push(self, image: NDArray[np.uint8] | Failure) -> list[Segmentation | Failure]:
        """Begin an (H, W, 3) uint8 image; returns the results that are due, those of the oldest images.

        A Failure keeps its place in the order.
        """
        self._waiting.append(image if isinstance(image, Failure) else self._begun(image))
        return self._take() if len(self._waiting) >= self.group + self.ahead else []

    def drain(self) -> Iterator[Segmentation | Failure]:
        """The results still due."""
        while self._waiting:
            yield from self._take()

    def _begun(self, image: NDArray[np.uint8]) -> Begun | Failure:
        try:
            return self._begin(image)
        except Exception as error:
            return Failure(error)

    def _take(self) -> list[Segmentation | Failure]:
        entries = [self._waiting.popleft() for _ in range(min(self.group, len(self._waiting)))]
        begun = [entry for entry in entries if not isinstance(entry, Failure)]
        results = iter(self._finished(begun))
        return [entry if isinstance(entry, Failure) else next(results) for entry in entries]

    def _finished(self, begun: Sequence[Begun]) -> list[Segmentation | Failure]:
        if not begun:
            return []
        try:
            return list(self._finish(begun))
        except Exception as error:
            if len(begun) == 1:
                return [Failure(error)]
            log.debug("a group of %d images failed, each is tried alone", len(begun), exc_info=error)
        return [result for one in begun for result in self._finished([one])]


def read_ahead(
    read: Callable[[T], Result], items: Iterable[T], *, depth: int = 2, threads: int = 1
) -> Generator[Result, None, None]:
    """read(item) for each item, in order, called in threads, at most `depth` results beyond the one in use.

    Raises what `read` raises, in its turn. Leaving the iteration drops what was not begun.
    """
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="read-ahead")
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(contextvars.copy_context().run, read, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
