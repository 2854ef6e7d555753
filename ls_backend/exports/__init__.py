"""Results as files that other tools read. Every export streams: two passes over records, one record in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ls_backend.record import ImageRecord, RunStamp

RANDOM_WEIGHTS_NOTE = (
    "Made with random weights: the masks and labels only show that the pipeline runs. Do not use them as annotations."
)


@dataclass(frozen=True)
class NumberedRecord:
    """A record, the image's number (1, 2, ... in the order of the inputs) and its file name for the export."""

    number: int
    file_name: str
    record: ImageRecord


class Records(Protocol):
    """Records without errors, in the order of their numbers; may be walked through more than once."""

    def __iter__(self) -> Iterator[NumberedRecord]: ...


def provenance(stamp: RunStamp) -> dict[str, Any]:
    """What made the results, for the head of an export; says so where the weights mean nothing."""
    from zgcore import __version__

    info: dict[str, Any] = {
        "description": "Segments with free-text labels, found without prompts or class lists",
        "version": __version__,
        "generator": f"zeroguide {__version__}",
        "preset": stamp.preset,
        "model_version": stamp.model_version,
        "settings": stamp.settings,
        "random_weights": stamp.random_weights,
    }
    if stamp.random_weights:
        info["note"] = RANDOM_WEIGHTS_NOTE
    return info


def compact(value: object) -> str:
    """One line of JSON in ASCII, so that any text survives any reader. ValueError where a number is not finite."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def json_list(items: Iterator[str]) -> Iterator[str]:
    """The pieces of a JSON list, one item a line."""
    yield "["
    for position, item in enumerate(items):
        yield ("\n" if position == 0 else ",\n") + item
    yield "\n]"
