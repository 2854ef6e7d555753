"""Numbers of Label Studio's projects, tasks and annotations, as requests give them: anything may stand there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_ID: Final = 2**63


def is_id(value: Any) -> TypeGuard[int]:
    """Whether it is a number that a database could hold."""
    return type(value) is int and 0 <= value < _MAX_ID


def task_id(task: Mapping[str, Any]) -> int | None:
    """A task's number in Label Studio, None where it has none that a database could hold."""
    found = task.get("id")
    return found if is_id(found) else None


def project_id(project: Any) -> int | None:
    """A project's number from what Label Studio sends: "1.1795240125" (number, dot, time it was made)."""
    digits = str(project).partition(".")[0] if isinstance(project, str | int) else ""
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 19 else None
