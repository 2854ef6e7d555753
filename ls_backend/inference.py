"""The model: loaded once per process, by the first image or at the start, and used by one thread.

That thread is the lock on the model. Masks are refined in a process of their own: the refinement holds Python's global
lock for up to seconds, and Label Studio gives up on /health after one. Whoever waits for a result may stop waiting at a
deadline; the image in hand is finished all the same, and what comes of it is kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from ls_backend.messages import reason
from zgcore import __version__
from zgcore.presets import get_preset, weights_fingerprint
from zgcore.stream import Failure
from zgcore.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ls_backend.protocol import Labelled
    from ls_backend.settings import Settings
    from zgcore import Segmentation, ZeroGuidance
    from zgcore.stream import SegmentStream

log = logging.getLogger(__name__)

T = TypeVar("T")

TEXTS_KEPT: Final = 4096  # embeddings of labels
REFINING_PROCESSES: Final = 1
_SETTINGS: Final = ("max_regions", "min_area", "smooth", "fill_holes", "least_match", "people_labels")


def model_version(settings: Settings, model: ZeroGuidance | None = None) -> str:
    """Preset, version of the code, and 12 hex digits that change with the weights and with any setting that changes
    a result.

    Told without loading the model, since Label Studio asks before every prediction. ConfigError for a broken preset,
    WeightsError for a manifest of weights that cannot be read, VocabularyError for a vocabulary that cannot.
    """
    config = get_preset(settings.preset)
    if model is None:
        marks = [config.digest(), weights_fingerprint(settings.preset, settings.weights)]
    else:
        marks = [model.version]
    marks += [json.dumps([getattr(settings, name) for name in _SETTINGS])]
    if settings.vocabulary is not None:
        marks += [Vocabulary.load(settings.vocabulary).version]
    digest = hashlib.sha256("\n".join(marks).encode()).hexdigest()[:12]
    return f"{config.preset if model is None else model.preset}-{__version__}-{digest}"


class Inference:
    """Runs the model of some settings.

    model: one that is loaded already. version: what results are tagged with, the same in every answer.
    """

    def __init__(self, settings: Settings, model: ZeroGuidance | None = None) -> None:
        self._settings = settings
        self._model = model
        self._stream: SegmentStream[Any] | None = None
        self._closing = ExitStack()
        self._thread = ThreadPoolExecutor(1, "inference")
        self._embedding = lru_cache(TEXTS_KEPT)(self._embed)
        self.version = model_version(settings, model)
        self.error: str | None = None  # why the model could not be loaded the last time

    @property
    def ready(self) -> bool:
        return self._model is not None

    @property
    def device(self) -> str:
        """Where the model is, or where it is asked to go."""
        return self._settings.device if self._model is None else str(self._model.device)

    @property
    def random_weights(self) -> bool:
        return self._model is not None and self._model.random_weights

    def submit(self, work: Callable[..., T], *args: Any) -> Future[T]:
        """Run something in the model's thread, behind what waits there. RuntimeError once closed."""
        return self._thread.submit(work, *args)

    def preload(self) -> Future[ZeroGuidance]:
        """Begin to load the model."""
        return self.submit(self.model)

    def model(self) -> ZeroGuidance:
        """The model; loads it first if need be. To be called in the model's thread.

        Raises ConfigError or WeightsError where it cannot be loaded; the next call tries again.
        """
        if self._model is None:
            try:
                self._model = self._load()
            except Exception as error:
                self.error = reason(error)
                log.error("the model cannot be loaded: %s", self.error)
                raise
            self.error = None
            log.info("the model %s is loaded on %s", self.version, self.device)
        return self._model

    def _load(self) -> ZeroGuidance:
        from zgcore import ZeroGuidance

        return ZeroGuidance.from_preset(
            self._settings.preset, device=self._settings.device, weights=self._settings.weights
        )

    def segment(self, image: NDArray[np.uint8]) -> Segmentation:
        """Segment an (H, W, 3) uint8 image. To be called in the model's thread."""
        if self._stream is None:
            self._stream = self._closing.enter_context(self.model().stream(workers=REFINING_PROCESSES, group=1))
        (result,) = [*self._stream.push(image), *self._stream.drain()]
        if isinstance(result, Failure):
            raise result.error
        return result

    def match(self, choices: Sequence[str], segments: Labelled, timeout: float | None = None) -> list[str | None]:
        """For each segment the choice whose text is nearest to its label in CLIP's space.

        None where the cosine is below `least_match`. Raises TimeoutError where the model's thread is busy for
        longer than `timeout` seconds.
        """
        near = self.submit(self._similarities, list(choices), list(segments.labels)).result(timeout)
        best = near.argmax(axis=1)
        threshold = self._settings.least_match
        return [choices[at] if row[at] >= threshold else None for at, row in zip(best, near, strict=True)]

    def _similarities(self, choices: list[str], labels: list[str]) -> NDArray[np.float32]:
        """(labels, choices) cosines."""
        rows, columns = (
            np.stack([self._embedding(text.strip().lower()) for text in texts]) for texts in (labels, choices)
        )
        return rows @ columns.T

    def _embed(self, text: str) -> NDArray[np.float32]:
        """(d,) float32 CLIP embedding of a text, of length 1."""
        embedding: NDArray[np.float32] = self.model().labeller.clip_text.encode([text])[0].float().cpu().numpy()
        return embedding / np.float32(max(float(np.linalg.norm(embedding)), 1e-12))

    def close(self) -> None:
        """Finish the image in hand and drop the rest."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._closing.close()
