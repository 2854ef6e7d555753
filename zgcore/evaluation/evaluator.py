"""One image: predicted, compared with its truth, its segments reassigned to classes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from zgcore.errors import ZeroguideError
from zgcore.evaluation.predictors import Scene
from zgcore.evaluation.rows import ImageRows, Labelled, failed_rows, scored_rows
from zgcore.evaluation.score_image import score_image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from zgcore.evaluation.ground_truth import DataSet, Sample
    from zgcore.evaluation.predictors import LabelFeatures, Predictor
    from zgcore.evaluation.reassign import Reassigners
    from zgcore.sentences import SentenceEncoder

log = logging.getLogger(__name__)

LONGEST_REASON: Final = 300


@dataclass(frozen=True)
class Job:
    """What is evaluated, in a form that travels to other processes by pickle.

    data: the data set. predictor: builds what is evaluated. reassigners: from class names and the predictor's
    `label_features`. tgq: whether true masks are labelled too.
    """

    data: DataSet
    predictor: Callable[[], Predictor]
    reassigners: Callable[[tuple[str, ...], LabelFeatures | None], Reassigners]
    tgq: bool = True


class Evaluator:
    """A job's models, ready for its images. Raises what building them raises."""

    def __init__(self, job: Job) -> None:
        self.data = job.data
        self.predictor = job.predictor()
        self.reassigners = job.reassigners(self.data.classes, self.predictor.label_features)
        self.tgq = job.tgq

    def __call__(self, position: int, sample: Sample) -> ImageRows:
        """One image's rows; those of a failure where anything goes wrong with it."""
        try:
            return self._evaluate(position, sample)
        except Exception as error:
            log.debug("%s failed", sample.name, exc_info=error)
            return failed_rows(position, sample.name, str(sample.image), reason(sample, error))

    def _evaluate(self, position: int, sample: Sample) -> ImageRows:
        scene = Scene(sample, self.data.truth(sample))
        prediction = self.predictor.predict(scene)
        labelled = self._labelled(scene) if self.tgq else None
        named = None if labelled is None else (labelled.prediction.texts, labelled.classes)
        image = score_image(sample.name, prediction, scene.truth, self.reassigners, named)
        return scored_rows(position, str(sample.image), image, prediction, labelled, self.data.classes)

    def _labelled(self, scene: Scene) -> Labelled | None:
        prediction = self.predictor.label_true_masks(scene)
        if prediction is None:
            return None
        classes = scene.truth.classes
        areas = [int((scene.truth.index_map == index).sum()) for index in classes]
        return Labelled(prediction, classes, areas)


class OneByOne:
    """A sentence encoder that is given its texts singly, so that a vector's last bits do not depend on the texts that
    happened to be new with it: a run that was stopped, or has several workers, gives the same bytes.
    """

    def __init__(self, encoder: SentenceEncoder) -> None:
        self.encoder = encoder
        self.name = encoder.name

    def encode(self, texts: Sequence[str], title: str | None = None) -> Tensor:
        """(n, d) float32 unit vectors on the CPU."""
        return torch.cat([self.encoder.encode([text]) for text in texts]) if texts else self.encoder.encode([])


def reason(sample: Sample, error: BaseException) -> str:
    """One line. Our own errors name their file themselves."""
    line = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        line = f"{sample.name}: not enough memory"
    elif not isinstance(error, ZeroguideError):
        line = f"{sample.name}: {type(error).__name__}" + (f": {line}" if line else "")
    return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "…"
