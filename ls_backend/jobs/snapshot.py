"""How far a run is: counts, speed, time left, failures by reason."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from ls_backend.jobs.schema import DONE, FAILED, QUEUED, RUNNING

if TYPE_CHECKING:
    from ls_backend.jobs.store import StateStore

Status = Literal["running", "stopped", "cancelled", "finished"]
SPEED_OVER_S: Final = 60.0
REASONS: Final = 50


@dataclass(frozen=True)
class Reason:
    """Images that failed alike. example: what one of them says."""

    reason: str
    images: int
    example: str


@dataclass(frozen=True)
class Snapshot:
    """A run as it stands. Times are seconds since the epoch.

    status: "stopped" where images are left and no process is at them. rate: images a second over the last minute, None
    while nothing was finished in it. eta_s: seconds until nothing is left, at that rate.
    """

    id: str
    target: str
    source: str
    preset: str
    engine: str
    status: Status
    started: float
    updated: float | None
    queued: int
    running: int
    done: int
    failed: int
    rate: float | None
    eta_s: float | None
    processes: int
    reasons: tuple[Reason, ...]

    @property
    def images(self) -> int:
        return self.queued + self.running + self.done + self.failed

    def document(self) -> dict[str, Any]:
        """As JSON, for programs."""
        return {**asdict(self), "images": self.images}


def snapshot(store: StateStore) -> Snapshot:
    """Look at a run; takes longer with more failures and not with more images. Raises StateError."""
    now, counts = time.time(), store.counts()
    left = counts[QUEUED] + counts[RUNNING]
    since = [since for (since,) in store.rows("SELECT since FROM owners WHERE lease >= ?", now)]
    processes = sum(not owner.is_dead for owner in store.owners())
    rate = _rate(store, now, min(since, default=now)) if processes else None
    return Snapshot(
        id=store.get("id") or "",
        target=store.get("target") or "",
        source=store.get("source") or "",
        preset=(store.get("options") or {}).get("preset", ""),
        engine=store.get("engine") or "",
        status=_status(left, processes, store.get("cancelled") is not None),
        started=store.get("started") or 0.0,
        updated=store.last_finished(),
        queued=counts[QUEUED],
        running=counts[RUNNING],
        done=counts[DONE],
        failed=counts[FAILED],
        rate=rate,
        eta_s=left / rate if rate and left else None,
        processes=processes,
        reasons=reasons(store),
    )


def reasons(store: StateStore) -> tuple[Reason, ...]:
    """Why images failed, the most frequent reason first."""
    found = store.rows(
        "SELECT reason, COUNT(*) AS images, MIN(error) FROM images WHERE state = 'failed' GROUP BY reason "
        "ORDER BY images DESC, reason LIMIT ?",
        REASONS,
    )
    return tuple(Reason(reason or "", images, example or "") for reason, images, example in found)


def _status(left: int, processes: int, cancelled: bool) -> Status:
    if not left:
        return "finished"
    if cancelled:
        return "cancelled"
    return "running" if processes else "stopped"


def _rate(store: StateStore, now: float, since: float) -> float | None:
    """Images finished a second in the last minute, or since the first of the present processes began."""
    begin = max(now - SPEED_OVER_S, since)
    (finished,) = next(store.rows("SELECT COUNT(*) FROM images WHERE finished >= ?", begin))
    return finished / (now - begin) if finished and now > begin else None
