"""A small segmenter with the protocol of `ZeroGuidance`: bands of brightness, named after their colour.

Stands in where a test is about files and not about segments: it needs no weights and its results can be worked out.
Run as a program it is the command line with this model, for tests that must kill a process.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zgcore import Segmentation, SegmentTree
from zgcore.config import PipelineConfig
from zgcore.stream import SegmentStream

NAMES = ("dark", "dim", "bright", "white & <b>shiny</b>")


@dataclass
class BandSegmenter:
    """Four bands of the red channel, 64 levels each. `fails` holds top-left red levels it raises on."""

    config: PipelineConfig = field(default_factory=lambda: PipelineConfig(preset="mini"))
    version: str = "mini-bands-1"
    random_weights: bool = False
    fails: dict[int, Exception] = field(default_factory=dict)
    calls: list[int] = field(default_factory=list)

    @property
    def preset(self) -> str:
        return self.config.preset

    @property
    def device(self):
        import torch

        return torch.device("cpu")

    @property
    def precision(self):
        return {}

    def stream(self, *, workers, group):
        return SegmentStream(lambda image: image, self.segment_many, group=group)

    def segment_many(self, images):
        self.calls.append(len(images))
        for image in images:
            if error := self.fails.get(int(image[0, 0, 0])):
                raise error
        return [self._segment(image) for image in images]

    def _segment(self, image):
        bands = image[..., 0] // 64
        present, index = np.unique(bands, return_inverse=True)
        n = len(present)
        index_map = index.reshape(bands.shape).astype(np.int32)
        nodes = {1: (0,), 2: (1, 2), 3: (1, 5, 6), 4: (3, 4, 5, 6)}[n]
        embeddings = np.arange(n * 3, dtype=np.float32).reshape(n, 3)
        return Segmentation(
            index_map=index_map,
            nodes=nodes,
            labels=tuple(NAMES[band] for band in present),
            embeddings=embeddings,
            scores=np.array([0.25 * (band + 1) for band in present], dtype=np.float32),
            tree=SegmentTree(nodes, index_map),
            preset=self.preset,
            random_weights=self.random_weights,
            seconds={"candidates": 0.5},
        )


class SlowBands(BandSegmenter):
    """Takes its time, and says in a file how many images it was given, so that a test can interrupt it."""

    def segment_many(self, images):
        result = super().segment_many(images)
        if len(self.calls) > int(os.environ.get("BANDS_FAST", "2")):
            Path(os.environ["BANDS_STARTED"]).touch()
            time.sleep(60)
        return result


if __name__ == "__main__":
    from ls_backend import cli, cli_label

    cli_label.build_model = lambda options: SlowBands()
    sys.exit(cli.main(sys.argv[1:]))
