"""From a task to its prediction: fetch, look up, segment, name; many tasks in order and by a deadline.

Images are fetched by a few threads ahead of the model. The image that the model is at is finished and kept even when
nobody waits for it any longer, so that whoever asks next finds it.
"""

from __future__ import annotations

import base64
import io
import logging
import threading
import time
from collections import deque
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from PIL import Image

from ls_backend.fetch import FetchDelayed, Fetcher
from ls_backend.prediction_cache import PredictionCache, image_key
from ls_backend.prediction_options import prediction_options
from ls_backend.protocol import ImageRegions, image_regions, prediction, task_images
from zgcore.images import load_image, thumbnail
from zgcore.render import overlay

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ls_backend.inference import Inference
    from ls_backend.labelling_config import LabellingConfig
    from ls_backend.metrics import Metrics
    from ls_backend.prediction_cache import Key
    from ls_backend.settings import Settings
    from zgcore import Segmentation

log = logging.getLogger(__name__)

FETCHING_THREADS: Final = 8
TASKS_AHEAD: Final = 4  # tasks of a request whose images are fetched before their turn
THUMBNAIL_PIXELS: Final = 360


@dataclass(frozen=True)
class Shown:
    """What is shown of one image. thumbnail: JPEG of its overlay in base64. cached: it was not made now."""

    regions: ImageRegions
    thumbnail: str
    cached: bool = False

    def to_document(self) -> dict[str, Any]:
        return {"regions": self.regions.to_document(), "thumbnail": self.thumbnail}

    @classmethod
    def from_document(cls, document: Any) -> Shown:
        """What `to_document` gave, as from the cache. ValueError for anything else."""
        try:
            return cls(ImageRegions.from_document(document["regions"]), str(document["thumbnail"]), cached=True)
        except (KeyError, TypeError) as error:
            raise ValueError("not a document of a shown image") from error


@dataclass
class Making:
    """An image on its way through the model, or one from the cache. waiting: how many tasks want it."""

    key: Key
    shown: Future[Shown]
    waiting: int = 1


@dataclass(frozen=True)
class StartedTask:
    """A task whose images are being fetched, and then segmented."""

    task: Mapping[str, Any]
    config: LabellingConfig
    images: list[Future[Making]]


@dataclass(frozen=True)
class Predicted:
    """A task's prediction as Label Studio wants it, and what was made of its images (None: failed)."""

    document: dict[str, Any]
    images: list[Shown | None]
    errors: list[Exception]


