"""Who has images in hand: one process, told apart from any later one with the same number."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Owner:
    """A process that works at a run. machine: see `machine`. born: when the process began, as the system counts it."""

    id: str
    machine: str
    pid: int
    born: str = field(compare=False)

    @classmethod
    def here(cls) -> Owner:
        """This process; another one each time, so that what an earlier loop left behind is not taken for its own."""
        return cls(secrets.token_hex(6), machine(), os.getpid(), _born(os.getpid()))

    @property
    def is_dead(self) -> bool:
        """True if the process certainly does not run any more; False also where another machine would have to tell."""
        if self.machine != machine():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return _born(self.pid) != self.born


@lru_cache(1)
def machine() -> str:
    """This boot of this machine, and this space of process numbers on it: containers may share a name or a kernel."""
    marks = [socket.gethostname()]
    with suppress(OSError):
        marks.append((_PROC / "sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        marks.append(os.readlink(_PROC / "self/ns/pid"))
    return " ".join(marks)


def _born(pid: int) -> str:
    """When a process began, in clock ticks since the boot; empty where the system does not tell.

    A zombie has ended: it counts as never born.
    """
    try:
        state, *fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "ended" if state in "ZX" else fields[18]
