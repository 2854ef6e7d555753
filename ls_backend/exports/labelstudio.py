"""Label Studio tasks with predictions: a brush mask and its free text for every segment.

Made for the labelling config `templates/free_text.xml`: a palette of colours for the instances and one editable text a
region. The text and its mask share one id.
"""

from __future__ import annotations

import base64
import os
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ls_backend import brush
from ls_backend.exports import Records, compact, json_list
from ls_backend.protocol import mean_score, region_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ls_backend.exports import NumberedRecord
    from ls_backend.record import ImageRecord

PALETTE = tuple(f"obj {number}" for number in range(1, 21))
MASK_NAME, TEXT_NAME, IMAGE_NAME = "mask", "caption", "image"
BROWSER_TYPES = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"BM": "image/bmp",
}


def regions(record: ImageRecord) -> list[dict[str, Any]]:
    """The `result` of one prediction: for each segment a brush region and, with the same id, its text."""
    result = []
    for index, segment in enumerate(record.segments):
        result += region_entries(
            f"segment{index}",
            image=IMAGE_NAME,
            brush_name=MASK_NAME,
            text_name=TEXT_NAME,
            height=record.height,
            width=record.width,
            score=segment.score,
            rle=brush.encode(record.mask(index)),
            label=PALETTE[index % len(PALETTE)],
            text=segment.label,
        )
    return result


def prediction(record: ImageRecord) -> dict[str, Any]:
    """One prediction as Label Studio imports it; its score is the mean over pixels of the segments' scores."""
    score = mean_score((segment.score, segment.area) for segment in record.segments)
    return {"model_version": record.stamp.model_version, "score": score, "result": regions(record)}


def task_pieces(records: Records, image_url: Callable[[NumberedRecord], str]) -> Iterator[str]:
    """The list of tasks in pieces. `image_url` gives what the browser loads for a record."""
    yield from json_list(
        compact(
            {
                "data": {"image": image_url(entry), "file_name": entry.file_name},
                "predictions": [prediction(entry.record)],
            }
        )
        for entry in records
    )
    yield "\n"


def local_files_url(photo: Path, root: Path) -> str:
    """Where Label Studio serves a photo below its LOCAL_FILES_DOCUMENT_ROOT. ValueError if it is not below `root`."""
    relative = photo.resolve().relative_to(root.resolve())
    return "/data/local-files/?d=" + quote(os.fsencode(relative.as_posix()), safe="/")


def data_uri(photo: Path) -> str:
    """The photo itself as a URL: its own bytes where browsers show the format, else (TIFF) as PNG.

    Raises ImageError or OSError where the photo has gone.
    """
    data = photo.read_bytes()
    kind = next((kind for magic, kind in BROWSER_TYPES.items() if data.startswith(magic)), None)
    if kind is None and data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "image/webp"
    if kind is None:
        data, kind = _as_png(photo), "image/png"
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _as_png(photo: Path) -> bytes:
    from PIL import Image

    from zgcore.images import load_image

    out = BytesIO()
    Image.fromarray(load_image(photo)).save(out, "PNG")
    return out.getvalue()
