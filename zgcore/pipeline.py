"""ZeroGuidance: the stages in order, batched over the segments of a level and over images."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from zgcore.describing import BatchDescriber, ImageWork
from zgcore.garbage import without_collections
from zgcore.images import load_image
from zgcore.merge import Merging
from zgcore.refine_workers import PendingTree, RefineWorkers, default_workers
from zgcore.segmentation import Segmentation
from zgcore.stage_profile import add_to_stage, stage
from zgcore.stream import Failure, SegmentStream, read_ahead

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from zgcore.config import PipelineConfig
    from zgcore.describing import Describer, Labeller
    from zgcore.dino import DenseFeatures
    from zgcore.images import Source
    from zgcore.masked_clip import SegmentEncoder
    from zgcore.refinement import Candidates
    from zgcore.segmentation import SegmentTree
    from zgcore.ward import MergeTree


class CandidateFinder(Protocol):
    """image -> SegmentTree in two steps. `refine_tree` may run in another process, where it arrives by pickle."""

    @property
    def features(self) -> DenseFeatures:
        """The model that sees the image."""

    def candidates(self, image: NDArray[np.uint8], merge_tree: MergeTree | None = None) -> Candidates:
        """What the models see in an (H, W, 3) image, coarsely. merge_tree: see `zgcore.ward.candidate_tree`."""

    def refine_tree(self, image: NDArray[np.uint8], candidates: Candidates) -> SegmentTree:
        """The same at the image's own size."""


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class BegunImage:
    """An image whose candidates are found and whose masks are being refined. seconds: of finding them."""

    image: NDArray[np.uint8]
    pending: PendingTree
    seconds: float


