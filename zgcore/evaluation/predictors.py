"""What is evaluated: our method, its ablations, and its labels for true masks, behind one interface.

Any other system is a class with the same calls, as the reader of prediction files in `ls_backend.eval_files` is.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from pycocotools import mask as coco_mask

from zgcore.errors import EvaluationError
from zgcore.evaluation.cache import DiskCache, NoCache, digest
from zgcore.evaluation.prediction import Prediction
from zgcore.garbage import without_collections
from zgcore.images import load_image
from zgcore.suggest import closest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from zgcore.evaluation.ground_truth import GroundTruth, Sample
    from zgcore.evaluation.remembering import RememberedStages
    from zgcore.merge import Described
    from zgcore.pipeline import ZeroGuidance

    LabelFeatures = Callable[[list[str]], Tensor]

FULL: Final = "full"
NO_MERGE: Final = "no-merge"
ORACLE: Final = "oracle"
_LAYERS: Final = re.compile(r"layers-([1-9][0-9]{0,2})")

ABLATIONS: Final[dict[str, dict[str, Any]]] = {
    FULL: {},
    NO_MERGE: {"merge__threshold": 2.0, "merge__max_segments": 0},  # a similarity is at most 1
    "no-subtraction": {"clip__encoder": "masked", "clip__global_subtraction": False},
    "crop": {"clip__encoder": "crop"},
    "saliency-weights": {"clip__encoder": "masked", "clip__global_subtraction": True, "clip__saliency": "weights"},
    "saliency-output": {"clip__encoder": "masked", "clip__global_subtraction": True, "clip__saliency": "output"},
    ORACLE: {},
}
"""Settings that each predictor replaces in the preset's. `layers-N` masks attention in the last N blocks."""

MEANINGS: Final[dict[str, str]] = {
    FULL: "the method",
    NO_MERGE: "candidates as they are, none merged",
    "no-subtraction": "masked attention without global subtraction",
    "crop": "each segment cut out, on black, through the plain encoder",
    "saliency-weights": "saliency of attention rows, as in the published code",
    "saliency-output": "saliency of attention outputs, the paper's equation 2",
    "layers-N": "attention is masked in the last N blocks",
    ORACLE: "true class masks, embedded and labelled by the method",
}


@dataclass(frozen=True, eq=False)
class Scene:
    """One image of a data set with its truth. The photo is read where a predictor asks for it."""

    sample: Sample
    truth: GroundTruth

    @cached_property
    def image(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, upright. ImageError where it cannot be read."""
        return load_image(self.sample.image)

    @cached_property
    def content(self) -> str:
        """64 hex digits of the photo's file. OSError where it cannot be read."""
        with self.sample.image.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class Predictor(Protocol):
    """Makes segments of images. name: as on the command line. One image's errors are raised from `predict`."""

    @property
    def name(self) -> str: ...

    @property
    def label_features(self) -> LabelFeatures | None:
        """Class names -> (c, d) unit vectors in the space of the predictions' embeddings; None without such a space."""

    def predict(self, scene: Scene) -> Prediction:
        """Segments, labels and, where there are any, embeddings of one image."""

    def label_true_masks(self, scene: Scene) -> Prediction | None:
        """Labels of the true class masks, in the order of `scene.truth.classes`; None where it labels no masks."""


@dataclass(frozen=True)
class ModelSpec:
    """Which model is evaluated, and how; enough to build it in another process.

    predictor: one of ABLATIONS or layers-N. settings: `stage__name` replaced in the preset's, before the ablation's.
    cache: a folder that stages' results are kept in; None keeps none.
    """

    predictor: str = FULL
    preset: str = "mini"
    device: str = "auto"
    weights: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    cache: Path | None = None

    def build(self) -> MethodPredictor:
        """ConfigError for settings that do not fit the model, WeightsError where weights are missing."""
        with without_collections():
            from zgcore.build import build_pipeline
        from zgcore.evaluation.remembering import RememberedStages
        from zgcore.presets import weights_fingerprint

        settings = {"seed": self.seed, **self.settings, **ablation(self.predictor)}
        model = build_pipeline(self.preset, device=self.device, weights=self.weights, settings=settings)
        cache = NoCache() if self.cache is None else DiskCache(self.cache)
        stages = RememberedStages(model, cache, weights_fingerprint(self.preset, self.weights))
        return (OraclePredictor if self.predictor == ORACLE else MethodPredictor)(self.predictor, stages)


def ablation(name: str) -> dict[str, Any]:
    """The settings a predictor replaces. EvaluationError for a name that is none."""
    if name in ABLATIONS:
        return ABLATIONS[name]
    if match := _LAYERS.fullmatch(name):
        return {"clip__encoder": "masked", "clip__masked_blocks": int(match[1])}
    close = closest(name, ABLATIONS)
    hint = f" Did you mean {close!r}?" if close else ""
    raise EvaluationError(f"there is no predictor {name!r} ({', '.join(MEANINGS)}, file:COCO.json).{hint}")


class MethodPredictor:
    """The method with some settings replaced. stages: the model's, through a cache."""

    def __init__(self, name: str, stages: RememberedStages) -> None:
        self.name = name
        self.stages = stages

    @property
    def model(self) -> ZeroGuidance:
        return self.stages.model

    @property
    def label_features(self) -> LabelFeatures | None:
        prompt = self.model.config.zerocap.prompt
        return lambda names: self.model.labeller.clip_text.encode_labels(names, prompt)

    def predict(self, scene: Scene) -> Prediction:
        work = self.stages.work(scene.image, scene.content)
        (found,) = self.model.merge_segments([work], self.stages.describer(scene.content))
        masks = tuple(run_lengths(found.mask(number)) for number in range(len(found)))
        return Prediction(masks, found.labels, found.scores, found.embeddings, found.seconds)

    def label_true_masks(self, scene: Scene) -> Prediction | None:
        if self.name == NO_MERGE:
            return None  # its labels are the full method's: the paper gives it no figure of its own
        return self._true_masks(scene)

    def _true_masks(self, scene: Scene) -> Prediction:
        classes, index_map = scene.truth.classes, scene.truth.index_map
        seconds: dict[str, float] = {}
        described: Sequence[Described] = ()
        if classes:
            segments = digest(list(index_map.shape), hashlib.sha256(index_map.tobytes()).hexdigest())
            describer = self.model.describer
            described = self.stages.describe(
                scene.content,
                segments,
                [str(index) for index in classes],
                lambda: describer.embed_masks(scene.image, index_map, classes),
                seconds,
            )
        width = int(self.model.labeller.clip_text.output_dim)
        return Prediction(
            tuple(run_lengths(index_map == index) for index in classes),
            tuple(one.label for one in described),
            np.array([one.score for one in described], np.float32),
            np.stack([one.embedding for one in described]) if described else np.empty((0, width), np.float32),
            seconds,
        )


class OraclePredictor(MethodPredictor):
    """The method on true class masks in place of its candidates."""

    def predict(self, scene: Scene) -> Prediction:
        return self._true_masks(scene)


def run_lengths(mask: NDArray[np.bool_]) -> dict:
    """(H, W) bool -> COCO's compressed run lengths."""
    return coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
