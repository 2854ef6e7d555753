"""Questions of a table without a manifest that share a name, such as one picture that is asked about for two methods.

Many tables number the pictures and not the questions: q1 with a label of method A and q1 with a label of method B.
Where method, image or segment differ these are different questions, or one method's answers would pass for second
answers.
"""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ls_backend.studies.answers import Answer

TELLING: Final = ("method", "image", "segment")
_cells = attrgetter(*TELLING)

Cells = tuple[str, ...]


class _Shared(NamedTuple):
    """A name that questions share. columns: of `TELLING`, those that differ. names: new ones, by the cells of these."""

    columns: tuple[int, ...]
    names: dict[Cells, str]

    def name(self, answer: Answer) -> str | None:
        """What the question that an answer's cells tell of is called; None where there is none."""
        return self.names.get(_picked(_cells(answer), self.columns))


def told_apart(answers: Sequence[Answer]) -> list[Answer]:
    """The answers, in their order, with a name for each question that no other question has.

    A blank cell takes the question's only value of that column. The names of questions that shared one end in what
    tells them apart: "q1 (method ours)". A repeat of such a question points at the one that its own columns name.
    """
    shared = _shared_names(answers)
    return [_renamed(answer, shared) for answer in answers] if shared else list(answers)


def _shared_names(answers: Iterable[Answer]) -> dict[str, _Shared]:
    first: dict[str, Cells] = {}
    several: dict[str, dict[Cells, None]] = {}
    for answer in answers:
        cells = _cells(answer)
        known = first.setdefault(answer.question, cells)
        if cells != known:
            several.setdefault(answer.question, {known: None})[cells] = None
    taken = set(first)
    found = {question: _shared(question, list(seen), taken) for question, seen in several.items()}
    return {question: shared for question, shared in found.items() if shared.columns}


def _shared(question: str, seen: Sequence[Cells], taken: set[str]) -> _Shared:
    """seen: the different cells of the question. No columns where only some are blank. Adds the names to `taken`."""
    columns = tuple(at for at, column in enumerate(zip(*seen, strict=True)) if len(set(column) - {""}) > 1)
    names: dict[Cells, str] = {}
    for cells in seen if columns else ():
        picked = _picked(cells, columns)
        if picked not in names:
            words = ", ".join(f"{TELLING[at]} {cell or '?'}" for at, cell in zip(columns, picked, strict=True))
            names[picked] = _unused(f"{question} ({words})", taken)
    return _Shared(columns, names)


def _picked(cells: Cells, columns: Iterable[int]) -> Cells:
    return tuple(cells[at] for at in columns)


def _unused(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    taken.add(name)
    return name


def _renamed(answer: Answer, shared: dict[str, _Shared]) -> Answer:
    question = shared[answer.question].name(answer) if answer.question in shared else None
    of = shared[answer.of].name(answer) if answer.of in shared else None
    if question is None and of is None:
        return answer
    return replace(answer, question=question or answer.question, of=of or answer.of)
