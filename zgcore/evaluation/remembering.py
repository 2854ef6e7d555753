"""The method's stages with a memory: candidates, embeddings and labels of an image are computed once, ever.

What is described together decides the last bits of the results, for matrix products of other sizes round otherwise. So
it must not depend on what is known: the leaves of a tree are always described in one batch, and merged segments one by
one. With any cache, a full or an empty one, results are the same bit for bit.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from zgcore import __version__
from zgcore.describing import ImageWork, timed
from zgcore.evaluation.cache import digest
from zgcore.merge import Described
from zgcore.segmentation import SegmentTree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from zgcore.config import ClipConfig, PipelineConfig
    from zgcore.evaluation.cache import Arrays, StageCache
    from zgcore.pipeline import ZeroGuidance

MERGE_TREE: Final = "merge_tree"
CANDIDATES: Final = "candidates"
EMBEDDINGS: Final = "embeddings"
TEXTS: Final = "texts"


@dataclasses.dataclass(frozen=True)
class StageKeys:
    """What the results of each stage depend on besides the image, as digests; each holds those before it."""

    merge_tree: str
    candidates: str
    encoder: str  # segment embeddings, of whatever segments
    labeller: str  # labels, of whatever embeddings

    @classmethod
    def of(cls, model: ZeroGuidance, weights: str) -> StageKeys:
        """Of a model. weights: their fingerprint."""
        config = model.config
        forms = {stage: str(form) for stage, form in model.precision.items()}
        common = [__version__, torch.__version__, config.preset, weights, model.device.type, forms]
        features = digest(*common, dataclasses.asdict(config.dino))
        return cls(
            features,
            digest(features, dataclasses.asdict(config.tree), dataclasses.asdict(config.crf)),
            digest(*common, encoder_settings(config.clip)),
            digest(*common, labeller_settings(config)),
        )


def encoder_settings(config: ClipConfig) -> dict[str, Any]:
    """Those that the chosen encoder's embeddings depend on."""
    names = ["model", "pretrained", "encoder"]
    if config.encoder == "masked":
        names += ["masked_blocks", "global_subtraction", "memory_mb"]  # the last one is the size of batches
        names += ["sigma2", "saliency"] if config.global_subtraction else []
    return {name: getattr(config, name) for name in names}


def labeller_settings(config: PipelineConfig) -> dict[str, Any]:
    """Those that labels depend on, embeddings given."""
    chosen = dataclasses.asdict(config.zerocap) if config.labeler == "zerocap" else {"prompt": config.zerocap.prompt}
    return chosen | {
        "labeler": config.labeler,
        "clip": [config.clip.model, config.clip.pretrained],
        "seed": config.seed,
    }


