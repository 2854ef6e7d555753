"""A run as a report sees it: its settings, every figure, and how it is called in tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from zgcore.errors import EvaluationError
from zgcore.evaluation import formats, published
from zgcore.evaluation.records import SUMMARY, mean_seconds, read_failures, read_run, read_summary
from zgcore.evaluation.report_model import short
from zgcore.evaluation.run_settings import set_apart, written
from zgcore.evaluation.scored import LEXICAL, ST, TT
from zgcore.evaluation.summary_shape import check_summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from zgcore.evaluation.run_info import RunInfo

KIND_TITLES: Final = {TT: "TT", ST: "ST", LEXICAL: "lexical"}
DATA_TITLES: Final = {
    **published.DATA_TITLES,
    "coco": "COCO panoptic",
    "coco171": "COCO-Stuff",
    "ade": "ADE20K",
}
PAPER_SENTENCES: Final = "all-mpnet-base-v2"


@dataclass(frozen=True)
class Run:
    """path: its folder. name: in tables of several runs. summary: of summary.json. seconds: a stage, mean an image."""

    path: Path
    name: str
    info: RunInfo
    summary: Mapping[str, Any]
    failures: Sequence[tuple[str, str]]
    seconds: Mapping[str, float]

    @property
    def data_title(self) -> str:
        if self.info.data_set == "folder":
            return short(PurePath(self.info.data.partition(":")[2]).name or "a folder")
        return DATA_TITLES.get(self.info.data_set, self.info.data_set)

    @property
    def images(self) -> int:
        """Images that were scored."""
        return int(self.summary["images"])

    @property
    def kinds(self) -> list[str]:
        """Of reassignment, as far as this run has them."""
        return [kind for kind in KIND_TITLES if self.summary.get(kind)]

    @property
    def main_kind(self) -> str | None:
        """What the gallery goes by: ST, else what there is."""
        return ST if ST in self.kinds else next(iter(self.kinds), None)

    def figure(self, kind: str, name: str) -> float | None:
        """One of a kind's figures, None where it does not exist."""
        return (self.summary.get(kind) or {}).get(name)

    def bounds(self, kind: str, name: str) -> Sequence[float] | None:
        """Its interval."""
        return ((self.summary.get(kind) or {}).get("interval") or {}).get(name)


def open_run(path: Path) -> Run:
    """EvaluationError where the folder is no finished run."""
    info, summary = read_run(path), read_summary(path)
    try:
        check_summary(summary)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise EvaluationError(
            f"{path / SUMMARY} is damaged ({error}); make it again with `zeroguide eval report {path}`"
        ) from error
    return Run(path, info.predictor, info, summary, read_failures(path), mean_seconds(path))


def open_runs(paths: Iterable[Path]) -> list[Run]:
    """Several runs, named with what is set otherwise than in the preset: "crop, tau_merge 2". Where two would have one
    name still, the folder's stands beside it.
    """
    runs = [_with_settings(open_run(path)) for path in paths]
    often = Counter(run.name for run in runs)
    return [run if often[run.name] == 1 else replace(run, name=f"{run.name} ({run.path.name})") for run in runs]


def _with_settings(run: Run) -> Run:
    settings = (" ".join(written(*setting)) for setting in set_apart(run.info).items())
    return replace(run, name=", ".join([run.name, *settings]))


def facts(run: Run) -> tuple[tuple[str, str], ...]:
    """What a figure must never be shown without."""
    info = run.info
    subset = f" ({short(info.subset)})" if info.subset else ""
    classes = f"{formats.count(len(info.classes))} class{'' if len(info.classes) == 1 else 'es'}"
    return (
        ("preset", info.preset or "none"),
        ("predictor", info.predictor),
        ("data", f"{run.data_title}, {classes}"),
        ("images", f"{formats.count(run.images)} of {formats.count(info.samples)}{subset}"),
        ("sentence model", info.sentence_model or "none"),
    )


def notes(run: Run) -> tuple[str, ...]:
    """What a reader must know before any figure."""
    info, found = run.info, []
    if info.random_weights:
        found.append("Random weights: labels and figures mean nothing.")
    if info.preset and info.preset != "paper":
        found.append(
            f"Preset {info.preset}: its figures are not the paper's, which were measured with CLIP ViT-L/14@336 and "
            "GPT-2 medium. Published figures stand beside ours to show what the method is known to do."
        )
    if info.data_set not in published.DATA_TITLES:
        found.append(
            "The paper has no figures for this data set: the published ones are of Pascal Context and Pascal VOC, on "
            "other images and other classes."
        )
    if TT in run.kinds and PAPER_SENTENCES not in info.sentence_model:
        found.append(
            f"TT and text generation quality compare sentences with {info.sentence_model or 'an unnamed model'}; the "
            f"paper's with {PAPER_SENTENCES}. Cosines of different models are not comparable."
        )
    return (*found, *info.notes)
