"""Pictures at every score, as the paper's figure 6: what raters agreed to be wrong, half right, loose and right."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from ls_backend.studies.plots import NAMES
from zgcore.errors import ImageError
from zgcore.evaluation import formats
from zgcore.evaluation.report_model import Card, Picture, Section, Tag, short
from zgcore.images import load_image, thumbnail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from ls_backend.studies.ratings import Ratings

EACH: Final = 8  # pictures at a score
SIDE: Final = 440  # pixels, longer side
JPEG_QUALITY: Final = 78


def gallery_section(ratings: Ratings, table: NDArray[np.int64], pictures: Path, seed: int) -> Section:
    """Some questions of each score, those that raters agree on first. Nothing where no picture is there.

    table: (questions, 4) counts of the scores that each question got.
    """
    if not pictures.is_dir():
        return Section("pictures", "Pictures at every score")
    cards = [_card(score, ratings, table, pictures, seed) for score in reversed(range(table.shape[1]))]
    return Section("pictures", "Pictures at every score", cards=tuple(card for card in cards if card.pictures))


def chosen(score: int, ratings: Ratings, table: NDArray[np.int64], seed: int) -> Iterator[int]:
    """Numbers of questions that most raters gave this score, surest first; then in an order drawn from the seed."""
    total = table.sum(axis=1)
    with np.errstate(invalid="ignore"):
        sure = table[:, score] / total
    found = np.flatnonzero(2 * table[:, score] > total)
    return iter(sorted((int(n) for n in found), key=lambda n: (-sure[n], -total[n], _draw(seed, ratings.questions[n]))))


def _card(score: int, ratings: Ratings, table: NDArray[np.int64], folder: Path, seed: int) -> Card:
    pictures: list[Picture] = []
    seen: set[tuple[str, str]] = set()
    for number in chosen(score, ratings, table, seed):
        if len(pictures) == EACH:
            break
        fact = ratings.facts[number]
        keys = {("image", fact.image or fact.picture), ("label", fact.label)}
        if fact.picture and not keys & seen and (read := _read(folder / fact.picture)) is not None:
            seen |= keys
            pictures.append(_picture(read, fact.label, fact.method, table[number]))
    count = int(np.count_nonzero((table.sum(axis=1) > 0) & (table[:, score] == table.sum(axis=1))))
    return Card(NAMES[score], f"{formats.plural(count, 'question')} got this score from every rater", tuple(pictures))


def _picture(image: NDArray[np.uint8], label: str, method: str, counts: NDArray[np.int64]) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    scores = ", ".join(str(score) for score in np.repeat(np.arange(len(counts)), counts))
    tag = Tag(short(label), note=f"scores {scores}")
    return Picture(short(method), buffer.getvalue(), image.shape[1], image.shape[0], tags=(tag,))


def _read(path: Path) -> NDArray[np.uint8] | None:
    """A picture as the page shows it; None where it is not there any more."""
    try:
        return thumbnail(load_image(path), SIDE)
    except ImageError:
        return None


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogatepass")).digest()
