"""Segments follow the image's edges: a fully connected conditional random field (Krähenbühl & Koltun 2011).

The paper (section 3.1) runs it once, at the size the features were computed at. A second run on a larger copy of the
image, started from the first one's probabilities, makes edges exact enough for annotation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pydensecrf.densecrf as dcrf
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zgcore.config import CrfConfig

PROBABILITY_FLOOR: Final = 1e-5  # of the first run's probabilities: what it ruled out may come back
CHUNK_PIXELS: Final = 1 << 19  # interpolated at once at natural size


def segment_costs(features: NDArray[np.floating], labels: NDArray[np.integer], k: int) -> NDArray[np.float32]:
    """(gh, gw, c) features and (gh, gw) labels in 0..k-1 -> (k, gh, gw) float32 unary costs, at most 0, low is likely.

    The squared distance of each feature to each segment's mean feature, less the largest at that place (paper section
    3.1). A segment without members costs 0 everywhere.
    """
    gh, gw, c = features.shape
    if labels.shape != (gh, gw) or k < 1 or labels.min() < 0 or labels.max() >= k:
        raise ValueError(f"labels must be ({gh}, {gw}) in 0..{k - 1}, with k at least 1")
    flat, index = features.reshape(-1, c).astype(np.float64), labels.ravel()
    sizes = np.bincount(index, minlength=k)
    members = np.zeros((k, gh * gw))
    members[index, np.arange(gh * gw)] = 1
    centroids = members @ flat / np.maximum(sizes, 1)[:, None]  # (k, c)
    costs = np.square(centroids).sum(axis=1)[:, None] - 2 * centroids @ flat.T  # the feature's own norm cancels below
    costs[sizes == 0] = -np.inf
    costs -= costs.max(axis=0)
    costs[sizes == 0] = 0
    return costs.reshape(k, gh, gw).astype(np.float32)


class Refiner:
    """Segment costs on a coarse grid -> a label for every pixel of the image."""

    def __init__(self, config: CrfConfig) -> None:
        self.config = config

    def __call__(self, image: NDArray[np.uint8], costs: NDArray[np.float32]) -> NDArray[np.int32]:
        """(H, W, 3) uint8 image and (k, gh, gw) costs -> (H, W) int32 labels 0..k-1.

        A label may own no pixel afterwards; the others keep their numbers. Raises ValueError for other shapes.
        """
        height, width = _checked(image, costs)
        if len(costs) == 1 or height * width == 0:
            return np.zeros((height, width), dtype=np.int32)
        if self.config.size == 0:
            return label_map(-costs, height, width)
        shorter = min(height, width)
        probabilities = self._run(image, costs, self.config.size)
        # Beyond the image's own size there is nothing to see.
        if self.config.size < (size := min(self.config.refine_size, shorter)):
            probabilities = self._run(image, -np.log(np.maximum(probabilities, PROBABILITY_FLOOR)), size)
        return label_map(probabilities, height, width)

    def _run(self, image: NDArray[np.uint8], unary: NDArray[np.float32], size: int) -> NDArray[np.float32]:
        """Probabilities (k, h, w) after mean-field inference on the image resized to shorter side `size`."""
        scale, longest = size / min(image.shape[:2]), int(size * self.config.max_aspect)
        h, w = (min(longest, max(size, int(side * scale))) for side in image.shape[:2])
        resized = np.array(Image.fromarray(image).resize((w, h), Image.Resampling.LANCZOS))
        k, config = len(unary), self.config
        field = dcrf.DenseCRF2D(w, h, k)
        field.setUnaryEnergy(np.ascontiguousarray(upsample(unary, h, w).reshape(k, h * w)))
        kernel = {"kernel": dcrf.DIAG_KERNEL, "normalization": dcrf.NORMALIZE_SYMMETRIC}
        field.addPairwiseGaussian(sxy=config.gaussian_sxy, compat=config.gaussian_compat, **kernel)
        field.addPairwiseBilateral(
            sxy=config.bilateral_sxy,
            srgb=config.bilateral_srgb,
            rgbim=resized,
            compat=config.bilateral_compat,
            **kernel,
        )
        return np.array(field.inference(config.iterations), dtype=np.float32).reshape(k, h, w)


def _checked(image: NDArray[np.uint8], costs: NDArray[np.float32]) -> tuple[int, int]:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image must be (H, W, 3) uint8, not {image.shape} {image.dtype}")
    if costs.ndim != 3 or costs.size == 0:
        raise ValueError(f"costs must be (k, gh, gw) and not empty, not {costs.shape}")
    return image.shape[0], image.shape[1]


def _positions(size: int, target: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each of `target` pixels: the two of `size` it lies between, and the share of the second. Borders repeat."""
    at = np.clip((np.arange(target) + 0.5) * size / target - 0.5, 0, size - 1)
    low = np.minimum(at.astype(np.intp), max(size - 2, 0))
    return low, np.minimum(low + 1, size - 1), (at - low).astype(np.float32)


def upsample(maps: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """(k, h, w) -> (k, height, width) float32, bilinear, pixel centres at half-integers."""
    y0, y1, fy = _positions(maps.shape[1], height)
    x0, x1, fx = _positions(maps.shape[2], width)
    maps = np.asarray(maps, dtype=np.float32)
    wide: NDArray[np.float32] = maps[:, :, x0] * (1 - fx) + maps[:, :, x1] * fx  # (k, h, width)
    return wide[:, y0] * (1 - fy[:, None]) + wide[:, y1] * fy[:, None]


def label_map(scores: NDArray[np.float32], height: int, width: int) -> NDArray[np.int32]:
    """(k, h, w) scores -> (height, width) int32: which is highest after bilinear interpolation; the lowest of equals.

    Between four places with the same winner that one wins everywhere, so only pixels near a border are interpolated.
    Memory: a few values per pixel of one chunk, never k values for every pixel.
    """
    y0, y1, fy = _positions(scores.shape[1], height)
    x0, x1, fx = _positions(scores.shape[2], width)
    coarse = scores.argmax(axis=0).astype(np.int32)  # (h, w)
    right, below = np.minimum(np.arange(coarse.shape[1]) + 1, coarse.shape[1] - 1), coarse[1:]
    below = np.concatenate([below, coarse[-1:]])
    mixed = (coarse != coarse[:, right]) | (coarse != below) | (coarse != below[:, right])
    out = np.empty((height, width), dtype=np.int32)
    step = max(1, CHUNK_PIXELS // width)
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        out[rows] = coarse[y0[rows]][:, x0]
        y, x = mixed[y0[rows]][:, x0].nonzero()
        above, under = y0[rows][y], y1[rows][y]
        a, b, u, v = x0[x], x1[x], fy[rows][y], fx[x]
        top = scores[:, above, a] * (1 - v) + scores[:, above, b] * v
        bottom = scores[:, under, a] * (1 - v) + scores[:, under, b] * v
        out[rows][y, x] = (top * (1 - u) + bottom * u).argmax(axis=0)
    return out
