"""Whose work an export shows: people's annotations, predictions or both, of whom, and what several of them make."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from ls_backend.exports.items import Source
    from ls_backend.exports.losses import Losses

Sources = Literal["annotations", "predictions", "both"]
Merge = Literal["all", "latest", "majority"]
SOURCES: Final[tuple[Sources, ...]] = ("annotations", "predictions", "both")
MERGES: Final[tuple[Merge, ...]] = ("all", "latest", "majority")
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Choice:
    """What of a task is taken.

    annotators: ids or e-mail addresses of people; empty for all. model_version: of predictions; "" for all. merge:
    "all" keeps every result beside the others; "latest" takes each task's newest annotation and newest prediction;
    "majority" takes what more than half of a task's annotators marked.
    """

    sources: Sources = "annotations"
    annotators: tuple[str, ...] = ()
    model_version: str = ""
    merge: Merge = "all"

    def of_task(self, task: dict[str, Any], losses: Losses) -> list[tuple[Source, dict[str, Any]]]:
        """The raw results to take, in the input's order. ValueError where the task's lists are none."""
        annotations = [
            result
            for result in results(task, "annotations", "completions")
            if self.sources != "predictions" and self._wanted(result, losses)
        ]
        predictions = [
            result
            for result in results(task, "predictions")
            if self.sources != "annotations" and self._right_version(result, losses)
        ]
        if self.sources == "annotations" and not annotations and results(task, "predictions"):
            losses.leave("tasks whose predictions alone could be exported (--source predictions)")
        if self.merge == "latest":
            annotations, predictions = _latest(annotations, losses), _latest(predictions, losses)
        return [("annotation", result) for result in annotations] + [("prediction", result) for result in predictions]

    def _wanted(self, annotation: dict[str, Any], losses: Losses) -> bool:
        if annotation.get("was_cancelled"):
            losses.leave("annotations that were skipped by their annotator")
            return False
        if self.annotators and not set(self.annotators).intersection(_names(annotation.get("completed_by"))):
            losses.leave("annotations of other annotators than --annotator names")
            return False
        return True

    def _right_version(self, prediction: dict[str, Any], losses: Losses) -> bool:
        if self.model_version and prediction.get("model_version") != self.model_version:
            losses.leave("predictions of other versions than --model-version names")
            return False
        return True


def results(task: dict[str, Any], *keys: str) -> list[dict[str, Any]]:
    """The results under the first of the keys that the task has. ValueError where they are no list of objects.

    A list of bare ids, as Label Studio gives where predictions were not asked for, counts as empty.
    """
    found: Any = next((task[key] for key in keys if task.get(key) is not None), [])
    if not isinstance(found, list):
        raise ValueError(f"its {keys[0]} are no list")
    if all(isinstance(result, int) for result in found):
        return []
    if not all(isinstance(result, dict) for result in found):
        raise ValueError(f"its {keys[0]} are no list of objects")
    return found


def annotator_id(completed_by: object) -> int | str | None:
    """Who made an annotation: an id, also where Label Studio writes the whole person."""
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("id", completed_by.get("email"))
    return completed_by if isinstance(completed_by, (int, str)) else None


def _names(completed_by: object) -> set[str]:
    if isinstance(completed_by, dict):
        return {str(completed_by[key]) for key in ("id", "email", "username") if completed_by.get(key) is not None}
    return {str(completed_by)}


def _latest(found: list[dict[str, Any]], losses: Losses) -> list[dict[str, Any]]:
    """The newest by its last change; of equally old ones the last. The others are counted."""
    if len(found) < 2:
        return found
    newest = max(range(len(found)), key=lambda place: (_time(found[place]), place))
    losses.leave("older results of the same task (--merge latest)", len(found) - 1)
    return [found[newest]]


def _time(result: dict[str, Any]) -> datetime:
    for key in ("updated_at", "created_at"):
        try:
            found = datetime.fromisoformat(result[key])
        except (KeyError, TypeError, ValueError):
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return _NEVER
