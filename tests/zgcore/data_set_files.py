"""Small data sets in the byte formats and layouts of the real ones."""

from __future__ import annotations

import json
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from zgcore.class_lists import class_list
from zgcore.errors import EvaluationError
from zgcore.evaluation.datasets import open_data_set

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

V, B = -1, -2  # VOID, BACKGROUND


def maps(spec: str, folder: Path) -> dict[str, list[list[int]]]:
    """Name -> index map, of every image."""
    data = open_data_set(f"{spec}:{folder}")
    return {sample.name: data.truth(sample).index_map.tolist() for sample in data.samples}


def message(spec: str, folder: Path) -> str:
    """Of the error that opening ends with; one line."""
    with pytest.raises(EvaluationError) as caught:
        open_data_set(f"{spec}:{folder}")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def truth_message(spec: str, folder: Path) -> str:
    """Of the error that reading the first truth ends with; one line."""
    data = open_data_set(f"{spec}:{folder}")
    with pytest.raises(EvaluationError) as caught:
        data.truth(data.samples[0])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), "green").save(path)


def palette_png(path: Path, ids: Sequence[Sequence[int]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.array(ids, np.uint8))
    image.putpalette([(7 * i) % 256 for i in range(768)])
    image.save(path)


def grey_png(path: Path, ids: Sequence[Sequence[int]], bits: int = 8) -> None:
    """Written chunk by chunk: Pillow writes no grey of 2 and 4 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.array(ids, ">u2")
    height, width = rows.shape
    planes = np.unpackbits(rows.view(np.uint8).reshape(height, width, 2), axis=2)[:, :, 16 - bits :]
    packed = np.packbits(planes.reshape(height, width * bits), axis=1)
    data = b"".join(b"\0" + row.tobytes() for row in packed)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(data)) + END)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


END = _chunk(b"IEND", b"")


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size, and has no pixels."""
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) + END


def segments_png(path: Path, ids: Sequence[Sequence[int]]) -> None:
    """COCO panoptic: id = R + 256 G + 256^2 B."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = np.array(ids, np.uint32)
    Image.fromarray(np.stack([numbers & 255, numbers >> 8 & 255, numbers >> 16], axis=2).astype(np.uint8)).save(path)


def label_map(path: Path, ids: Sequence[Sequence[int]]) -> None:
    """Pascal Context's trainval/*.mat."""
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"LabelMap": np.array(ids, np.uint16)}, do_compression=True)


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def panoptic_json(path: Path, segments: dict[str, list[tuple[int, int]]], **changed: object) -> None:
    """segments: image name -> (segment id, category id)."""
    document = {
        "images": [{"id": n, "file_name": f"{name}.jpg", "height": 4, "width": 4} for n, name in enumerate(segments)],
        "annotations": [
            {
                "image_id": n,
                "file_name": f"{name}.png",
                "segments_info": [{"id": id_, "category_id": kind, "iscrowd": 0} for id_, kind in found],
            }
            for n, (name, found) in enumerate(segments.items())
        ],
        "categories": [{"id": c.id, "name": c.official, "isthing": 1} for c in class_list("coco_panoptic")],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document | changed))
