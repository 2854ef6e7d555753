"""Images labelled in this process, with photos read ahead and masks refined beside the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ls_backend.jobs.work import Labelled
from ls_backend.runner import label_images

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from ls_backend.jobs.photos import Photos
    from ls_backend.jobs.store import Claimed
    from ls_backend.run_folder import RunFolder
    from ls_backend.runner import Outcome, RunOptions, Segmenter

_STATUS: Final = {"done": "done", "skipped": "kept", "failed": "failed"}


class LocalEngine:
    """One model in this process. A whole record of an unchanged photo is kept, whoever wrote it."""

    together: Final = 1  # what is in hand is lost with the process, so no more than it can be at
    lost_together: Final = 1
    elsewhere: Final = False

    def __init__(self, model: Segmenter, folder: RunFolder, photos: Photos, options: RunOptions) -> None:
        self.model, self.folder, self.photos, self.options = model, folder, photos, options

    def results(self, images: Iterator[Claimed]) -> Generator[Labelled, None, None]:
        """See `Engine`. Raises OutputError where the folder cannot be written."""
        photos = map(self.photos.of, images)
        for outcome in label_images(self.model, self.folder, photos, self.options):
            yield labelled(outcome)

    def close(self) -> None:
        """Nothing runs on."""


def labelled(outcome: Outcome) -> Labelled:
    """What became of a photo, without its record."""
    record = outcome.record
    status = _STATUS[outcome.status]
    return Labelled(outcome.source.number, status, len(record.segments), record.error)  # type: ignore[arg-type]
