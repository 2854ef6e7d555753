"""A predictor without a model, and runs of it: the left and the right half of every photo, by rules one can follow.

The left half is "cat" with the embedding (1, 0), the right half "sky" with (0, 1); the class names have the same
embeddings, so ST gives each half its own class. Truth: see `make_photos`.

    python -m tests.zgcore.evaluation_blocks RUN DATA SECONDS     makes a run, taking so long over each image
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from zgcore.evaluation.datasets import open_data_set
from zgcore.evaluation.evaluator import Job
from zgcore.evaluation.prediction import Prediction
from zgcore.evaluation.predictors import run_lengths
from zgcore.evaluation.reassign import Reassigners
from zgcore.evaluation.run_info import RunInfo, names_digest
from zgcore.evaluation.runner import Run

if TYPE_CHECKING:
    from zgcore.evaluation.predictors import Scene

CLASSES = ("cat", "sky")
PHOTOS = 8


def make_photos(folder: Path, photos: int = PHOTOS) -> Path:
    """A plain data set of 4 x 4 photos: the first k % 4 columns are cat, the rest sky.

    So ST has IoU 0 and 1/2 on k % 4 = 0 (no cat; sky 8 of 16), 1/2 and 2/3 on 1 (cat 4 of 8, sky 8 of 12), 1 and 1 on
    2, 2/3 and 1/2 on 3: means 1/4, 7/12, 1, 7/12. A class is recalled above 1/2: 0 of 1, 1 of 2, 2 of 2, 1 of 2.
    """
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    (folder / "classes.txt").write_text("1\tcat\n2\tsky\n")
    for k in range(photos):
        truth = np.full((4, 4), 2, np.uint8)
        truth[:, : k % 4] = 1
        Image.fromarray(truth).save(folder / "masks" / f"photo{k}.png")
        Image.new("RGB", (4, 4), (20 * k, 90, 120)).save(folder / "images" / f"photo{k}.png")
    return folder


@dataclass
class Halves:
    """seconds: taken over each image. dies: the name of an image that ends the process."""

    seconds: float = 0.0
    dies: str = ""
    name: str = "halves"

    @property
    def label_features(self):
        return lambda names: np.eye(2, dtype=np.float32)[[CLASSES.index(name) for name in names]]

    def predict(self, scene: Scene) -> Prediction:
        time.sleep(self.seconds)
        if scene.sample.name == self.dies:
            os._exit(9)
        left = np.zeros(scene.image.shape[:2], bool)
        left[:, : left.shape[1] // 2] = True
        masks = (run_lengths(left), run_lengths(~left))
        return Prediction(masks, CLASSES, np.array([0.5, 0.25], np.float32), np.eye(2, dtype=np.float32))

    def label_true_masks(self, scene: Scene) -> Prediction | None:
        return None


def only_segments(classes, label_features):
    """ST alone: nothing has to be loaded."""
    return Reassigners(classes, label_features=label_features)


def make_run(root: Path, data: Path, threshold_st: float = 0.1, **options) -> Run:
    """options: of Halves."""
    found = open_data_set(f"folder:{data}")
    info = RunInfo(
        data=f"folder:{data}",
        data_set=found.name,
        classes=found.classes,
        samples=len(found.samples),
        sample_digest=names_digest(sample.name for sample in found.samples),
        predictor="halves",
        threshold_st=threshold_st,
    )
    return Run(root, info, Job(found, partial(Halves, **options), only_segments, tgq=False), found.samples)


if __name__ == "__main__":
    make_run(Path(sys.argv[1]), Path(sys.argv[2]), seconds=float(sys.argv[3])).evaluate(workers=int(sys.argv[4]))