class Predictor:
    """Tasks to predictions. The people policy counts what it did over the life of the process."""

    def __init__(self, settings: Settings, inference: Inference, metrics: Metrics) -> None:
        self._max_pixels = settings.fetch.max_pixels
        self._inference = inference
        self._metrics = metrics
        self._fetcher = Fetcher(settings)
        self._cache = PredictionCache(settings.data_dir, int(settings.cache_mb * 1e6))
        self._threads = ThreadPoolExecutor(FETCHING_THREADS, "fetch")
        self._in_work: dict[Key, Making] = {}
        self._lock = threading.RLock()  # again by the thread that cancels: it runs the callbacks
        self.options = prediction_options(settings)
        self.people = self.options.people

    @property
    def version(self) -> str:
        return self._inference.version

    def start(self, task: Mapping[str, Any], config: LabellingConfig) -> StartedTask:
        """Begin to fetch a task's images. Raises TaskError where it has none."""
        images = [self._threads.submit(self._image, image.reference) for image in task_images(task, config)]
        return StartedTask(task, config, images)

    def finish(self, started: StartedTask, timeout: float | None = None) -> Predicted:
        """Wait for a task's prediction, at most `timeout` seconds.

        Raises TimeoutError, CancelledError where it was dropped, or the error of its image where all images failed;
        where some did, `errors` has them.
        """
        end = None if timeout is None else time.monotonic() + timeout
        shown: list[Shown | None] = []
        errors: list[Exception] = []
        for image in started.images:
            try:
                shown.append(image.result(_left(end)).shown.result(_left(end)))
            except (TimeoutError, CancelledError):
                raise
            except Exception as error:
                shown.append(None)
                errors.append(error)
        if len(errors) == len(shown):
            raise errors[0]
        match = replace(self.options, match=lambda choices, found: self._inference.match(choices, found, _left(end)))
        regions = [None if image is None else image.regions for image in shown]
        document = prediction(started.task, regions, started.config, self.version, match)
        return Predicted(document, shown, errors)

    def drop(self, started: StartedTask) -> None:
        """Wait for a task no longer; once. What has not been begun and nobody else waits for leaves the queues."""
        for image in started.images:
            image.cancel()
            image.add_done_callback(self._drop_fetched)

    def _drop_fetched(self, fetched: Future[Making]) -> None:
        if fetched.cancelled() or fetched.exception() is not None:
            return
        making = fetched.result()
        with self._lock:
            making.waiting -= 1
            if making.waiting == 0:
                making.shown.cancel()

    def _image(self, reference: str) -> Making:
        """In a fetching thread: the image's regions from who is at it already, from the cache, or from the model."""
        with self._metrics.stage("fetch"):
            data = self._fetcher.fetch(reference)
        key = image_key(data, self.version)
        with self._lock:  # what is in work goes into the cache before it is forgotten: it is found in one of the two
            if (found := self._in_work.get(key)) is not None:
                found.waiting += 1
                return found
            if (known := self._known(key)) is not None:
                done: Future[Shown] = Future()
                done.set_result(known)
                return Making(key, done)
            making = self._in_work[key] = Making(key, self._inference.submit(self._make, key, data))
        making.shown.add_done_callback(lambda _: self._forget(making))
        return making

    def _forget(self, making: Making) -> None:
        with self._lock:
            if self._in_work.get(making.key) is making:
                del self._in_work[making.key]

    def _known(self, key: Key) -> Shown | None:
        document = self._cache.get(key)
        self._metrics.cache.labels("miss" if document is None else "hit").inc()
        if document is None:
            return None
        try:
            return Shown.from_document(document)
        except ValueError:
            return None

    def _make(self, key: Key, data: bytes) -> Shown:
        """In the model's thread."""
        with self._metrics.stage("decode"):
            image = load_image(data, max_pixels=self._max_pixels)
        segmentation = self._inference.segment(image)
        for name, seconds in segmentation.seconds.items():
            self._metrics.stage_seconds.labels(name).observe(seconds)
        with self._metrics.stage("masks"):
            shown = Shown(image_regions(segmentation, self.options), _thumbnail(image, segmentation))
        self._cache.put(key, shown.to_document())
        return shown

    def stop(self) -> None:
        """Fetch nothing more. The image that the model is at still goes into the cache."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def close(self) -> None:
        """Stop, and close the cache; to be called when the model has ended."""
        self.stop()
        self._cache.close()


def _left(end: float | None) -> float | None:
    return None if end is None else max(0.0, end - time.monotonic())


def _thumbnail(image: NDArray[np.uint8], segmentation: Segmentation) -> str:
    """The overlay without texts, small, as JPEG in base64."""
    small = thumbnail(image, THUMBNAIL_PIXELS, "box")
    size = (small.shape[1], small.shape[0])
    index_map = np.array(Image.fromarray(segmentation.index_map).resize(size, Image.Resampling.NEAREST), dtype=np.int32)
    picture = overlay(small, replace(segmentation, index_map=index_map), labels=False)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


@dataclass(frozen=True)
class Outcome:
    """What became of one task of a request: a prediction, an error, or neither where the time was over.

    delayed: it failed, and may not fail again.
    """

    task: Any
    predicted: Predicted | None = None
    error: Exception | None = None

    @property
    def kind(self) -> Literal["predicted", "failed", "late"]:
        if self.predicted is not None:
            return "predicted"
        return "late" if self.error is None else "failed"

    @property
    def delayed(self) -> bool:
        return isinstance(self.error, FetchDelayed)


def predict_in_order(
    predictor: Predictor, tasks: Sequence[Any], config: LabellingConfig, seconds: float, tell: Callable[[Outcome], None]
) -> list[Outcome]:
    """One outcome for each task, in order; whatever happens to one, the others have theirs.

    seconds: until the answer must be out. A task that is not done by then is left alone. tell: called with each, before
    what was made of its images is let go: the outcomes returned hold the documents only.
    """
    end = time.monotonic() + seconds
    started: deque[StartedTask | Exception] = deque()  # this task and those behind it
    outcomes = []
    for number, task in enumerate(tasks):
        while len(started) < min(len(tasks) - number, TASKS_AHEAD) and time.monotonic() < end:
            started.append(_start(predictor, tasks[number + len(started)], config))
        outcome = _outcome(predictor, task, started.popleft() if started else None, end)
        tell(outcome)
        outcomes.append(_without_images(outcome))
        del outcome  # or the last one's images stay while the next is waited for
    return outcomes


def _without_images(outcome: Outcome) -> Outcome:
    if outcome.predicted is None:
        return outcome
    return replace(outcome, predicted=replace(outcome.predicted, images=[]))


def _start(predictor: Predictor, task: Any, config: LabellingConfig) -> StartedTask | Exception:
    try:
        return predictor.start(task, config)
    except Exception as error:
        return error


def _outcome(predictor: Predictor, task: Any, started: StartedTask | Exception | None, end: float) -> Outcome:
    if isinstance(started, Exception):
        return Outcome(task, error=started)
    if started is None:
        return Outcome(task)
    try:
        return Outcome(task, predictor.finish(started, _left(end)))
    except (TimeoutError, CancelledError):
        predictor.drop(started)
        return Outcome(task)
    except Exception as error:
        return Outcome(task, error=error)
