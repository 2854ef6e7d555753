"""One image at a time against the stream, in which masks are refined in other processes beside the models.

    python -m benchmarks.overlap --preset mini --images 16 --repeats 3

Run from the repository's root. Both sides take turns in one process, results are compared. The photos are the samples,
resized, and after the eighth their mirror images. The start of the workers is counted in.

Spawned workers import this file, so what is slow to import waits until the main process needs it.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    import numpy as np
    from numpy.typing import NDArray

    from zgcore import Segmentation


def photos_and_mirrored(size: str, count: int) -> list[NDArray[np.uint8]]:
    from benchmarks.pipeline import photos

    images = photos(size, count)
    return [*images, *(image[:, ::-1].copy() for image in images)][:count]


def equal(one: Segmentation, other: Segmentation) -> bool:
    return one.index_map.tobytes() == other.index_map.tobytes() and one.labels == other.labels


def compare(options: argparse.Namespace) -> str:
    """On a CPU results must be identical. On a GPU kernels, and so the rounding, depend on what shares a batch."""
    from benchmarks.pipeline import build, chosen, forget_texts

    model = build(options, **chosen(options))
    images = photos_and_mirrored(options.size, options.images)
    model(images[0])
    alone, streamed = [], []
    for turn in range(options.repeats):
        for overlapped in (False, True) if turn % 2 == 0 else (True, False):
            forget_texts(model)
            start = time.perf_counter()
            if overlapped:
                many = list(model.segment_stream(images, workers=options.workers, group=options.group))
            else:
                one = [model(image) for image in images]
            (streamed if overlapped else alone).append(time.perf_counter() - start)
        same = [equal(expected, found) for expected, found in zip(one, many, strict=True)]
        if not all(same) and model.device.type == "cpu":
            raise SystemExit("the overlapped path gives other results")
    ratios = [before / after for before, after in zip(alone, streamed, strict=True)]
    return (
        f"{len(images)} images of {options.size}, {options.workers} workers, groups of {options.group}, "
        f"{options.repeats} pairs: one at a time {statistics.median(alone):.2f} s, "
        f"overlapped {statistics.median(streamed):.2f} s; ratio median {statistics.median(ratios):.2f}, "
        f"{min(ratios):.2f} to {max(ratios):.2f}; masks and labels identical for {sum(same)} images"
    )


def main() -> None:
    from benchmarks.pipeline import model_arguments, title

    parser = model_arguments(__doc__)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--group", type=int, default=1)
    options = parser.parse_args()
    print(title(options) + "\n\n" + compare(options))


if __name__ == "__main__":
    main()