class RememberedStages:
    """A model's stages on one image at a time, through a cache.

    weights: the fingerprint of the model's weights.
    """

    def __init__(self, model: ZeroGuidance, cache: StageCache, weights: str = "") -> None:
        self.model = model
        self.cache = cache
        self.keys = StageKeys.of(model, weights)

    def work(self, image: NDArray[np.uint8], content: str) -> ImageWork:
        """An image with its candidates. content: hex digits of the image's content."""
        seconds: dict[str, float] = {}
        with timed([seconds], "candidates"):
            tree = self._tree(image, content)
        return ImageWork(image, tree, self.model.encoder, seconds)

    def describer(self, content: str) -> RememberingDescriber:
        """What describes the nodes of that image's candidates."""
        return RememberingDescriber(self, content, self.keys.candidates)

    def _tree(self, image: NDArray[np.uint8], content: str) -> SegmentTree:
        known = self.cache.get(CANDIDATES, content, self.keys.candidates)
        if known is not None and (tree := _read_tree(known, image.shape[:2])) is not None:
            return tree
        finder = self.model.oversegment
        tree = finder.refine_tree(image, finder.candidates(image, lambda features: self._linkage(features, content)))
        leaves = np.array([str(leaf) for leaf in tree.leaves])  # an unbalanced tree's numbers outgrow 64 bits
        self.cache.put(CANDIDATES, content, self.keys.candidates, {"leaves": leaves, "leaf_map": tree.leaf_map})
        return tree

    def _linkage(self, features: NDArray | torch.Tensor, content: str) -> NDArray[np.float64]:
        from zgcore.ward import merge_tree

        known = self.cache.get(MERGE_TREE, content, self.keys.merge_tree)
        if known is not None and known.get("linkage", np.empty(0)).shape == (len(features) - 1, 4):
            return known["linkage"]
        linkage = merge_tree(features)
        self.cache.put(MERGE_TREE, content, self.keys.merge_tree, {"linkage": linkage})
        return linkage

    def describe(
        self,
        content: str,
        segments: str,
        names: Sequence[str],
        embed: Callable[[], torch.Tensor],
        seconds: dict[str, float],
    ) -> list[Described]:
        """Segments described in one batch, or remembered.

        segments: digest of what the segments are. names: of each, unique. embed: gives their (n, d) embeddings.
        """
        at = digest(segments, self.keys.encoder, list(names))
        embeddings = self._embeddings(content, at, len(names), embed)
        at = digest(at, self.keys.labeller)
        with timed([seconds], "text"):
            known = _read_labels(self.cache.get(TEXTS, content, at), embeddings)
            if known is not None:
                return known
            torch.manual_seed(self.model.config.seed)
            described = self.model.describer.label(torch.from_numpy(embeddings))
            self.cache.put(TEXTS, content, at, _label_arrays(described))
        return described

    def _embeddings(self, content: str, key: str, count: int, embed: Callable[[], torch.Tensor]) -> NDArray[np.float32]:
        known = self.cache.get(EMBEDDINGS, content, key)
        found = None if known is None else known.get("embeddings")
        if found is not None and found.ndim == 2 and len(found) == count and found.dtype == np.float32:
            return found
        embeddings = embed().numpy()
        self.cache.put(EMBEDDINGS, content, key, {"embeddings": embeddings})
        return embeddings


class RememberingDescriber:
    """Describes the nodes of one image's tree: leaves in one batch, other nodes one by one."""

    def __init__(self, stages: RememberedStages, content: str, tree: str) -> None:
        self.stages = stages
        self.content = content
        self.tree = tree

    def describe(self, works: Sequence[ImageWork], nodes: Sequence[Sequence[int]]) -> list[dict[int, Described]]:
        return [self._describe(work, wanted) for work, wanted in zip(works, nodes, strict=True)]

    def _describe(self, work: ImageWork, nodes: Sequence[int]) -> dict[int, Described]:
        batches = [tuple(nodes)] if tuple(nodes) == work.tree.leaves else [(node,) for node in nodes]
        described: dict[int, Described] = {}
        for batch in batches:
            found = self.stages.describe(
                self.content,
                self.tree,
                [str(node) for node in batch],
                partial(self.stages.model.describer.embed_nodes, work, batch),
                work.seconds,
            )
            described |= dict(zip(batch, found, strict=True))
        return described


def _read_tree(arrays: Mapping[str, NDArray], size: tuple[int, int]) -> SegmentTree | None:
    try:
        leaf_map = arrays["leaf_map"]
        if leaf_map.shape != size or leaf_map.dtype != np.int32:
            return None
        return SegmentTree(tuple(int(leaf) for leaf in arrays["leaves"].tolist()), leaf_map)
    except (KeyError, ValueError):
        return None


def _label_arrays(described: Sequence[Described]) -> Arrays:
    return {
        "labels": np.array([one.label.encode() for one in described]),
        "scores": np.array([one.score for one in described], np.float64),
        "texts": np.stack([one.text_embedding for one in described]),
    }


def _read_labels(arrays: Mapping[str, NDArray] | None, embeddings: NDArray[np.float32]) -> list[Described] | None:
    try:
        if arrays is None or not len(arrays["labels"]) == len(arrays["scores"]) == len(arrays["texts"]) == len(
            embeddings
        ):
            return None
        rows = zip(embeddings, arrays["labels"].tolist(), arrays["scores"].tolist(), arrays["texts"], strict=True)
        return [Described(embedding, label.decode(), score, text) for embedding, label, score, text in rows]
    except (KeyError, ValueError, AttributeError):
        return None
