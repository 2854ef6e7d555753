"""Questions whose answer is known, which tell who reads before rating.

Three kinds, by how sure the answer is:

file   what the user wrote down in --gold-file: as sure as the user is. The only way to a right "3" without a data set.
truth  of evaluation runs, by the data set's annotation. Expected 2 or 3: the true class of a segment that is that class
       in nearly all of its pixels and covers most of it. Expected 0: a class that is not in the image, and in no image
       of the run together with any class that is.
far    of other runs: a segment with the label of a segment of another photo. Expected 0, and 1 is accepted: a label
       that is chosen without knowing the photo may hold for a part of what is there. In the model's own space that
       segment is less like every segment of this photo than two segments are on average, and among the fifth that is
       least like them. Nobody has checked it: the model may have drawn or named one of the two wrongly, in just such a
       way. Both are therefore among the better half by the model's score, vague words are not used, and no word of the
       label may be in the labels of the photo. Look at gold.csv in the study, and give back the rows that are right
       with --gold-file.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from ls_backend.studies.answers import plain_cell, safe_cell
from ls_backend.studies.manifest import SCORES
from ls_backend.studies.sampling import MEDIUM, draw, shuffled
from ls_backend.studies.sources import EvaluationRun, LabelRun
from zgcore.errors import StudyError
from zgcore.placement import clean_text
from zgcore.vocabulary.normalise import normalise

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ls_backend.studies.sampling import Candidate
    from ls_backend.studies.sources import Run
    from zgcore.evaluation.scored import ScoredImage

Origin = Literal["file", "truth", "far"]

COLUMNS: Final = ("method", "image", "segment", "label", "expected")
NEEDED: Final = {"image", "segment", "expected"}
EXPECTED: Final = {"high": (2, 3), "low": (0,)}
EXPECTED_FAR: Final = (0, 1)
_INDEX: Final = re.compile(r"[0-9]{1,9}")
DONORS: Final = 1000  # labels to choose from
FAR: Final = 0.2  # share of them that count as far from a photo
FEWEST: Final = 3  # photos they must be from
PURE, WHOLE = 0.95, 0.8  # share of a segment's pixels that are of one class; its IoU with that class
GOLD_RULES: Final = {"far": FAR, "pure": PURE, "whole": WHOLE, "least_area": MEDIUM}  # for the manifest
# Words that are right, or not wholly wrong, for nearly anything.
VAGUE: Final = frozenset(
    ["thing", "object", "item", "stuff", "something", "other", "picture", "image", "photo", "photograph", "scene",
     "view", "background", "foreground", "area", "section", "place", "part", "detail", "side", "piece", "edge",
     "corner", "surface", "color", "shape", "pattern", "texture", "light", "shadow"]
)  # fmt: skip


@dataclass(frozen=True)
class GoldQuestion:
    """A segment with a label, right or wrong, and the scores that are right."""

    candidate: Candidate
    expected: tuple[int, ...]
    origin: Origin

    @property
    def is_high(self) -> bool:
        """Whether the label fits."""
        return min(self.expected) >= 2


def read_gold(path: Path, frame: Iterable[Candidate]) -> list[GoldQuestion]:
    """The rows of a CSV with the columns image, segment (from 0) and expected ("0", or "2|3"), and where they are
    needed method and label (else the segment's own). StudyError, naming the row, for what is not in the runs.
    """
    known = {candidate.key: candidate for candidate in frame}
    methods = {method for method, _, _ in known}
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, ValueError, csv.Error) as error:
        raise StudyError(f"{path}: cannot be read as CSV in UTF-8 ({error})") from error
    if rows and not rows[0].keys() >= NEEDED:
        raise StudyError(
            f"{path}: the first line must name the columns image, segment and expected, with commas between"
        )
    found = []
    for number, row in enumerate(rows, start=2):
        method = row.get("method") or (next(iter(methods)) if len(methods) == 1 else "")
        segment = (row.get("segment") or "").strip()
        candidate = known.get((method, row.get("image") or "", int(segment) if _INDEX.fullmatch(segment) else -1))
        if candidate is None:
            raise StudyError(
                f"{path}, line {number}: no such segment in the runs; give method, image and segment (from 0) as "
                "questions.jsonl has them"
            )
        label = clean_text(plain_cell(row.get("label") or "")) or candidate.label
        expected = _expected(row.get("expected") or "", f"{path}, line {number}")
        found.append(GoldQuestion(replace(candidate, label=label), expected, "file"))
    return found


def _expected(text: str, where: str) -> tuple[int, ...]:
    known = {str(score): score for score in SCORES}
    parts = [part.strip() for part in text.split("|")]
    if not all(part in known for part in parts):
        raise StudyError(f'{where}: expected is {text!r}; write scores from 0 to 3, several as "2|3"')
    return tuple(sorted({known[part] for part in parts}))


def gold_csv(questions: Iterable[GoldQuestion]) -> bytes:
    """The questions in the form that --gold-file takes."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow((*COLUMNS, "origin"))
    for question in questions:
        one = question.candidate
        expected = "|".join(map(str, question.expected))
        rows.writerow((one.method, one.image, one.segment, safe_cell(one.label), expected, question.origin))
    return text.getvalue().encode()


def made_gold(
    run: Run, frame: Sequence[Candidate], avoid: Collection[tuple[str, str, int]], high: int, low: int, seed: int
) -> list[GoldQuestion]:
    """Up to `high` questions whose label fits and `low` whose label does not. frame: the run's candidates.

    avoid: segments that are asked about anyway; they are taken last.
    """
    targets = shuffled((one for one in frame if one.area >= MEDIUM), seed, "gold", key=lambda one: one.key)
    targets.sort(key=lambda one: one.key in avoid)
    targets = _image_by_image(targets)
    if isinstance(run, EvaluationRun):
        return list(_by_truth(run, targets, high, low, seed))
    return list(_far_labels(run, frame, targets, low, seed))


def _image_by_image(candidates: Iterable[Candidate]) -> list[Candidate]:
    """One candidate of each image, then a second one of each, and so on."""
    turns: Counter[str] = Counter()

    def turn(candidate: Candidate) -> int:
        turns[candidate.image] += 1
        return turns[candidate.image]

    return sorted(candidates, key=turn)


def words(label: str) -> frozenset[str]:
    """The words of a label in their normal forms."""
    return frozenset(normalise(word).form or word for word in label.split())


def _far_labels(
    run: LabelRun, frame: Sequence[Candidate], targets: Iterable[Candidate], count: int, seed: int
) -> Iterator[GoldQuestion]:
    by_image: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in frame:
        by_image[candidate.image].append(candidate)
    middle = float(np.median([candidate.score for candidate in frame])) if frame else 0.0
    donors = _Donors.of(run, [one for one in frame if one.score >= middle and not words(one.label) & VAGUE], seed)
    for target in targets:
        if count <= 0 or donors is None:
            return
        if target.score < middle:
            continue
        label = donors.far_label(run, target, by_image[target.image], seed)
        if label is not None:
            count -= 1
            yield GoldQuestion(replace(target, label=label, class_index=None), EXPECTED_FAR, "far")


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class _Donors:
    """Labels with the directions of their segments: (m, d) float32 of length 1, about `centre`, (d,)."""

    candidates: Sequence[Candidate]
    directions: NDArray[np.float32]
    centre: NDArray[np.float32]

    @classmethod
    def of(cls, run: LabelRun, candidates: Iterable[Candidate], seed: int) -> _Donors | None:
        """None where there are not enough segments with embeddings to tell near from far."""
        found: list[tuple[Candidate, NDArray[np.float32]]] = []
        for candidate in shuffled(candidates, seed, "donor", key=lambda one: one.key)[:DONORS]:
            rows = run.embeddings(candidate.image)
            size = len(found[0][1]) if found else None
            if rows is not None and candidate.segment < len(rows) and rows.shape[1] and size in (None, rows.shape[1]):
                found.append((candidate, rows[candidate.segment]))
        if len({candidate.image for candidate, _ in found}) < FEWEST:
            return None
        embeddings = _unit(np.stack([row for _, row in found]))
        centre = embeddings.mean(axis=0)
        return cls([candidate for candidate, _ in found], _unit(embeddings - centre), centre)

    def far_label(self, run: LabelRun, target: Candidate, others: Iterable[Candidate], seed: int) -> str | None:
        """The label of a donor that is far from every segment of the target's image; None where there is none."""
        rows = run.embeddings(target.image)
        if rows is None or rows.shape[1] != len(self.centre):
            return None
        nearest = (self.directions @ _unit(_unit(rows) - self.centre).T).max(axis=1)  # (m,)
        here = frozenset[str]().union(*(words(other.label) for other in others))
        far = np.flatnonzero(nearest <= min(0.0, float(np.quantile(nearest, FAR))))
        donors = (self.candidates[int(place)] for place in far)
        labels = {donor.label for donor in donors if donor.image != target.image and not words(donor.label) & here}
        return min(labels, key=lambda label: draw(seed, "far", *target.key, label), default=None)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def _by_truth(
    run: EvaluationRun, targets: Iterable[Candidate], high: int, low: int, seed: int
) -> Iterator[GoldQuestion]:
    pure: dict[tuple[str, int], int] = {}
    whole: set[tuple[str, int]] = set()
    together: dict[int, set[int]] = defaultdict(set)
    present: dict[str, frozenset[int]] = {}
    for image in run.scored():
        present[image.name] = frozenset(int(k) for k in image.overlap.classes)
        for one in present[image.name]:
            together[one] |= present[image.name]
        for segment, (class_index, is_whole) in pure_segments(image).items():
            pure[image.name, segment] = class_index
            if is_whole:
                whole.add((image.name, segment))
    left = {"high": high, "low": low}
    for target in targets:
        place = (target.image, target.segment)
        if place not in pure:
            continue
        if left["high"] and place in whole:
            name, kind = run.info.classes[pure[place]], "high"
        elif left["low"] and (absent := absent_classes(run.info.classes, present[target.image], together)):
            name = min(absent, key=lambda name: draw(seed, "absent", *target.key, name))
            kind = "low"
        else:
            continue
        left[kind] -= 1
        yield GoldQuestion(replace(target, label=clean_text(name), class_index=None), EXPECTED[kind], "truth")


def pure_segments(image: ScoredImage) -> dict[int, tuple[int, bool]]:
    """Segments that are of one class in nearly all pixels: the class, and whether they cover most of it, too."""
    overlap = image.overlap
    if not len(overlap.classes):
        return {}
    shared = overlap.members.T.astype(np.int64) @ overlap.counts  # (n, g)
    truth = overlap.counts.sum(axis=0)  # (g,)
    found = {}
    for segment, counts in enumerate(shared):
        best = int(counts.argmax())
        area = int(image.areas[segment])
        if area and counts[best] >= PURE * area:  # void pixels are in the area and speak against it
            iou = counts[best] / (area + truth[best] - counts[best])
            found[segment] = (int(overlap.classes[best]), bool(iou >= WHOLE))
    return found


def absent_classes(classes: Sequence[str], present: frozenset[int], together: Mapping[int, set[int]]) -> list[str]:
    """Names of classes of the run that are never in an image with any of these."""
    near = set().union(*(together[one] for one in present))
    return [classes[index] for index in sorted(together) if index not in near and index not in present]
