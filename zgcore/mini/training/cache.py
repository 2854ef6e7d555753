"""First stage of training: what the frozen trunk sees on every photo, and the photo's regions, kept on disk.

All later stages read this cache, so that photos are decoded and the trunk runs once.
"""

from __future__ import annotations

import copy
import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from zgcore.config import TreeConfig
from zgcore.errors import ConfigError, ImageError
from zgcore.images import find_images, load_image
from zgcore.mini.architecture import IMAGE_SIZE, STAGE_CHANNELS, TOKEN_STRIDE, TRUNK_CHANNELS, join
from zgcore.mini.features import principal_axes, stage_weights
from zgcore.mini.trunk import TRUNK_MEAN, TRUNK_STD
from zgcore.pixels import to_tensor
from zgcore.ward import candidate_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from zgcore.mini.trunk import Trunk

GRID = IMAGE_SIZE // TOKEN_STRIDE
LEAVES = 20  # of a photo's tree: as many as the method proposes
AXES = 32
SHARES = (0.25, 1.0, 0.6)  # of the trunk's stages, as for candidates
BATCH = 8
STATISTICS_PHOTOS = 256
_TREE = TreeConfig(leaves=LEAVES, similarity=1.0)


@dataclass(frozen=True)
class PhotoCache:
    """What is kept of n photos. Arrays are memory maps, rows in the order of `names`.

    features: (n, 520, GRID, GRID) float16, the trunk's stages. leaf_maps: (n, GRID, GRID) uint8, the leaf of each cell.
    nodes: (n, LEAVES) int64, the leaves' node numbers in the merge tree, -1 where a photo has fewer.
    usable: (n,) bool, False for photos that could not be read.
    """

    names: list[str]
    features: NDArray[np.float16]
    leaf_maps: NDArray[np.uint8]
    nodes: NDArray[np.int64]
    usable: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.names)


def list_photos(folder: Path, limit: int | None, seed: int) -> list[Path]:
    """Photos of a folder and those below it, in an order that depends on the seed alone; the first `limit`."""
    photos = find_images([folder], recursive=True)
    order = np.random.default_rng(seed).permutation(len(photos))
    return [photos[i] for i in order[:limit]]


def open_cache(folder: Path, photos: list[Path]) -> PhotoCache:
    """The cache in a folder, made with nothing in it where there is none. ConfigError for one of other photos."""
    names = [photo.name for photo in photos]
    n = len(names)
    listing = folder / "photos.json"
    if listing.is_file():
        if json.loads(listing.read_text(encoding="utf-8")) != names:
            raise ConfigError(f"{folder} holds features of other photos; choose another --work folder or remove it")
        mode = "r+"
    else:
        folder.mkdir(parents=True, exist_ok=True)
        mode = "w+"

    def array(name: str, dtype: type, *shape: int) -> NDArray:
        file = folder / f"{name}.npy"
        return np.lib.format.open_memmap(file, mode=mode, dtype=dtype, shape=None if mode == "r+" else shape)

    cache = PhotoCache(
        names,
        array("features", np.float16, n, TRUNK_CHANNELS, GRID, GRID),
        array("leaf_maps", np.uint8, n, GRID, GRID),
        array("nodes", np.int64, n, LEAVES),
        array("usable", np.bool_, n),
    )
    if mode == "w+":
        listing.write_text(json.dumps(names), encoding="utf-8")
    return cache


def fill_cache(cache: PhotoCache, photos: list[Path], trunk: Trunk, folder: Path) -> NDArray[np.float32]:
    """Compute what the cache does not hold yet; a stopped run goes on where it was.

    Returns (2, 520): mean and inverse deviation of the trunk's channels.
    """
    trunk = copy.deepcopy(trunk).to(torch.bfloat16)  # with channels last twice as fast, and near enough
    trunk = trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    counter = folder / "done.json"
    done = json.loads(counter.read_text(encoding="utf-8")) if counter.is_file() else 0
    statistics = folder / "statistics.npy"
    if not statistics.is_file():
        np.save(statistics, _statistics(photos[:STATISTICS_PHOTOS], trunk))
    mean, scale = np.load(statistics)
    with tqdm(total=len(photos), initial=done, desc="photos", unit="photo") as bar:
        for rows, pixels in _batches(photos, done):
            cache.usable[rows] = [one is not None for one in pixels]
            rows = [row for row, one in zip(rows, pixels, strict=True) if one is not None]
            features = _features(trunk, [one for one in pixels if one is not None])
            cache.features[rows] = features.numpy()
            for row, grid in zip(rows, features, strict=True):
                cache.leaf_maps[row], cache.nodes[row] = _regions(grid.float(), mean, scale)
            done += len(pixels)
            counter.write_text(json.dumps(done), encoding="utf-8")
            bar.update(len(pixels))
    return np.stack([mean, scale])


def _batches(photos: list[Path], start: int) -> Iterator[tuple[list[int], list[Tensor | None]]]:
    """Row numbers and their pixels, read ahead by one batch; None for a photo that cannot be read."""

    def read(rows: list[int]) -> list[Tensor | None]:
        return [_read(photos[row]) for row in rows]

    batches = [list(range(first, min(first + BATCH, len(photos)))) for first in range(start, len(photos), BATCH)]
    with ThreadPoolExecutor(1) as reader:
        ahead = [reader.submit(read, rows) for rows in batches[:1]]
        for number, rows in enumerate(batches):
            ahead += [reader.submit(read, following) for following in batches[number + 1 : number + 2]]
            yield rows, ahead.pop(0).result()


def _read(photo: Path) -> Tensor | None:
    try:
        image = load_image(photo)
    except ImageError as error:
        warnings.warn(f"left out: {error}", stacklevel=2)
        return None
    return to_tensor(image, (IMAGE_SIZE, IMAGE_SIZE), TRUNK_MEAN, TRUNK_STD)


@torch.inference_mode()
def _features(trunk: Trunk, pixels: list[Tensor]) -> Tensor:
    """(b, 520, GRID, GRID) float16."""
    if not pixels:
        return torch.empty(0, TRUNK_CHANNELS, GRID, GRID, dtype=torch.float16)
    batch = torch.cat(pixels).to(next(trunk.parameters()).dtype).contiguous(memory_format=torch.channels_last)
    return join(trunk(batch)).to(torch.float16)


def _statistics(photos: list[Path], trunk: Trunk) -> NDArray[np.float32]:
    """(2, 520): mean and inverse deviation of each channel over the tokens of some photos."""
    grids = [_features(trunk, [one for one in pixels if one is not None]) for _, pixels in _batches(photos, 0)]
    tokens = torch.cat(grids).float().permute(0, 2, 3, 1).flatten(0, 2)  # (tokens, 520)
    return torch.stack([tokens.mean(0), 1 / tokens.std(0).clamp(min=1e-3)]).numpy()


def _regions(grid: Tensor, mean: NDArray, scale: NDArray) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(520, GRID, GRID) -> (GRID, GRID) leaf of each cell and (LEAVES,) the leaves' node numbers, -1 for none."""
    standard = (grid.flatten(1).T - torch.from_numpy(mean)) * torch.from_numpy(scale)
    axes = principal_axes(standard * stage_weights(STAGE_CHANNELS, SHARES), AXES)
    numbers, labels = candidate_tree(F.normalize(axes, dim=-1), _TREE)
    nodes = np.full(LEAVES, -1, dtype=np.int64)
    nodes[: len(numbers)] = numbers
    return labels.reshape(GRID, GRID).astype(np.uint8), nodes
