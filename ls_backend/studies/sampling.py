"""Which segments are asked about: a stratified random sample that depends on the seed and on nothing else.

Every draw is the order of digests of the seed and of what is drawn: the same on every machine, whatever the order of
files and the versions of libraries.

Methods get equal shares of the questions. Within a method, segments that lie next to each other in a list by size and
image are taken at equal steps from a random start (systematic sampling with implicit stratification: Cochran, Sampling
Techniques, chapter 8). So each size has its share of the segments to within one question, images are spread evenly, and
every segment has the same chance: means over the sample estimate means over the segments. `per_image` takes segments
of crowded images out before that, and of those that are left each size still has its share of all segments, as far as
there are enough: which segments of an image stay depends on what was kept of the others.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

from ls_backend.studies.manifest import Size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

SIZES: Final[tuple[Size, ...]] = get_args(Size)
MEDIUM, LARGE = 0.01, 0.1  # shares of the image from which on segments are medium, large
_DRAWS: Final = 1 << 64

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A segment that may be asked about; see `Question`. score: the model's own, a cosine."""

    method: str
    image: str
    segment: int
    label: str
    area: float
    score: float
    class_index: int | None = None

    @property
    def size(self) -> Size:
        return size_of(self.area)

    @property
    def key(self) -> tuple[str, str, int]:
        """What it is known by in a study."""
        return self.method, self.image, self.segment


def size_of(area: float) -> Size:
    """By the share of the image."""
    return "large" if area >= LARGE else "medium" if area >= MEDIUM else "small"


def draw(seed: int, *what: object) -> int:
    """A number in 0 .. 2^64 - 1 that is as good as random."""
    text = "\0".join(map(str, (seed, *what)))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def shuffled(items: Iterable[T], seed: int, *purpose: object, key: Any = lambda item: item) -> list[T]:
    """The items in a random order, that of the draws for `key(item)`."""
    return sorted(items, key=lambda item: (draw(seed, *purpose, key(item)), key(item)))


def sample(frame: Iterable[Candidate], questions: int | None, per_image: int | None, seed: int) -> list[Candidate]:
    """At most `questions` candidates, at most `per_image` of an image; all of them where that is None."""
    by_method: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in frame if per_image is None else thinned(frame, per_image, seed):
        by_method[candidate.method].append(candidate)
    sizes = {method: len(candidates) for method, candidates in sorted(by_method.items())}
    quotas = sizes if questions is None else equal_shares(sizes, questions)
    return [
        candidate
        for method, quota in quotas.items()
        for candidate in at_equal_steps(_by_stratum(by_method[method], seed), quota, draw(seed, "start"))
    ]


def thinned(frame: Iterable[Candidate], per_image: int, seed: int) -> list[Candidate]:
    """At most `per_image` of the candidates of each image, its methods in turns.

    The sizes of a method's segments have the shares that they have without a limit, to within one or two, wherever
    images with a choice can make up for those without.
    """
    images: dict[str, dict[str, list[Candidate]]] = defaultdict(lambda: defaultdict(list))
    for candidate in frame:
        images[candidate.image][candidate.method].append(candidate)
    limits: dict[str, dict[str, int]] = defaultdict(dict)
    for image, methods in images.items():
        turns = shuffled(methods, seed, "turns", image)
        for method, limit in equal_shares({method: len(methods[method]) for method in turns}, per_image).items():
            limits[method][image] = limit
    kept: list[Candidate] = []
    for method, by_image in sorted(limits.items()):
        kept += _within_limits({image: images[image][method] for image in by_image}, by_image, seed)
    return kept


def _within_limits(
    images: Mapping[str, Sequence[Candidate]], limits: Mapping[str, int], seed: int
) -> Iterator[Candidate]:
    """So many candidates of each image, always of the size of which most is wanted for what images can still give.

    Images that leave no choice come first, and those of many sizes last.
    """
    everything = [candidate for candidates in images.values() for candidate in candidates]
    unlimited = at_equal_steps(_by_stratum(everything, seed), sum(limits.values()), draw(seed, "quotas"))
    wanted = Counter(candidate.size for candidate in unlimited)
    there = {image: Counter(candidate.size for candidate in images[image]) for image in images}
    to_give = Counter[Size]()
    for image, sizes in there.items():
        to_give.update({size: min(count, limits[image]) for size, count in sizes.items()})

    def choice(image: str) -> tuple[int, int, str]:
        return len(there[image]) * (limits[image] < len(images[image])), draw(seed, "thinning", image), image

    for image in sorted(images, key=choice):
        left: dict[Size, list[Candidate]] = defaultdict(list)
        for candidate in shuffled(images[image], seed, "segment", image, key=lambda one: one.segment):
            left[candidate.size].append(candidate)
        for _ in range(limits[image]):
            size = max((size for size in SIZES if left[size]), key=lambda size: wanted[size] / to_give[size])
            wanted[size] -= 1
            yield left[size].pop()
        to_give.subtract({size: min(count, limits[image]) for size, count in there[image].items()})


def equal_shares(available: Mapping[str, int], total: int) -> dict[str, int]:
    """`total` dealt out one by one in turns, as long as there is something; all where there is not enough."""
    shares = dict.fromkeys(available, 0)
    left = min(total, sum(available.values()))
    while left > 0:
        open_ones = [name for name in available if shares[name] < available[name]]
        step = min(left // len(open_ones), min(available[name] - shares[name] for name in open_ones))
        for name in open_ones if step else open_ones[:left]:
            shares[name] += max(step, 1)
            left -= max(step, 1)
    return shares


def at_equal_steps(items: Sequence[T], count: int, start: int) -> list[T]:
    """`count` of the items at equal steps. start: a draw, where in the first step to begin."""
    count = min(count, len(items))
    return [items[(start + number * _DRAWS) * len(items) // (count * _DRAWS)] for number in range(count)]


def _by_stratum(candidates: Sequence[Candidate], seed: int) -> list[Candidate]:
    """By size, within it by image, in an order that turns round from one size to the next.

    So steps that take the last images of a size go on with other images of the next one. The images' order is the same
    for all methods: those with the same segments get the same sample.
    """
    present = sorted({SIZES.index(candidate.size) for candidate in candidates})
    images = {candidate.image: draw(seed, "image", candidate.image) for candidate in candidates}

    def place(candidate: Candidate) -> tuple[int, int, str, int, int]:
        turn = present.index(SIZES.index(candidate.size))
        image = images[candidate.image]
        within = draw(seed, "segment", candidate.image, candidate.segment)
        return turn, -image if turn % 2 else image, candidate.image, within, candidate.segment

    return sorted(candidates, key=place)


def strata(frame: Iterable[Candidate], chosen: Iterable[Candidate]) -> dict[str, dict[str, tuple[int, int]]]:
    """By method and size: how many segments there are, and how many were chosen."""
    counts: dict[str, dict[str, list[int]]] = {}
    for place, candidates in enumerate((frame, chosen)):
        for candidate in candidates:
            sizes = counts.setdefault(candidate.method, {size: [0, 0] for size in SIZES})
            sizes[candidate.size][place] += 1
    return {
        method: {size: (found[0], found[1]) for size, found in sizes.items()}
        for method, sizes in sorted(counts.items())
    }
