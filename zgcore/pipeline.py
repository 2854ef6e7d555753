"""ZeroGuidance: the stages in order, batched over the segments of a level and over images."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from zgcore.images import load_image
from zgcore.masked_clip import area_average
from zgcore.merge import Described, Merging
from zgcore.refine_workers import PendingTree, RefineWorkers, default_workers
from zgcore.segmentation import Segmentation
from zgcore.stage_profile import add_to_stage, stage
from zgcore.stream import Failure, SegmentStream, read_ahead

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from zgcore.clip_text import ClipText
    from zgcore.config import PipelineConfig
    from zgcore.dino import DenseFeatures
    from zgcore.images import Source
    from zgcore.masked_clip import SegmentEncoder
    from zgcore.refinement import Candidates
    from zgcore.segmentation import SegmentTree
    from zgcore.zerocap import Caption


class CandidateFinder(Protocol):
    """image -> SegmentTree in two steps. `refine_tree` may run in another process, where it arrives by pickle."""

    @property
    def features(self) -> DenseFeatures:
        """The model that sees the image."""

    def candidates(self, image: NDArray[np.uint8]) -> Candidates:
        """What the models see in an (H, W, 3) image, coarsely."""

    def refine_tree(self, image: NDArray[np.uint8], candidates: Candidates) -> SegmentTree:
        """The same at the image's own size."""


class Labeller(Protocol):
    """Embeddings -> texts: ZeroCap, or the nearest of a word list."""

    @property
    def clip_text(self) -> ClipText:
        """The text tower that shares its space with the embeddings."""

    def captions(self, embeddings: Tensor) -> list[Caption]:
        """One label a segment, for (n, d) embeddings of any norm."""


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class BegunImage:
    """An image whose candidates are found and whose masks are being refined. seconds: of finding them."""

    image: NDArray[np.uint8]
    pending: PendingTree
    seconds: float


@dataclass
class ImageWork:
    """One image on its way through the stages.

    coverage: per leaf, its (h, w) soft mask at the encoder's resolution; a node's is the sum of its leaves'.
    """

    tree: SegmentTree
    prepared: Tensor
    coverage: dict[int, Tensor]
    seconds: dict[str, float]
    merging: Merging = field(init=False)

    def mask(self, node: int) -> Tensor:
        """(h, w) soft mask of a leaf or an inner node."""
        return torch.stack([self.coverage[leaf] for leaf in self.tree.leaves_under(node)]).sum(dim=0)


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
        """The number format that each stage with a model computes in."""
        towers = {"features": self.oversegment.features.module, "embedding": self.encoder.visual}
        found = {name: next(module.parameters()).dtype for name, module in towers.items()}
        return {**found, "Ward": torch.float32, "text": torch.float32}

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
        """Embed, name and merge the segments of images together."""
        torch.manual_seed(self.config.seed)
        works = [self._prepare(one) for one in begun]
        leaves = self._describe(works, [list(work.tree.leaves) for work in works])
        for work, described in zip(works, leaves, strict=True):
            work.merging = Merging(described, self.config.merge)
        while any(proposed := self._proposed(works)):
            for work, merged in zip(works, self._describe(works, proposed), strict=True):
                work.merging.accept(merged)
        with stage("merging", flops=False):
            return [self._finish(work) for work in works]

    def _proposed(self, works: list[ImageWork]) -> list[list[int]]:
        with stage("merging", flops=False):
            return [work.merging.propose() for work in works]

    def _prepare(self, begun: BegunImage) -> ImageWork:
        image, refined = begun.image, begun.pending.refined
        add_to_stage("CRF", refined.seconds)
        seconds, tree = {"candidates": begun.seconds + refined.seconds}, refined.tree
        with _timed([seconds], "embedding"):
            size = self.encoder.mask_size(*image.shape[:2])
            coverage = _coverage(tree, *size)
            prepared = self.encoder.prepare(image)
        return ImageWork(tree, prepared, coverage, seconds)

    def _describe(self, works: list[ImageWork], nodes: list[list[int]]) -> list[dict[int, Described]]:
        """Embed and label some nodes of each image."""
        embeddings = []
        for work, wanted in zip(works, nodes, strict=True):
            if wanted:
                with _timed([work.seconds], "embedding"):
                    masks = torch.stack([work.mask(node) for node in wanted])  # (n, h, w)
                    embeddings.append(self.encoder.encode_prepared(work.prepared, masks).cpu())
        if not embeddings:
            return [{} for _ in works]
        joined = torch.cat(embeddings).clone()  # (n, d) over all images
        with _timed([work.seconds for work, wanted in zip(works, nodes, strict=True) if wanted], "text"):
            captions = self.labeller.captions(joined)
            texts = torch.stack([caption.text_embedding for caption in captions]).cpu().numpy()  # (n, d)
        rows = iter(zip(joined.numpy(), captions, texts, strict=True))
        return [
            {
                node: Described(embedding, caption.label, caption.similarity, text)
                for node, (embedding, caption, text) in zip(wanted, rows, strict=False)
            }
            for wanted in nodes
        ]

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


def _coverage(tree: SegmentTree, height: int, width: int) -> dict[int, Tensor]:
    """Per leaf its (height, width) soft mask. One buffer serves all leaves: an image may have 100 million pixels."""
    mask, coverage = np.empty((1, tree.height, tree.width), np.float32), {}
    for index, leaf in enumerate(tree.leaves):
        np.equal(tree.leaf_map, index, out=mask[0], casting="unsafe")  # no copy on the way from bool to float
        coverage[leaf] = area_average(torch.from_numpy(mask), height, width)[0]
    return coverage


def _check_image(image: NDArray[np.uint8]) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"an image is (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}; read it with load_image")


@contextmanager
def _timed(clocks: list[dict[str, float]], name: str) -> Iterator[None]:
    """Add the wall time of the block to a stage, shared equally between images."""
    start = time.perf_counter()
    with stage(name):
        yield
    spent = (time.perf_counter() - start) / max(1, len(clocks))
    for clock in clocks:
        clock[name] = clock.get(name, 0.0) + spent
