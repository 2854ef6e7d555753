"""Metrics without a model: seconds and memory for images of 500 x 375 with 20 segments, as many as you ask for.

    python benchmarks/evaluation_speed.py [--images 1000] [--workers 2] [--overlapping]

Images are made up: Voronoi cells for the segments, others for the truth's 59 classes, with Pascal's void bands between
them, and random labels, vectors and similarities. Made-up truths and masks, encoded as COCO run lengths, are prepared
beforehand; what is timed is decoding, overlap, boundaries, reassignment (TT by vectors that are there, ST, WordNet) and
the summary with its intervals. Peak memory is printed after a tenth of the images and after all of them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import time
import zlib
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from pycocotools import mask as coco_mask
from scipy import ndimage
from scipy.spatial import cKDTree

from zgcore.class_lists import class_list
from zgcore.evaluation.ground_truth import VOID, GroundTruth
from zgcore.evaluation.lexical import LexicalMatcher
from zgcore.evaluation.prediction import Prediction
from zgcore.evaluation.reassign import Reassigners
from zgcore.evaluation.score_image import score_image
from zgcore.evaluation.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zgcore.evaluation.scored import ScoredImage

HEIGHT, WIDTH, SEGMENTS = 375, 500, 20
DIFFERENT = 24  # pictures, met again with other labels
VOID_BAND = 5  # pixels
DIMENSION = 384  # of MiniLM's vectors
CLASSES = tuple(entry.plain for entry in class_list("pascal_context_59"))
LABELS = (*CLASSES, "poodle", "sofa", "brown dog", "parked cars", "young woman", "thing", "old photo", "vehicle")


class DrawnVectors:
    """Stands where the sentence encoder stands: a vector for every text, drawn once."""

    name = "drawn"

    def encode(self, texts: Sequence[str], title: str | None = None) -> torch.Tensor:
        seeds = (zlib.crc32(text.encode()) for text in texts)
        rows = [np.random.default_rng(seed).standard_normal(DIMENSION) for seed in seeds]
        return torch.nn.functional.normalize(torch.tensor(np.array(rows), dtype=torch.float32), dim=-1)


def cells(rng: np.random.Generator, n: int) -> np.ndarray:
    """(H, W) the nearest of n random points: regions as large and as smooth as segments are."""
    points = rng.random((n, 2)) * (HEIGHT, WIDTH)
    return cKDTree(points).query(np.indices((HEIGHT, WIDTH)).reshape(2, -1).T)[1].reshape(HEIGHT, WIDTH)


def picture(number: int, overlapping: bool) -> tuple[list[dict], GroundTruth]:
    """Masks and truth of one made-up image."""
    rng = np.random.default_rng(number)
    objects = cells(rng, 12)
    truth = rng.integers(0, len(CLASSES), 12)[objects].astype(np.int32)
    truth[boundary_band(objects)] = VOID
    segments = cells(rng, SEGMENTS)
    masks = segments == np.arange(SEGMENTS)[:, None, None]
    if overlapping:
        masks = np.stack([ndimage.binary_dilation(mask, iterations=10) for mask in masks])
    return [coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks], GroundTruth(truth)


def boundary_band(regions: np.ndarray) -> np.ndarray:
    """(H, W) pixels beside another region, as wide as Pascal's void."""
    return ndimage.maximum_filter(regions, VOID_BAND) != ndimage.minimum_filter(regions, VOID_BAND)


class Work:
    """What each process has before the clock starts."""

    def __init__(self, overlapping: bool) -> None:
        self.pictures = [picture(number, overlapping) for number in range(DIFFERENT)]
        features = np.eye(len(CLASSES), DIMENSION, dtype=np.float32)
        self.reassigners = Reassigners(CLASSES, DrawnVectors(), lambda names: features, LexicalMatcher.find(CLASSES))

    def __call__(self, number: int) -> tuple[ScoredImage, int]:
        """One image's scores, and this process's peak memory in KiB."""
        rng = np.random.default_rng(number)
        masks, truth = self.pictures[number % DIFFERENT]
        prediction = Prediction(
            tuple(masks),
            tuple(rng.choice(LABELS, SEGMENTS).tolist()),
            rng.random(SEGMENTS, dtype=np.float32),
            rng.standard_normal((SEGMENTS, DIMENSION), dtype=np.float32),
        )
        return score_image(f"{number:06}", prediction, truth, self.reassigners), peak()


def peak() -> int:
    """KiB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def processor_seconds() -> float:
    """Of this process and those that have ended: what a busy machine takes away is not in it."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


_work: Work | None = None  # inherited by the processes, so that none of them prepares it again


def _score(number: int) -> tuple[ScoredImage, int]:
    assert _work is not None
    return _work(number)


def main() -> None:
    global _work
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--overlapping", action="store_true", help="segments reach 10 pixels into their neighbours")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    _work = Work(arguments.overlapping)
    print(f"prepared; this process holds {peak() >> 10} MiB; load {os.getloadavg()[0]:.1f}")
    start, before, summary = time.perf_counter(), processor_seconds(), Summary(CLASSES)
    with ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("fork")) as pool:
        workers = 0
        for done, (image, held) in enumerate(pool.map(_score, range(arguments.images), chunksize=4), start=1):
            summary.add(image)
            workers = max(workers, held)
            if done in (arguments.images // 10, arguments.images):
                seconds, own = time.perf_counter() - start, peak() >> 10
                print(f"{done} images: {seconds:.1f} s, peak {own} MiB, of a worker {workers >> 10} MiB")
    scored = time.perf_counter() - start
    summary.document()
    print(f"summary with intervals: {time.perf_counter() - start - scored:.1f} s, peak {peak() >> 10} MiB")
    seconds, processor = time.perf_counter() - start, processor_seconds() - before
    print(
        f"together: {seconds:.1f} s, {processor:.1f} s of processor time in {arguments.workers} processes and this one"
    )
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
