"""The loop of one process: take images in hand, have an engine label them, hand them over, note what became of each."""

from __future__ import annotations

import logging
import re
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

from ls_backend.jobs.owner import Owner
from ls_backend.jobs.schema import QUEUED, RUNNING, StateError
from ls_backend.jobs.store import LEASE_S, Finished, StateStore

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from ls_backend.jobs.store import Claimed

log = logging.getLogger(__name__)

WAIT_S: Final = 0.5  # between two looks at what other processes have in hand
HANDED_OVER_S: Final = 20.0  # an image waits no longer for others to be handed over with
_NUMBER: Final = re.compile(r"\d{1,3}(?:,\d{3})+|\d{4,}")


@dataclass(frozen=True)
class Labelled:
    """What an engine says of an image. "kept": its record was whole. error: why it failed, else None."""

    id: int
    status: Literal["done", "kept", "failed"]
    segments: int = 0
    error: str | None = None


class Engine(Protocol):
    """Labels images and writes their records.

    together: images that are taken in hand with one write to the state. lost_together: the same for images that were
    lost before; more than one where an image that ends processes does not end this one. elsewhere: whether that is so.
    """

    @property
    def together(self) -> int: ...
    @property
    def lost_together(self) -> int: ...
    @property
    def elsewhere(self) -> bool: ...

    def results(self, images: Iterator[Claimed]) -> Generator[Labelled, None, None]:
        """What became of images, in any order; one whose machine was lost is left out. Takes from `images` what it has
        room for.
        """

    def close(self) -> None: ...


class Delivery(Protocol):
    """Where results go besides their records. together: how many are handed over at a time."""

    @property
    def together(self) -> int: ...

    def deliver(self, images: Sequence[Claimed]) -> dict[int, str]:
        """Hand over the results of images; gives the errors of those that are refused, by number. May be given the
        same image again after a crash. Raises ZeroguideError where nothing can be handed over at present.
        """


class FolderDelivery:
    """Records are the results."""

    together = 1

    def deliver(self, images: Sequence[Claimed]) -> dict[int, str]:
        return {}


@dataclass(frozen=True)
class Told:
    """An image that is finished with, for whoever watches."""

    image: Claimed
    result: Labelled


class Work:
    """One process's share of a run. tell: called for each image that it finished."""

    def __init__(
        self, store: StateStore, engine: Engine, delivery: Delivery, tell: Callable[[Told], None] = lambda _: None
    ) -> None:
        self.store, self.engine, self.delivery = store, engine, delivery
        self.owner = Owner.here()
        self._tell = tell
        self._tried = not engine.elsewhere  # what an image did to an actor is told by the actor
        self._hand: dict[int, Claimed] = {}
        self._ready: list[tuple[Claimed, Labelled]] = []
        self._oldest = 0.0

    def run(self) -> None:
        """Until nothing is left in this or any other process's hands, or the run is cancelled.

        Raises what ends the run as a whole: OutputError, StateError, ZeroguideError of the delivery, KeyboardInterrupt.
        What was in hand then goes back into the queue.
        """
        with Heartbeat(self.store.path, self.owner):
            try:
                self.store.recover()
                while self._pass():
                    pass
            finally:
                with suppress(StateError):
                    self.store.release(self.owner, tried=self._tried)

    def _pass(self) -> bool:
        """Work off what is in the queue; False once there is nothing to wait for either."""
        self._label(self._claims())
        while lost := self.store.claim_lost(self.owner, self.engine.lost_together, tried=self._tried):
            self._label(self._in_hand(lost))
        return self._wait()

    def _wait(self) -> bool:
        """Until others have finished what they have in hand, or left it."""
        while True:
            self.store.recover()
            if self.store.get("cancelled") is not None:
                return False
            counts = self.store.counts()
            if counts[QUEUED] or not counts[RUNNING]:
                return bool(counts[QUEUED])
            time.sleep(WAIT_S)

    def _claims(self) -> Iterator[Claimed]:
        while images := self.store.claim(self.owner, self.engine.together, tried=self._tried):
            yield from self._in_hand(images)

    def _in_hand(self, images: Sequence[Claimed]) -> Iterator[Claimed]:
        self._hand.update((image.id, image) for image in images)
        yield from images

    def _label(self, images: Iterator[Claimed]) -> None:
        with closing(self.engine.results(images)) as results:
            for result in results:
                self._take(self._hand.pop(result.id), result)
        self._settle()
        if self._hand:  # the engine lost them
            self.store.let_go(self.owner, list(self._hand), tried=self._tried)
            self._hand.clear()

    def _take(self, image: Claimed, result: Labelled) -> None:
        now = time.monotonic()
        self._oldest = self._oldest if self._ready else now
        self._ready.append((image, result))
        if len(self._ready) >= self.delivery.together or now - self._oldest > HANDED_OVER_S:
            self._settle()

    def _settle(self) -> None:
        """Hand over what is ready, and only then note it as done."""
        ready, self._ready = self._ready, []
        if not ready:
            return
        refused = self.delivery.deliver([image for image, result in ready if result.error is None])
        finished = [_finished(image, result, refused.get(image.id, result.error)) for image, result in ready]
        counted = set(self.store.finish(self.owner, finished))
        for (image, result), end in zip(ready, finished, strict=True):
            if image.id in counted:
                status = result.status if end.error is None else "failed"
                self._tell(Told(image, Labelled(image.id, status, result.segments, end.error)))
            else:
                log.info("%s: another process has it in hand; this result does not count", image.key)


def _finished(image: Claimed, result: Labelled, error: str | None) -> Finished:
    if error is None:
        return Finished(image.id, image.mark, result.segments)
    text = error.encode("utf-8", "backslashreplace").decode()
    return Finished(image.id, image.mark, result.segments, text, reason_of(text))


def reason_of(error: str) -> str:
    """An error without what is special to its image: the name before the first colon, and long numbers."""
    name, colon, rest = error.partition(": ")
    return _NUMBER.sub("N", rest if colon and ("/" in name or "." in name or name.startswith("task")) else error)


class Heartbeat:
    """Renews a process's lease in a thread while the block runs."""

    def __init__(self, state: Path, owner: Owner) -> None:
        self._state, self._owner = state, owner
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._end.wait(LEASE_S / 4):
            try:
                with StateStore(self._state) as store:
                    store.renew(self._owner)
            except StateError as error:
                log.warning("the lease could not be renewed: %s", error)
