"""Giving segments their meaning: embeddings of the nodes of images' trees, and texts of the embeddings.

The pipeline asks for nodes, level by level; what answers may compute them, or know them from before.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from zgcore.masked_clip import area_average
from zgcore.merge import Described, Merging
from zgcore.stage_profile import stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from zgcore.clip_text import ClipText
    from zgcore.masked_clip import SegmentEncoder
    from zgcore.segmentation import SegmentTree
    from zgcore.zerocap import Caption


class Labeller(Protocol):
    """Embeddings -> texts: ZeroCap, or the nearest of a word list."""

    @property
    def clip_text(self) -> ClipText:
        """The text tower that shares its space with the embeddings."""

    def captions(self, embeddings: Tensor) -> list[Caption]:
        """One label a segment, for (n, d) embeddings of any norm."""


@dataclass
class ImageWork:
    """One image on its way through the stages, its candidates known. image: (H, W, 3) uint8.

    What the encoder needs of it is made on first use, and not at all where every node's meaning is known.
    """

    image: NDArray[np.uint8]
    tree: SegmentTree
    encoder: SegmentEncoder
    seconds: dict[str, float]
    merging: Merging = field(init=False)

    @cached_property
    def prepared(self) -> Tensor:
        """What all segments of the image share."""
        return self.encoder.prepare(self.image)

    @cached_property
    def coverage(self) -> dict[int, Tensor]:
        """Per leaf, its (h, w) soft mask at the encoder's resolution; a node's is the sum of its leaves'."""
        size = self.encoder.mask_size(*self.image.shape[:2])
        masks = soft_masks(self.tree.leaf_map, range(len(self.tree.leaves)), *size)
        return dict(zip(self.tree.leaves, masks, strict=True))

    def mask(self, node: int) -> Tensor:
        """(h, w) soft mask of a leaf or an inner node."""
        return torch.stack([self.coverage[leaf] for leaf in self.tree.leaves_under(node)]).sum(dim=0)


class Describer(Protocol):
    """Nodes of images' trees -> their meaning."""

    def describe(self, works: Sequence[ImageWork], nodes: Sequence[Sequence[int]]) -> list[dict[int, Described]]:
        """Some nodes of each image, as many mappings as images. Adds the time it takes to their `seconds`."""


class BatchDescriber:
    """Embeds each image's nodes together, and labels those of all images in one batch."""

    def __init__(self, encoder: SegmentEncoder, labeller: Labeller) -> None:
        self.encoder = encoder
        self.labeller = labeller

    def describe(self, works: Sequence[ImageWork], nodes: Sequence[Sequence[int]]) -> list[dict[int, Described]]:
        asked = [(work, wanted) for work, wanted in zip(works, nodes, strict=True) if wanted]
        if not asked:
            return [{} for _ in works]
        embeddings = torch.cat([self.embed_nodes(work, wanted) for work, wanted in asked])  # (n, d) over all images
        with timed([work.seconds for work, _ in asked], "text"):
            rows = iter(self.label(embeddings))
        return [dict(zip(wanted, rows, strict=False)) for wanted in nodes]

    def embed_nodes(self, work: ImageWork, nodes: Sequence[int]) -> Tensor:
        """(n, d) float32 embeddings of nodes of one image, unnormalised, on the CPU."""
        with timed([work.seconds], "embedding"):
            masks = torch.stack([work.mask(node) for node in nodes])  # (n, h, w)
            return self.encoder.encode_prepared(work.prepared, masks).cpu().clone()

    def embed_masks(self, image: NDArray[np.uint8], index_map: NDArray[np.integer], values: Sequence[int]) -> Tensor:
        """(n, d) float32 embeddings of the regions of an index map, which may be of another size than the image."""
        size = self.encoder.mask_size(*image.shape[:2])
        masks = torch.stack(soft_masks(index_map, values, *size))  # (n, h, w)
        return self.encoder.encode_prepared(self.encoder.prepare(image), masks).cpu().clone()

    def label(self, embeddings: Tensor) -> list[Described]:
        """(n, d) embeddings of any norm -> themselves with their labels."""
        captions = self.labeller.captions(embeddings)
        texts = torch.stack([caption.text_embedding for caption in captions]).cpu().numpy()  # (n, d)
        return [
            Described(embedding, caption.label, caption.similarity, text)
            for embedding, caption, text in zip(embeddings.numpy(), captions, texts, strict=True)
        ]


def soft_masks(index_map: NDArray[np.integer], values: Sequence[int], height: int, width: int) -> list[Tensor]:
    """Per value, the (height, width) share of each cell's pixels that hold it.

    One buffer serves all values: an image may have 100 million pixels.
    """
    mask, soft = np.empty((1, *index_map.shape), np.float32), []
    for value in values:
        np.equal(index_map, value, out=mask[0], casting="unsafe")  # no copy on the way from bool to float
        soft.append(area_average(torch.from_numpy(mask), height, width)[0])
    return soft


@contextmanager
def timed(clocks: Sequence[dict[str, float]], name: str) -> Iterator[None]:
    """Add the wall time of the block to a stage, shared equally between images."""
    start = time.perf_counter()
    with stage(name):
        yield
    spent = (time.perf_counter() - start) / max(1, len(clocks))
    for clock in clocks:
        clock[name] = clock.get(name, 0.0) + spent
