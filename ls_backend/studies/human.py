"""Human verification: scores of reassigned labels carried into the evaluation's IoU and recall (paper, section 4.2)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zgcore.errors import EvaluationError
from zgcore.evaluation.arrays import plain
from zgcore.evaluation.human import HumanScores
from zgcore.evaluation.metric_config import MetricConfig

if TYPE_CHECKING:
    from ls_backend.studies.analyse import Analysis
    from ls_backend.studies.manifest import Source, Study
    from ls_backend.studies.ratings import Ratings
    from ls_backend.studies.results import Results

Scores = dict[tuple[str, int], float]


def human_figures(study: Study, found: Analysis) -> dict[str, Any] | None:
    """By method: IoU_h>=k and recall_h>=k of the runs whose reassigned labels were rated; None for predicted labels.

    A method whose run is not there any more has a `reason` in place of figures.
    """
    if study.settings.labels != "reassigned":
        return None
    by_method = scores_by_method(found.ratings, found.kept)
    kind = study.settings.reassigned_by or "st"
    return {
        source.method: _source_figures(source, kind, by_method.get(source.method, {}))
        for source in study.settings.sources
        if source.kind == "evaluation"
    }


def scores_by_method(ratings: Ratings, results: Results) -> dict[str, Scores]:
    """The mean score of every rated segment, (image, segment) by method."""
    found: dict[str, Scores] = {}
    for question, mean in zip(results.aggregated.question, results.aggregated.mean, strict=True):
        fact = ratings.facts[question]
        found.setdefault(fact.method, {})[fact.image, int(fact.segment)] = float(mean)
    return found


def _source_figures(source: Source, kind: str, scores: Scores) -> dict[str, Any]:
    try:
        from zgcore.evaluation.records import read_scored
        from zgcore.evaluation.run_info import read_run

        info = read_run(Path(source.path))
        config = MetricConfig(tt=info.threshold_tt, st=info.threshold_st)
        human = HumanScores(info.classes, kind, scores, config)
        for image in read_scored(Path(source.path)):
            if kind in image.reassigned:
                human.add(image)
        return {"kind": kind, **plain(human.document())}
    except EvaluationError as error:
        return {"kind": kind, "reason": str(error)}
