"""How often one may ask: a bucket for each who asks, filled at a steady rate."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

MOST_BUCKETS: Final = 10_000


class RateLimit:
    """At most `burst` requests at once and `rate` a second in the long run (the token bucket algorithm).

    Buckets that were not used for longest are forgotten beyond `MOST_BUCKETS`, so that memory stays bounded.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # what is left, and when
        self._lock = threading.Lock()

    def allows(self, who: Hashable) -> bool:
        """Whether one more request is within the limit; it is counted if so."""
        now = self._clock()
        with self._lock:
            left, then = self._buckets.pop(who, (float(self._burst), now))
            left = min(self._burst, left + (now - then) * self._rate)
            allowed = left >= 1
            self._buckets[who] = (left - allowed, now)
            if len(self._buckets) > MOST_BUCKETS:
                self._buckets.popitem(last=False)
        return allowed
