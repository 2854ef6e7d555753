"""A study on disk: what is asked, of whom and in which order. Fixed before the first answer; rebuilds everything.

STUDY/study.json         settings, sources, strata and the rules that exclude raters
STUDY/questions.jsonl    one question a line, in the order of batches and of positions in them
STUDY/pictures/          what raters look at; names tell nothing
STUDY/instruction/       the page that explains the scale, with its pictures
STUDY/answers.csv        what raters said, once collected
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from ls_backend.files import atomic_write
from zgcore.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SCHEMA: Final = 1
SCORES: Final = (0, 1, 2, 3)
SETTINGS_FILE: Final = "study.json"
QUESTIONS_FILE: Final = "questions.jsonl"
ANSWERS_FILE: Final = "answers.csv"
PICTURES: Final = "pictures"
INSTRUCTION: Final = "instruction"

Kind = Literal["rated", "gold", "repeat"]
Labels = Literal["predicted", "reassigned"]
Size = Literal["small", "medium", "large"]


@dataclass(frozen=True)
class Rules:
    """Who is left out of the analysis that is cleaned. Fixed before collection; 0 turns a rule off.

    min_gold_accuracy: least share of a rater's gold answers that are among the expected ones.
    min_repeat_consistency: least share of a rater's repeated questions with two scores at most one apart.
    min_seconds: least median of a rater's seconds a question.
    max_same_score: largest share of one score among a rater's answers to rated questions.
    min_checks: with fewer gold answers, repeats or timed answers than this, the rule in question decides nothing.
    """

    min_gold_accuracy: float = 0.6
    min_repeat_consistency: float = 0.6
    min_seconds: float = 1.0
    max_same_score: float = 0.0
    min_checks: int = 2


@dataclass(frozen=True)
class Source:
    """A run that was sampled. method: its name in the study. kind: "run" (label, prelabel) or "evaluation".

    segments: how many could be asked. left_out: how many could not, by reason.
    """

    method: str
    kind: str
    path: str
    version: str
    images: int
    segments: int
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class StudySettings:
    """study.json. Everything that decides what the study asks; two studies of the same settings are the same files.

    seed: of all draws. labels: which label of a segment is asked about; reassigned_by: by which rule it was reassigned
    ("st", "tt" or "lexical"; empty for predicted labels). questions: how many were asked for, None for
    all that may be; rated: how many there are. per_task: questions a batch, of which `gold` have a known answer and
    `repeat` are asked twice. raters: distinct raters a question. per_image: rated questions an image at most.
    sizes: shares of the image at which segments begin to be medium, large.
    strata: segments, and rated questions, by method and size: {"ours": {"small": [120, 12]}}.
    gold_from: how many different gold questions came from where ("file", "truth", "far"); gold_rules: by what measures
    the made ones were found. See `ls_backend.studies.gold`.
    """

    title: str
    version: str
    seed: int
    labels: Labels
    questions: int | None
    rated: int
    per_task: int
    raters: int
    gold: int
    repeat: int
    per_image: int | None
    sizes: tuple[float, float]
    sources: tuple[Source, ...]
    strata: Mapping[str, Mapping[str, tuple[int, int]]]
    gold_from: Mapping[str, int]
    picture: Mapping[str, Any]
    rules: Rules
    reassigned_by: str = ""
    gold_rules: Mapping[str, float] = field(default_factory=dict)

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(source.method for source in self.sources)


@dataclass(frozen=True, slots=True)
class Question:
    """One question as it is asked once, in one place of one batch.

    id: tells nothing but the place. batch, position: both from 1. label, picture: what raters see, and all they see;
    picture: file name in pictures/. kind: "rated", "gold" (known answer) or "repeat" (of a rated one before it in the
    same batch). expected: the right scores of a gold question. repeat_of: id of the question that is asked again.
    method: name of the run; image: in the run; file: the photo; segment: index in the image; class_index: of a
    reassigned label, in the data set's classes. area: share of the image; size: by area. label_kind: see `label_kind`.
    height, width, counts: the segment's mask, as COCO's compressed run lengths.
    """

    id: str
    batch: int
    position: int
    kind: Kind
    label: str
    picture: str
    method: str
    image: str
    segment: int
    area: float
    size: Size
    label_kind: str
    file: str
    height: int
    width: int
    counts: str
    expected: tuple[int, ...] = ()
    repeat_of: str | None = None
    class_index: int | None = None


@dataclass(frozen=True)
class Shown:
    """What a rater may see of a question: nothing here tells method, image, kind or the right answer."""

    id: str
    label: str
    picture: str


@dataclass(frozen=True)
class Study:
    """A study that was read from a folder."""

    root: Path
    settings: StudySettings
    questions: tuple[Question, ...]

    @cached_property
    def by_id(self) -> Mapping[str, Question]:
        return {question.id: question for question in self.questions}

    @cached_property
    def batches(self) -> Mapping[int, tuple[Question, ...]]:
        """Questions by batch, in the order in which they are asked."""
        groups = itertools.groupby(self.questions, key=lambda question: question.batch)
        return {batch: tuple(questions) for batch, questions in groups}

    @property
    def pictures(self) -> Path:
        return self.root / PICTURES

    @property
    def instruction(self) -> Path:
        """Folder of index.html and the pictures of its examples."""
        return self.root / INSTRUCTION

    @property
    def answers(self) -> Path:
        return self.root / ANSWERS_FILE

    def shown(self, question: Question) -> Shown:
        return Shown(question.id, question.label, question.picture)

    def missing_pictures(self) -> list[str]:
        """Names of pictures that are not there: `study create` was stopped before its end."""
        return [
            name for name in dict.fromkeys(q.picture for q in self.questions) if not (self.pictures / name).exists()
        ]


def write_study(root: Path, settings: StudySettings, questions: Iterable[Question]) -> Study:
    """Write the manifest; the same arguments give the same bytes. OutputError where the folder cannot be written."""
    questions = tuple(questions)
    with atomic_write(root / QUESTIONS_FILE) as handle:
        for question in questions:
            handle.write(_compact(dataclasses.asdict(question)))
    with atomic_write(root / SETTINGS_FILE) as handle:
        handle.write(settings_json(settings))
    return Study(root, settings, questions)


def settings_json(settings: StudySettings) -> bytes:
    """The bytes of study.json."""
    body = {"schema": SCHEMA, **dataclasses.asdict(settings)}
    return json.dumps(body, allow_nan=False, indent=1, ensure_ascii=False).encode() + b"\n"


def load_study(root: Path) -> Study:
    """Read a study; its root is absolute. StudyError, naming file and cure, where it is none or damaged."""
    settings = _read_settings(root / SETTINGS_FILE)
    questions = tuple(_read_questions(root / QUESTIONS_FILE))
    _check(root, settings, questions)
    return Study(root.absolute(), settings, questions)  # Flask looks for relative paths elsewhere


def _read_settings(path: Path) -> StudySettings:
    try:
        body = json.loads(path.read_bytes())
        if body.pop("schema") != SCHEMA:
            raise StudyError(f"{path}: written by another version; create the study again with this one")
        return StudySettings(
            **{
                **body,
                "sizes": tuple(body["sizes"]),
                "sources": tuple(Source(**source) for source in body["sources"]),
                "strata": {
                    method: {size: tuple(counts) for size, counts in sizes.items()}
                    for method, sizes in body["strata"].items()
                },
                "rules": Rules(**body["rules"]),
            }
        )
    except FileNotFoundError as error:
        raise StudyError(f"{path.parent}: is no study; make one with zeroguide study create") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StudyError(f"{path}: damaged ({error}); create the study again") from error


def _read_questions(path: Path) -> Iterable[Question]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error}); create the study again") from error
    for number, line in enumerate(lines, start=1):
        try:
            body = json.loads(line)
            yield Question(**{**body, "expected": tuple(body["expected"])})
        except (ValueError, TypeError, KeyError) as error:
            raise StudyError(f"{path}, line {number}: damaged ({error}); create the study again") from error


def _check(root: Path, settings: StudySettings, questions: Sequence[Question]) -> None:
    """StudyError where questions do not fit each other or the settings."""
    path = root / QUESTIONS_FILE
    known = {question.id for question in questions}
    places = {(question.batch, question.position) for question in questions}
    if len(known) != len(questions) or len(places) != len(questions):
        raise StudyError(f"{path}: two questions have one id or one place; create the study again")
    if sum(question.kind == "rated" for question in questions) != settings.rated:
        raise StudyError(f"{path}: questions are missing; create the study again")
    for question in questions:
        if (
            question.kind not in get_args(Kind)
            or not set(question.expected) <= set(SCORES)
            or (question.kind == "gold") != bool(question.expected)
            or (question.kind == "repeat") != (question.repeat_of in known)
            or Path(question.picture).name != question.picture
        ):
            raise StudyError(f"{path}: question {question.id} is damaged; create the study again")


def _compact(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
