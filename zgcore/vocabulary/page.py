"""The page of a vocabulary: its labels with counts, texts, evidence and pictures; decisions are made there and copied.

Self-contained: it asks nothing of any network, and its content security policy forbids it to.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

from zgcore.gallery import page_environment
from zgcore.placement import clean_text
from zgcore.vocabulary.normalise import normalise
from zgcore.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from zgcore.vocabulary.labels import Label, Member
    from zgcore.vocabulary.match import Match
    from zgcore.vocabulary.vocabulary import Vocabulary

PICTURE_SIDE: Final = 96  # pixels on the page
JPEG_QUALITY: Final = 75
MARGIN: Final = 0.12  # of the box, shown around a segment
UNSURE: Final = 0.75  # confidence below which a merge is offered for a look
OUTLINE: Final = np.array([255, 200, 40], dtype=np.uint8)
SILHOUETTE: Final = np.array([61, 139, 255], dtype=np.uint8)
NIGHT: Final = np.array([23, 26, 33], dtype=np.uint8)


@dataclass(frozen=True)
class PageContents:
    """What the page shows beside the vocabulary.

    title: of the input. pictures: JPEG bytes of some segments of each text. matches: against a label list; unmatched:
    its names that no label is.
    """

    title: str
    pictures: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    matches: Sequence[Match] = ()
    unmatched: Sequence[str] = ()


def write_page(path: Path, vocabulary: Vocabulary, contents: PageContents) -> None:
    """Write the page; it is replaced in one step. OSError where it cannot be written."""
    template = page_environment().get_template("vocabulary.html")
    matches = {match.label: match for match in contents.matches}
    cards = (_card(label, contents, matches.get(label.name)) for label in vocabulary.labels)
    with whole_file(path) as file:
        for piece in template.generate(
            title=clean_text(contents.title),
            vocabulary=vocabulary,
            texts=sum(len(label.members) for label in vocabulary.labels)
            + sum(len(label.members) for label in vocabulary.dropped),
            segments=sum(label.count for label in vocabulary.labels),
            cards=cards,
            listed=bool(contents.matches),
            unmatched=contents.unmatched,
            decisions=json.dumps(vocabulary.decisions.to_document(), ensure_ascii=False),
        ):
            file.write(piece.encode())


def _card(label: Label, contents: PageContents, match: Match | None) -> dict[str, object]:
    pictures = [picture for member in label.members for picture in contents.pictures.get(member.text, ())]
    unsure = min((member.confidence for member in label.members), default=1.0)
    kinds = {flag.partition(":")[0] for flag in label.flags}
    marks = [name for name, yes in (("merged", len({member.form for member in label.members}) > 1),
                                    ("unsure", unsure < UNSURE), ("ambiguous", "ambiguous" in kinds),
                                    ("outlier", "outlier" in kinds),
                                    ("unlisted", match is not None and match.target is None)) if yes]  # fmt: skip
    return {
        "label": label,
        "shown": clean_text(label.name),
        "marks": " ".join(marks),
        "members": [_row(member, _other(member, label)) for member in label.members],
        "pictures": pictures[:4],
        "match": match,
    }


def _other(member: Member, label: Label) -> str:
    """The text a member is parted from when it is taken out: the label's own word, else the most frequent other."""
    if member.centre is not None:
        return ""
    own = normalise(label.name).form
    others = sorted((other for other in label.members if other.form != member.form), key=lambda it: it.form != own)
    return others[0].text if others and member.form != own else ""


def _row(member: Member, other: str) -> dict[str, object]:
    return {
        "other": other,
        "text": member.text,
        "shown": clean_text(member.text) or "(no text)",
        "count": member.count,
        "why": member.why,
        "percent": round(100 * member.confidence),
        "unsure": member.confidence < UNSURE,
    }


def segment_picture(mask: NDArray[np.bool_], photo: NDArray[np.uint8] | None, side: int = PICTURE_SIDE) -> bytes:
    """JPEG bytes of one segment, cut out with a little around it; the rest dimmed.

    mask: (H, W) bool, not empty. photo: (H, W, 3) uint8 of the same size; without one, or with one of another size,
    the mask alone is drawn.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    pad = round(MARGIN * max(rows[-1] - rows[0], columns[-1] - columns[0]) + 4)
    window = (slice(max(0, rows[0] - pad), min(height, rows[-1] + pad + 1)),
              slice(max(0, columns[0] - pad), min(width, columns[-1] + pad + 1)))  # fmt: skip
    inside = mask[window]
    if photo is None or photo.shape[:2] != mask.shape:
        picture = np.where(inside[..., None], SILHOUETTE, NIGHT)
    else:
        crop = photo[window]
        picture = np.where(inside[..., None], crop, (crop * 0.35 + 20).astype(np.uint8))
        line = max(1, round(max(inside.shape) / side))  # about a pixel on the page
        picture[inside & ~binary_erosion(inside, iterations=line, border_value=1)] = OUTLINE
    image = Image.fromarray(picture.astype(np.uint8))
    image.thumbnail((side * 2, side * 2))  # twice, for dense screens
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return buffer.getvalue()
