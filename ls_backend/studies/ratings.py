"""Answers as arrays: who said what about which question, and what is known of the question."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from ls_backend.studies.answers import moment
from ls_backend.studies.label_kinds import label_kind
from ls_backend.studies.shared_names import told_apart

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from ls_backend.studies.answers import Answer
    from ls_backend.studies.manifest import Study


_RATER_NUMBER: Final = re.compile(
    r"[1-9][0-9]{0,3}", re.ASCII
)  # as `study collect` gives them; longer ones may be accounts


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a question; empty where it is not.

    of: the question that a repeat asks again. mask: the same for two questions only if they are about the same pixels
    of the same image. picture: file name.
    """

    method: str = ""
    image: str = ""
    segment: str = ""
    label: str = ""
    kind: str = "rated"
    expected: tuple[int, ...] = ()
    of: str = ""
    size: str = ""
    label_kind: str = ""
    mask: str = ""
    picture: str = ""


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class Ratings:
    """n answers of r raters to q questions, in the order in which they were given.

    raters, questions: names. facts: one a question. rater, question: (n,) int32, numbers of them. score: (n,) int8.
    seconds, time: (n,) float64, NaN where unknown; time in seconds since 1970. dropped: answers that were left out, by
    reason.
    """

    raters: tuple[str, ...]
    questions: tuple[str, ...]
    facts: tuple[Facts, ...]
    rater: NDArray[np.int32]
    question: NDArray[np.int32]
    score: NDArray[np.int8]
    seconds: NDArray[np.float64]
    time: NDArray[np.float64]
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.score)

    def numbers(self, name: str) -> tuple[tuple[str, ...], NDArray[np.int32]]:
        """Values of a fact, in alphabetical order, and (q,) the number of each question's; -1 where it is empty."""
        values = [getattr(fact, name) for fact in self.facts]
        known = tuple(sorted(set(values) - {""}))
        place = {value: number for number, value in enumerate(known)}
        return known, np.array([place.get(value, -1) for value in values], dtype=np.int32)

    @cached_property
    def rater_numbers(self) -> tuple[int, ...]:
        """The only names of raters that leave the analysis: theirs where these are numbers already, else 1, 2, ..."""
        if all(_RATER_NUMBER.fullmatch(name) for name in self.raters):
            return tuple(int(name) for name in self.raters)
        return tuple(range(1, len(self.raters) + 1))

    @cached_property
    def image(self) -> NDArray[np.int32]:
        """(q,) numbers of the images, -1 where unknown."""
        return self.numbers("image")[1]

    @cached_property
    def cluster(self) -> NDArray[np.int32]:
        """(q,) what is drawn as a whole in a bootstrap: the image, or a question by itself where that is not known."""
        alone = self.image < 0
        found = self.image.copy()
        found[alone] = self.image.max(initial=-1) + 1 + np.arange(np.count_nonzero(alone))
        return found

    @cached_property
    def clusters(self) -> int:
        return int(self.cluster.max(initial=-1)) + 1

    @cached_property
    def rated(self) -> NDArray[np.bool_]:
        """(n,) whether the answer counts as a result: no gold question and no repeat."""
        return np.array([fact.kind == "rated" for fact in self.facts], dtype=np.bool_)[self.question]

    def round(self, kept: NDArray[np.bool_]) -> NDArray[np.int32]:
        """(n,) which answer to its question each of the kept ones is, from 0: the paper's batches of raters."""
        order = np.argsort(self.question[kept], kind="stable")
        question = self.question[kept][order]
        first = np.r_[True, question[1:] != question[:-1]] if len(question) else np.zeros(0, dtype=np.bool_)
        start = np.maximum.accumulate(np.where(first, np.arange(len(question)), 0))
        rank = np.empty(len(question), dtype=np.int32)
        rank[order] = np.arange(len(question)) - start
        found = np.full(len(kept), -1, dtype=np.int32)
        found[kept] = rank
        return found


def ratings_of(
    answers: Iterable[Answer], facts: Mapping[str, Facts] | None = None, *, bad: int = 0, missing: int = 0
) -> Ratings:
    """Arrays of a study's answers.

    facts: of every question, by its id; answers to others are left out. Without it the answers' own columns tell, and
    questions that share a name are told apart by them. Where a rater answered a question twice the first answer counts.
    bad, missing: rows that the reader had to leave out, and those without a score.
    """
    answers = list(answers)
    dropped = Counter({"missing ratings": missing, "rows that cannot be read": bad})
    if facts is None:
        answers = told_apart(answers)
        facts = _own_facts(answers)
    else:
        known = [answer for answer in answers if answer.question in facts]
        dropped["answers to questions that are not in the study"] = len(answers) - len(known)
        answers = known
    times = np.array([moment(answer.answered_at) for answer in answers], dtype=np.float64)
    if len(times) and not np.isnan(times).any():
        answers = [answers[row] for row in np.argsort(times, kind="stable")]
        times = np.sort(times)
    first: dict[tuple[str, str], int] = {}
    for row, answer in enumerate(answers):
        first.setdefault((answer.rater, answer.question), row)
    kept = [answers[row] for row in first.values()]
    dropped["second answers of a rater to a question"] = len(answers) - len(kept)
    raters, rater = _numbered([answer.rater for answer in kept])
    questions, question = _numbered([answer.question for answer in kept])
    return Ratings(
        raters=raters,
        questions=questions,
        facts=tuple(facts[name] for name in questions),
        rater=rater,
        question=question,
        score=np.array([answer.score for answer in kept], dtype=np.int8),
        seconds=np.array([np.nan if a.seconds is None else a.seconds for a in kept], dtype=np.float64),
        time=times[list(first.values())],
        dropped={reason: count for reason, count in dropped.items() if count},
    )


def study_facts(study: Study) -> dict[str, Facts]:
    """What a manifest knows of its questions."""
    return {
        question.id: Facts(
            method=question.method,
            image=question.image,
            segment=str(question.segment),
            label=question.label,
            kind=question.kind,
            expected=question.expected,
            of=question.repeat_of or "",
            size=question.size,
            label_kind=question.label_kind,
            mask=_digest(question.image, question.counts),
            picture=question.picture,
        )
        for question in study.questions
    }


def _own_facts(answers: Sequence[Answer]) -> dict[str, Facts]:
    """What answers say of their questions; of several that differ, the first that says something."""
    found: dict[str, dict] = {}
    for answer in answers:
        fact = found.setdefault(answer.question, {})
        for name in ("method", "image", "segment", "label", "kind", "expected", "of"):
            if not fact.get(name):
                fact[name] = getattr(answer, name)
    for fact in found.values():
        fact["kind"] = fact["kind"] or ("gold" if fact["expected"] else "repeat" if fact["of"] else "rated")
        fact["label_kind"] = label_kind(fact["label"]) if fact["label"] else ""
    return {name: Facts(**fact) for name, fact in found.items()}


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _numbered(names: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Names in the order of their first use, and (n,) the number of each."""
    place: dict[str, int] = {}
    numbers = [place.setdefault(name, len(place)) for name in names]
    return tuple(place), np.array(numbers, dtype=np.int32)
