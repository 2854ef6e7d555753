"""Questions into batches: what one rater answers in one sitting, in an order that tells nothing.

A batch of 30 has 27 rated questions, 2 gold ones and 1 repeat (defaults). Golden answers that fit and that do not are
dealt in turns, so that a rater who gives the same score to everything fails some. A repeat comes back in its own batch,
so that the same rater meets it twice, and at least a third of the batch later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from ls_backend.studies.sampling import Candidate, draw, shuffled
from zgcore.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ls_backend.studies.gold import GoldQuestion
    from ls_backend.studies.manifest import Kind

APART: Final = 3  # a repeat comes at least this part of the batch later
Key = tuple[str, str, int]


class Place(NamedTuple):
    """A place in a batch. candidate: what is asked about, with the label that is shown. of: index of a repeat's first
    place in its batch.
    """

    candidate: Candidate
    kind: Kind
    expected: tuple[int, ...] = ()
    of: int | None = None


@dataclass(frozen=True)
class BatchSizes:
    """per_task: questions a batch, among them `gold` with known answers and `repeat` that are asked again."""

    per_task: int = 30
    gold: int = 2
    repeat: int = 1

    def __post_init__(self) -> None:
        if min(self.gold, self.repeat) < 0 or self.rated < max(1, self.repeat):
            raise StudyError(
                f"a task of {self.per_task} questions with {self.gold} gold ones and {self.repeat} repeated leaves "
                f"{self.rated} to be rated; there must be at least one, and as many as are repeated"
            )

    @property
    def rated(self) -> int:
        return self.per_task - self.gold - self.repeat

    def batches(self, questions: int) -> int:
        """How many batches that many rated questions need; the last one may be smaller."""
        return -(-questions // self.rated)


def arrange(
    rated: Sequence[Candidate], gold: Sequence[GoldQuestion], sizes: BatchSizes, seed: int
) -> Iterator[list[Place]]:
    """The batches, each in the order in which it is asked."""
    order = shuffled(rated, seed, "batches", key=lambda candidate: candidate.key)
    dealer = _GoldDealer(gold, seed)
    for number, start in enumerate(range(0, len(order), sizes.rated), start=1):
        here = order[start : start + sizes.rated]
        places = [Place(candidate, "rated") for candidate in here]
        places += [Place(one.candidate, "gold", one.expected) for one in dealer.deal(sizes.gold, here)]
        mixed = shuffled(range(len(places)), seed, "order", number)
        yield _with_repeats([places[index] for index in mixed], sizes.repeat, seed, number)


def _with_repeats(places: list[Place], count: int, seed: int, batch: int) -> list[Place]:
    """Put repeats of early rated questions in, in random later places."""
    gap = max(2, len(places) // APART)
    rated = [index for index, place in enumerate(places) if place.kind == "rated"]
    early = [index for index in rated if index + gap <= len(places)][: max(count, len(places) // APART)]
    firsts = shuffled(early, seed, "repeat", batch)[:count] or rated[:count]
    later: dict[int, list[int]] = {}
    for first in firsts:
        at = min(first + gap, len(places))
        at += draw(seed, "again", batch, first) % (len(places) - at + 1)
        later.setdefault(at, []).append(first)
    result: list[Place] = []
    moved: dict[int, int] = {}
    for index in range(len(places) + 1):
        result += [places[first]._replace(kind="repeat", of=moved[first]) for first in later.get(index, [])]
        if index < len(places):
            moved[index] = len(result)
            result.append(places[index])
    return result


class _GoldDealer:
    """Deals gold questions in turns: those that fit and those that do not, each set round and round."""

    def __init__(self, gold: Sequence[GoldQuestion], seed: int) -> None:
        mixed = shuffled(gold, seed, "deal", key=lambda one: (*one.candidate.key, one.candidate.label))
        self._sets = [[one for one in mixed if one.is_high], [one for one in mixed if not one.is_high]]
        self._sets = [questions for questions in self._sets if questions]
        self._next = [0] * len(self._sets)
        self._turn = 0

    def deal(self, count: int, rated: Sequence[Candidate]) -> list[GoldQuestion]:
        """`count` different questions for a batch, about images that are not in it as far as there are such.

        The same segment twice in a batch, with two labels, would tell which is gold: that is the last resort.
        StudyError for too few.
        """
        dealt: list[GoldQuestion] = []
        segments = {candidate.key for candidate in rated}
        images = {candidate.image for candidate in rated}
        taken: list[Key] = []
        for _ in range(count):
            found = self._take(images, segments) or self._take(set(), segments) or self._take(set(), set(taken))
            if found is None:
                raise StudyError(
                    f"there are not enough gold questions for {count} a task; add some with --gold-file, or ask for "
                    f"fewer with --gold"
                )
            dealt.append(found)
            segments.add(found.candidate.key)
            taken.append(found.candidate.key)
            images.add(found.candidate.image)
        return dealt

    def _take(self, images: set[str], segments: set[Key]) -> GoldQuestion | None:
        """The next question about none of these, of the set whose turn it is, else of the other one."""
        for turn in range(self._turn, self._turn + len(self._sets)):
            number = turn % len(self._sets)
            questions, start = self._sets[number], self._next[number]
            for step in range(len(questions)):
                one = questions[(start + step) % len(questions)]
                if one.candidate.image not in images and one.candidate.key not in segments:
                    self._next[number] = (start + step + 1) % len(questions)
                    self._turn = number + 1
                    return one
        return None
