"""The options of `zeroguide eval` -> a run that can be made."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ls_backend.eval_files import PREFIX, FilePredictor, file_fingerprint
from zgcore.errors import EvaluationError
from zgcore.evaluation.datasets import open_data_set, subset
from zgcore.evaluation.evaluator import Job, OneByOne
from zgcore.evaluation.lexical import LexicalMatcher
from zgcore.evaluation.predictors import NO_MERGE, ModelSpec, ablation
from zgcore.evaluation.reassign import Reassigners
from zgcore.evaluation.run_info import RunInfo, names_digest, versions
from zgcore.evaluation.runner import Run
from zgcore.evaluation.settings_text import read_setting
from zgcore.presets import get_preset, weights_fingerprint
from zgcore.sentences import sentence_encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zgcore.evaluation.ground_truth import DataSet, Sample
    from zgcore.evaluation.predictors import LabelFeatures
    from zgcore.sentences import SentenceEncoder

WHOLE = "all"


@dataclass(frozen=True)
class EvalOptions:
    """The options of `zeroguide eval`, by their names there. settings: texts like "clip.sigma2=1.0"."""

    data: str
    out: Path
    predictor: str
    preset: str
    device: str
    weights: Path | None
    subset: str
    seed: int
    threshold_tt: float
    threshold_st: float
    sentence_model: str | None
    tgq: bool
    settings: tuple[str, ...]
    cache: Path | None

    def run(self, data: DataSet | None = None) -> Run:
        """The run they mean. data: the data set, where it is open already.

        Raises ZeroguideError where the data, the predictor or a setting is not to be had.
        """
        data = open_data_set(self.data) if data is None else data
        samples = subset(data, self.subset, self.seed)
        sentences = _sentences(self.sentence_model, self.device)
        reassigners = partial(_reassigners, self.sentence_model or sentences.name, self.device)
        common: dict[str, Any] = {
            "data": self.data,
            "data_set": data.name,
            "classes": data.classes,
            "samples": len(samples),
            "sample_digest": names_digest(sample.name for sample in samples),
            "subset": None if self.subset == WHOLE else self.subset,
            "seed": self.seed,
            "threshold_tt": self.threshold_tt,
            "threshold_st": self.threshold_st,
            "sentence_model": sentences.name,
            "versions": versions(),
        }
        made = self._of_file if self.predictor.startswith(PREFIX) else self._of_model
        return made(common, data, samples, reassigners)

    def _of_file(self, common: dict[str, Any], data: DataSet, samples: Sequence[Sample], reassigners: Any) -> Run:
        if self.settings:
            raise EvaluationError(
                f"settings ({', '.join(self.settings)}) do not act on predictions of a file; leave them out, or take "
                "another --predictor"
            )
        named = self.predictor.removeprefix(PREFIX)
        if not named:
            raise EvaluationError("--predictor file: names no file; write its path, as in file:other_system.json")
        path = Path(named).expanduser()
        fingerprint = file_fingerprint(path)
        names = dict(zip(data.ids, data.classes, strict=True)) if data.ids else {}
        predictor = FilePredictor(path, names)
        notes = (*data.notes, *predictor.notes, *predictor.check(samples))
        info = RunInfo(**common, predictor=predictor.name, weights=fingerprint, notes=notes)
        return Run(self.out, info, Job(data, partial(FilePredictor, path, names), reassigners, tgq=False), samples)

    def _of_model(self, common: dict[str, Any], data: DataSet, samples: Sequence[Sample], reassigners: Any) -> Run:
        settings = dict(map(read_setting, self.settings))
        config = get_preset(self.preset).override(seed=self.seed, **{**settings, **ablation(self.predictor)})
        spec = ModelSpec(self.predictor, self.preset, self.device, self.weights, settings, self.seed, self.cache)
        info = RunInfo(
            **common,
            predictor=self.predictor,
            preset=config.preset,
            settings=dataclasses.asdict(config),
            weights=weights_fingerprint(self.preset, self.weights),
            random_weights=config.preset == "untrained",
            tgq=self.tgq and self.predictor != NO_MERGE,
            notes=data.notes,
        )
        return Run(self.out, info, Job(data, spec.build, reassigners, tgq=info.tgq), samples)


def runs_of(options: Sequence[EvalOptions]) -> list[Run]:
    """The runs of options that differ in predictor and settings: none is made before all are known to be possible."""
    data = open_data_set(options[0].data)
    return [one.run(data) for one in options]


def _reassigners(
    sentence_model: str, device: str, classes: tuple[str, ...], label_features: LabelFeatures | None
) -> Reassigners:
    """In whichever process evaluates."""
    sentences = OneByOne(_sentences(sentence_model, device))
    return Reassigners(classes, sentences, label_features, LexicalMatcher.find(classes))


def _sentences(name: str | None, device: str) -> SentenceEncoder:
    """Loaded once in a process, also for the runs of a sweep."""
    if (name, device) not in _encoders:
        found = sentence_encoder(name, None if device == "auto" else device)
        _encoders[name, device] = _encoders[name or found.name, device] = found
    return _encoders[name, device]


_encoders: dict[tuple[str | None, str], SentenceEncoder] = {}
