"""Contact sheets of a photo folder's regions, for people to name, and the names read back.

Regions that look alike to the trunk stand in one row, so that a few glances name many.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion
from tqdm import tqdm

from zgcore.errors import ConfigError
from zgcore.images import load_image
from zgcore.mini.training.naming import NamedRegions
from zgcore.mini.training.regions import MAX_AREA, cell_masks, cell_shares, token_features

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from zgcore.mini.training.cache import PhotoCache

NAMES_FILE, FEATURES_FILE = "names.csv", "features.npz"
COLUMNS = ("sheet", "row", "cell", "photo", "name")
MIN_AREA = 0.015  # smaller regions are hard to name
AXES = 128
CELLS, ROWS, SIZE = 8, 9, 150  # of a sheet; SIZE of a cell in pixels
OUTLINE = 2  # pixels
DIM = 0.35  # what is outside the region keeps this much of its brightness
MARGIN = 0.25  # around the region, of its longer side


def highlight(image: NDArray[np.uint8], cells: NDArray[np.bool_], size: int, *, crop: bool) -> Image.Image:
    """A size x size picture of a region: the rest dimmed, a thin outline; cropped to the region, or the whole photo.

    image: (H, W, 3). cells: (h, w), the region on a grid over the photo.
    """
    height, width = image.shape[:2]
    mask = np.asarray(Image.fromarray(cells).resize((width, height), Image.Resampling.NEAREST))
    shown = np.where(mask[..., None], image, (image * DIM).astype(np.uint8))
    shown[mask & ~binary_erosion(mask, iterations=OUTLINE)] = (255, 220, 0)
    picture = Image.fromarray(shown)
    if crop:
        rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        margin = round(MARGIN * max(bottom - top, right - left))
        picture = picture.crop(
            (max(0, left - margin), max(0, top - margin), min(width, right + margin), min(height, bottom + margin))
        )
    picture.thumbnail((size, size))
    cell = Image.new("RGB", (size, size), (255, 255, 255))
    cell.paste(picture, ((size - picture.width) // 2, (size - picture.height) // 2))
    return cell


def sheet(rows: Sequence[tuple[str, Sequence[Image.Image]]], columns: int, size: int) -> Image.Image:
    """Rows of pictures, each row with its number at the left."""
    gutter = 48
    page = Image.new("RGB", (gutter + columns * (size + 4), len(rows) * (size + 4)), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    for y, (number, pictures) in enumerate(rows):
        draw.text((4, y * (size + 4) + size // 2 - 8), number, fill=(0, 0, 0), font_size=18)
        for x, picture in enumerate(pictures):
            page.paste(picture, (gutter + x * (size + 4), y * (size + 4)))
    return page


def make_sheets(cache: PhotoCache, photos: Sequence[Path], head: nn.Module, to: Path, clusters: int, seed: int) -> int:
    """Write sheet_NN.png, a names.csv to fill in and the regions' features; returns the number of sheets.

    photos: in the order of the cache. head: ImageNet's last convolution. clusters: rows in all.
    """
    rows, cells, features = _all_regions(cache, head)
    chosen = [row for row in _alike(features, np.array(rows), clusters, seed) if row]
    to.mkdir(parents=True, exist_ok=True)
    table = []
    sheets = [chosen[start : start + ROWS] for start in range(0, len(chosen), ROWS)]
    for number, group in enumerate(tqdm(sheets, desc="sheets")):
        lines = []
        for row, members in enumerate(group):
            pictures = [highlight(load_image(photos[rows[i]]), cells[i], SIZE, crop=True) for i in members]
            lines.append((str(row), pictures))
            table += [(number, row, cell, photos[rows[i]].name, "") for cell, i in enumerate(members)]
        sheet(lines, CELLS, SIZE).save(to / f"sheet_{number:02d}.png")
    with (to / NAMES_FILE).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *table])
    np.savez_compressed(to / FEATURES_FILE, features=features[[i for row in chosen for i in row]].astype(np.float16))
    return len(sheets)


def read_names(folder: Path) -> NamedRegions:
    """The regions of a folder of sheets whose name was filled in. ConfigError where the files do not fit."""
    try:
        with (folder / NAMES_FILE).open(newline="", encoding="utf-8-sig") as file:
            names = [(line.get("name") or "").strip().lower() for line in csv.DictReader(file)]
        with np.load(folder / FEATURES_FILE, allow_pickle=False) as data:
            features = data["features"].astype(np.float32)
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError(f"{folder} is no folder of sheets ({error}); make one with `zeroguide mini sheets`") from None
    if len(names) != len(features):
        raise ConfigError(f"{folder / NAMES_FILE} has {len(names)} rows instead of {len(features)}; leave names empty "
                          "rather than remove rows")  # fmt: skip
    filled = [i for i, name in enumerate(names) if name]
    return NamedRegions(features[filled], [names[i] for i in filled])


def _all_regions(cache: PhotoCache, head: nn.Module) -> tuple[list[int], list[NDArray[np.bool_]], NDArray[np.float32]]:
    """Photo, cells and (n, 1800) features of every region large enough to name."""
    rows, cells, features = [], [], []
    for row in tqdm(np.flatnonzero(cache.usable), desc="regions", unit="photo", mininterval=5):
        found = [m for m in cell_masks(cache.leaf_maps[row], cache.nodes[row]).values()
                 if MIN_AREA <= m.mean() <= MAX_AREA]  # fmt: skip
        if found:
            features.append((cell_shares(found) @ token_features(cache, int(row), head)).numpy())
            rows += [int(row)] * len(found)
            cells += found
    return rows, cells, np.concatenate(features)


def _alike(features: NDArray[np.float32], photo: NDArray[np.int64], clusters: int, seed: int) -> list[list[int]]:
    """For each cluster up to CELLS regions of different photos, from its middle outwards."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.decomposition import PCA

    standard = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-3)
    axes = PCA(min(AXES, *standard.shape), random_state=seed).fit_transform(standard)
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    clusters = min(clusters, max(1, len(features) // CELLS))
    fitted = MiniBatchKMeans(clusters, random_state=seed, batch_size=4096, n_init=3).fit(axes)
    near = (axes * fitted.cluster_centers_[fitted.labels_]).sum(axis=1)
    chosen = []
    for cluster in range(clusters):
        members = np.flatnonzero(fitted.labels_ == cluster)
        members = members[np.argsort(-near[members], kind="stable")]
        _, first = np.unique(photo[members], return_index=True)  # the best region of each photo
        members = members[np.sort(first)]
        spread = np.unique(np.linspace(0, len(members) - 1, CELLS).round().astype(int))
        chosen.append(members[spread].tolist())
    return chosen
