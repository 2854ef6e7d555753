"""What `zeroguide doctor` finds: each thing that must be right for predictions to appear, looked at and not assumed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from zgcore.errors import ZeroguideError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ls_backend.labelling_config import LabellingConfig
    from ls_backend.settings import Settings

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Finding:
    """One check. cure: what would mend it, to be copied; empty where nothing is wrong."""

    check: str
    state: State
    message: str
    cure: str = ""


def from_error(check: str, error: Exception, cure: str = "") -> Finding:
    """A failed check. Our errors end with their cure, which is used where none is given."""
    text = str(error) if isinstance(error, ZeroguideError) else f"{type(error).__name__}: {error}"
    return Finding(check, "failed", text, cure) if cure else Finding(check, "failed", *_with_cure(text))


def _with_cure(text: str) -> tuple[str, str]:
    """A message and the cure it ends with; twice the same where it is all one."""
    message, _, cure = text.rpartition("; ")
    return message or cure, cure


def config_finding(config: LabellingConfig, replace_it: str) -> Finding:
    """Whether a labelling config has a place for masks and texts. replace_it: the command that gives it one."""
    check = "labelling config"
    if config.problems:
        return Finding(check, "failed", "; ".join(config.problems), replace_it)
    if config.hints:
        return Finding(check, "warning", *_with_cure(config.hints[0]))
    names = ", ".join(target.image.name for target in config.targets)
    return Finding(check, "ok", f"masks and texts have a place (image {names})")


def examine(settings: Settings, project: int | None, backend: str) -> Iterator[Finding]:
    """Check Label Studio, the backend and this machine, one after the other; told as they are found.

    project: whose config and images to look at, None for none. backend: where Label Studio is to find the backend.
    Raises nothing that a check can meet. What is made on the way is undone.
    """
    from ls_backend.doctor_label_studio import LabelStudioDoctor
    from ls_backend.doctor_machine import machine_findings

    yield from LabelStudioDoctor(settings, project, backend).findings()
    yield from machine_findings(settings)
