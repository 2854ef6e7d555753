"""One image's prediction and truth -> what all metrics need of it: small tables, no pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zgcore.evaluation.boundary import boundary_counts
from zgcore.evaluation.overlap import count
from zgcore.evaluation.partition import partition
from zgcore.evaluation.scored import ScoredImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zgcore.evaluation.ground_truth import GroundTruth
    from zgcore.evaluation.prediction import Prediction
    from zgcore.evaluation.reassign import Reassigners


def score_image(
    name: str,
    prediction: Prediction,
    truth: GroundTruth,
    reassigners: Reassigners,
    named: tuple[Sequence[str], Sequence[int]] | None = None,
) -> ScoredImage:
    """Compare and reassign. named: for text generation quality, labels given to true masks, and the classes of those.

    EvaluationError for a damaged mask.
    """
    height, width = truth.index_map.shape
    parts = partition(prediction.masks, height, width)
    return ScoredImage(
        name=name,
        height=height,
        width=width,
        overlap=count(parts, truth),
        texts=prediction.texts,
        scores=np.asarray(prediction.scores, dtype=np.float32),
        areas=parts.areas(),
        reassigned=reassigners(prediction),
        boundary=boundary_counts(parts.atoms, truth.index_map),
        seconds=prediction.seconds,
        named=None if named is None else reassigners.named(*named),
    )
