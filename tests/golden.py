"""The published implementation's outputs on tiny deterministic models, and those models.

Every parameter is drawn from a generator seeded with the CRC-32 of its name, so numbers alone had to be kept.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.transformer import QuickGELU, VisionTransformer

from zgcore import _torchvision  # noqa: F401

DATA = Path(__file__).parent / "data"


def load(name: str) -> dict[str, np.ndarray]:
    with np.load(DATA / name, allow_pickle=False) as arrays:
        return dict(arrays)


def texts() -> dict[str, list]:
    return json.loads((DATA / "zerocap.json").read_text())
