"""What is studied: run folders of label and prelabel, and evaluation runs, read one image at a time."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ls_backend.exports.read_run import is_run
from ls_backend.jobs.keys import path_of
from ls_backend.record import ImageRecord, RecordError
from ls_backend.run_folder import read_embeddings
from ls_backend.studies.sampling import Candidate
from zgcore.errors import StudyError
from zgcore.placement import clean_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ls_backend.studies.manifest import Labels
    from zgcore.evaluation.scored import ScoredImage

REASSIGNED_BY: Final = ("st", "tt", "lexical")
NO_PHOTO: Final = "images whose photo is not on this machine any more, or changed"
NO_LABEL: Final = "segments without a label"


@dataclass(frozen=True)
class RunImage:
    """One image of a run. photo: its file. digest: SHA-256 of the photo, empty where the run does not tell.

    candidates: what may be asked about. masks: run lengths as pycocotools takes them, one a segment of the run.
    """

    name: str
    photo: Path
    digest: str
    candidates: tuple[Candidate, ...]
    masks: tuple[Mapping[str, Any], ...]


@dataclass
class LabelRun:
    """What `zeroguide label` or `prelabel` wrote. method: its name in the study. left_out: what `images` left out."""

    method: str
    path: Path
    kind: str = "run"
    version: str = ""
    left_out: Counter[str] = field(default_factory=Counter)

    def images(self, only: Collection[str] | None = None) -> Iterator[RunImage]:
        """The images by name, or those of these names."""
        self.left_out.clear()
        for file in sorted((self.path / "results").glob("*.json")):
            if only is not None and file.stem not in only:
                continue
            try:
                record = ImageRecord.from_json(file.read_bytes())
            except (OSError, RecordError):
                self.left_out["images with a damaged record"] += 1
                continue
            photo = path_of(record.source.path)
            if record.error is not None:
                self.left_out["images that failed in the run"] += 1
            elif photo is None or not photo.is_file() or photo.stat().st_size != record.source.size:
                self.left_out[NO_PHOTO] += 1
            else:
                self.version = self.version or record.stamp.model_version
                yield self._image(record, photo)

    def _image(self, record: ImageRecord, photo: Path) -> RunImage:
        pixels = record.height * record.width
        candidates = [
            Candidate(self.method, record.name, index, label, segment.area / pixels, segment.score)
            for index, segment in enumerate(record.segments)
            if (label := clean_text(segment.label)) and segment.area
        ]
        if unnamed := len(record.segments) - len(candidates):
            self.left_out[NO_LABEL] += unnamed
        masks = tuple(record.rle(index) for index in range(len(record.segments)))
        return RunImage(record.name, photo, record.source.sha256, tuple(candidates), masks)

    def embeddings(self, image: str) -> NDArray[np.float32] | None:
        """(n, d) float32, one row a segment; None where they are lost."""
        return read_embeddings(self.path / "results" / f"{image}.npz")


@dataclass
class EvaluationRun:
    """What `zeroguide eval` wrote. reassigned_by: "st", "tt" or "lexical" to ask about reassigned labels, else None.

    A reassigned label is asked about where its similarity reaches the run's threshold.
    """

    method: str
    path: Path
    reassigned_by: str | None = None
    kind: str = "evaluation"
    version: str = ""
    left_out: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        from zgcore.evaluation.records import read_run

        self.info = read_run(self.path)
        self.version = f"{self.info.predictor} {self.info.preset} on {self.info.data_set}"

    def images(self, only: Collection[str] | None = None) -> Iterator[RunImage]:
        """The images in the data set's order, or those of these names."""
        from zgcore.evaluation.records import read_segments

        self.left_out.clear()
        for name, segments in itertools.groupby(read_segments(self.path), key=lambda segment: segment.image):
            if only is not None and name not in only:
                continue
            found = list(segments)
            photo = Path(found[0].file)
            if not photo.is_file():
                self.left_out[NO_PHOTO] += 1
                continue
            candidates = tuple(candidate for segment in found if (candidate := self._candidate(segment)))
            yield RunImage(name, photo, "", candidates, tuple(segment.mask for segment in found))

    def _candidate(self, segment: Any) -> Candidate | None:
        label, class_index = clean_text(segment.text), None
        if self.reassigned_by is not None:
            class_index, name, similarity = segment.reassigned.get(self.reassigned_by, (-1, "", 0.0))
            if class_index < 0 or similarity < self._threshold:
                self.left_out["segments that are no class of the data set"] += 1
                return None
            label = clean_text(name)
        height, width = segment.mask["size"]
        if not label or not segment.area:
            self.left_out[NO_LABEL] += 1
            return None
        area = min(1.0, segment.area / (height * width))
        return Candidate(self.method, segment.image, segment.segment, label, area, segment.score, class_index)

    @property
    def _threshold(self) -> float:
        return {"st": self.info.threshold_st, "tt": self.info.threshold_tt}.get(self.reassigned_by or "", 0.0)

    def scored(self) -> Iterator[ScoredImage]:
        """The images with their overlap with the truth."""
        from zgcore.evaluation.records import read_scored

        return read_scored(self.path)


Run = LabelRun | EvaluationRun


def open_runs(
    names: Sequence[str], labels: Labels, methods: Sequence[str] | None = None, reassigned_by: str = "st"
) -> list[Run]:
    """The runs that were named, as FOLDER or METHOD=FOLDER. methods: of these only.

    StudyError where a folder is no run, two methods have one name, or a run has no reassigned labels to ask about.
    """
    runs: dict[str, Run] = {}
    for name in names:
        method, folder = split_name(name)
        if method in runs:
            raise StudyError(f'two methods are called "{method}"; name them: FIRST=DIR SECOND=DIR')
        runs[method] = _open(method, folder, labels, reassigned_by)
    unknown = [method for method in methods or () if method not in runs]
    if unknown:
        raise StudyError(f'there is no method "{unknown[0]}" among {", ".join(runs)}; name it: {unknown[0]}=DIR')
    return [run for method, run in runs.items() if methods is None or method in methods]


def split_name(name: str) -> tuple[str, Path]:
    """FOLDER or METHOD=FOLDER as method and folder."""
    method, equals, folder = name.partition("=")
    if equals and method and not Path(name).exists():
        return clean_text(method), Path(folder)
    path = Path(name)
    return clean_text(path.name or path.resolve().name), path


def run_kind(folder: Path) -> Literal["run", "evaluation"] | None:
    """What wrote the folder: label or prelabel, or eval; None for neither."""
    if (folder / "segments.parquet").is_file():
        return "evaluation"
    return "run" if is_run(folder) else None


def _open(method: str, folder: Path, labels: Labels, reassigned_by: str) -> Run:
    kind = run_kind(folder)
    if kind == "evaluation":
        return EvaluationRun(method, folder, reassigned_by if labels == "reassigned" else None)
    if kind is None:
        raise StudyError(f"{folder} is no run: name a folder that zeroguide label, prelabel or eval wrote")
    if labels == "reassigned":
        raise StudyError(f"{folder} has no reassigned labels; they come from zeroguide eval, or take --score predicted")
    return LabelRun(method, folder)
