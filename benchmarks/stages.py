"""Seconds and peak memory of every stage of a preset, on the sample photos or on your own.

    python -m benchmarks.stages --preset mini
    python -m benchmarks.stages --preset paper --weights DIR --device cuda photo.jpg

Run from the repository's root. Each stage is run alone, on the outputs of the one before; figures are medians over
images after one warm-up image. Peak memory is the process's high-water mark during the stage (on a GPU: the
allocator's), not what the stage adds.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zgcore  # noqa: F401 - before numpy and torch, whose threads it sets

# isort: split
import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.pipeline import forget_texts
from zgcore import ZeroGuidance, __version__, load_image
from zgcore.crf import segment_costs
from zgcore.samples import sample_paths
from zgcore.segmentation import SegmentTree
from zgcore.ward import candidate_tree

if TYPE_CHECKING:
    from collections.abc import Callable


class Stopwatch:
    """Runs functions and keeps, per stage, the seconds and the peak MiB of every run."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.peak: dict[str, list[float]] = defaultdict(list)

    def __call__(self, stage: str, function: Callable[..., Any], *arguments: Any) -> Any:
        self._reset()
        start = time.perf_counter()
        result = function(*arguments)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds[stage].append(time.perf_counter() - start)
        self.peak[stage].append(self._high_water())
        return result

    def _reset(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5")  # Linux: start the high-water mark anew

    def _high_water(self) -> float:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def forget(self) -> None:
        """Drop what was measured so far: the warm-up."""
        self.seconds.clear()
        self.peak.clear()


def run_stages(model: ZeroGuidance, path: Path, watch: Stopwatch) -> tuple[int, int]:
    """One image through all stages. Returns (candidates, segments)."""
    image = watch("read image", load_image, path)
    over = model.oversegment
    features = F.normalize(watch("dense features", over.features, image), dim=-1)
    gh, gw, c = features.shape
    leaves, labels = watch("Ward tree, cut, prune", candidate_tree, features.reshape(gh * gw, c), over.tree)
    costs = segment_costs(features.cpu().numpy(), labels.reshape(gh, gw), len(leaves))
    tree = SegmentTree(leaves, watch("CRF", over.refine, image, costs)).without_empty_leaves()
    prepared = watch("CLIP, shared blocks", model.encoder.prepare, image)
    size = model.encoder.mask_size(*image.shape[:2])
    masks = torch.from_numpy(np.stack([tree.mask(leaf) for leaf in tree.leaves])).float()
    masks = F.interpolate(masks[None], size=size, mode="area")[0]
    embeddings = watch("CLIP, masked blocks", model.encoder.encode_prepared, prepared, masks)
    forget_texts(model)
    watch("ZeroCap", model.labeller.captions, embeddings.clone())
    forget_texts(model)
    segmentation = watch("whole pipeline", model, image)
    return len(tree.leaves), len(segmentation)


def report(model: ZeroGuidance, watch: Stopwatch, counts: list[tuple[int, int]]) -> str:
    """The table as Markdown."""
    candidates, segments = (statistics.mean(column) for column in zip(*counts, strict=True))
    weights = "random weights" if model.random_weights else "real weights"
    device = torch.cuda.get_device_name() if watch.device.type == "cuda" else f"{os.cpu_count()} CPU cores"
    lines = [
        f"zeroguide {__version__}, preset {model.preset} ({weights}), {device}, torch {torch.__version__}, "
        f"Python {platform.python_version()}; {len(counts)} images, "
        f"{candidates:.1f} candidates and {segments:.1f} segments an image",
        "",
        "| stage | seconds (median) | peak memory (MiB) |",
        "|---|---|---|",
    ]
    for stage, seconds in watch.seconds.items():
        lines.append(f"| {stage} | {statistics.median(seconds):.3f} | {max(watch.peak[stage]):.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path, help="photos (default: the samples)")
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--weights", type=Path)
    arguments = parser.parse_args()
    paths = arguments.images or sample_paths()
    model = ZeroGuidance.from_preset(arguments.preset, device=arguments.device, weights=arguments.weights)
    watch = Stopwatch(model.labeller.lm.device)
    run_stages(model, paths[0], watch)
    watch.forget()
    counts = [run_stages(model, path, watch) for path in paths]
    print(report(model, watch, counts))


if __name__ == "__main__":
    main()
