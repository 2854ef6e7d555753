"""Answers of made raters, whose habits are known, and studies to go with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ls_backend.studies.answers import Answer
from ls_backend.studies.manifest import Question, Rules, Source, StudySettings, write_study

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ls_backend.studies.manifest import Study

Habit = "Callable[[int, np.random.Generator], int]"  # true score -> what the rater says


def honest(score: int, rng: np.random.Generator) -> int:
    """Right in three of four answers, otherwise one off."""
    return score if rng.random() < 0.75 else int(np.clip(score + rng.choice((-1, 1)), 0, 3))


def harsh(score: int, rng: np.random.Generator) -> int:
    return max(0, honest(score, rng) - 1)


def lenient(score: int, rng: np.random.Generator) -> int:
    return min(3, honest(score, rng) + 1)


def random(score: int, rng: np.random.Generator) -> int:
    return int(rng.integers(0, 4))


def answers(
    true: NDArray[np.int64], raters: int, habits: Mapping[int, Habit] | None = None, seed: int = 0, per_image: int = 5
) -> list[Answer]:
    """Three answers a question; raters, called "p0" ..., take turns, and those without a habit are honest."""
    rng = np.random.default_rng(seed)
    found = []
    for turn in range(3):
        for question, score in enumerate(true):
            rater = int((question + turn * (1 + question // raters)) % raters)
            habit = (habits or {}).get(rater, honest)
            said = habit(int(score), rng)
            found.append(Answer(f"p{rater}", f"q{question}", said, image=f"i{question // per_image}"))
    return found


def study(root: Path, questions: Sequence[Question], rules: Rules | None = None, **settings: Any) -> Study:
    """A study's folder with these questions, and without pictures. settings: that are not the defaults."""
    sources = (Source("ours", "run", "/nowhere", "1", 1, 1), Source("other", "run", "/nowhere", "1", 1, 1))
    values = {
        "title": "Made study", "version": "1", "seed": 0, "labels": "predicted", "questions": None,
        "rated": sum(q.kind == "rated" for q in questions), "per_task": 30, "raters": 3, "gold": 2, "repeat": 1,
        "per_image": None, "sizes": (0.01, 0.1), "sources": sources, "strata": {}, "gold_from": {}, "picture": {},
    }  # fmt: skip
    root.mkdir(parents=True, exist_ok=True)
    return write_study(root, StudySettings(**{**values, "rules": rules or Rules(), **settings}), questions)


def question(number: int, **more: Any) -> Question:
    """A rated question about a segment of its own; `more` says what is different."""
    values = {
        "id": f"q{number}", "batch": 1, "position": number + 1, "kind": "rated", "label": f"label {number}",
        "picture": f"{number}.jpg", "method": "ours", "image": f"image{number // 2}", "segment": number, "area": 0.05,
        "size": "medium", "label_kind": "two words", "file": "/nowhere.jpg", "height": 4, "width": 4,
        "counts": f"mask{number}",
    }  # fmt: skip
    return Question(**{**values, **more})
