"""RGB arrays -> the normalised tensors that models take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

Colour = tuple[float, float, float]


def to_tensor(
    image: NDArray[np.uint8],
    size: tuple[int, int],
    mean: Colour,
    std: Colour,
    resample: Image.Resampling = Image.Resampling.BICUBIC,
) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, *size) float32: resized to (height, width) = `size`, then (x / 255 - mean) / std."""
    resized = np.asarray(Image.fromarray(image).resize((size[1], size[0]), resample), dtype=np.float32)
    normalised = (resized / 255 - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)  # (h, w, 3)
    return torch.from_numpy(normalised.transpose(2, 0, 1).copy())[None]
