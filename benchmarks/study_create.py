"""Studies: how long `zeroguide study create` takes for a study as large as the paper's, and how much memory.

    python -m benchmarks.study_create --questions 23076

Run from the repository's root. Makes a run of small photos with segments of smooth outlines, draws the study from it in
a process of its own, and prints seconds, those of the processor, peak memory of the largest of its processes, and the
size of the pictures.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from ls_backend.record import RunStamp, from_segmentation
from ls_backend.run_folder import RunFolder, fingerprint
from zgcore import Segmentation, SegmentTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SIZE = (240, 320)  # rows and columns of each photo
SEGMENTS = 12
DIFFERENT = 64  # maps of segments that photos take in turns
DIMENSIONS = 256
WORDS = (
    "sky",
    "grass",
    "road",
    "tree",
    "wall",
    "person",
    "car",
    "house",
    "water",
    "dog",
    "boat",
    "table",
    "cup",
    "sand",
)


def segment_map(rng: np.random.Generator) -> NDArray[np.int32]:
    """(H, W) int32: the highest of some smooth random fields."""
    fields = rng.standard_normal((SEGMENTS, *SIZE)).astype(np.float32)
    return np.argmax([ndimage.gaussian_filter(field, 16) for field in fields], axis=0).astype(np.int32)


def write_run(root: Path, images: int) -> int:
    """A run folder; returns how many segments it has."""
    rng = np.random.default_rng(0)
    maps = [segment_map(rng) for _ in range(DIFFERENT)]
    folder = RunFolder(root)
    (root / "photos").mkdir()
    spine = [2 ** (depth + 1) - 2 for depth in range(SEGMENTS)]
    nodes = (*(2 * node + 1 for node in spine[:-1]), spine[-1])
    stamp = RunStamp("mini", "made", "made-1", False)
    count = 0
    for number in range(images):
        index_map = maps[number % DIFFERENT]
        colours = rng.integers(0, 256, (SEGMENTS, 3))
        photo = np.clip(colours[index_map] + rng.normal(0, 25, (*SIZE, 3)), 0, 255).astype(np.uint8)
        path = root / "photos" / f"{number:06}.jpg"
        Image.fromarray(photo).save(path, quality=90)
        result = Segmentation(
            index_map=index_map,
            nodes=nodes,
            labels=tuple(str(word) for word in rng.choice(WORDS, SEGMENTS)),
            embeddings=rng.standard_normal((SEGMENTS, DIMENSIONS)).astype(np.float32),
            scores=rng.random(SEGMENTS).astype(np.float32),
            tree=SegmentTree(nodes, index_map),
            preset="mini",
            random_weights=False,
            seconds={},
        )
        record = from_segmentation(path.stem, fingerprint(path), stamp, result)
        folder.save(record, result.embeddings)
        count += len(record.segments)
    return count


def measure(run: Path, out: Path, questions: int, workers: int) -> dict[str, float]:
    """Seconds, and memory (MiB) of the largest process, of drawing a study."""
    start = time.perf_counter()
    line = [sys.executable, "-m", "ls_backend", "study", "create", str(run), "--out", str(out)]
    pid = os.posix_spawn(
        sys.executable, [*line, "--questions", str(questions), "--workers", str(workers)], dict(os.environ)
    )
    _, status, usage = os.wait4(pid, 0)
    assert status == 0
    pictures = [entry.stat().st_size for entry in os.scandir(out / "pictures")]
    return {
        "seconds": time.perf_counter() - start,
        "processor_s": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
        "pictures": len(pictures),
        "pictures_mib": sum(pictures) / 2**20,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=23076, help="rated questions (default: the paper's 23,076)")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        segments = write_run(run, -(-options.questions // SEGMENTS) + 100)
        print(f"{segments} segments", flush=True)
        for name, value in measure(run, Path(folder, "study"), options.questions, options.workers).items():
            print(f"{name:20} {value:,.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