class ZeroGuidance:
    """Segments an image and names every segment in free text, with no prompt, no class list and no training.

    oversegment: image -> SegmentTree. encoder: segments -> embeddings. labeller: embeddings -> texts.
    config: all settings. version: what outputs are tagged with. random_weights: True where labels mean nothing.
    """

    def __init__(
        self,
        oversegment: CandidateFinder,
        encoder: SegmentEncoder,
        labeller: Labeller,
        config: PipelineConfig,
        *,
        version: str,
        random_weights: bool = False,
    ) -> None:
        self.oversegment = oversegment
        self.encoder = encoder
        self.labeller = labeller
        self.describer = BatchDescriber(encoder, labeller)
        self.config = config
        self.version = version
        self.random_weights = random_weights

    @classmethod
    def from_preset(
        cls,
        preset: str | Path = "mini",
        *,
        device: str = "auto",
        weights: str | Path | None = None,
        max_segments: int | None = None,
        min_area: float | None = None,
        seed: int | None = None,
        **settings: Any,
    ) -> ZeroGuidance:
        """Build a preset: "paper", "base", "mini", or a folder with preset.json and weights.

        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", ...
        weights: a folder of weights instead of the model hub.
        max_segments, min_area, seed: the settings of those names; any other by stage, e.g. `clip__sigma2=1.0`.

        Raises ConfigError for an unknown preset or setting, WeightsError where weights are missing or do not fit.
        """
        with without_collections():
            from zgcore.build import build_pipeline

        named = {"merge__max_segments": max_segments, "tree__min_area": min_area, "seed": seed}
        settings |= {name: value for name, value in named.items() if value is not None}
        return build_pipeline(preset, device=device, weights=weights, settings=settings)

    @property
    def preset(self) -> str:
        return self.config.preset

    @property
    def device(self) -> torch.device:
        """Where the models are."""
        return next(self.oversegment.features.module.parameters()).device

    @property
    def precision(self) -> dict[str, torch.dtype]:
        """The number format that each stage with a model computes in; of "text" the text tower's, its largest part."""
        towers = {"features": self.oversegment.features.module, "embedding": self.encoder.visual}
        found = {name: next(module.parameters()).dtype for name, module in towers.items()}
        return {**found, "Ward": torch.float32, "text": getattr(torch, self.config.zerocap.text_format)}

    def __call__(self, image: NDArray[np.uint8]) -> Segmentation:
        """Segment one (H, W, 3) uint8 RGB image."""
        return self.segment_many([image])[0]

    def segment_many(self, images: Sequence[NDArray[np.uint8]]) -> list[Segmentation]:
        """Segment images together: all segments of a level are described in one batch, whatever image they are of."""
        with RefineWorkers(self.oversegment.refine_tree) as here:
            return self._finish_images([self._begin_image(image, here) for image in images])

    def segment_stream(
        self, images: Iterable[NDArray[np.uint8] | Source], *, workers: int = 0, group: int = 1
    ) -> Iterator[Segmentation | Failure]:
        """Segment any number of images, in order, with the same results as one at a time.

        images: (H, W, 3) uint8 arrays, or what `load_image` takes, which is read ahead in a thread.
        workers, group: see `stream`.

        An image that cannot be read or segmented is a Failure with the reason, and never stops its neighbours. Memory
        is bounded however many images there are. With workers a script needs `if __name__ == "__main__":`.
        """
        with self.stream(workers=workers, group=group) as stream:
            for image in read_ahead(_loaded, images):
                yield from stream.push(image)
            yield from stream.drain()

    def stream(self, *, workers: int | None = None, group: int = 1) -> SegmentStream[BegunImage]:
        """A stream to push images into, for callers with a loop of their own.

        workers: processes that refine masks while the models are at other images; 0 does it in this process, None
            takes as many as pay off on this machine (`default_workers`).
        group: images whose segments are described together: faster on a GPU, and takes more memory.
        """
        if workers is None:
            workers = default_workers(self.device.type)
        pool = RefineWorkers(self.oversegment.refine_tree, workers)
        return SegmentStream(
            lambda image: self._begin_image(image, pool),
            self._finish_images,
            group=group,
            ahead=max(workers, group) if workers else 0,
            close=pool.close,
        )

    def _begin_image(self, image: NDArray[np.uint8], workers: RefineWorkers) -> BegunImage:
        _check_image(image)
        start = time.perf_counter()
        candidates = self.oversegment.candidates(image)
        seconds = time.perf_counter() - start
        return BegunImage(image, workers.submit(image, candidates), seconds)

    def _finish_images(self, begun: Sequence[BegunImage]) -> list[Segmentation]:
        works = []
        for one in begun:
            refined = one.pending.refined
            add_to_stage("CRF", refined.seconds)
            seconds = {"candidates": one.seconds + refined.seconds}
            works.append(ImageWork(one.image, refined.tree, self.encoder, seconds))
        return self.merge_segments(works)

    def merge_segments(self, works: Sequence[ImageWork], describer: Describer | None = None) -> list[Segmentation]:
        """Embed, name and merge the segments of images whose candidates are known, together.

        describer: what gives nodes their meaning, in place of this model's stages run on all of them.
        """
        describer = describer or self.describer
        torch.manual_seed(self.config.seed)
        leaves = describer.describe(works, [list(work.tree.leaves) for work in works])
        for work, described in zip(works, leaves, strict=True):
            work.merging = Merging(described, self.config.merge)
        while any(proposed := self._proposed(works)):
            for work, merged in zip(works, describer.describe(works, proposed), strict=True):
                work.merging.accept(merged)
        with stage("merging", flops=False):
            return [self._finish(work) for work in works]

    def _proposed(self, works: Sequence[ImageWork]) -> list[list[int]]:
        with stage("merging", flops=False):
            return [work.merging.propose() for work in works]

    def _finish(self, work: ImageWork) -> Segmentation:
        tree, segments = work.tree, work.merging.segments
        areas = dict(zip(tree.leaves, tree.areas().tolist(), strict=True))
        size = {node: sum(areas[leaf] for leaf in tree.leaves_under(node)) for node in segments}
        nodes = sorted(segments, key=lambda node: (-size[node], node))
        owner = {leaf: index for index, node in enumerate(nodes) for leaf in tree.leaves_under(node)}
        index_of_leaf = np.array([owner[leaf] for leaf in tree.leaves], dtype=np.int32)
        return Segmentation(
            index_map=index_of_leaf[tree.leaf_map],
            nodes=tuple(nodes),
            labels=tuple(segments[node].label for node in nodes),
            embeddings=np.stack([segments[node].embedding for node in nodes]),
            scores=np.array([segments[node].score for node in nodes], dtype=np.float32),
            tree=tree,
            preset=self.preset,
            random_weights=self.random_weights,
            seconds=work.seconds,
        )


def _loaded(source: NDArray[np.uint8] | Source) -> NDArray[np.uint8] | Failure:
    if isinstance(source, np.ndarray):
        return source
    try:
        with stage("decode", flops=False):
            return load_image(source)
    except Exception as error:
        return Failure(error)


def _check_image(image: NDArray[np.uint8]) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"an image is (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}; read it with load_image")
