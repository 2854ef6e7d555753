"""The page people look at: a self-contained gallery of photos beside their segments, one HTML file a hundred images.

Images are streamed: what `gallery_item` makes of one is small, its card is written to disk at once, and only counts are
kept. The page asks nothing of any network, and its content security policy forbids it to.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
import os
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

from zgcore.colours import hex_colour, segment_colours
from zgcore.images import thumbnail
from zgcore.placement import LabelStyle, clean_text, poles
from zgcore.render import RANDOM_WEIGHTS_NOTE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from zgcore.segmentation import Segmentation

PHOTO_SIDE: Final = 900  # pixels, longer side of the photo in the page
JPEG_QUALITY: Final = 84
COMMON_LABELS: Final = 12  # offered as buttons above the cards
_CHUNK: Final = 1 << 20  # characters copied at a time
_PALETTE_COLOURS: Final = 256


@dataclass(frozen=True)
class GalleryItem:
    """What the page needs of one image, some tens of kilobytes.

    name: shown as the card's title. width, height: of the original, in pixels. photo: JPEG bytes. index: PNG bytes of
    the same size in which each segment has its own colour. labels, scores (CLIP cosine), areas (share of the image),
    colours ("#rrggbb") and anchors (x, y of a point well inside, as shares): one entry a segment. note: a warning that
    is shown with the image. overlay: address of the full-size overlay relative to the page, or "".
    """

    name: str
    width: int
    height: int
    photo: bytes
    index: bytes
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    areas: tuple[float, ...]
    colours: tuple[str, ...]
    anchors: tuple[tuple[float, float], ...]
    note: str = ""
    overlay: str = ""


@dataclass
class _Summary:
    """What the head of every page tells of the whole run."""

    images: int = 0
    segments: int = 0
    notes: set[str] = field(default_factory=set)
    labels: Counter[str] = field(default_factory=Counter)

    def add(self, item: GalleryItem) -> None:
        self.images += 1
        self.segments += len(item.labels)
        self.notes.update([item.note] if item.note else [])
        self.labels.update(set(item.labels))


def gallery_item(
    name: str, image: NDArray[np.uint8], segmentation: Segmentation, *, overlay: str = "", side: int = PHOTO_SIDE
) -> GalleryItem:
    """The view of one (H, W, 3) uint8 photo and its segmentation.

    overlay: relative path of the full-size overlay, if one is written. side: longest side of the pictures in the page.
    Raises ValueError if the sizes of photo and segmentation differ.
    """
    if image.shape != (*segmentation.index_map.shape, 3):
        raise ValueError(f"the photo is {image.shape}, the segmentation {segmentation.index_map.shape}")
    photo = thumbnail(image, side)
    index_map = _nearest(segmentation.index_map, *photo.shape[:2])
    colours = segment_colours(segmentation.index_map, len(segmentation))
    anchors = np.nan_to_num(poles(segmentation.index_map, len(segmentation), LabelStyle()), nan=0.5)
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return GalleryItem(
        name=clean_text(name),
        width=segmentation.width,
        height=segmentation.height,
        photo=buffer.getvalue(),
        index=_index_png(index_map, colours),
        labels=tuple(clean_text(label) for label in segmentation.labels),
        scores=tuple(float(score) for score in segmentation.scores),
        areas=tuple(float(area) for area in segmentation.areas() / segmentation.index_map.size),
        colours=tuple(hex_colour(colour) for colour in colours),
        anchors=tuple((float(x), float(y)) for x, y in anchors),
        note=RANDOM_WEIGHTS_NOTE if segmentation.random_weights else "",
        overlay=overlay,
    )


def write_gallery(
    folder: str | os.PathLike,
    items: Iterable[GalleryItem],
    *,
    preset: str,
    version: str,
    failures: Iterable[tuple[str, str]] = (),
    per_page: int = 100,
) -> list[Path]:
    """Write `index.html` (then `index-2.html`, ... for more than `per_page` images) and return the paths.

    items: taken one at a time; only the card that is being written is in memory. failures: (name, reason) of images
    without a result; read after the last item, so the caller may still be adding to it. version: of the model.
    Each page is replaced in one step.
    """
    if per_page < 1:
        raise ValueError(f"per_page must be at least 1, not {per_page}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    summary = _Summary()
    with tempfile.TemporaryDirectory(dir=folder, prefix=".gallery-") as spool:
        sheets = _write_cards(Path(spool), items, per_page, summary)
        names = [_page_name(number) for number in range(1, len(sheets) + 1)]
        common = [label for label, _ in sorted(summary.labels.items(), key=lambda pair: (-pair[1], pair[0]))]
        context = {
            "preset": preset,
            "version": version,
            "summary": summary,
            "notes": sorted(summary.notes),
            "common_labels": common[:COMMON_LABELS],
            "failures": [(clean_text(name), clean_text(reason)) for name, reason in failures],
            "pages": names,
        }
        template = page_environment().get_template("gallery.html")
        for number, (name, sheet) in enumerate(zip(names, sheets, strict=True), start=1):
            draft = Path(spool, name)
            with draft.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(template.generate(**context, page=number, cards=_chunks(sheet)))
            os.replace(draft, folder / name)
    return [folder / name for name in names]


def templates_folder() -> Path:
    """The folder of the page templates: inside the package once installed, beside it in a source tree."""
    here = Path(__file__).resolve().parent
    installed = here / "templates"
    return installed if installed.is_dir() else here.parent / "templates"


def _write_cards(spool: Path, items: Iterable[GalleryItem], per_page: int, summary: _Summary) -> list[Path]:
    """The cards of each page in a file of its own; at least one file, so that an empty gallery is a page too."""
    template = page_environment().get_template("gallery_card.html")
    source = iter(items)
    sheets: list[Path] = []
    item = next(source, None)
    while item is not None or not sheets:
        sheets.append(spool / f"cards-{len(sheets) + 1}")
        with sheets[-1].open("w", encoding="utf-8", newline="\n") as file:
            for number in count(1):
                if item is None or number > per_page:
                    break
                summary.add(item)
                file.write(template.render(item=item, number=summary.images, segments=_rows(item)))
                item = next(source, None)
    return sheets


def _rows(item: GalleryItem) -> list[dict[str, Any]]:
    """The list entries of a card."""
    return [
        {
            "label": label or "(no label)",
            "colour": colour,
            "x": round(anchor[0], 4),
            "y": round(anchor[1], 4),
            "share": area,
            "percent": "<1%" if 0 < area < 0.01 else f"{area:.0%}",
            "score": f"{score:.2f}" if math.isfinite(score) else "?",
        }
        for label, score, area, colour, anchor in zip(
            item.labels, item.scores, item.areas, item.colours, item.anchors, strict=True
        )
    ]


def _page_name(number: int) -> str:
    return "index.html" if number == 1 else f"index-{number}.html"


def _chunks(sheet: Path) -> Iterator[Markup]:
    """A file of finished cards, piece by piece; autoescaping was done when they were rendered."""
    with sheet.open(encoding="utf-8", newline="") as file:
        while chunk := file.read(_CHUNK):
            yield Markup(chunk)


@cache
def page_environment() -> jinja2.Environment:
    """Templates of pages: every value escaped, a missing one an error; filters data_uri, csp_hash and path."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_folder()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["csp_hash"] = _csp_hash
    environment.filters["path"] = lambda path: quote(path, safe="/")  # a colon is quoted too, so no scheme gets through
    return environment


def _data_uri(content: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


def _csp_hash(text: str) -> str:
    """The hash by which a content security policy admits exactly this inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(str(text).encode()).digest()).decode("ascii")


def _nearest(index_map: NDArray[np.int32], height: int, width: int) -> NDArray[np.int32]:
    rows = (np.arange(height) + 0.5) * index_map.shape[0] / height
    columns = (np.arange(width) + 0.5) * index_map.shape[1] / width
    return index_map[rows.astype(np.intp)[:, None], columns.astype(np.intp)]


def _index_png(index_map: NDArray[np.int32], colours: NDArray[np.uint8]) -> bytes:
    """PNG in which each segment has its colour; paletted where the colours fit into one."""
    if len(colours) <= _PALETTE_COLOURS:
        picture = Image.fromarray(index_map.astype(np.uint8))
        picture.putpalette(colours.tobytes())
    else:
        picture = Image.fromarray(colours[index_map])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
